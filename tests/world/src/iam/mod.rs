//! IAM as far as the world needs it: who calls, and what a policy lets them do.
//!
//! ```text
//!  packaging/iam-instance.json ─▶ Policy::load ─▶ Policy
//!  a call ─▶ Request { action, resources with their tags, context } ─▶ Policy::decide ─▶ Decision
//! ```
//!
//! The endpoint and the S3 double ask [`crate::cloud::Cloud::permits`], which decides and tells the judge.
//! To add a condition operator: a variant in `condition::Operator`, with a row in its test.

pub mod condition;
mod policy;
#[cfg(test)]
mod shipped;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use policy::{Policy, PolicyError};

use crate::assumptions::{Behaviour, Known};

/// What the world claims about IAM.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "iam.evaluation",
        what: "an explicit Deny wins, then an Allow for every resource of the call, else the call is denied",
        known: Known::Documented("IAM user guide, policy evaluation logic"),
    },
    Behaviour {
        name: "iam.conditions",
        what: "all operators of a block must hold; values of one key are alternatives; a missing key fails \
               positive operators except with IfExists, ForAllValues and Null",
        known: Known::Documented("IAM user guide, JSON policy elements: Condition"),
    },
    Behaviour {
        name: "iam.caller-identity",
        what: "GetCallerIdentity needs no permission",
        known: Known::Documented("STS API reference, GetCallerIdentity"),
    },
    Behaviour {
        name: "iam.order",
        what: "a resource that does not exist is reported as missing before the policy is asked",
        known: Known::Assumed("tags of a missing resource cannot be matched; the services differ"),
    },
];

/// One resource of a call, with the tags that conditions see as `aws:ResourceTag/<key>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub arn: String,
    pub tags: BTreeMap<String, String>,
}

impl Resource {
    pub fn new(arn: impl Into<String>) -> Self {
        Self { arn: arn.into(), tags: BTreeMap::new() }
    }

    #[must_use]
    pub fn tagged(mut self, tags: &BTreeMap<String, String>) -> Self {
        self.tags.clone_from(tags);
        self
    }
}

/// Condition keys of the call itself, such as `s3:prefix` or `aws:TagKeys`; compared without case.
pub type Context = BTreeMap<String, Vec<String>>;

/// What a policy says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// No statement allows the action on this resource.
    NotAllowed {
        resource: String,
    },
    /// A Deny statement matches this resource.
    Denied {
        resource: String,
    },
}

/// Who signed a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The role of an instance's profile, with the credentials of its metadata service.
    Instance { instance: String, role: String },
    /// A role that somebody assumed.
    Role { role: String, session: String },
    /// The account's administrator: case scripts and people. Not bound by a policy.
    Operator,
}

impl Principal {
    /// The instance whose credentials these are.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Instance { instance, .. } => Some(instance),
            Self::Role { .. } | Self::Operator => None,
        }
    }

    pub fn arn(&self, account: &str) -> String {
        match self {
            Self::Instance { instance, role } => {
                format!("arn:aws:sts::{account}:assumed-role/{role}/{instance}")
            }
            Self::Role { role, session } => format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
            Self::Operator => format!("arn:aws:iam::{account}:user/operator"),
        }
    }
}

/// What belongs to an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub access_key: String,
    pub secret: String,
    /// Absent for long-lived keys.
    pub session_token: Option<String>,
    pub expires: Option<Timestamp>,
    pub principal: Principal,
}

/// Looks an access key up. The S3 double gets one instead of the whole cloud.
pub type Lookup = Arc<dyn Fn(&str) -> Option<Credential> + Send + Sync>;
