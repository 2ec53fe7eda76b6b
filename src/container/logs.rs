//! The server's last lines, without secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;

use crate::host::Host;
use crate::secrets::Secrets;

const LINES: usize = 20;
/// A line of JSON with a stack trace is longer than anybody reads.
const LETTERS: usize = 2000;

/// The last lines; what cannot be read within 3 s is said instead.
pub async fn last(host: &Host, engine: &Docker, id: &str, secrets: &Secrets) -> Vec<String> {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&LINES.to_string()).build();
    let mut text = String::new();
    let mut stream = std::pin::pin!(engine.logs(id, Some(options)));
    let read = async {
        while let Some(part) = stream.next().await {
            match part {
                Ok(part) => text.push_str(&part.to_string()),
                Err(error) => {
                    text.push_str("\n(the log cannot be read: ");
                    text.push_str(&error.to_string());
                    text.push(')');
                    break;
                }
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(3), read).await.is_err() {
        text.push_str("\n(the log could not be read in time)");
    }
    let hidden = || secrets.values().chain(of_environment(&host.settings.weaviate.env));
    let lines: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| redact(line, hidden())).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

/// Keys that server modules take from the environment only (`OPENAI_APIKEY`, `COHERE_API_KEY`, …). One so short that
/// it may be part of any word would make the line unreadable and hide nothing.
fn of_environment(env: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|end| name.ends_with(end))
    };
    env.iter().filter(move |(name, value)| secret(name) && value.len() >= 4).map(|(_, value)| value.as_str())
}

/// `line` with every secret in it replaced: as it is, and as JSON writes it.
pub fn redact<'a>(line: &str, secrets: impl Iterator<Item = &'a str>) -> String {
    let mut line = line.to_owned();
    // The longest first: one secret may be a part of another.
    let mut secrets: Vec<&str> = secrets.filter(|secret| !secret.is_empty()).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        line = line.replace(secret, "[redacted]");
        let json = serde_json::Value::from(secret).to_string();
        let inner = json.trim_matches('"');
        if inner != secret {
            line = line.replace(inner, "[redacted]");
        }
    }
    match line.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{of_environment, redact};

    #[test]
    fn keys_of_modules_are_secrets_as_well() {
        let env: BTreeMap<String, String> = [
            ("OPENAI_APIKEY", "sk-1234"),
            ("COHERE_API_KEY", "co-1234"),
            ("hf_token", "hf-1234"),
            ("A_SECRET", "s-1234"),
            ("DB_PASSWORD", "p-1234"),
            ("SHORT_KEY", "1"),
            ("LOG_LEVEL", "debug"),
            ("KEYSPACE", "main-space"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let found: Vec<&str> = of_environment(&env).collect();
        assert_eq!(found, ["s-1234", "co-1234", "p-1234", "sk-1234", "hf-1234"]);
    }

    #[test]
    fn secrets_do_not_get_through() {
        let secrets = ["abc", "abcdef", "quo\"te"];
        for (line, expected) in [
            ("key abcdef wrong", "key [redacted] wrong"),
            ("key abc, key abcdef", "key [redacted], key [redacted]"),
            (r#"{"msg":"quo\"te"}"#, r#"{"msg":"[redacted]"}"#),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redact(line, secrets.into_iter()), expected, "{line}");
        }
        assert!(redact(&"x".repeat(9000), secrets.into_iter()).len() < 3000);
    }
}
