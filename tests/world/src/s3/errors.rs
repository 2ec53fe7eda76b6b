//! The service's refusals, worded as the service words them.
//!
//! Texts: the error table of the S3 API reference and the messages that botocore's users quote.

use s3s::{S3Error, S3ErrorCode};

/// The text that the service sends with a code; empty for codes that this double never sends.
pub(super) fn message(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "AuthorizationHeaderMalformed" => "The authorization header that you provided is not valid.",
        "BadDigest" => {
            "The Content-MD5 or checksum value that you specified did not match what the server received."
        }
        "BucketAlreadyOwnedByYou" => {
            "Your previous request to create the named bucket succeeded and you already own it."
        }
        "BucketNotEmpty" => "The bucket you tried to delete is not empty",
        "ConditionalRequestConflict" => {
            "The conditional request cannot succeed due to a conflicting operation against this resource."
        }
        "EntityTooSmall" => "Your proposed upload is smaller than the minimum allowed size",
        "ExpiredToken" => "The provided token has expired.",
        "IncompleteBody" => {
            "You did not provide the number of bytes specified by the Content-Length HTTP header"
        }
        "InternalError" => "We encountered an internal error. Please try again.",
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidDigest" => "The Content-MD5 you specified was invalid.",
        "InvalidPart" => {
            "One or more of the specified parts could not be found.  The part may not have been uploaded, \
             or the specified entity tag may not match the part's entity tag."
        }
        "InvalidPartOrder" => {
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        }
        "InvalidRange" => "The requested range is not satisfiable",
        "InvalidToken" => "The provided token is malformed or otherwise invalid.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "NoSuchBucket" => "The specified bucket does not exist",
        "NoSuchKey" => "The specified key does not exist.",
        "NoSuchUpload" => {
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
             aborted or completed."
        }
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        "PreconditionFailed" => "At least one of the pre-conditions you specified did not hold",
        "RequestTimeTooSkewed" => {
            "The difference between the request time and the current time is too large."
        }
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key \
             and signing method."
        }
        "SlowDown" => "Please reduce your request rate.",
        "XAmzContentSHA256Mismatch" => {
            "The provided 'x-amz-content-sha256' header does not match what was computed."
        }
        _ => "",
    }
}

/// A refusal with the service's own text.
pub(super) fn refused(code: S3ErrorCode) -> S3Error {
    let text = message(code.as_str());
    S3Error::with_message(code, text)
}

/// A failure of this double itself, never of the caller.
pub(super) fn broken<E: std::error::Error + Send + Sync + 'static>(source: E) -> S3Error {
    S3Error::internal_error(source)
}

/// An error document.
pub(super) fn document(code: &str, text: &str, resource: &str, request: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
         <Resource>{}</Resource><RequestId>{request}</RequestId></Error>",
        escape(code),
        escape(text),
        escape(resource),
    )
}

/// The text between the first `<tag>` and its end.
pub(super) fn element<'a>(document: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
}

/// The five entities of XML; the ampersand's is the last, or it would make others.
pub(super) fn unescape(text: &str) -> String {
    let entities = [("&apos;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
