//! Where the S3 module's credentials come from, in the order of the real one: environment, a container
//! endpoint, the metadata service. When the first attempt fails, the server is anonymous for its life.

use std::time::Duration;

use serde::Deserialize;

use crate::settings::Environment;

#[derive(Clone)]
pub enum Credentials {
    Keys { id: String, secret: String, token: Option<String>, refresh: Option<jiff::Timestamp> },
    Anonymous,
}

/// Never prints a secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Anonymous) { "Anonymous" } else { "Keys" })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vended {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<jiff::Timestamp>,
}

impl Credentials {
    pub fn is_due(&self, now: jiff::Timestamp) -> bool {
        matches!(self, Self::Keys { refresh: Some(at), .. } if now >= *at)
    }

    pub async fn first(http: &reqwest::Client, env: &Environment) -> Self {
        match Self::resolve(http, env).await {
            Ok(credentials) => credentials,
            Err(_) => Self::Anonymous,
        }
    }

    pub async fn resolve(http: &reqwest::Client, env: &Environment) -> Result<Self, String> {
        let id = env.get("AWS_ACCESS_KEY_ID").or_else(|| env.get("AWS_ACCESS_KEY"));
        let secret = env.get("AWS_SECRET_ACCESS_KEY").or_else(|| env.get("AWS_SECRET_KEY"));
        if let (Some(id), Some(secret)) = (id, secret) {
            let token = env.get("AWS_SESSION_TOKEN").map(str::to_owned);
            return Ok(Self::Keys { id: id.into(), secret: secret.into(), token, refresh: None });
        }
        let text = match env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(uri) => from_container(http, env, uri).await,
            None => from_metadata(http).await,
        };
        let text = text.map_err(|error| error.to_string())?;
        let vended: Vended = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let now = jiff::Timestamp::now();
        // Renewed at 80 % of the lifetime, as minio-go does.
        let refresh = vended.expiration.and_then(|end| {
            let lifetime = end.as_second() - now.as_second();
            jiff::Timestamp::from_second(now.as_second() + lifetime * 4 / 5).ok()
        });
        Ok(Self::Keys {
            id: vended.access_key_id,
            secret: vended.secret_access_key,
            token: vended.token,
            refresh,
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

async fn from_container(
    http: &reqwest::Client,
    env: &Environment,
    uri: &str,
) -> Result<String, reqwest::Error> {
    let mut request = http.get(uri).timeout(PATIENCE);
    if let Some(file) = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        let token = std::fs::read_to_string(file).unwrap_or_default();
        request = request.header("authorization", token.trim());
    }
    request.send().await?.error_for_status()?.text().await
}

const METADATA: &str = "http://169.254.169.254/latest";

async fn from_metadata(http: &reqwest::Client) -> Result<String, reqwest::Error> {
    let token = http
        .put(format!("{METADATA}/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        .timeout(PATIENCE)
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    let roles = format!("{METADATA}/meta-data/iam/security-credentials/");
    let get = |url: String| http.get(url).header("x-aws-ec2-metadata-token", &token).timeout(PATIENCE);
    let role = get(roles.clone()).send().await?.error_for_status()?.text().await?;
    let role = role.lines().next().unwrap_or_default().to_owned();
    get(format!("{roles}{role}")).send().await?.error_for_status()?.text().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the agent vends: a loopback endpoint that wants the token of a file.
    async fn vending() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/role", listener.local_addr().unwrap());
        let answer = |headers: axum::http::HeaderMap| async move {
            if headers.get("authorization").is_none_or(|value| value != "let-me-in") {
                return Err(axum::http::StatusCode::UNAUTHORIZED);
            }
            let end = jiff::Timestamp::now() + Duration::from_secs(100);
            Ok(format!(r#"{{"AccessKeyId":"AKID","SecretAccessKey":"s","Token":"t","Expiration":"{end}"}}"#))
        };
        let router = axum::Router::new().route("/role", axum::routing::get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    #[tokio::test]
    async fn the_container_endpoint_gives_keys_that_are_renewed_at_80_percent_of_their_life() {
        let url = vending().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "let-me-in\n").unwrap();
        let env = Environment::from_pairs([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap()),
        ]);
        let http = reqwest::Client::new();
        let keys = Credentials::first(&http, &env).await;
        let now = jiff::Timestamp::now();
        assert!(!keys.is_due(now) && keys.is_due(now + Duration::from_secs(85)), "{keys:?}");
        // A token that is wrong at the start leaves the server anonymous for its life.
        std::fs::write(file.path(), "wrong").unwrap();
        assert!(matches!(Credentials::first(&http, &env).await, Credentials::Anonymous));
    }
}
