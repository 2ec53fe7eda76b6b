//! A store on loopback and a client that signs with Signature Version 4.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::{Method, Response};
use sha2::{Digest as _, Sha256};
use world::faults::{Fault, Faults};
use world::ledger::{Event, Ledger};
use world::s3::{AllowAll, Authorise, Credential, CredentialLookup, OneKey, Serving, Settings, Store};

pub const BUCKET: &str = "acme-weaviate";
pub const KEY: &str = "AKIAWORLD";
pub const SECRET: &str = "world-secret";

pub struct Bed {
    pub store: Store,
    pub ledger: Arc<Ledger>,
    pub faults: Arc<Faults>,
    pub client: Client,
    _serving: Serving,
    _root: tempfile::TempDir,
}

pub struct Setup {
    pub faults: Vec<Fault>,
    pub settings: Settings,
    pub credentials: Arc<dyn CredentialLookup>,
    pub authorise: Arc<dyn Authorise>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            faults: Vec::new(),
            settings: Settings::default(),
            credentials: Arc::new(OneKey::new(KEY, SECRET)),
            authorise: Arc::new(AllowAll),
        }
    }
}

impl Setup {
    pub fn start(self) -> Bed {
        let root = tempfile::tempdir().expect("a directory");
        let ledger = Arc::new(Ledger::default());
        let faults = Arc::new(Faults::new(self.faults));
        let store = Store::new(
            root.path().join("s3"),
            self.credentials,
            self.authorise,
            Arc::clone(&ledger),
            Arc::clone(&faults),
        );
        let store = store.expect("a store").with_settings(self.settings);
        store.create_bucket(BUCKET);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let serving = store.serve(listener).expect("a server");
        let client = Client::new(serving.address);
        Bed { store, ledger, faults, client, _serving: serving, _root: root }
    }
}

pub fn start() -> Bed {
    Setup::default().start()
}

pub fn start_with(faults: &str) -> Bed {
    #[derive(serde::Deserialize)]
    struct Script {
        fault: Vec<Fault>,
    }
    let script: Script = toml::from_str(faults).expect("a script");
    Setup { faults: script.fault, ..Setup::default() }.start()
}

impl Bed {
    /// Operation, status and code of all calls so far.
    pub fn calls(&self) -> Vec<(String, u16, Option<String>)> {
        let events = self.ledger.events().into_iter();
        events
            .filter_map(|seen| match seen.event {
                Event::Call { operation, status, code, .. } => Some((operation, status, code)),
                _ => None,
            })
            .collect()
    }

    pub fn last_parameters(&self) -> BTreeMap<String, String> {
        let last = self.ledger.events().pop().expect("a call");
        match last.event {
            Event::Call { parameters, .. } => parameters,
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub base: String,
    host: String,
    pub credential: Credential,
    pub access_key: String,
}

impl Client {
    pub fn new(address: std::net::SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let credential = Credential { secret: SECRET.to_owned(), ..Credential::default() };
        let host = address.to_string();
        Self { http, base: format!("http://{address}"), host, credential, access_key: KEY.to_owned() }
    }

    pub fn for_host(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    pub async fn get(&self, key: &str) -> Response {
        self.send(Method::GET, &format!("/{BUCKET}/{key}"), &[], b"").await
    }

    pub async fn put(&self, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.send(Method::PUT, &format!("/{BUCKET}/{key}"), headers, body).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_send(method, path, headers, body).await.expect("an answer")
    }

    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> reqwest::Result<Response> {
        let hash = hex(&Sha256::digest(body));
        self.try_send_hashed(method, path, headers, body.to_vec(), &hash).await
    }

    pub async fn try_send_hashed(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        hash: &str,
    ) -> reqwest::Result<Response> {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut signed: BTreeMap<String, String> =
            headers.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
        signed.insert("host".into(), self.host.clone());
        signed.insert("x-amz-date".into(), now.clone());
        signed.insert("x-amz-content-sha256".into(), hash.to_owned());
        if let Some(token) = &self.credential.session_token {
            signed.insert("x-amz-security-token".into(), token.clone());
        }
        let (uri, query) = path.split_once('?').unwrap_or((path, ""));
        let mut query: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        query.sort();
        let names = signed.keys().map(String::as_str).collect::<Vec<_>>().join(";");
        let lines: Vec<_> = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let lines = lines.concat();
        let canonical = format!("{method}\n{uri}\n{}\n{lines}\n{names}\n{hash}", query.join("&"));
        let scope = format!("{}/eu-central-1/s3/aws4_request", &now[..8]);
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = format!("AWS4{}", self.credential.secret).into_bytes();
        for part in [&now[..8], "eu-central-1", "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        );
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request.header("authorization", authorization).send().await
    }
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(data).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The quoted ETag of an answer.
pub fn etag(answer: &Response) -> String {
    answer.headers()["etag"].to_str().expect("text").to_owned()
}

/// The text between two tags of a document.
pub fn element<'a>(document: &'a str, tag: &str) -> &'a str {
    let (_, rest) = document.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("{tag} in {document}"));
    rest.split_once("</").expect("an end").0
}

/// Status and code of a refusal.
pub async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a document");
    assert!(!element(&text, "Message").is_empty(), "{text}");
    (status, element(&text, "Code").to_owned())
}
