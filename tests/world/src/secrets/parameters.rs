//! SSM's parameter store: GetParameter and GetParameters.

use serde_json::{Value as Json, json};

use super::Store;
use crate::cloud::Cloud;
use crate::cloud::spec::ParameterSpec;
use crate::endpoint::{Answer, Call, Refusal};
use crate::iam::{Context, Resource};

/// Answers one call of SSM.
pub fn answer(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    match call.operation.as_str() {
        "GetParameter" => {
            let name = call
                .get("Name")
                .ok_or_else(|| Refusal::bad("ValidationException", "Name must not be null"))?;
            call.authorize(cloud, &[resource(cloud, name)], &Context::new())?;
            match show(cloud, call, &cloud.secrets_seen(call.view), name)? {
                Some(shown) => Ok(Answer::Json(json!({ "Parameter": shown }))),
                None => Err(Refusal::bad("ParameterNotFound", "")),
            }
        }
        "GetParameters" => {
            let names = call.list("Names");
            let resources: Vec<Resource> = names.iter().map(|name| resource(cloud, name)).collect();
            call.authorize(cloud, &resources, &Context::new())?;
            let store = cloud.secrets_seen(call.view);
            let (mut found, mut invalid) = (Vec::new(), Vec::new());
            for name in names {
                match show(cloud, call, &store, name)? {
                    Some(shown) => found.push(shown),
                    None => invalid.push(name),
                }
            }
            Ok(Answer::Json(json!({ "Parameters": found, "InvalidParameters": invalid })))
        }
        _ => call.unknown_operation(),
    }
}

fn arn(cloud: &Cloud, name: &str) -> String {
    let (region, account) = (&cloud.spec().region, &cloud.spec().account);
    format!("arn:aws:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'))
}

fn resource(cloud: &Cloud, name: &str) -> Resource {
    Resource::new(if name.starts_with("arn:") { name.to_owned() } else { arn(cloud, name) })
}

/// The parameter as this call may see it; `None` where there is none. `name:3` asks for a version.
fn show(cloud: &Cloud, call: &Call, store: &Store, wanted: &str) -> Result<Option<Json>, Refusal> {
    let (wanted, version) = match wanted.rsplit_once(':') {
        Some((name, version)) if version.bytes().all(|b| b.is_ascii_digit()) => (name, version.parse().ok()),
        _ => (wanted, None),
    };
    let found = store.parameters.values().find(|(p, _)| p.name == wanted || arn(cloud, &p.name) == wanted);
    let Some((parameter, current)) = found.filter(|(_, current)| version.is_none_or(|v: u32| v == *current))
    else {
        return Ok(None);
    };
    let ParameterSpec { name, value, secure, kms_key } = parameter;
    let value = match (secure, call.flag("WithDecryption")) {
        (true, true) => {
            let denied = "The ciphertext refers to a customer master key that does not exist, does not exist in \
                          this region, or you are not allowed to access.";
            cloud.may_decrypt(call, kms_key.as_deref(), denied)?;
            value.clone()
        }
        (true, false) => format!("AQICAHh-encrypted-{}", super::hex(name)),
        (false, _) => value.clone(),
    };
    Ok(Some(json!({
        "Name": name,
        "Type": if *secure { "SecureString" } else { "String" },
        "Value": value,
        "Version": current,
        "LastModifiedDate": 1_767_225_600,
        "ARN": arn(cloud, name),
        "DataType": "text",
    })))
}
