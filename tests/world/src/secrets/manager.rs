//! Secrets Manager: GetSecretValue and DescribeSecret.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::{Secret, Value, hex};
use crate::cloud::Cloud;
use crate::endpoint::{Answer, Call, Refusal};
use crate::iam::{Context, Resource};

/// Answers one call of Secrets Manager.
pub fn answer(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    match call.operation.as_str() {
        "GetSecretValue" => get_value(cloud, call),
        "DescribeSecret" => describe(cloud, call),
        _ => call.unknown_operation(),
    }
}

/// The ARN ends in six characters that the service chose; here they depend on the name.
fn arn(cloud: &Cloud, name: &str) -> String {
    let (region, account) = (&cloud.spec().region, &cloud.spec().account);
    format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{}", &hex(name)[..6])
}

fn require<'a>(call: &'a Call, name: &str) -> Result<&'a str, Refusal> {
    call.get(name).ok_or_else(|| {
        Refusal::bad("InvalidParameterException", format!("You must specify the parameter {name}."))
    })
}

/// By name, by ARN, or by ARN without its last six characters.
fn find(cloud: &Cloud, call: &Call) -> Result<(String, Secret), Refusal> {
    let id = require(call, "SecretId")?;
    let found = cloud.secrets_seen(call.view).secrets.into_iter().find_map(|(name, secret)| {
        let full = arn(cloud, &name);
        (name == id || full == id || full[..full.len() - 7] == *id).then_some((full, secret))
    });
    let mut context = Context::from([("secretsmanager:SecretId".to_owned(), vec![id.to_owned()])]);
    if let Some(stage) = call.get("VersionStage") {
        context.insert("secretsmanager:VersionStage".to_owned(), vec![stage.to_owned()]);
    }
    // A secret that does not exist has no suffix and no tags, but the policy is asked all the same.
    let resource = match &found {
        Some((full, secret)) => Resource::new(full).tagged(&secret.spec.tags),
        None if id.starts_with("arn:") => Resource::new(id),
        None => Resource::new(arn(cloud, id)),
    };
    call.authorize(cloud, &[resource], &context)?;
    found.ok_or_else(|| {
        Refusal::bad("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    })
}

fn get_value(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let (arn, secret) = find(cloud, call)?;
    if secret.spec.deleted {
        let text = "You can't perform this operation on the secret because it was marked for deletion.";
        return Err(Refusal::bad("InvalidRequestException", text));
    }
    let last = secret.versions.len().wrapping_sub(1);
    let stage = call.get("VersionStage");
    let wanted = match (call.get("VersionId"), stage) {
        (Some(id), _) => secret.versions.iter().position(|(version, _)| version == id),
        (None, None | Some("AWSCURRENT")) => Some(last),
        (None, Some("AWSPREVIOUS")) => last.checked_sub(1),
        (None, Some(_)) => None,
    };
    let Some((number, (version, value))) = wanted.and_then(|n| Some((n, secret.versions.get(n)?))) else {
        let what = match call.get("VersionId") {
            Some(id) => format!("VersionId: {id}"),
            None => format!("staging label: {}", stage.unwrap_or("AWSCURRENT")),
        };
        let text = format!("Secrets Manager can't find the specified secret value for {what}");
        return Err(Refusal::bad("ResourceNotFoundException", text));
    };
    cloud.may_decrypt(call, secret.spec.kms_key.as_deref(), "Access to KMS is not allowed")?;
    let stages: &[&str] = match last - number {
        0 => &["AWSCURRENT"],
        1 => &["AWSPREVIOUS"],
        _ => &[],
    };
    let mut body = Map::new();
    body.insert("ARN".into(), json!(arn));
    body.insert("Name".into(), json!(secret.spec.name));
    body.insert("VersionId".into(), json!(version));
    match value {
        Value::Text(text) => body.insert("SecretString".into(), json!(text)),
        Value::Binary(base64) => body.insert("SecretBinary".into(), json!(base64)),
    };
    body.insert("VersionStages".into(), json!(stages));
    body.insert("CreatedDate".into(), created());
    Ok(Answer::Json(Json::Object(body)))
}

fn describe(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let (arn, secret) = find(cloud, call)?;
    let newest = secret.versions.len();
    let versions: Map<String, Json> = secret
        .versions
        .iter()
        .enumerate()
        .filter_map(|(n, (id, _))| match newest - n {
            1 => Some((id.clone(), json!(["AWSCURRENT"]))),
            2 => Some((id.clone(), json!(["AWSPREVIOUS"]))),
            _ => None,
        })
        .collect();
    let tags: Vec<Json> = secret.spec.tags.iter().map(|(k, v)| json!({ "Key": k, "Value": v })).collect();
    let mut body = json!({
        "ARN": arn,
        "Name": secret.spec.name,
        "CreatedDate": created(),
        "Tags": tags,
        "VersionIdsToStages": versions,
    });
    if let Some(key) = &secret.spec.kms_key {
        body["KmsKeyId"] = json!(key);
    }
    if secret.spec.deleted {
        body["DeletedDate"] = created();
    }
    Ok(Answer::Json(body))
}

/// JSON 1.1 writes times as seconds with a fraction.
fn created() -> Json {
    json!(Timestamp::constant(1_767_225_600, 0).as_second())
}
