//! The STS double: who am I, and lend me that role.

use std::time::Duration;

use crate::assumptions::{Behaviour, Known};
use crate::cloud::Cloud;
use crate::endpoint::{Answer, Call, Refusal, Xml};
use crate::iam::{Context, Principal, Resource};

/// What the world claims about STS.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "sts.assume-role",
        what: "needs sts:AssumeRole on the role; 900 to 43200 s, and at most 3600 s from a role (chaining)",
        known: Known::Documented("STS API reference, AssumeRole"),
    },
    Behaviour {
        name: "sts.trust",
        what: "every role of the case trusts the account; a role that does not exist is denied like a forbidden one",
        known: Known::Documented("STS API reference: AccessDenied does not tell which"),
    },
];

/// Answers one STS call.
pub fn answer(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    match call.operation.as_str() {
        "GetCallerIdentity" => Ok(identity(cloud, call)),
        "AssumeRole" => assume_role(cloud, call),
        _ => call.unknown_operation(),
    }
}

fn identity(cloud: &Cloud, call: &Call) -> Answer {
    let account = &cloud.spec().account;
    let id = match &call.principal {
        Principal::Instance { instance, .. } => format!("AROAWORLD000000000000:{instance}"),
        Principal::Role { session, .. } => format!("AROAWORLD000000000001:{session}"),
        Principal::Operator => "AIDAWORLD000000000000".to_owned(),
    };
    Answer::Xml(vec![
        Xml::leaf("Arn", call.principal.arn(account)),
        Xml::leaf("UserId", id),
        Xml::leaf("Account", account),
    ])
}

fn assume_role(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let (arn, session) = (call.require("RoleArn")?, call.require("RoleSessionName")?);
    let account = &cloud.spec().account;
    let name =
        arn.strip_prefix(&format!("arn:aws:iam::{account}:role/")).and_then(|path| path.rsplit('/').next());
    let role = name.and_then(|name| cloud.spec().roles.get(name).map(|role| (name, role)));
    let resource = role.map_or_else(|| Resource::new(arn), |(_, role)| Resource::new(arn).tagged(&role.tags));
    call.authorize(cloud, &[resource], &Context::new())?;
    let Some((name, _)) = role else {
        let who = call.principal.arn(account);
        return Err(Refusal::denied(call.service, &who, "sts:AssumeRole", arn));
    };
    let longest = if matches!(call.principal, Principal::Operator) { 43_200 } else { 3600 };
    let seconds = match call.get("DurationSeconds") {
        None => 3600,
        Some(text) => text.parse().ok().filter(|s| (900..=longest).contains(s)).ok_or_else(|| {
            let text =
                format!("The requested DurationSeconds exceeds the limits of 900 to {longest} for this role");
            Refusal::bad("ValidationError", text)
        })?,
    };
    let lent = cloud.assume(name, session, Duration::from_secs(seconds));
    let credentials = Xml::new("Credentials")
        .text("AccessKeyId", &lent.access_key)
        .text("SecretAccessKey", &lent.secret)
        .maybe("SessionToken", lent.session_token.as_ref())
        .maybe("Expiration", lent.expires.map(whole_seconds));
    let user = Xml::new("AssumedRoleUser")
        .text("AssumedRoleId", format!("AROAWORLD000000000001:{session}"))
        .text("Arn", lent.principal.arn(account));
    Ok(Answer::Xml(vec![credentials, user]))
}

/// As AWS writes times: no fractions.
pub(crate) fn whole_seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
