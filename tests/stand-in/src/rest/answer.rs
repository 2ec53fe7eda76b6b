//! What a handler gives back: status, body, and the details of the request log.

use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Option<Value>,
    /// 401 without credentials is JSON that calls itself text (recording 01).
    pub plain: bool,
    /// What the world's judge wants to know; never a key.
    pub details: Value,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), plain: false, details: Value::Null }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, body: None, plain: false, details: Value::Null }
    }

    /// The server's own errors.
    pub fn error(status: u16, message: impl std::fmt::Display) -> Self {
        let body = json!({"error": [{"message": message.to_string()}]});
        Self { status, body: Some(body), plain: false, details: Value::Null }
    }

    /// Errors of the layer that validates requests.
    pub fn invalid(status: u16, code: u16, message: impl std::fmt::Display) -> Self {
        let body = json!({"code": code, "message": message.to_string()});
        Self { status, body: Some(body), plain: false, details: Value::Null }
    }

    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// Failures of the stand-in's own files.
impl From<std::io::Error> for Answer {
    fn from(error: std::io::Error) -> Self {
        Self::error(500, error)
    }
}
