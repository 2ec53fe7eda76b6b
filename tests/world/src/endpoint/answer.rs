//! Answers and refusals in the format of each protocol: EC2's XML, the query protocol's XML, JSON 1.1.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Call, Service, Xml};
use crate::cloud::Cloud;
use crate::faults::Effect;

/// What a service says when it agrees.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The members of the response (EC2) or of the result (query).
    Xml(Vec<Xml>),
    Json(Value),
}

/// What a service says when it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// 400, which most refusals are.
    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// The service's own denial.
    pub fn denied(service: Service, who: &str, action: &str, resource: &str) -> Self {
        let text = format!(
            "User: {who} is not authorized to perform: {action} on resource: {resource} because no \
             identity-based policy allows the {action} action"
        );
        match service {
            Service::Ec2 => Self::new(
                403,
                "UnauthorizedOperation",
                format!(
                    "You are not authorized to perform this operation. {text}. Encoded authorization failure message: 3kZ-world"
                ),
            ),
            Service::AutoScaling | Service::Sts => Self::new(403, "AccessDenied", text),
            Service::SecretsManager | Service::Ssm => Self::bad("AccessDeniedException", text),
        }
    }

    pub fn throttled(service: Service) -> Self {
        match service {
            Service::Ec2 => Self::new(503, "RequestLimitExceeded", "Request limit exceeded."),
            Service::AutoScaling | Service::Sts => Self::bad("Throttling", "Rate exceeded"),
            Service::SecretsManager | Service::Ssm => Self::bad("ThrottlingException", "Rate exceeded"),
        }
    }
}

/// The refusal that a fault scripts for this call, if it scripts one.
pub(super) fn scripted(cloud: &Cloud, call: &Call, effect: &Effect) -> Option<Refusal> {
    match effect {
        Effect::Error { status, code, message } => Some(Refusal::new(*status, code, message.clone())),
        Effect::Throttled => Some(Refusal::throttled(call.service)),
        Effect::Denied => {
            let who = call.principal.arn(&cloud.spec().account);
            Some(Refusal::denied(call.service, &who, &format!("{}:{}", call.service, call.operation), "*"))
        }
        Effect::Latency { .. }
        | Effect::Held { .. }
        | Effect::Silent
        | Effect::Reset { .. }
        | Effect::Truncated { .. }
        | Effect::Stale
        | Effect::Absent
        | Effect::Flipped { .. } => None,
    }
}

const fn namespace(service: Service) -> &'static str {
    match service {
        Service::AutoScaling => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
        Service::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        Service::Ec2 | Service::SecretsManager | Service::Ssm => "http://ec2.amazonaws.com/doc/2016-11-15/",
    }
}

pub(super) fn render(call: &Call, answer: Answer) -> Response {
    let operation = &call.operation;
    match (answer, call.service) {
        (Answer::Json(value), _) => respond(200, "application/x-amz-json-1.1", value.to_string()),
        (Answer::Xml(members), Service::Ec2) => {
            let document =
                Xml::new(format!("{operation}Response")).text("requestId", request_id()).extend(members);
            respond(200, "text/xml;charset=UTF-8", document.document(namespace(Service::Ec2)))
        }
        (Answer::Xml(members), service) => {
            let document = Xml::new(format!("{operation}Response"))
                .child(Xml::new(format!("{operation}Result")).extend(members))
                .child(Xml::new("ResponseMetadata").text("RequestId", request_id()));
            respond(200, "text/xml", document.document(namespace(service)))
        }
    }
}

pub(super) fn refuse(service: Service, refusal: &Refusal) -> Response {
    let Refusal { status, code, message } = refusal;
    match service {
        Service::Ec2 => {
            let error = Xml::new("Error").text("Code", code).text("Message", message);
            let document =
                Xml::new("Response").child(Xml::new("Errors").child(error)).text("RequestID", request_id());
            respond(*status, "text/xml;charset=UTF-8", document.document(""))
        }
        Service::AutoScaling | Service::Sts => {
            let side = if *status < 500 { "Sender" } else { "Receiver" };
            let error = Xml::new("Error").text("Type", side).text("Code", code).text("Message", message);
            let document = Xml::new("ErrorResponse").child(error).text("RequestId", request_id());
            respond(*status, "text/xml", document.document(namespace(service)))
        }
        Service::SecretsManager => respond(
            *status,
            "application/x-amz-json-1.1",
            json!({ "__type": code, "Message": message }).to_string(),
        ),
        Service::Ssm => respond(
            *status,
            "application/x-amz-json-1.1",
            json!({ "__type": code, "message": message }).to_string(),
        ),
    }
}

/// A request without a signature: no service, no format.
pub(super) fn unsigned() -> Response {
    let refusal = Refusal::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
    refuse(Service::Sts, &refusal)
}

pub(super) fn unknown_service(scope: &str) -> Response {
    refuse(Service::Sts, &Refusal::new(404, "UnknownService", format!("the world has no service {scope}")))
}

pub(super) fn panicked() -> Response {
    refuse(Service::Ec2, &Refusal::new(500, "WorldPanicked", "a double of the world panicked; see its log"))
}

fn request_id() -> String {
    format!("{:08x}-0000-4000-8000-{:012x}", rand::random::<u32>(), rand::random::<u64>() & 0xffff_ffff_ffff)
}

fn respond(status: u16, kind: &str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in [("content-type", kind), ("x-amzn-requestid", &request_id())] {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    response
}
