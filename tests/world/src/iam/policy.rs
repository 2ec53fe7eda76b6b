//! A policy document: parsed strictly, evaluated as IAM does.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::condition::{Test, like};
use super::{Context, Decision, Resource};

/// Why a policy document was refused.
#[derive(Debug, Error)]
pub enum PolicyError {
    #[error("the policy is no JSON of the form that IAM accepts")]
    Parse(#[source] serde_json::Error),
    #[error("the policy still holds the placeholder {0}")]
    Placeholder(&'static str),
    #[error("the policy uses the condition operator {0}, which the world does not know")]
    Operator(String),
}

/// The words that `packaging/iam-instance.json` leaves open.
const PLACEHOLDERS: [&str; 7] = ["REGION", "ACCOUNT", "DEPLOYMENT", "NODE", "BUCKET", "PREFIX", "GROUP"];

/// A list of statements.
#[derive(Clone, Debug)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<(Test, String, Vec<String>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "Version")]
    _version: String,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: Many<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: Many<String>,
    resource: Many<String>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, Many<String>>>,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

/// IAM takes one value wherever it takes a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Many<T> {
    One(T),
    List(Vec<T>),
}

impl<T> Many<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::List(list) => list,
        }
    }
}

impl Policy {
    /// Parses the document after its placeholders were filled in. An empty `PREFIX` takes its slash along.
    pub fn load(text: &str, placeholders: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let mut text = text.to_owned();
        for (word, value) in placeholders {
            if value.is_empty() {
                text = text.replace(&format!("{word}/"), "");
            }
            text = text.replace(word, value);
        }
        if let Some(open) = PLACEHOLDERS
            .iter()
            .find(|word| !placeholders.iter().any(|(w, _)| w == *word) && text.contains(**word))
        {
            return Err(PolicyError::Placeholder(open));
        }
        let document: Document = serde_json::from_str(&text).map_err(PolicyError::Parse)?;
        let statements =
            document.statement.list().into_iter().map(Statement::check).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// Both: a role may have several.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.statements.extend(other.statements);
        self
    }

    /// A policy that allows everything; for worlds that do not look at permissions.
    pub fn everything() -> Self {
        let all = vec!["*".to_owned()];
        let statement =
            Statement { allow: true, actions: all.clone(), resources: all, conditions: Vec::new() };
        Self { statements: vec![statement] }
    }

    /// Every resource must be allowed; a call without a resource of its own asks for `*`.
    pub fn decide(&self, action: &str, resources: &[Resource], context: &Context) -> Decision {
        let star = [Resource::new("*")];
        let resources = if resources.is_empty() { &star } else { resources };
        let mut refused = None;
        for resource in resources {
            let matching = |allow| {
                self.statements.iter().any(|s| s.allow == allow && s.matches(action, resource, context))
            };
            if matching(false) {
                return Decision::Denied { resource: resource.arn.clone() };
            }
            if !matching(true) && refused.is_none() {
                refused = Some(resource.arn.clone());
            }
        }
        refused.map_or(Decision::Allowed, |resource| Decision::NotAllowed { resource })
    }
}

impl Statement {
    fn check(written: Written) -> Result<Self, PolicyError> {
        let Written { _sid: _, effect, action, resource, condition } = written;
        let mut conditions = Vec::new();
        for (name, keys) in condition {
            let test = Test::parse(&name).ok_or_else(|| PolicyError::Operator(name.clone()))?;
            conditions.extend(keys.into_iter().map(|(key, values)| (test, key, values.list())));
        }
        Ok(Self {
            allow: effect == Effect::Allow,
            actions: action.list(),
            resources: resource.list(),
            conditions,
        })
    }

    fn matches(&self, action: &str, resource: &Resource, context: &Context) -> bool {
        let lower = action.to_ascii_lowercase();
        self.actions.iter().any(|wanted| like(&lower, &wanted.to_ascii_lowercase()))
            && self.resources.iter().any(|wanted| like(&resource.arn, wanted))
            && self
                .conditions
                .iter()
                .all(|(test, key, wanted)| test.holds(&lookup(key, resource, context), wanted))
    }
}

/// Key names are compared without case; tag keys keep theirs.
fn lookup(key: &str, resource: &Resource, context: &Context) -> Vec<String> {
    let tag_key = ["aws:resourcetag/", "ec2:resourcetag/", "iam:resourcetag/", "secretsmanager:resourcetag/"]
        .iter()
        .find(|prefix| key.to_ascii_lowercase().starts_with(**prefix))
        .map(|prefix| &key[prefix.len()..]);
    match tag_key {
        Some(tag) => resource.tags.get(tag).cloned().into_iter().collect(),
        None => context
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, values)| values.clone())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"},
        {"Effect":"Allow","Action":["s3:GetObject"],"Resource":"arn:aws:s3:::BUCKET/PREFIX/*"},
        {"Effect":"Allow","Action":"ec2:AttachNetworkInterface","Resource":"arn:aws:ec2:*:*:network-interface/*",
         "Condition":{"StringEquals":{"aws:ResourceTag/weaviate:node":"n0"}}},
        {"Effect":"Allow","Action":"ec2:AttachNetworkInterface","Resource":"arn:aws:ec2:*:*:instance/*"},
        {"Effect":"Deny","Action":"ec2:*","Resource":"arn:aws:ec2:r:a:instance/i-bad"}]}"#;

    fn policy(prefix: &str) -> Policy {
        Policy::load(POLICY, &[("BUCKET", "b"), ("PREFIX", prefix)]).unwrap()
    }

    fn tagged(arn: &str, node: &str) -> Resource {
        Resource::new(arn).tagged(&BTreeMap::from([("weaviate:node".to_owned(), node.to_owned())]))
    }

    #[test]
    fn decisions() {
        let (eni, instance) = ("arn:aws:ec2:r:a:network-interface/e", "arn:aws:ec2:r:a:instance/i");
        let bad = "arn:aws:ec2:r:a:instance/i-bad";
        let not = |arn: &str| Decision::NotAllowed { resource: arn.to_owned() };
        let rows = [
            ("ec2:DescribeInstances", vec![], Decision::Allowed),
            ("ec2:TerminateInstances", vec![], not("*")),
            ("EC2:describeinstances", vec![], Decision::Allowed),
            ("s3:GetObject", vec![Resource::new("arn:aws:s3:::b/p/x")], Decision::Allowed),
            ("s3:GetObject", vec![Resource::new("arn:aws:s3:::b/q/x")], not("arn:aws:s3:::b/q/x")),
            (
                "ec2:AttachNetworkInterface",
                vec![tagged(eni, "n0"), Resource::new(instance)],
                Decision::Allowed,
            ),
            ("ec2:AttachNetworkInterface", vec![tagged(eni, "n1"), Resource::new(instance)], not(eni)),
            ("ec2:AttachNetworkInterface", vec![Resource::new(eni), Resource::new(instance)], not(eni)),
            (
                "ec2:AttachNetworkInterface",
                vec![tagged(eni, "n0"), Resource::new(bad)],
                Decision::Denied { resource: bad.to_owned() },
            ),
        ];
        for (action, resources, expected) in rows {
            assert_eq!(
                policy("p").decide(action, &resources, &Context::new()),
                expected,
                "{action} {resources:?}"
            );
        }
    }

    #[test]
    fn an_empty_prefix_takes_its_slash_along() {
        let at_root = [Resource::new("arn:aws:s3:::b/manifest.json")];
        assert_eq!(policy("").decide("s3:GetObject", &at_root, &Context::new()), Decision::Allowed);
        assert_ne!(policy("p").decide("s3:GetObject", &at_root, &Context::new()), Decision::Allowed);
    }

    #[test]
    fn open_placeholders_and_unknown_operators_are_refused() {
        assert!(matches!(Policy::load(POLICY, &[("BUCKET", "b")]), Err(PolicyError::Placeholder("PREFIX"))));
        let strange = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*",
            "Condition":{"NumericLessThan":{"k":"1"}}}}"#;
        assert!(
            matches!(Policy::load(strange, &[]), Err(PolicyError::Operator(name)) if name == "NumericLessThan")
        );
    }
}
