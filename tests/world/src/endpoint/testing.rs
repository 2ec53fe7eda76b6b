//! A client that signs, for the unit tests of the doubles.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;

use super::signature::{Signed, sign};
use super::{Cloud, Service};
use crate::cloud::{CloudSpec, spec};
use crate::faults::{Fault, Faults};
use crate::iam::{Credential, Policy};
use crate::ledger::{Event, Ledger};

/// The shipped policy, as the default cloud needs it.
pub(crate) fn shipped_policy() -> Policy {
    let words = [
        ("REGION", "eu-central-1"),
        ("ACCOUNT", "123456789012"),
        ("DEPLOYMENT", "acme-prod"),
        ("NODE", "weaviate-0"),
        ("BUCKET", "acme-weaviate"),
        ("PREFIX", "prod"),
        ("GROUP", spec::GROUP),
    ];
    Policy::load(include_str!("../../../../packaging/iam-instance.json"), &words).unwrap()
}

/// A started cloud from the TOML of a case.
pub(crate) fn cloud(text: &str, faults: &str) -> Cloud {
    #[derive(serde::Deserialize, Default)]
    struct Script {
        #[serde(default)]
        fault: Vec<Fault>,
    }
    let spec: CloudSpec = toml::from_str(text).unwrap();
    let script: Script = toml::from_str(faults).unwrap();
    let cloud =
        Cloud::new(spec, Arc::new(Ledger::default()), Arc::new(Faults::new(script.fault)), shipped_policy());
    cloud.start();
    cloud
}

pub(crate) fn forbidden(cloud: &Cloud) -> Vec<String> {
    let rules = cloud.ledger().events().into_iter().filter_map(|seen| match seen.event {
        Event::Forbidden { rule, .. } => Some(rule.to_string()),
        _ => None,
    });
    rules.collect()
}

/// Calls with one credential.
pub(crate) struct Client {
    cloud: Cloud,
    pub credential: Credential,
}

impl Client {
    pub(crate) fn instance(cloud: &Cloud, id: &str) -> Self {
        Self { cloud: cloud.clone(), credential: cloud.role_credentials(id, spec::ROLE) }
    }

    pub(crate) fn operator(cloud: &Cloud) -> Self {
        Self::of(cloud, &cloud.spec().operators[0].access_key)
    }

    /// Whoever has this key.
    pub(crate) fn of(cloud: &Cloud, access_key: &str) -> Self {
        Self { cloud: cloud.clone(), credential: cloud.credentials(access_key).unwrap() }
    }

    /// A call of the query protocol: `ec2("DescribeInstances", &[("InstanceId.1", "i-..")])`.
    pub(crate) async fn query(
        &self,
        service: Service,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> (u16, String) {
        let pairs = parameters.iter().map(|(name, value)| {
            let value: Vec<String> = value.bytes().map(|b| format!("%{b:02X}")).collect();
            format!("&{name}={}", value.concat())
        });
        self.send(service, None, format!("Action={action}&Version=1{}", pairs.collect::<String>())).await
    }

    pub(crate) async fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        self.query(Service::Ec2, action, parameters).await
    }

    pub(crate) async fn autoscaling(&self, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        self.query(Service::AutoScaling, action, parameters).await
    }

    /// A call of JSON 1.1.
    pub(crate) async fn json(
        &self,
        service: Service,
        action: &str,
        body: serde_json::Value,
    ) -> (u16, String) {
        self.send(service, Some(format!("x.{action}")), body.to_string()).await
    }

    async fn send(&self, service: Service, target: Option<String>, body: String) -> (u16, String) {
        let date = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut signed = Signed {
            access_key: self.credential.access_key.clone(),
            day: date[..8].to_owned(),
            region: self.cloud.spec().region.clone(),
            service: service.name().to_owned(),
            headers: vec!["host".to_owned(), "x-amz-date".to_owned()],
            signature: String::new(),
        };
        let mut request =
            Request::builder().method("POST").uri("/").header("host", "aws").header("x-amz-date", &date);
        if let Some(token) = &self.credential.session_token {
            request = request.header("x-amz-security-token", token);
            signed.headers.push("x-amz-security-token".to_owned());
        }
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        signed.signature = sign(&self.credential, &parts, body.as_bytes(), &signed, &date);
        let header = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}/{}/{}/aws4_request, SignedHeaders={}, Signature={}",
            signed.access_key,
            signed.day,
            signed.region,
            signed.service,
            signed.headers.join(";"),
            signed.signature
        );
        parts.headers.insert("authorization", header.parse().unwrap());
        ask(self.cloud.endpoint(), Request::from_parts(parts, Body::from(body))).await
    }
}

/// Status and body of one request to a router.
pub(crate) async fn ask(router: axum::Router, request: Request<Body>) -> (u16, String) {
    let response = TowerToHyperService::new(router).call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map(|b| b.to_bytes().to_vec()).unwrap_or_default();
    (status, String::from_utf8(body).unwrap())
}

/// The text of the first element of this name.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let start = xml.find(&format!("<{name}>")).map_or(xml.len(), |at| at + name.len() + 2);
    let rest = &xml[start..];
    &rest[..rest.find('<').unwrap_or(rest.len())]
}
