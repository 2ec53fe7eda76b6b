//! SigV4: who signed this request, and is it true.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{Refusal, Service};
use crate::cloud::Cloud;
use crate::iam::{Credential, Principal};
use crate::judge::Rule;

/// The `Authorization` header, taken apart.
#[derive(Clone, Debug)]
pub struct Signed {
    pub access_key: String,
    pub day: String,
    pub region: String,
    pub service: String,
    pub headers: Vec<String>,
    pub signature: String,
}

impl Signed {
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("authorization")?.to_str().ok()?;
        let fields: BTreeMap<&str, &str> = text
            .strip_prefix("AWS4-HMAC-SHA256")?
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let scope: Vec<&str> = fields.get("Credential")?.split('/').collect();
        let [access_key, day, region, service, "aws4_request"] = scope[..] else { return None };
        Some(Self {
            access_key: access_key.to_owned(),
            day: day.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            headers: fields.get("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: (*fields.get("Signature")?).to_owned(),
        })
    }
}

/// Why a signature is not accepted, before it gets a service's code.
enum Reject {
    UnknownKey,
    WrongToken,
    Expired,
    Skewed,
    Mismatch,
    /// True, but for another region.
    Elsewhere,
}

pub(super) fn authenticate(
    cloud: &Cloud,
    parts: &Parts,
    body: &[u8],
    signed: &Signed,
    service: Service,
) -> Result<Principal, Refusal> {
    check(cloud, parts, body, signed).map_err(|reject| {
        if matches!(reject, Reject::Elsewhere) {
            cloud.forbid(Rule::Region, format!("a call to {service} was signed for {}", signed.region));
        }
        refusal(&reject, service)
    })
}

/// Whose key the request names, true or not: for the ledger of a call that gets no answer.
pub(super) fn claimed(cloud: &Cloud, signed: &Signed) -> Option<Principal> {
    cloud.credentials(&signed.access_key).map(|credential| credential.principal)
}

fn check(cloud: &Cloud, parts: &Parts, body: &[u8], signed: &Signed) -> Result<Principal, Reject> {
    let credential = cloud.credentials(&signed.access_key).ok_or(Reject::UnknownKey)?;
    let token = header(&parts.headers, "x-amz-security-token");
    if token != credential.session_token {
        return Err(Reject::WrongToken);
    }
    if credential.expires.is_some_and(|end| end <= Timestamp::now()) {
        return Err(Reject::Expired);
    }
    let date = header(&parts.headers, "x-amz-date").ok_or(Reject::Mismatch)?;
    let age = DateTime::strptime("%Y%m%dT%H%M%SZ", &date)
        .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|_| Reject::Mismatch)?
        .timestamp()
        .duration_since(Timestamp::now());
    if age.abs() > SignedDuration::from_mins(5) {
        return Err(Reject::Skewed);
    }
    if !date.starts_with(&signed.day) || sign(&credential, parts, body, signed, &date) != signed.signature {
        return Err(Reject::Mismatch);
    }
    if signed.region != cloud.spec().region {
        return Err(Reject::Elsewhere);
    }
    Ok(credential.principal)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

pub(super) fn sign(
    credential: &Credential,
    parts: &Parts,
    body: &[u8],
    signed: &Signed,
    date: &str,
) -> String {
    let mut query: Vec<&str> =
        parts.uri.query().unwrap_or_default().split('&').filter(|q| !q.is_empty()).collect();
    query.sort_unstable();
    let mut canonical = format!("{}\n{}\n{}\n", parts.method, parts.uri.path(), query.join("&"));
    for name in &signed.headers {
        let values = parts.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(squeeze);
        let _ = writeln!(canonical, "{name}:{}", values.collect::<Vec<_>>().join(","));
    }
    let payload =
        header(&parts.headers, "x-amz-content-sha256").unwrap_or_else(|| hex(&Sha256::digest(body)));
    let _ = write!(canonical, "\n{}\n{payload}", signed.headers.join(";"));

    let scope = format!("{}/{}/{}/aws4_request", signed.day, signed.region, signed.service);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let first = hmac(format!("AWS4{}", credential.secret).as_bytes(), signed.day.as_bytes());
    let key = [signed.region.as_str(), &signed.service, "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac(&key, part.as_bytes()));
    hex(&hmac(&key, text.as_bytes()))
}

fn squeeze(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn refusal(reject: &Reject, service: Service) -> Refusal {
    let token = "The security token included in the request is invalid";
    let expired = "The security token included in the request is expired";
    let mismatch = "The request signature we calculated does not match the signature you provided. Check your \
                    AWS Secret Access Key and signing method. Consult the service documentation for details.";
    let scope = "Credential should be scoped to a valid region.";
    let ec2 = "AWS was not able to validate the provided access credentials";
    match (service, reject) {
        (Service::Ec2, Reject::Elsewhere) => Refusal::new(401, "AuthFailure", scope),
        (Service::AutoScaling | Service::Sts, Reject::Elsewhere) => {
            Refusal::new(403, "SignatureDoesNotMatch", scope)
        }
        (Service::SecretsManager | Service::Ssm, Reject::Elsewhere) => {
            Refusal::bad("InvalidSignatureException", scope)
        }
        (Service::Ec2, Reject::UnknownKey | Reject::WrongToken | Reject::Mismatch) => {
            Refusal::new(401, "AuthFailure", ec2)
        }
        (Service::Ec2, Reject::Expired | Reject::Skewed) => {
            Refusal::bad("RequestExpired", "Request has expired.")
        }
        (Service::AutoScaling | Service::Sts, Reject::UnknownKey | Reject::WrongToken) => {
            Refusal::new(403, "InvalidClientTokenId", token)
        }
        (Service::AutoScaling | Service::Sts, Reject::Expired) => Refusal::new(403, "ExpiredToken", expired),
        (Service::AutoScaling | Service::Sts, Reject::Mismatch | Reject::Skewed) => {
            Refusal::new(403, "SignatureDoesNotMatch", mismatch)
        }
        (Service::SecretsManager | Service::Ssm, Reject::UnknownKey | Reject::WrongToken) => {
            Refusal::bad("UnrecognizedClientException", format!("{token}."))
        }
        (Service::SecretsManager | Service::Ssm, Reject::Expired) => {
            Refusal::bad("ExpiredTokenException", format!("{expired}."))
        }
        (Service::SecretsManager | Service::Ssm, Reject::Mismatch | Reject::Skewed) => {
            Refusal::bad("InvalidSignatureException", mismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_follows_its_definition() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac(b"Jefe", b"what do ya want for nothing?")), expected);
    }

    #[test]
    fn the_header_is_taken_apart() {
        let mut headers = HeaderMap::new();
        let text = "AWS4-HMAC-SHA256 Credential=AKIA/20261121/eu-central-1/ec2/aws4_request, \
                    SignedHeaders=host;x-amz-date, Signature=abc";
        headers.insert("authorization", text.parse().unwrap());
        let signed = Signed::parse(&headers).unwrap();
        assert_eq!((signed.service.as_str(), signed.headers.len()), ("ec2", 2));
        headers.insert("authorization", "Bearer x".parse().unwrap());
        assert!(Signed::parse(&headers).is_none());
    }
}
