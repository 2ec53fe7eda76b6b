//! What the script of a case does to one request.

use std::time::Duration;

use hyper::StatusCode;

use super::call::View;
use super::errors::message;
use crate::faults::Effect;

/// How a request ends that is not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Refused { status: StatusCode, code: String, text: String },
    Silent,
    Reset { acted: bool },
}

/// All effects on one request, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub delay: Duration,
    /// The first of the script that ends the request.
    pub end: Option<End>,
    pub view: View,
    pub cut_at: Option<usize>,
    pub flip_at: Option<usize>,
}

impl Trouble {
    pub fn of(effects: Vec<Effect>) -> Self {
        let mut trouble = Self::default();
        for effect in effects {
            let end = match effect {
                Effect::Latency { ms } => {
                    trouble.delay += Duration::from_millis(ms);
                    continue;
                }
                Effect::Truncated { bytes } => {
                    trouble.cut_at = Some(bytes);
                    continue;
                }
                Effect::Flipped { byte } => {
                    trouble.flip_at = Some(byte);
                    continue;
                }
                Effect::Stale => {
                    trouble.view = View::Stale;
                    continue;
                }
                Effect::Absent => {
                    trouble.view = View::Absent;
                    continue;
                }
                Effect::Error { status, code, message } => End::Refused {
                    status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    code,
                    text: message,
                },
                Effect::Throttled => refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
                Effect::Denied => refused(StatusCode::FORBIDDEN, "AccessDenied"),
                Effect::Silent => End::Silent,
                Effect::Reset { acted } => End::Reset { acted },
            };
            trouble.end.get_or_insert(end);
        }
        trouble
    }
}

fn refused(status: StatusCode, code: &str) -> End {
    End::Refused { status, code: code.to_owned(), text: message(code).to_owned() }
}
