//! The AWS endpoint: EC2, Auto Scaling, STS, Secrets Manager and SSM behind one base URL, told apart by
//! the service in the credential scope of the signature, as one `AWS_ENDPOINT_URL` for all of them needs.
//!
//! ```text
//!  request ─▶ signature (who) ─▶ call (what) ─▶ faults ─▶ service ─▶ policy ─▶ state
//!  response ◀─ transport faults ◀─ ledger ◀─ answer (XML, JSON, or the service's error format)
//! ```
//!
//! To add an operation: a match arm in its service's `answer`, and a permission in
//! `packaging/iam-instance.json` if the agent calls it. To add a service: a variant of [`Service`].

pub mod answer;
mod call;
mod signature;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod xml;

use std::fmt;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;

pub use answer::{Answer, Refusal};
pub use call::Call;
pub use signature::Signed;
pub(crate) use signature::hex;
pub use xml::Xml;

use crate::assumptions::{Behaviour, Known};
use crate::cloud::{Cloud, View};
use crate::faults::{Effect, transport};
use crate::iam::{Context, Principal, Resource};
use crate::judge::Rule;
use crate::ledger::Event;

/// What the world claims about requests in general.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "aws.signature",
        what: "SigV4 signatures are verified, with date, region and session token",
        known: Known::Documented("IAM user guide, Signature Version 4"),
    },
    Behaviour {
        name: "aws.region",
        what: "a signature for another region: Credential should be scoped to a valid region, under the code of a wrong one",
        known: Known::Documented("IAM user guide, troubleshooting Signature Version 4, credential scope"),
    },
    Behaviour {
        name: "aws.expired-token",
        what: "expired credentials: ExpiredToken (STS, Auto Scaling), RequestExpired (EC2), ExpiredTokenException (JSON)",
        known: Known::Documented("common errors of the API references"),
    },
    Behaviour {
        name: "aws.act-after-hang-up",
        what: "a call takes effect although the client gave up waiting for its answer",
        known: Known::Assumed("how servers work; nobody promises the contrary"),
    },
    Behaviour {
        name: "aws.throttled",
        what: "RequestLimitExceeded 503 (EC2), Throttling 400 (STS, Auto Scaling), ThrottlingException 400 (JSON)",
        known: Known::Documented("error code lists of EC2 and the common errors of the others"),
    },
];

/// The services of this endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Ec2,
    AutoScaling,
    Sts,
    SecretsManager,
    Ssm,
}

impl Service {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::AutoScaling => "autoscaling",
            Self::Sts => "sts",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
        }
    }

    fn parse(scope: &str) -> Option<Self> {
        [Self::Ec2, Self::AutoScaling, Self::Sts, Self::SecretsManager, Self::Ssm]
            .into_iter()
            .find(|service| service.name() == scope)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Cloud {
    /// The endpoint of all services.
    pub fn endpoint(&self) -> Router {
        Router::new().fallback(enter).with_state(self.clone())
    }
}

async fn enter(State(cloud): State<Cloud>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Response::new(Body::empty()) };
    let body = body.to_bytes();
    let Some(signed) = Signed::parse(&parts.headers) else {
        cloud.forbid(Rule::Unsigned, format!("{} {} without a signature", parts.method, parts.uri.path()));
        return answer::unsigned();
    };
    let Some(service) = Service::parse(&signed.service) else {
        let details = format!("a call to {}, of which the policy allows nothing", signed.service);
        cloud.forbid(Rule::Policy, details);
        return answer::unknown_service(&signed.service);
    };
    let mut call = Call::parse(service, &parts.headers, &body);
    call.region.clone_from(&signed.region);
    let effects = cloud.faults().hits(service.name(), &call.operation, &call.parameters);
    if effects.contains(&Effect::Silent) {
        record(&cloud, &call, signature::claimed(&cloud, &signed).as_ref(), 0, Some("Silent"));
        // Not in a task: it would keep the cloud alive for ever.
        std::future::pending::<()>().await;
    }
    // A task of its own: what was asked takes effect although the client hangs up before the answer.
    let connection = parts.extensions.get::<transport::Connection>().cloned();
    let work = async move {
        cloud.faults().hold(&effects).await;
        transport::wait(&effects).await;
        call.view = view(&effects);
        let outcome = act(&cloud, &parts, &body, &signed, &mut call, &effects);
        let (status, code) = match &outcome {
            Some(Ok(_)) => (200, None),
            Some(Err(refusal)) => (refusal.status, Some(refusal.code.as_str())),
            None => (0, Some("Reset")),
        };
        record(&cloud, &call, Some(&call.principal), status, code);
        let response = match outcome {
            Some(Ok(answer)) => answer::render(&call, answer),
            Some(Err(refusal)) => answer::refuse(service, &refusal),
            None => Response::new(Body::empty()),
        };
        transport::deliver(&effects, connection.as_ref(), response).await
    };
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a double panicked");
        answer::panicked()
    })
}

fn view(effects: &[Effect]) -> View {
    effects.iter().fold(View::Now, |view, effect| match effect {
        Effect::Stale => View::Stale,
        Effect::Absent => View::Absent,
        _ => view,
    })
}

/// `None`: the connection is reset before the call did anything.
fn act(
    cloud: &Cloud,
    parts: &Parts,
    body: &Bytes,
    signed: &Signed,
    call: &mut Call,
    effects: &[Effect],
) -> Option<Result<Answer, Refusal>> {
    match signature::authenticate(cloud, parts, body, signed, call.service) {
        Ok(principal) => call.principal = principal,
        Err(refusal) => return Some(Err(refusal)),
    }
    if let Some(refusal) = effects.iter().find_map(|effect| answer::scripted(cloud, call, effect)) {
        return Some(Err(refusal));
    }
    if transport::reset(effects) == Some(false) {
        return None;
    }
    let answered = answer_of(cloud, call);
    if call.view == View::Stale {
        call.view = View::Now;
        // A write acts on the present state whatever a read would see, and must not act twice.
        let reads = ["Describe", "Get"].iter().any(|verb| call.operation.starts_with(verb));
        if !reads || answer_of(cloud, call) == answered {
            cloud.failed(&format!(
                "the stale answer to {}:{} is the current one",
                call.service, call.operation
            ));
        }
    }
    if answered.as_ref().is_err_and(|refusal| call::UNKNOWN.contains(&refusal.code.as_str())) {
        // The double does not do it; whether the agent may ask for it is the policy's matter all the same.
        let action = format!("{}:{}", call.service, call.operation);
        cloud.permits(&call.principal, &action, &[Resource::new("*")], &Context::new());
    }
    Some(answered)
}

fn answer_of(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    match call.service {
        Service::Ec2 => crate::ec2::answer(cloud, call),
        Service::AutoScaling => crate::autoscaling::answer(cloud, call),
        Service::Sts => crate::sts::answer(cloud, call),
        Service::SecretsManager => crate::secrets::manager::answer(cloud, call),
        Service::Ssm => crate::secrets::parameters::answer(cloud, call),
    }
}

fn record(cloud: &Cloud, call: &Call, caller: Option<&Principal>, status: u16, code: Option<&str>) {
    cloud.ledger().record(Event::Call {
        service: call.service.name().to_owned(),
        operation: call.operation.clone(),
        caller: caller.and_then(Principal::instance).map(str::to_owned),
        parameters: call.parameters.clone(),
        status,
        code: code.map(str::to_owned),
    });
}
