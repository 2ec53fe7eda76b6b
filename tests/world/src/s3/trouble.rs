//! What the script of a case does to one request, to this double or to another one over HTTP.

use std::time::Duration;

use hyper::StatusCode;

use crate::cloud::View;
use crate::faults::Effect;

/// How a request ends that is not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Refused { status: StatusCode, code: String, text: String },
    Silent,
    Reset { acted: bool },
}

/// All effects on one request, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub delay: Duration,
    /// The first of the script that ends the request.
    pub end: Option<End>,
    pub view: View,
    pub cut_at: Option<usize>,
    pub flip_at: Option<usize>,
}

impl Trouble {
    /// `throttled` and `denied` are the service's own words for those two.
    pub fn of(effects: Vec<Effect>, throttled: &End, denied: &End) -> Self {
        let mut trouble = Self::default();
        for effect in effects {
            let end = match effect {
                Effect::Latency { ms } => {
                    trouble.delay += Duration::from_millis(ms);
                    continue;
                }
                // It was, before anything was put together.
                Effect::Held { .. } => continue,
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
                Effect::Throttled => throttled.clone(),
                Effect::Denied => denied.clone(),
                Effect::Silent => End::Silent,
                Effect::Reset { acted } => End::Reset { acted },
            };
            trouble.end.get_or_insert(end);
        }
        trouble
    }
}

impl End {
    pub fn refused(status: StatusCode, code: &str, text: &str) -> Self {
        Self::Refused { status, code: code.to_owned(), text: text.to_owned() }
    }
}
