//! The client of the instance metadata service, version 2.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use tokio::sync::Mutex;

use super::InstanceError;
use crate::retry::{Limits, retry};

/// 6 hours, the longest that the service gives.
const TOKEN_SECONDS: &str = "21600";

/// The service is one hop away and answers in a millisecond; two seconds without an answer are none.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads leaves under `/latest/meta-data/`.
#[derive(Debug)]
pub struct Metadata {
    http: Client,
    base: String,
    token: Mutex<Option<String>>,
}

impl Metadata {
    pub fn new(base: &str) -> Result<Self, InstanceError> {
        let http = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            // A proxy would add X-Forwarded-For, for which the service gives no token.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| InstanceError::Client { source })?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: Mutex::new(None) })
    }

    /// The leaf at `path`; `None` where the service says that there is none (404).
    pub async fn get(&self, path: &str) -> Result<Option<String>, InstanceError> {
        let mut answer = self.ask(path, false).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // The token ended before its time (the service restarted): one new one, then it is an error.
            answer = self.ask(path, true).await?;
        }
        match answer.status() {
            StatusCode::OK => {
                let text = answer.text().await;
                text.map(|text| Some(text.trim().to_owned()))
                    .map_err(|_| InstanceError::NotText { path: path.to_owned() })
            }
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED => {
                // The next try, if there is one, begins with a token of its own.
                *self.token.lock().await = None;
                Err(InstanceError::TokenNotTaken { path: path.to_owned() })
            }
            StatusCode::FORBIDDEN => Err(InstanceError::SwitchedOff),
            other => Err(InstanceError::Trouble { path: path.to_owned(), status: other.as_u16() }),
        }
    }

    /// The leaf at `path`, which every instance has.
    pub async fn required(&self, path: &str) -> Result<String, InstanceError> {
        match self.get(path).await? {
            Some(text) if !text.is_empty() && !text.contains('\n') => Ok(text),
            Some(_) => Err(InstanceError::NotText { path: path.to_owned() }),
            None => Err(InstanceError::Absent { path: path.to_owned() }),
        }
    }

    /// The leaf at `path`, of any number of lines, which every instance has: one that is late (404) is asked for
    /// again within `limits`, as any other trouble is.
    pub async fn await_leaf(&self, path: &str, limits: Limits) -> Result<String, InstanceError> {
        let note = |error: &InstanceError| tracing::debug!(%error, "asks the metadata service again");
        let absent = || InstanceError::Absent { path: path.to_owned() };
        retry(limits, note, async || self.get(path).await?.ok_or_else(absent)).await
    }

    async fn ask(&self, path: &str, fresh: bool) -> Result<Response, InstanceError> {
        let token = self.token(fresh).await?;
        let url = format!("{}/latest/meta-data/{path}", self.base);
        let sent = self.http.get(&url).header("X-aws-ec2-metadata-token", token).send().await;
        sent.map_err(|source| InstanceError::Unreachable { url, source: source.without_url() })
    }

    async fn token(&self, fresh: bool) -> Result<String, InstanceError> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|_| !fresh) {
            return Ok(token.clone());
        }
        let url = format!("{}/latest/api/token", self.base);
        let sent =
            self.http.put(&url).header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS).send().await;
        let answer =
            sent.map_err(|source| InstanceError::Unreachable { url, source: source.without_url() })?;
        match answer.status() {
            StatusCode::OK => {
                let token = answer
                    .text()
                    .await
                    .map_err(|_| InstanceError::NotText { path: "api/token".to_owned() })?;
                *kept = Some(token.clone());
                Ok(token)
            }
            StatusCode::FORBIDDEN => Err(InstanceError::SwitchedOff),
            other => Err(InstanceError::TokenRefused { status: other.as_u16() }),
        }
    }
}
