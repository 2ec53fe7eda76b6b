//! Short-lived credentials for the container, for `restore.mode` or `backup.mode` "direct" only.
//!
//! ```text
//!  server ──GET /credentials, token of a file──▶ <bridge>.1:8081 ──▶ sts:AssumeRole(weaviate.s3_role_arn), cached
//! ```
//!
//! The container has no way to the instance metadata, so it has only what this role may do. minio-go, which the
//! server uses, takes any host for the address when the token lies in a file, and asks again before the end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_sts::types::Credentials;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{ContainerError, DirectS3, ServerPlan, bridge, docker};
use crate::aws::{self, CallError};
use crate::host::Host;
use crate::instance::Identity;
use crate::network::Publish;
use crate::report::Step;
use crate::restore::Mode;
use crate::retry::{Limits, retry};
use crate::secrets::files;

/// Fixed: it stands in the container's environment, and a new one would replace the container.
pub const PORT: u16 = 8081;
/// Given out for at least this long: minio-go asks again after 80 % of the time.
const LEFT: Duration = Duration::from_mins(15);

/// The boot waits for the first credentials beside a restore's download: throttling and trouble of the service are
/// sat out, a refusal is not.
const ASSUME: Limits =
    Limits::new(Duration::from_mins(2), Duration::from_millis(500), Duration::from_secs(10));

/// Vends until it is dropped.
#[derive(Debug)]
pub struct Vending {
    access: DirectS3,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Vending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Vending {
    /// What the server's environment says.
    pub const fn access(&self) -> &DirectS3 {
        &self.access
    }

    #[cfg(test)]
    pub(super) fn for_tests(access: DirectS3) -> Self {
        Self { access, task: tokio::spawn(std::future::pending()) }
    }
}

/// What the boot asks of the server. In direct mode credentials are vended for as long as the plan, or evidence
/// that holds it ([`super::Running`], and so `Serving`), lives: a server that was adopted from an earlier run has
/// the same address and token in its environment, and is served by the new run.
pub async fn plan(host: &Host, me: &Identity) -> Result<ServerPlan, ContainerError> {
    let modes = [&host.settings.restore.mode, &host.settings.making.mode];
    let Some(role) = modes.into_iter().find_map(Mode::role) else { return Ok(ServerPlan::default()) };
    host.status.say(Step::Start, "vends credentials of weaviate.s3_role_arn");
    Ok(ServerPlan { s3: Some(Arc::new(serve(host, me, role).await?)) })
}

/// Listens on the bridge's own address. The first credentials are fetched before anything is promised.
pub async fn serve(host: &Host, me: &Identity, role: &str) -> Result<Vending, ContainerError> {
    let network = &host.settings.network;
    let address = match network.publish {
        Publish::Bridge => {
            bridge::ensure(host, &docker::connect(host).await?).await?;
            network.bridge_subnet.nth(1)
        }
        Publish::Host => Ipv4Addr::LOCALHOST,
    };
    let (token, token_dir) = token(host)?;
    let failed = |source| ContainerError::Vend { address: format!("{address}:{PORT}"), source };
    let listener = TcpListener::bind((address, PORT)).await.map_err(failed)?;
    let session = format!("weaviate-{}", me.instance_id());
    let source = Source { sts: host.aws(me.region()).await.sts.clone(), role: role.to_owned(), session };
    let first = first(host, &source, ASSUME).await?;
    let cache = Arc::new(tokio::sync::Mutex::new(first));
    let task = tokio::spawn(listen(listener, Arc::new(source), cache, Arc::new(token)));
    let region = host.settings.backup.region.clone().unwrap_or_else(|| me.region().to_owned());
    let credentials_uri = format!("http://{address}:{PORT}/credentials");
    Ok(Vending { access: DirectS3 { credentials_uri, token_dir, region }, task })
}

async fn first(host: &Host, source: &Source, limits: Limits) -> Result<Credentials, ContainerError> {
    let note = |error: &CallError| host.status.say(Step::Start, format!("tries again: {error}"));
    let first = retry(limits, note, || source.assume()).await;
    first.map_err(|source| ContainerError::Assume { source })
}

/// The token of an earlier run of this boot goes on: a server that runs holds it.
fn token(host: &Host) -> Result<(SecretString, std::path::PathBuf), ContainerError> {
    let owner = (host.settings.storage.uid, host.settings.storage.gid);
    let directory = host.roots.run.join("credentials");
    let made = || {
        files::make(&directory, owner)?;
        files::check_tmpfs(&directory)?;
        let there = std::fs::read_to_string(directory.join("token")).unwrap_or_default();
        let token = if there.len() == 32 { there } else { format!("{:032x}", rand::random::<u128>()) };
        files::write(&directory, "token", token.as_bytes(), owner)?;
        Ok(token)
    };
    let token = made().map_err(|source| ContainerError::Token { source: Box::new(source) })?;
    Ok((token.into(), directory.clone()))
}

struct Source {
    sts: aws_sdk_sts::Client,
    role: String,
    session: String,
}

impl Source {
    async fn assume(&self) -> Result<Credentials, CallError> {
        let call = self.sts.assume_role().role_arn(&self.role).role_session_name(&self.session);
        let answer = call.send().await.map_err(|error| aws::failed("sts:AssumeRole", &error))?;
        answer.credentials.ok_or_else(|| CallError {
            operation: "sts:AssumeRole",
            kind: aws::Kind::Service,
            code: String::new(),
            message: "the answer holds no credentials".to_owned(),
        })
    }
}

type Cache = Arc<tokio::sync::Mutex<Credentials>>;

async fn listen(listener: TcpListener, source: Arc<Source>, cache: Cache, token: Arc<SecretString>) {
    // Owned here: with this task all answers in progress end too.
    let mut answers = tokio::task::JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (source, cache, token) = (source.clone(), cache.clone(), token.clone());
                answers.spawn(async move {
                    let work = answer(stream, &source, &cache, &token);
                    if let Ok(Err(error)) = tokio::time::timeout(Duration::from_mins(1), work).await {
                        tracing::debug!(step = "vend", %error, "a request broke off");
                    }
                });
            }
            Err(error) => {
                // Out of files, for example: the next accept would fail at once as well.
                tracing::warn!(%error, "the server's question for credentials cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        while answers.try_join_next().is_some() {}
    }
}

async fn answer(
    mut stream: TcpStream,
    source: &Source,
    cache: &Cache,
    token: &SecretString,
) -> std::io::Result<()> {
    // A request without a body fits into less than this.
    let mut request = Vec::with_capacity(4096);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > 16 << 10 || stream.read_buf(&mut request).await? == 0 {
            return respond(&mut stream, "400 Bad Request", "{}").await;
        }
    }
    if let Err(status) = check(&String::from_utf8_lossy(&request), token.expose_secret()) {
        return respond(&mut stream, status, "{}").await;
    }
    let mut known = cache.lock().await;
    let end = SystemTime::try_from(*known.expiration()).unwrap_or(SystemTime::UNIX_EPOCH);
    if end < SystemTime::now() + LEFT {
        match source.assume().await {
            Ok(new) => *known = new,
            Err(error) => {
                tracing::warn!(%error, "the role cannot be assumed: {error}");
                return respond(&mut stream, "503 Service Unavailable", "{}").await;
            }
        }
    }
    // The form of the container credentials endpoint (AWS SDKs and Tools Reference Guide).
    let body = serde_json::json!({
        "AccessKeyId": known.access_key_id(),
        "SecretAccessKey": known.secret_access_key(),
        "Token": known.session_token(),
        "Expiration": known.expiration().to_string(),
    });
    drop(known);
    respond(&mut stream, "200 OK", &body.to_string()).await
}

/// The path, then the token, compared in the same time whatever is wrong with it.
fn check(request: &str, token: &str) -> Result<(), &'static str> {
    let mut lines = request.split("\r\n");
    if !lines.next().is_some_and(|line| line.starts_with("GET /credentials ")) {
        return Err("404 Not Found");
    }
    let given = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map_or("", |(_, value)| value.trim());
    let differs = given.bytes().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    if given.len() == token.len() && differs == 0 { Ok(()) } else { Err("401 Unauthorized") }
}

async fn respond(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let request =
            |path: &str, header: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        for (path, header, expected) in [
            ("/credentials", "Authorization: abc", Ok(())),
            ("/credentials", "authorization:abc", Ok(())),
            ("/credentials", "Authorization: abd", Err("401 Unauthorized")),
            ("/credentials", "Authorization: ab", Err("401 Unauthorized")),
            ("/credentials", "Authorization: abcd", Err("401 Unauthorized")),
            ("/credentials", "X: abc", Err("401 Unauthorized")),
            ("/credentials-of-others", "Authorization: abc", Err("404 Not Found")),
            ("/", "Authorization: abc", Err("404 Not Found")),
        ] {
            assert_eq!(check(&request(path, header), "abc"), expected, "{path} {header}");
        }
        assert_eq!(check("", "abc"), Err("404 Not Found"));
    }

    const TAKEN: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
        <SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken>\
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

    /// An STS that gives these codes one by one, and then the credentials.
    async fn sts(codes: &[&'static str]) -> Source {
        let codes = Arc::new(std::sync::Mutex::new(std::collections::VecDeque::from(codes.to_vec())));
        let answer = move || {
            let code = codes.lock().expect("not poisoned").pop_front();
            async move {
                let error = |code| {
                    let text = format!(
                        "<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
                    );
                    (axum::http::StatusCode::BAD_REQUEST, text)
                };
                code.map_or_else(|| (axum::http::StatusCode::OK, TAKEN.to_owned()), error)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new("eu-central-1"))
            .endpoint_url(endpoint)
            .credentials_provider(aws_credential_types::Credentials::new(
                "AKID", "secret", None, None, "test",
            ))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
            .build();
        Source { sts: aws_sdk_sts::Client::from_conf(config), role: "arn".into(), session: "s".into() }
    }

    #[tokio::test]
    async fn the_first_credentials_are_waited_for_unless_the_role_refuses() {
        let root = tempfile::tempdir().expect("a directory");
        let host = crate::disk::tests::host(root.path(), "");
        let soon = Limits::new(Duration::from_secs(5), Duration::from_millis(10), Duration::from_millis(50));
        let taken = first(&host, &sts(&["Throttling", "InternalFailure"]).await, soon).await;
        assert_eq!(taken.expect("the third time").access_key_id(), "ASIA1");
        let refused = first(&host, &sts(&["AccessDenied"]).await, soon).await.expect_err("once is enough");
        assert!(
            matches!(&refused, ContainerError::Assume { source } if source.kind == aws::Kind::Denied),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn credentials_go_to_the_holder_of_the_token_only() {
        let end = SystemTime::now() + Duration::from_hours(1);
        let known = Credentials::builder()
            .access_key_id("ASIA1")
            .secret_access_key("secret")
            .session_token("session")
            .expiration(end.into())
            .build()
            .expect("whole");
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new("eu-central-1"))
            .build();
        let source = Source {
            sts: aws_sdk_sts::Client::from_conf(config),
            role: "arn:aws:iam::123456789012:role/weaviate-s3".into(),
            session: "s".into(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/credentials", listener.local_addr().expect("bound"));
        let cache = Arc::new(tokio::sync::Mutex::new(known));
        let task = tokio::spawn(listen(listener, Arc::new(source), cache, Arc::new("abc".into())));
        let web = reqwest::Client::builder().no_proxy().build().expect("builds");
        let right = web.get(&url).header("authorization", "abc").send().await.expect("answers");
        let body: serde_json::Value = right.json().await.expect("JSON");
        assert_eq!((&body["AccessKeyId"], &body["Token"]), (&"ASIA1".into(), &"session".into()));
        let wrong = web.get(&url).header("authorization", "abd").send().await.expect("answers");
        assert_eq!(wrong.status().as_u16(), 401);
        assert!(!wrong.text().await.expect("text").contains("ASIA1"));
        task.abort();
    }
}
