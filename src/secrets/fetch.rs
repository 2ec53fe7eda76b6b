//! One reference, one value.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::SecretsError;
use crate::aws::{self, CallError, Kind};
use crate::config::SecretReference;
use crate::host::Host;
use crate::instance::Identity;
use crate::report::Step;
use crate::retry::{Limits, retry};

/// Secrets Manager answers in tens of milliseconds; a permission that was just granted takes seconds.
const LIMITS: Limits =
    Limits::new(Duration::from_mins(2), Duration::from_millis(500), Duration::from_secs(10));

/// One value, however it ends.
#[cfg(test)]
pub const LONGEST: Duration = Duration::from_secs(LIMITS.deadline.as_secs() + aws::OPERATION.as_secs());

pub async fn value(
    host: &Host,
    me: &Identity,
    reference: &SecretReference,
) -> Result<SecretString, SecretsError> {
    let note = |error: &SecretsError| host.status.say(Step::Fetch, format!("tries again: {error}"));
    let text = retry(LIMITS, note, || call(host, me, reference)).await?;
    check(reference, &text)
}

async fn call(host: &Host, me: &Identity, reference: &SecretReference) -> Result<SecretString, SecretsError> {
    let clients = host.aws(me.region()).await;
    match reference {
        SecretReference::SecretsManager { name, key: _ } => {
            let call = clients.secrets.get_secret_value().secret_id(name).version_stage("AWSCURRENT");
            let answer = call
                .send()
                .await
                .map_err(|error| refused(reference, aws::failed("secretsmanager:GetSecretValue", &error)))?;
            tracing::info!(%reference, version = answer.version_id(), "fetched {reference}");
            text(reference, answer.secret_string())
        }
        SecretReference::Parameter { name } => {
            let call = clients.parameters.get_parameter().name(name).with_decryption(true);
            let answer = call
                .send()
                .await
                .map_err(|error| refused(reference, aws::failed("ssm:GetParameter", &error)))?;
            let parameter = answer.parameter();
            tracing::info!(%reference, version = parameter.map(aws_sdk_ssm::types::Parameter::version), "fetched {reference}");
            text(reference, parameter.and_then(|parameter| parameter.value()))
        }
    }
}

/// A secret may be bytes instead of a text: then the answer has no text.
fn text(reference: &SecretReference, found: Option<&str>) -> Result<SecretString, SecretsError> {
    found.map(Into::into).ok_or_else(|| SecretsError::NotText { reference: reference.clone() })
}

fn refused(reference: &SecretReference, source: CallError) -> SecretsError {
    let reference = reference.clone();
    match (source.kind, source.code.as_str()) {
        (Kind::Denied, _) => SecretsError::Denied { reference, source },
        (Kind::Refused, "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound") => {
            SecretsError::Missing { reference, source }
        }
        _ => SecretsError::Call { reference, source },
    }
}

/// Takes the key out of a JSON secret, and checks what an API key may be.
pub fn check(reference: &SecretReference, text: &SecretString) -> Result<SecretString, SecretsError> {
    let again = || reference.clone();
    let value: Zeroizing<String> = match reference {
        SecretReference::SecretsManager { key: Some(key), .. } => {
            // A parser's own words may quote the text: they are dropped.
            let mut object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(text.expose_secret())
                    .map_err(|_| SecretsError::NotJson { reference: again() })?;
            match object.remove(key) {
                Some(serde_json::Value::String(value)) => Zeroizing::new(value),
                _ => return Err(SecretsError::NoKey { reference: again() }),
            }
        }
        SecretReference::SecretsManager { key: None, .. } | SecretReference::Parameter { .. } => {
            // A console or `echo` adds a line end; it is never part of a key.
            Zeroizing::new(text.expose_secret().trim_end_matches(['\n', '\r']).to_owned())
        }
    };
    if value.is_empty() {
        return Err(SecretsError::Empty { reference: again() });
    }
    // The server splits its lists at commas and compares keys byte by byte with an HTTP header's value.
    if value.contains(|c: char| c == ',' || !c.is_ascii_graphic()) {
        return Err(SecretsError::Malformed { reference: again() });
    }
    Ok(value.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &str = "s3cr3t-planted";

    fn manager(key: Option<&str>) -> SecretReference {
        SecretReference::SecretsManager { name: "weaviate/admin".into(), key: key.map(str::to_owned) }
    }

    #[test]
    fn a_value_is_taken_out_and_checked() {
        let json = format!(r#"{{"admin":"{PLANTED}","list":["{PLANTED}"],"empty":""}}"#);
        let whole = manager(None);
        let rows: [(&SecretReference, &str, Result<(), &str>); 12] = [
            (&whole, PLANTED, Ok(())),
            (&whole, &format!("{PLANTED}\n"), Ok(())),
            (&manager(Some("admin")), &json, Ok(())),
            (&manager(Some("other")), &json, Err("has no such key")),
            (&manager(Some("list")), &json, Err("has no such key")),
            (&manager(Some("empty")), &json, Err("is empty")),
            (&manager(Some("admin")), PLANTED, Err("is not a JSON object")),
            (&whole, "", Err("is empty")),
            (&whole, "\n", Err("is empty")),
            (&whole, &format!("{PLANTED},b"), Err("holds a comma")),
            (&whole, &format!("{PLANTED} b"), Err("holds a comma")),
            (&SecretReference::Parameter { name: "/x".into() }, &format!("é{PLANTED}"), Err("holds a comma")),
        ];
        for (reference, text, expected) in rows {
            let done = check(reference, &text.into());
            match (done, expected) {
                (Ok(value), Ok(())) => assert_eq!(value.expose_secret(), PLANTED),
                (Err(error), Err(words)) => {
                    let all = format!("{error} {error:?} {}", crate::explain::Explain::remedy(&error));
                    assert!(all.contains(words), "{all}");
                    assert!(all.contains(&reference.to_string()), "{all} does not name {reference}");
                    assert!(!all.contains(PLANTED), "a value in {all}");
                }
                (done, expected) => panic!("{reference}: {done:?}, expected {expected:?}"),
            }
        }
        assert!(matches!(check(&whole, &String::new().into()), Err(SecretsError::Empty { .. })));
        assert!(matches!(check(&whole, &"a,b".to_owned().into()), Err(SecretsError::Malformed { .. })));
    }

    #[test]
    fn bytes_are_no_key() {
        use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput as Answer;
        let bytes = Answer::builder().secret_binary(aws_smithy_types::Blob::new(PLANTED)).build();
        let error = text(&manager(None), bytes.secret_string()).expect_err("bytes");
        assert!(matches!(error, SecretsError::NotText { .. }), "{error}");
        assert!(!format!("{error:?}").contains(PLANTED));
        let control = Answer::builder().secret_string(PLANTED).build();
        let found = text(&manager(None), control.secret_string()).expect("text");
        assert_eq!(found.expose_secret(), PLANTED);
    }

    #[test]
    fn refusals_are_told_apart() {
        let call = |kind, code: &str| CallError {
            operation: "secretsmanager:GetSecretValue",
            kind,
            code: code.to_owned(),
            message: String::new(),
        };
        let refused = |kind, code| refused(&manager(None), call(kind, code));
        assert!(matches!(refused(Kind::Denied, "AccessDeniedException"), SecretsError::Denied { .. }));
        for code in ["ResourceNotFoundException", "ParameterNotFound"] {
            assert!(matches!(refused(Kind::Refused, code), SecretsError::Missing { .. }), "{code}");
        }
        assert!(matches!(refused(Kind::Throttled, "ThrottlingException"), SecretsError::Call { .. }));
        assert!(matches!(refused(Kind::Refused, "DecryptionFailure"), SecretsError::Call { .. }));
    }
}
