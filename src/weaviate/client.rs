//! One HTTP client, one way to send a request.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::WeaviateError;

/// What the server said, whatever it was.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// `Null` where the body is empty or not JSON.
    pub body: Value,
}

impl Answer {
    /// The server's words, in either of its two shapes: `{"error":[{"message"}]}` of its own handlers, and
    /// `{"code","message"}` of the request validation and of authentication (Weaviate 1.39.0, openapi-specs).
    pub fn message(&self) -> String {
        let own = self.body["error"].as_array().into_iter().flatten();
        let words: Vec<&str> = own
            .filter_map(|e| e["message"].as_str())
            .chain(self.body["message"].as_str())
            .chain(self.body["error"].as_str())
            .collect();
        if words.is_empty() { "no words".to_owned() } else { words.join("; ") }
    }
}

/// A client of one server, with one key.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<SecretString>,
}

/// The server's own limit for writing an answer is 60 s (server.go, `--write-timeout`).
const DEADLINE: Duration = Duration::from_mins(1);

impl Client {
    /// `base_url` without a slash at its end: `http://10.0.2.15:8080`.
    pub fn new(base_url: &str, key: Option<SecretString>) -> Self {
        let http = reqwest::Client::builder()
            // The address is this machine's own: a proxy from the environment has no business here.
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            // Fails only when a TLS backend cannot be initialised; none is compiled in.
            .unwrap_or_default();
        Self { http, base: base_url.trim_end_matches('/').to_owned(), key }
    }

    /// The same server with another key, or with none.
    #[must_use]
    pub fn with_key(&self, key: Option<SecretString>) -> Self {
        Self { http: self.http.clone(), base: self.base.clone(), key }
    }

    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Sends one request; any answer is a success here.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, WeaviateError> {
        let unreachable = |source| WeaviateError::Unreachable { call: format!("{method} {path}"), source };
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| unreachable(e.without_url()))?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|e| unreachable(e.without_url()))?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// Sends one request; only a 2xx with a body of type `T` is a success.
    pub(super) async fn expect<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, WeaviateError> {
        let call = format!("{method} {path}");
        let answer = self.call(method, path, body).await?;
        if !(200..300).contains(&answer.status) {
            return Err(WeaviateError::Refused { call, status: answer.status, message: answer.message() });
        }
        serde_json::from_value(answer.body)
            .map_err(|error| WeaviateError::Malformed { call, what: error.to_string() })
    }
}
