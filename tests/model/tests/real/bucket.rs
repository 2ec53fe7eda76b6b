//! A bucket behind the S3 client's own connector: no socket, and the manifest's calls wait for whoever plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use ownership_model::Id;
use tokio::sync::{Notify, oneshot};
use weaviate_provisioner::store::{Settings, Store};

use super::names::{KEY, etag};

type Answer = Result<HttpResponse, ConnectorError>;

/// What a write of the manifest depends on: the ETag, or that there is none.
pub type Condition = Option<String>;

#[derive(Debug)]
enum Call {
    Get,
    Put { condition: Condition, bytes: Vec<u8> },
}

#[derive(Debug)]
struct Waiting {
    from: Id,
    call: Call,
    /// Gone once nobody is to get an answer; closed once nobody would.
    answer: Option<oneshot::Sender<Answer>>,
}

impl Waiting {
    fn awaited(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

/// A write under way: from whom, whether its answer is awaited, on what it depends, and its own ETag.
pub type Write = (Id, bool, Condition, String);

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    waiting: Vec<Waiting>,
}

#[derive(Clone, Debug, Default)]
pub struct Bucket {
    inner: Arc<Mutex<Inner>>,
    /// A call waits.
    pub changed: Arc<Notify>,
}

/// One instance's way to the bucket.
#[derive(Clone, Debug)]
struct Line {
    bucket: Bucket,
    from: Id,
    /// Calls for the manifest itself wait.
    held: bool,
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

impl Line {
    async fn answer(self, request: HttpRequest) -> Answer {
        let (_, path) = request.uri().split_once("/backups/").expect("a path");
        let key = path.split('?').next().unwrap_or_default().to_owned();
        let method = request.method().to_owned();
        let wanted = request.headers().get("if-match").map(|etag| etag.trim_matches('"').to_owned());
        let absent = request.headers().get("if-none-match").is_some();
        let body = ByteStream::new(request.into_body()).collect().await.expect("a body").to_vec();
        let call = match method.as_str() {
            "GET" => Call::Get,
            "PUT" => Call::Put { condition: wanted.clone(), bytes: body },
            other => panic!("{other} {key}"),
        };
        if !self.held || key != KEY {
            return Ok(self.bucket.inner().act(&key, &call));
        }
        if matches!(call, Call::Put { .. }) {
            assert!(wanted.is_some() || absent, "the manifest is written without a condition");
        }
        let (answer, answered) = oneshot::channel();
        self.bucket.inner().waiting.push(Waiting { from: self.from, call, answer: Some(answer) });
        self.bucket.changed.notify_one();
        answered.await.unwrap_or_else(|_| Err(lost()))
    }
}

fn lost() -> ConnectorError {
    ConnectorError::io("the connection was reset".into())
}

fn response(status: u16, etag: Option<&str>, body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body));
    if let Some(etag) = etag {
        response.headers_mut().insert("etag", format!("\"{etag}\""));
    }
    response
}

fn refused(status: u16, code: &str) -> HttpResponse {
    response(status, None, format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>").into())
}

impl Inner {
    fn act(&mut self, key: &str, call: &Call) -> HttpResponse {
        let there = self.objects.get(key).map(|bytes| etag(bytes));
        match call {
            Call::Get => match self.objects.get(key) {
                Some(bytes) => response(200, there.as_deref(), bytes.clone()),
                None => refused(404, "NoSuchKey"),
            },
            Call::Put { condition: Some(_), .. } if there.is_none() => refused(404, "NoSuchKey"),
            Call::Put { condition: Some(wanted), .. } if there.as_ref() != Some(wanted) => {
                refused(412, "PreconditionFailed")
            }
            Call::Put { condition: None, .. } if there.is_some() && key == KEY => {
                refused(412, "PreconditionFailed")
            }
            Call::Put { bytes, .. } => {
                self.objects.insert(key.to_owned(), bytes.clone());
                response(200, Some(&etag(bytes)), Vec::new())
            }
        }
    }

    fn take(&mut self, fits: impl Fn(&Waiting) -> bool) -> Waiting {
        let at = self.waiting.iter().position(fits).expect("such a call waits");
        self.waiting.remove(at)
    }
}

impl Bucket {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panicked")
    }

    /// The real store, as this instance has it.
    pub fn store(&self, from: Id, held: bool) -> Store {
        let line = SharedHttpConnector::new(Line { bucket: self.clone(), from, held });
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url("http://bucket.invalid")
            .force_path_style(true)
            .http_client(http_client_fn(move |_, _| line.clone()))
            .retry_config(RetryConfig::disabled())
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .build();
        let settings = Settings {
            bucket: "backups".to_owned(),
            prefix: "prod".to_owned(),
            endpoint: None,
            region: None,
            path_style: true,
            use_ssl: false,
            kms_key: None,
            role_arn: None,
            credentials: None,
            unfenced: false,
        };
        Store::new(&aws_sdk_s3::Client::from_conf(config), &settings)
    }

    pub fn put(&self, bytes: Vec<u8>) {
        self.inner().objects.insert(KEY.to_owned(), bytes);
    }

    pub fn pointer(&self) -> Option<Vec<u8>> {
        self.inner().objects.get(KEY).cloned()
    }

    /// Whether somebody's call waits for its answer.
    pub fn waits(&self, from: Id) -> bool {
        self.inner().waiting.iter().any(|waiting| waiting.from == from && waiting.awaited())
    }

    /// Whether it is a look.
    pub fn looks(&self, from: Id) -> bool {
        let looks = |w: &Waiting| w.from == from && w.awaited() && matches!(w.call, Call::Get);
        self.inner().waiting.iter().any(looks)
    }

    pub fn writes(&self) -> Vec<Write> {
        let inner = self.inner();
        let mut writes: Vec<Write> = inner.waiting.iter().filter_map(write).collect();
        writes.sort();
        writes
    }

    /// This write arrives: whether it took effect.
    pub fn arrive(&self, wanted: &Write, lose: bool) -> bool {
        let mut inner = self.inner();
        let waiting = inner.take(|waiting| write(waiting).as_ref() == Some(wanted));
        let response = inner.act(KEY, &waiting.call);
        let took = response.status().is_success();
        if let Some(answer) = waiting.answer {
            // Nobody may be there any more.
            drop(answer.send(if lose { Err(lost()) } else { Ok(response) }));
        }
        took
    }

    /// Whoever waits for a write gets no answer; it is still under way.
    pub fn give_up(&self, from: Id) {
        let mut inner = self.inner();
        let waiting = inner.waiting.iter_mut().find(|w| w.from == from && w.awaited());
        let answer = waiting.and_then(|waiting| waiting.answer.take()).expect("it waits");
        drop(answer.send(Err(lost())));
    }

    /// The look that waits is answered.
    pub fn look(&self, from: Id) {
        let mut inner = self.inner();
        let looks = |w: &Waiting| w.from == from && w.awaited() && matches!(w.call, Call::Get);
        let waiting = inner.take(looks);
        let response = inner.act(KEY, &waiting.call);
        drop(waiting.answer.expect("awaited").send(Ok(response)));
    }
}

fn write(waiting: &Waiting) -> Option<Write> {
    let Call::Put { condition, bytes } = &waiting.call else { return None };
    Some((waiting.from, waiting.awaited(), condition.clone(), etag(bytes)))
}
