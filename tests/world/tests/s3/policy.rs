//! Who may do what: policies with conditions on prefix and tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::{BUCKET, Bed, KEY, SECRET, Setup, refusal, start};
use reqwest::Method;
use world::ledger::Event;
use world::s3::{Authorise, Caller, Credential, OneKey, Settings};

/// Allows what its list names: an action, and a prefix of the resource or of `s3:prefix`.
struct Listed(Vec<(&'static str, &'static str)>);

impl Authorise for Listed {
    fn allowed(&self, _: &Caller, action: &str, resource: &str, context: &BTreeMap<String, String>) -> bool {
        self.0.iter().any(|(allowed, prefix)| {
            let of = context.get("s3:prefix").filter(|_| action == "s3:ListBucket");
            *allowed == action && of.map_or(resource, String::as_str).starts_with(prefix)
        })
    }
}

fn with(policy: Vec<(&'static str, &'static str)>) -> Bed {
    Setup { authorise: Arc::new(Listed(policy)), ..Setup::default() }.start()
}

#[tokio::test]
async fn a_missing_key_is_hidden_from_who_may_not_list() {
    let get = ("s3:GetObject", "arn:aws:s3:::acme-weaviate/prod/");
    let rows = [
        (vec![get], 403, "AccessDenied"),
        (vec![get, ("s3:ListBucket", "prod/")], 404, "NoSuchKey"),
        (vec![get, ("s3:ListBucket", "other/")], 403, "AccessDenied"),
    ];
    for (policy, status, code) in rows {
        let bed = with(policy);
        let answer = bed.client.get("prod/latest").await;
        assert_eq!(refusal(answer).await, (status, code.into()));
        bed.store.put(BUCKET, "prod/latest", b"here").expect("stored");
        assert_eq!(bed.client.get("prod/latest").await.status(), 200, "the control");
    }
}

/// Method, path, headers, and the actions that it needs.
type Row = (Method, &'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

#[tokio::test]
async fn each_operation_asks_for_its_action() {
    let all = "arn:aws:s3:::acme-weaviate";
    let rows: [Row; 6] = [
        (Method::GET, "/acme-weaviate/k", &[], &["s3:GetObject"]),
        (Method::PUT, "/acme-weaviate/k", &[], &["s3:PutObject"]),
        (Method::PUT, "/acme-weaviate/k", &[("if-match", "*")], &["s3:PutObject", "s3:GetObject"]),
        (
            Method::PUT,
            "/acme-weaviate/k",
            &[
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-aws-kms-key-id", "1"),
            ],
            &["s3:PutObject", "kms:GenerateDataKey"],
        ),
        (Method::DELETE, "/acme-weaviate/k", &[], &["s3:DeleteObject"]),
        (Method::GET, "/acme-weaviate?list-type=2", &[], &["s3:ListBucket"]),
    ];
    for (method, path, headers, actions) in rows {
        let needed: Vec<_> = actions
            .iter()
            .map(|action| (*action, if action.starts_with("kms") { "arn:aws:kms" } else { all }))
            .collect();
        for left_out in 0..=needed.len() {
            let mut policy = needed.clone();
            let complete = left_out == needed.len();
            if !complete {
                policy.remove(left_out);
            }
            let bed = with(policy);
            bed.store.put(BUCKET, "k", b"x").expect("stored");
            let answer = bed.client.send(method.clone(), path, headers, b"").await;
            assert_eq!(answer.status().is_success(), complete, "{method} {path} without {left_out}");
            assert_eq!(answer.status() == 403, !complete);
        }
    }
}

/// What the double does not do is refused to who may not ask for it, and not implemented for who may.
#[tokio::test]
async fn what_the_double_does_not_know_is_asked_of_the_policy_too() {
    let all = "arn:aws:s3:::acme-weaviate";
    let rows = [
        (Method::GET, "/acme-weaviate/k?acl=", "s3:GetObjectAcl"),
        (Method::GET, "/acme-weaviate/k?tagging=", "s3:GetObjectTagging"),
        (Method::GET, "/acme-weaviate?policy=", "s3:GetBucketPolicy"),
    ];
    for (method, path, action) in rows {
        for (policy, status) in [(vec![], 403), (vec![("s3:GetObject", all), (action, all)], 501)] {
            let bed = with(policy);
            bed.store.put(BUCKET, "k", b"x").expect("stored");
            let answer = bed.client.send(method.clone(), path, &[], b"").await;
            assert_eq!(answer.status(), status, "{method} {path}");
            assert_eq!(bed.calls().pop().map(|(operation, ..)| operation).as_deref(), Some("Unknown"));
        }
    }
}

#[tokio::test]
async fn signatures_and_tokens_are_checked() {
    let credential = Credential {
        secret: SECRET.into(),
        session_token: Some("token-1".into()),
        instance: Some("i-new".into()),
        expires: None,
    };
    let expired = Credential { expires: Some(jiff::Timestamp::UNIX_EPOCH), ..credential.clone() };
    let credentials =
        |credential: &Credential| OneKey { access_key: KEY.into(), credential: credential.clone() };
    let bed = Setup { credentials: Arc::new(credentials(&credential)), ..Setup::default() }.start();
    bed.store.put(BUCKET, "k", b"x").expect("stored");
    let mut client = bed.client.clone();
    assert_eq!(refusal(client.get("k").await).await, (400, "InvalidToken".into()));
    client.credential = credential.clone();
    assert_eq!(client.get("k").await.status(), 200);
    let caller = match bed.ledger.events().pop().expect("a call").event {
        Event::Call { caller, .. } => caller,
        other => panic!("{other:?}"),
    };
    assert_eq!(caller.as_deref(), Some("i-new"));
    client.credential.secret = "wrong".into();
    assert_eq!(refusal(client.get("k").await).await, (403, "SignatureDoesNotMatch".into()));
    client.access_key = "AKIANOBODY".into();
    assert_eq!(refusal(client.get("k").await).await, (403, "InvalidAccessKeyId".into()));

    let bed = Setup { credentials: Arc::new(credentials(&expired)), ..Setup::default() }.start();
    let mut client = bed.client.clone();
    client.credential = credential;
    assert_eq!(refusal(client.get("k").await).await, (400, "ExpiredToken".into()));
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    let bed = start();
    bed.store.put(BUCKET, "k", b"x").expect("stored");
    let url = format!("{}/{BUCKET}/k", bed.client.base);
    let answer = reqwest::Client::builder().no_proxy().build().expect("a client").get(url).send().await;
    assert_eq!(refusal(answer.expect("an answer")).await, (403, "AccessDenied".into()));
}

#[tokio::test]
async fn a_signature_for_another_region_is_refused_and_both_are_named() {
    for (region, right) in [("eu-central-1", true), ("garage", false)] {
        let settings = Settings { region: region.to_owned(), ..Settings::default() };
        let bed = Setup { settings, ..Setup::default() }.start();
        bed.store.put(BUCKET, "k", b"here").expect("stored");
        let answer = bed.client.get("k").await;
        assert_eq!(bed.last_parameters()["Style"], "path");
        if right {
            assert_eq!(answer.status(), 200, "{region}");
            continue;
        }
        assert_eq!(answer.status(), 400);
        let text = answer.text().await.expect("a document");
        for words in ["AuthorizationHeaderMalformed", "'eu-central-1' is wrong; expecting 'garage'"] {
            assert!(text.contains(words), "{text}");
        }
    }
}
