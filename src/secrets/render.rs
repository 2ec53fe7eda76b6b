//! The server's configuration file.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::SecretsError;
use crate::config::SecretReference;
use crate::container::Oidc;

pub struct Keys<'a> {
    pub admin: &'a SecretString,
    pub writer: Option<&'a SecretString>,
    pub reader: Option<&'a SecretString>,
}

type Row<'a> = (Option<&'a SecretReference>, Option<&'a SecretString>);

/// The server tells users by their key: one key for two of them would give the reader the writer's rights.
pub fn check_distinct(rows: &[Row<'_>]) -> Result<(), SecretsError> {
    let there: Vec<_> = rows.iter().filter_map(|(reference, value)| (*reference).zip(*value)).collect();
    for (i, (first, value)) in there.iter().enumerate() {
        let same = there.iter().skip(i + 1).find(|(_, other)| other.expose_secret() == value.expose_secret());
        if let Some((second, _)) = same {
            return Err(SecretsError::Same { first: (*first).clone(), second: (*second).clone() });
        }
    }
    Ok(())
}

/// The names are those of the server's own configuration structure (`usecases/config` of 1.39.0).
pub fn config(keys: &Keys<'_>, oidc: Option<&Oidc>, anonymous: bool) -> SecretString {
    let Keys { admin, writer, reader } = keys;
    let there = [("admin", Some(*admin)), ("writer", *writer), ("reader", *reader)];
    let there: Vec<_> = there.iter().filter_map(|(user, key)| key.map(|key| (*user, key))).collect();
    let (users, allowed): (Vec<&str>, Vec<&str>) =
        there.iter().map(|(user, key)| (*user, key.expose_secret())).unzip();
    let mut writers: Vec<&str> = users.iter().copied().filter(|user| *user != "reader").collect();
    if anonymous {
        // The name that the server gives to a request without a key.
        writers.push("anonymous");
    }
    let mut readers: Vec<&str> = users.iter().copied().filter(|user| *user == "reader").collect();
    let names = |list: fn(&Oidc) -> &Vec<String>| oidc.map(list).into_iter().flatten().map(String::as_str);
    writers.extend(names(|oidc| &oidc.admin_users));
    readers.extend(names(|oidc| &oidc.read_only_users));
    let groups: Vec<&str> = names(|oidc| &oidc.admin_groups).collect();
    let read_only_groups: Vec<&str> = names(|oidc| &oidc.read_only_groups).collect();
    let mut file = json!({
        "authentication": {
            "anonymous_access": { "enabled": anonymous },
            "apikey": { "enabled": true, "allowed_keys": allowed, "users": users },
        },
        "authorization": {
            "admin_list": {
                "enabled": true,
                "users": writers,
                "read_only_users": readers,
                "groups": groups,
                "read_only_groups": read_only_groups,
            },
        },
    });
    if let Some(oidc) = oidc {
        file["authentication"]["oidc"] = render_oidc(oidc);
    }
    format!("{file:#}\n").into()
}

fn render_oidc(oidc: &Oidc) -> Value {
    let Oidc {
        issuer,
        client_id,
        scopes,
        username_claim,
        groups_claim,
        // In the list of admins.
        admin_users: _,
        admin_groups: _,
        read_only_users: _,
        read_only_groups: _,
    } = oidc;
    json!({
        "enabled": true,
        "issuer": issuer,
        "client_id": client_id,
        "scopes": scopes,
        "username_claim": username_claim,
        "groups_claim": groups_claim.as_deref().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(keys: &Keys<'_>, oidc: Option<&Oidc>, anonymous: bool) -> Value {
        serde_json::from_str(config(keys, oidc, anonymous).expose_secret()).expect("JSON")
    }

    #[test]
    fn each_user_has_its_key_and_its_list() {
        let (admin, writer, reader) = ("a".into(), "w".into(), "r".into());
        let file = parsed(&Keys { admin: &admin, writer: Some(&writer), reader: Some(&reader) }, None, false);
        assert_eq!(file["authentication"]["apikey"]["allowed_keys"], json!(["a", "w", "r"]));
        assert_eq!(file["authentication"]["apikey"]["users"], json!(["admin", "writer", "reader"]));
        assert_eq!(file["authentication"]["anonymous_access"]["enabled"], json!(false));
        let lists = json!({
            "enabled": true,
            "users": ["admin", "writer"],
            "read_only_users": ["reader"],
            "groups": [],
            "read_only_groups": [],
        });
        assert_eq!(file["authorization"]["admin_list"], lists);
        assert_eq!(file["authentication"].get("oidc"), None);
    }

    #[test]
    fn anonymous_and_oidc_are_there_only_by_name() {
        let admin = "a".into();
        let oidc = Oidc {
            issuer: "https://id.example".into(),
            client_id: "weaviate".into(),
            scopes: vec!["openid".into()],
            username_claim: "sub".into(),
            groups_claim: Some("groups".into()),
            admin_users: vec!["alice".into()],
            admin_groups: vec!["ops".into()],
            read_only_users: vec!["bob".into()],
            read_only_groups: vec!["search".into()],
        };
        let file = parsed(&Keys { admin: &admin, writer: None, reader: None }, Some(&oidc), true);
        assert_eq!(file["authentication"]["anonymous_access"]["enabled"], json!(true));
        // Who comes by OIDC and is on no list may do nothing at all.
        let lists = json!({
            "enabled": true,
            "users": ["admin", "anonymous", "alice"],
            "read_only_users": ["bob"],
            "groups": ["ops"],
            "read_only_groups": ["search"],
        });
        assert_eq!(file["authorization"]["admin_list"], lists);
        assert_eq!(file["authentication"]["oidc"]["groups_claim"], json!("groups"));
        assert_eq!(file["authentication"]["oidc"]["issuer"], json!("https://id.example"));
    }

    #[test]
    fn one_key_for_two_users_is_refused_without_telling_it() {
        let reference = |name: &str| SecretReference::Parameter { name: name.to_owned() };
        let (one, two, three) = (reference("/1"), reference("/2"), reference("/3"));
        let (planted, other): (SecretString, SecretString) = ("s3cr3t-planted".into(), "other".into());
        let rows = [(Some(&one), Some(&planted)), (Some(&two), Some(&other)), (Some(&three), Some(&planted))];
        let error = check_distinct(&rows).expect_err("the first and the third are the same");
        assert_eq!(error.to_string(), "the secrets ssm:/1 and ssm:/3 hold the same API key");
        assert!(!format!("{error:?}").contains("s3cr3t-planted"));
        assert!(check_distinct(&rows[..2]).is_ok());
    }
}
