//! Secrets Manager and SSM over the wire.

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::cloud::spec::NEW;
use crate::endpoint::Service::{SecretsManager, Ssm};
use crate::endpoint::testing::{Client, cloud, forbidden};

const SPEC: &str = r#"
    secrets = [
        { name = "weaviate/admin-key", value = "s3cret" },
        { name = "weaviate/own-key", value = "x", kms_key = "1234" },
        { name = "weaviate/foreign-key", value = "x", kms_key = "arn:aws:kms:eu-central-1:999999999999:key/1" },
        { name = "weaviate/gone", value = "x", deleted = true },
        { name = "weaviate/empty" },
        { name = "others/key", value = "x" },
    ]
    parameters = [
        { name = "/weaviate/reader-key", value = "p4ram" },
        { name = "/weaviate/plain", value = "text", secure = false },
    ]"#;

async fn ask(cloud: &Cloud, service: crate::endpoint::Service, action: &str, body: Value) -> (u16, Value) {
    let (status, text) = Client::instance(cloud, NEW).json(service, action, body).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn secrets_and_each_refusal() {
    let cloud = cloud(SPEC, "");
    let suffixed = {
        let (_, body) =
            ask(&cloud, SecretsManager, "GetSecretValue", json!({ "SecretId": "weaviate/admin-key" })).await;
        assert_eq!(body["SecretString"], "s3cret");
        assert_eq!(body["VersionStages"], json!(["AWSCURRENT"]));
        body["ARN"].as_str().unwrap().to_owned()
    };
    let partial = suffixed[..suffixed.len() - 7].to_owned();
    for (body, status, code) in [
        (json!({ "SecretId": suffixed }), 200, ""),
        (json!({ "SecretId": partial }), 200, ""),
        (json!({ "SecretId": "weaviate/own-key" }), 200, ""),
        (json!({ "SecretId": "weaviate/missing" }), 400, "ResourceNotFoundException"),
        (json!({ "SecretId": "weaviate/empty" }), 400, "ResourceNotFoundException"),
        (json!({ "SecretId": "weaviate/gone" }), 400, "InvalidRequestException"),
        (
            json!({ "SecretId": "weaviate/admin-key", "VersionStage": "AWSPREVIOUS" }),
            400,
            "ResourceNotFoundException",
        ),
        (json!({}), 400, "InvalidParameterException"),
    ] {
        let (got, answer) = ask(&cloud, SecretsManager, "GetSecretValue", body.clone()).await;
        assert_eq!((got, answer["__type"].as_str().unwrap_or_default()), (status, code), "{body}");
    }
    assert!(forbidden(&cloud).is_empty());
    for name in ["others/key", "weaviate/foreign-key"] {
        let (status, answer) =
            ask(&cloud, SecretsManager, "GetSecretValue", json!({ "SecretId": name })).await;
        assert_eq!((status, answer["__type"].as_str()), (400, Some("AccessDeniedException")), "{name}");
    }
    assert_eq!(forbidden(&cloud), ["iam", "iam"]);
}

#[tokio::test]
async fn a_rotated_secret_keeps_its_previous_value() {
    let cloud = cloud(
        SPEC,
        "[[fault]]\ncall = \"secretsmanager:GetSecretValue\"\nfrom = 3\neffect = { kind = \"stale\" }",
    );
    cloud.rotate_secret("weaviate/admin-key", "new");
    for (stage, expected) in [("AWSCURRENT", "new"), ("AWSPREVIOUS", "s3cret"), ("AWSCURRENT", "s3cret")] {
        let asked = json!({ "SecretId": "weaviate/admin-key", "VersionStage": stage });
        let (_, body) = ask(&cloud, SecretsManager, "GetSecretValue", asked).await;
        assert_eq!(body["SecretString"], expected, "{stage}");
    }
    let confidential = cloud.confidential();
    for text in ["new", "s3cret", "p4ram", &Client::instance(&cloud, NEW).credential.secret] {
        assert!(confidential.iter().any(|one| one == text), "{text}");
    }
    assert!(!confidential.iter().any(|one| one == "text"), "a plain parameter is no secret");
}

#[tokio::test]
async fn a_scripted_denial_is_not_the_agents_fault() {
    let cloud = cloud(SPEC, "[[fault]]\ncall = \"secretsmanager:*\"\neffect = { kind = \"denied\" }");
    let asked = json!({ "SecretId": "weaviate/admin-key" });
    let (status, body) = ask(&cloud, SecretsManager, "GetSecretValue", asked).await;
    assert_eq!((status, body["__type"].as_str()), (400, Some("AccessDeniedException")));
    assert!(forbidden(&cloud).is_empty());
}

#[tokio::test]
async fn parameters() {
    let cloud = cloud(SPEC, "");
    let name = "/weaviate/reader-key";
    let (_, body) = ask(&cloud, Ssm, "GetParameter", json!({ "Name": name, "WithDecryption": true })).await;
    assert_eq!(body["Parameter"]["Value"], "p4ram");
    let (_, body) = ask(&cloud, Ssm, "GetParameter", json!({ "Name": name })).await;
    assert_ne!(body["Parameter"]["Value"], "p4ram");
    let (_, body) = ask(&cloud, Ssm, "GetParameter", json!({ "Name": "/weaviate/plain:1" })).await;
    assert_eq!((&body["Parameter"]["Value"], &body["Parameter"]["Version"]), (&json!("text"), &json!(1)));
    let (status, body) = ask(&cloud, Ssm, "GetParameter", json!({ "Name": "/weaviate/none" })).await;
    assert_eq!((status, body["__type"].as_str()), (400, Some("ParameterNotFound")));
    let (status, _) = ask(&cloud, Ssm, "GetParameter", json!({ "Name": "/others" })).await;
    assert_eq!((status, forbidden(&cloud)), (400, vec!["iam".to_owned()]));
    // The shipped policy lets the agent read one at a time only; the operator may read several.
    let names = json!({ "Names": ["/weaviate/plain", "/weaviate/none"] });
    let (_, text) = Client::operator(&cloud).json(Ssm, "GetParameters", names).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (body["Parameters"].as_array().unwrap().len(), &body["InvalidParameters"]),
        (1, &json!(["/weaviate/none"]))
    );
}
