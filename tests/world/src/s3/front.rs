//! The HTTP side: a request is recorded, troubled, answered.
//!
//! ```text
//!  request ─▶ Call ─▶ faults ─┬─▶ refused, silent or reset
//!                             └─▶ s3s (signature, permission, operation) ─▶ shaped answer
//!                 ledger ◀── every end, before the answer leaves
//! ```

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use s3s::service::S3Service;

use super::Settings;
use super::call::Call;
use super::errors::{document, element, message, unescape};
use super::shaped::{AnyError, Shape, Shaped};
use super::trouble::{End, Trouble};
use crate::faults::Faults;
use crate::ledger::{Event, Ledger};

/// A body as the service sends it.
pub type Answer = UnsyncBoxBody<Bytes, AnyError>;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset on purpose")]
pub struct Reset;

/// The service for one or many connections. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub service: S3Service,
    pub settings: Settings,
    pub ledger: Arc<Ledger>,
    pub faults: Arc<Faults>,
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Answer>;
    type Error = Reset;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Reset>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.answer(request).await })
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Answer>, Reset> {
        let (parts, body) = request.into_parts();
        let mut call = Call::of(&parts);
        let effects = self.faults.hits("s3", call.operation, &call.parameters());
        self.faults.hold(&effects).await;
        let Trouble { delay, end, view, cut_at, flip_at } = Trouble::of(
            effects,
            &End::refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", message("SlowDown")),
            &End::refused(StatusCode::FORBIDDEN, "AccessDenied", message("AccessDenied")),
        );
        call.view = view;
        let writes = parts.method == Method::PUT;
        call.flip = flip_at.filter(|_| writes);
        let call = Arc::new(call);
        tokio::time::sleep(self.settings.first_byte + delay).await;

        let line = self.settings.line.as_ref().map(|line| {
            let watched = call.parameters().get("Key").is_some_and(|key| line.watches(key));
            (Arc::clone(line), watched)
        });
        let slow = Shape { bytes_per_second: self.settings.bytes_per_second, line, ..Shape::default() };
        let body = Shaped::new(body, slow.clone());
        match end {
            None | Some(End::Reset { acted: true }) => {}
            Some(End::Reset { acted: false }) => {
                self.record(&call, 0, Some("Reset"));
                return Err(Reset);
            }
            Some(End::Silent) => {
                self.record(&call, 0, Some("Silent"));
                return std::future::pending().await;
            }
            Some(End::Refused { status, code, text }) => {
                // The client is still sending; an answer that overtakes its body may be lost with the connection.
                let _ = body.collect().await;
                let text = document(&code, &text, parts.uri.path(), &request_id());
                self.record(&call, status.as_u16(), Some(&code));
                return Ok(finish(status, text, &parts.method));
            }
        }
        let method = parts.method.clone();
        let path = parts.uri.path().to_owned();
        let mut request = Request::from_parts(parts, s3s::Body::http_body_unsync(body));
        request.extensions_mut().insert(Arc::clone(&call));
        let this = Arc::clone(&self);
        // A task of its own: a client that goes away takes neither the change nor its record with it.
        let served = tokio::spawn(async move {
            let answer = this.service.call(request).await;
            let answer = match answer {
                Ok(answer) => this.settled(&call, answer, &method, &path).await,
                Err(_) => finish(StatusCode::INTERNAL_SERVER_ERROR, String::new(), &method),
            };
            let lost = matches!(end, Some(End::Reset { .. }));
            let code = call.code();
            // The status says what came of it, also where nobody hears it.
            let code = if lost { Some("Reset") } else { code.as_deref() };
            this.record(&call, answer.status().as_u16(), code);
            (answer, lost)
        });
        match served.await {
            Ok((answer, false)) => {
                let flip_at = flip_at.filter(|_| !writes);
                let shape = Shape { cut_at, flip_at, ..slow };
                Ok(answer.map(|body| Shaped::new(body, shape).boxed_unsync()))
            }
            Ok((_, true)) | Err(_) => Err(Reset),
        }
    }

    /// Errors in the service's own words; a HEAD has none.
    async fn settled(
        &self,
        call: &Call,
        answer: s3s::HttpResponse,
        method: &Method,
        path: &str,
    ) -> Response<Answer> {
        let status = answer.status();
        if status.is_success() {
            let mut answer = answer.map(|body| body.map_err(AnyError::from).boxed_unsync());
            mark(&mut answer);
            return answer;
        }
        let text = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let code = element(&text, "Code").unwrap_or("InternalError");
        call.refused_with(code);
        let words = element(&text, "Message").filter(|m| !m.is_empty());
        let words = words.map_or_else(|| message(code).to_owned(), unescape);
        finish(status, document(code, &words, path, &request_id()), method)
    }

    fn record(&self, call: &Call, status: u16, code: Option<&str>) {
        let caller = call.caller();
        let mut parameters = call.parameters();
        if let Some(caller) = &caller {
            parameters.insert("AccessKeyId".to_owned(), caller.access_key.clone());
        }
        self.ledger.record(Event::Call {
            service: "s3".to_owned(),
            operation: call.operation.to_owned(),
            caller: caller.and_then(|caller| caller.instance),
            parameters,
            status,
            code: code.map(str::to_owned),
        });
    }
}

fn request_id() -> String {
    format!("{:016X}", rand::random::<u64>())
}

fn mark(answer: &mut Response<Answer>) {
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id()) {
        headers.insert("x-amz-request-id", id);
    }
    headers.insert("server", HeaderValue::from_static("AmazonS3"));
}

fn finish(status: StatusCode, text: String, method: &Method) -> Response<Answer> {
    let silent = *method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    let body = Full::new(if silent { Bytes::new() } else { Bytes::from(text) });
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    if !silent {
        answer.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
    }
    mark(&mut answer);
    answer
}
