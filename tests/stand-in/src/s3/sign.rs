//! Signature Version 4 for one request, with the payload's hash in `x-amz-content-sha256`.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::credentials::Credentials;

/// What is signed of a request. `query` is sorted and encoded already.
#[derive(Debug)]
pub struct Unsigned<'a> {
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub payload: &'a [u8],
    pub region: &'a str,
    pub at: jiff::Timestamp,
}

/// The headers that make the request a signed one; an anonymous request gets none.
pub fn headers(request: &Unsigned<'_>, credentials: &Credentials) -> Vec<(&'static str, String)> {
    let Credentials::Keys { id, secret, token, .. } = credentials else { return Vec::new() };
    let date = request.at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = request.at.strftime("%Y%m%d").to_string();
    let hash = hex(&Sha256::digest(request.payload));
    let mut headers = vec![("x-amz-content-sha256", hash.clone()), ("x-amz-date", date.clone())];
    if let Some(token) = token {
        headers.push(("x-amz-security-token", token.clone()));
    }
    let mut canonical = format!("host:{}\n", request.host);
    let mut names = "host".to_owned();
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}");
        let _ = write!(names, ";{name}");
    }
    let Unsigned { method, path, query, region, .. } = request;
    let canonical = format!("{method}\n{path}\n{query}\n{canonical}\n{names}\n{hash}");
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = [region, "s3", "aws4_request"]
        .iter()
        .fold(mac(format!("AWS4{secret}").as_bytes(), &day), |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    headers.push((
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"),
    ));
    headers
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encoding as SigV4 wants it; `/` stays in paths.
pub fn encoded(text: &str, keep_slash: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented example "GET Bucket Lifecycle" of the S3 API reference.
    #[test]
    fn the_documented_example_is_signed_as_documented() {
        let credentials = Credentials::Keys {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
            refresh: None,
        };
        let request = Unsigned {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "lifecycle=",
            payload: b"",
            region: "us-east-1",
            at: "2013-05-24T00:00:00Z".parse().unwrap(),
        };
        let headers = headers(&request, &credentials);
        let (_, authorization) = headers.last().unwrap();
        let expected = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
        assert!(authorization.ends_with(expected), "{authorization}");
    }
}
