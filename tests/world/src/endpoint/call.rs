//! One call, read from the query protocol's form or from JSON 1.1.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use serde_json::Value;

use super::{Refusal, Service};
use crate::cloud::{Cloud, REGION_KEY, View};
use crate::iam::{Context, Decision, Principal, Resource};

/// The codes of an operation that the service does not have.
pub(super) const UNKNOWN: [&str; 2] = ["InvalidAction", "UnknownOperationException"];

/// What is asked, by whom, and what it sees.
#[derive(Clone, Debug)]
pub struct Call {
    pub service: Service,
    pub operation: String,
    /// Flat: `Filter.1.Name`, or the JSON's members. None of the calls carries a secret in.
    pub parameters: BTreeMap<String, String>,
    pub principal: Principal,
    /// The one that it was signed for.
    pub region: String,
    pub view: View,
}

impl Call {
    pub(super) fn parse(service: Service, headers: &HeaderMap, body: &[u8]) -> Self {
        let (operation, parameters) = match service {
            Service::Ec2 | Service::AutoScaling | Service::Sts => query(body),
            Service::SecretsManager | Service::Ssm => json(headers, body),
        };
        Self {
            service,
            operation,
            parameters,
            principal: Principal::Operator,
            region: String::new(),
            view: View::Now,
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `Name.1`, `Name.2`, ... in the order of their numbers.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<(u32, &str)> = self
            .parameters
            .iter()
            .filter_map(|(key, value)| {
                let number = key.strip_prefix(name)?.strip_prefix('.')?;
                Some((number.parse().ok()?, value.as_str()))
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// `Name.member.1`, ...: the lists of Auto Scaling and STS.
    pub fn members(&self, name: &str) -> Vec<&str> {
        self.list(&format!("{name}.member"))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| match self.service {
            Service::Ec2 => Refusal::bad(
                "MissingParameter",
                format!("The request must contain the parameter {}", lower_first(name)),
            ),
            _ => Refusal::bad(
                "ValidationError",
                format!(
                    "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                    lower_first(name)
                ),
            ),
        })
    }

    /// Asks the caller's policy for this very operation.
    pub fn authorize(&self, cloud: &Cloud, resources: &[Resource], context: &Context) -> Result<(), Refusal> {
        let action = format!("{}:{}", self.service, self.operation);
        let mut context = context.clone();
        context.insert(REGION_KEY.to_owned(), vec![self.region.clone()]);
        match cloud.permits(&self.principal, &action, resources, &context) {
            Decision::Allowed => Ok(()),
            Decision::NotAllowed { resource } | Decision::Denied { resource } => Err(Refusal::denied(
                self.service,
                &self.principal.arn(&cloud.spec().account),
                &action,
                &resource,
            )),
        }
    }

    pub fn unknown_operation<T>(&self) -> Result<T, Refusal> {
        Err(match self.service {
            Service::Ec2 | Service::AutoScaling | Service::Sts => {
                let text = format!("The action {} is not valid for this web service.", self.operation);
                Refusal::bad("InvalidAction", text)
            }
            Service::SecretsManager | Service::Ssm => {
                Refusal::bad("UnknownOperationException", String::new())
            }
        })
    }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

fn query(body: &[u8]) -> (String, BTreeMap<String, String>) {
    let text = String::from_utf8_lossy(body);
    let mut parameters: BTreeMap<String, String> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect();
    parameters.remove("Version");
    (parameters.remove("Action").unwrap_or_default(), parameters)
}

/// Percent-decoding, with `+` as a space.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&hex, 16).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json(headers: &HeaderMap, body: &[u8]) -> (String, BTreeMap<String, String>) {
    let target = headers.get("x-amz-target").and_then(|t| t.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let mut parameters = BTreeMap::new();
    if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
        for (name, value) in members {
            match value {
                Value::String(text) => {
                    parameters.insert(name, text);
                }
                Value::Array(items) => parameters.extend(items.into_iter().enumerate().map(|(n, item)| {
                    let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                    (format!("{name}.{}", n + 1), text)
                })),
                Value::Null => {}
                other => {
                    parameters.insert(name, other.to_string());
                }
            }
        }
    }
    (operation, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_and_lists_keep_their_order() {
        let body = b"Action=DescribeInstances&Version=2016-11-15&InstanceId.2=b&InstanceId.10=c&InstanceId.1=a%3Ab+c";
        let call = Call::parse(Service::Ec2, &HeaderMap::new(), body);
        assert_eq!(call.operation, "DescribeInstances");
        assert_eq!(call.list("InstanceId"), ["a:b c", "b", "c"]);
        assert_eq!(call.get("Version"), None);
    }

    #[test]
    fn json_members_become_flat_parameters() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-target", "AmazonSSM.GetParameters".parse().unwrap());
        let body = br#"{"Names":["a","b"],"WithDecryption":true}"#;
        let call = Call::parse(Service::Ssm, &headers, body);
        assert_eq!((call.operation.as_str(), call.list("Names")), ("GetParameters", vec!["a", "b"]));
        assert!(call.flag("WithDecryption"));
    }
}
