//! One error for every call: what was called, what the service said, and what kind of answer that is.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use thiserror::Error;

use crate::explain::{Class, Explain};

/// What kind of answer it was, so that domains need not know codes of transport and permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The policy does not allow it.
    Denied,
    /// Too many calls.
    Throttled,
    /// The service is in trouble (5xx).
    Service,
    /// No answer, or none in time.
    Unreachable,
    /// The instance's clock is too far off.
    Clock,
    /// The credentials are absent, expired or unknown.
    Credentials,
    /// The service understood and said no: the domain reads `code`.
    Refused,
}

/// A call that failed.
#[derive(Debug, Error)]
#[error("{operation} {}", self.said())]
pub struct CallError {
    /// `ec2:AttachNetworkInterface`: as in a policy.
    pub operation: &'static str,
    pub kind: Kind,
    /// The service's own code; empty where there was no answer.
    pub code: String,
    pub message: String,
}

impl CallError {
    fn said(&self) -> String {
        match self.kind {
            Kind::Denied => format!("is not allowed ({}): {}", self.code, self.message),
            Kind::Throttled => format!("is throttled ({})", self.code),
            Kind::Service => format!("failed inside the service ({}): {}", self.code, self.message),
            Kind::Unreachable => format!("got no answer: {}", self.message),
            Kind::Clock => format!("was refused because of the clock ({}): {}", self.code, self.message),
            Kind::Credentials => format!("has no valid credentials ({}): {}", self.code, self.message),
            Kind::Refused => format!("was refused ({}): {}", self.code, self.message),
        }
    }
}

impl Explain for CallError {
    fn class(&self) -> Class {
        match self.kind {
            Kind::Throttled | Kind::Service | Kind::Unreachable | Kind::Clock | Kind::Credentials => {
                Class::Retry
            }
            Kind::Denied | Kind::Refused => Class::Final,
        }
    }

    fn remedy(&self) -> String {
        match self.kind {
            Kind::Denied => format!(
                "Allow {} in the instance role's policy (packaging/iam-instance.json).",
                self.operation
            ),
            Kind::Throttled => {
                "It is tried again; if it stays, look who else calls this API in the account.".to_owned()
            }
            Kind::Service => "It is tried again; look at the AWS Health Dashboard if it stays.".to_owned(),
            Kind::Unreachable => "Check the route, DNS, and the VPC endpoint of the service.".to_owned(),
            Kind::Clock => "Let chrony set the clock; requests older than 5 minutes are refused.".to_owned(),
            Kind::Credentials => "Check that the instance has its instance profile.".to_owned(),
            Kind::Refused => "See the service's own words.".to_owned(),
        }
    }
}

/// Makes the one error out of the SDK's.
pub fn failed<E, R>(operation: &'static str, error: &SdkError<E, R>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + HttpStatus,
    SdkError<E, R>: std::error::Error,
{
    let code = error.meta_code().unwrap_or_default();
    let message = error.meta_message();
    let kind = match error {
        SdkError::ServiceError(answer) => kind(code, answer.raw().status()),
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_)
            if chain(error).contains("redentials") =>
        {
            Kind::Credentials
        }
        _ => Kind::Unreachable,
    };
    CallError {
        operation,
        kind,
        code: code.to_owned(),
        message: message.map_or_else(|| chain(error), str::to_owned),
    }
}

/// The status of an answer.
pub trait HttpStatus {
    fn status(&self) -> u16;
}

impl HttpStatus for HttpResponse {
    fn status(&self) -> u16 {
        Self::status(self).as_u16()
    }
}

trait Meta {
    fn meta_code(&self) -> Option<&str>;
    fn meta_message(&self) -> Option<&str>;
}

impl<E: ProvideErrorMetadata, R> Meta for SdkError<E, R> {
    fn meta_code(&self) -> Option<&str> {
        self.as_service_error().and_then(ProvideErrorMetadata::code)
    }
    fn meta_message(&self) -> Option<&str> {
        self.as_service_error().and_then(ProvideErrorMetadata::message)
    }
}

/// The codes that mean the same in every service (EC2 API, Auto Scaling API, Secrets Manager API and S3 API references,
/// "Common errors" and "Error responses").
///
/// A code that is not listed is told by its status: a balancer or a new version of a service has words of its own.
fn kind(code: &str, status: u16) -> Kind {
    match code {
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "NotAuthorized" => Kind::Denied,
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "SlowDown"
        | "EC2ThrottledException"
        | "TooManyRequestsException"
        | "ResourceContention" => Kind::Throttled,
        "InternalError"
        | "InternalFailure"
        | "ServerInternal"
        | "ServiceUnavailable"
        | "Unavailable"
        | "InternalServiceError"
        | "InternalServerError"
        | "" => Kind::Service,
        "RequestExpired" | "InvalidSecurity.RequestHasExpired" | "RequestTimeTooSkewed" => Kind::Clock,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "InvalidToken" => Kind::Credentials,
        _ => match status {
            429 => Kind::Throttled,
            500.. => Kind::Service,
            _ => Kind::Refused,
        },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_kind() {
        let rows = [
            ("UnauthorizedOperation", 403, Kind::Denied, Class::Final),
            ("RequestLimitExceeded", 503, Kind::Throttled, Class::Retry),
            ("InternalError", 500, Kind::Service, Class::Retry),
            ("RequestExpired", 400, Kind::Clock, Class::Retry),
            ("ExpiredToken", 400, Kind::Credentials, Class::Retry),
            ("InvalidNetworkInterface.InUse", 400, Kind::Refused, Class::Final),
            ("SomethingNew", 400, Kind::Refused, Class::Final),
            ("SomethingNew", 429, Kind::Throttled, Class::Retry),
            ("SomethingNew", 500, Kind::Service, Class::Retry),
            ("SomethingNew", 503, Kind::Service, Class::Retry),
            ("AccessDenied", 503, Kind::Denied, Class::Final),
        ];
        for (code, status, expected, class) in rows {
            assert_eq!(kind(code, status), expected, "{code} {status}");
            let error = CallError {
                operation: "ec2:X",
                kind: expected,
                code: code.to_owned(),
                message: "words".to_owned(),
            };
            assert_eq!(error.class(), class, "{code}");
            assert!(error.to_string().starts_with("ec2:X "), "{error}");
        }
    }

    #[test]
    fn no_answer_at_all_is_unreachable() {
        type Refusal = aws_smithy_types::error::ErrorMetadata;
        let silent: SdkError<Refusal, HttpResponse> = SdkError::timeout_error("nothing within 10 s");
        let error = failed("ec2:X", &silent);
        assert_eq!((error.kind, error.class()), (Kind::Unreachable, Class::Retry));
        assert!(error.to_string().starts_with("ec2:X got no answer"), "{error}");
    }
}
