//! The checks that every operation on backups shares: module, ids, selections, what validation refuses.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::Call;
use super::super::answer::Answer;
use crate::App;
use crate::backup::archive::Compression;
use crate::backup::backend::Place;
use crate::backup::descriptor::Global;

const LEVELS: &str = "[DefaultCompression BestSpeed BestCompression ZstdDefaultCompression ZstdBestSpeed \
                      ZstdBestCompression NoCompression]";

/// The backend of that name with the overrides of one request, if its module is enabled.
pub(super) fn place(app: &App, backend: &str, bucket: Option<&str>, path: Option<&str>) -> Option<Place> {
    let path = path.filter(|path| !path.is_empty()).map(|path| path.trim_matches('/').to_owned());
    match backend {
        "filesystem" | "backup-filesystem" => {
            let root = app.settings.filesystem.clone()?;
            Some(Place::Filesystem { root: path.map_or(root, |path| format!("/{path}").into()) })
        }
        "s3" | "backup-s3" => {
            let settings = app.settings.s3.as_ref()?;
            Some(Place::S3 {
                client: app.s3.clone()?,
                bucket: bucket.filter(|bucket| !bucket.is_empty()).unwrap_or(&settings.bucket).to_owned(),
                prefix: path.unwrap_or_else(|| settings.prefix.clone()),
            })
        }
        _ => None,
    }
}

pub(super) fn no_module(status: u16, kind: &str, backend: &str) -> Answer {
    let message = format!(
        "no backup {kind} \"{backend}\": backup: {backend} not found, did you enable the right module?"
    );
    Answer::error(status, message)
}

pub(super) fn place_of_query(call: &Call<'_>, backend: &str, status: u16) -> Result<Place, Answer> {
    let request = call.request;
    place(call.app, backend, request.parameter("bucket"), request.parameter("path"))
        .ok_or_else(|| no_module(status, "provider", backend))
}

pub(super) fn place_of_body(call: &Call<'_>, backend: &str, body: &Value) -> Result<Place, Answer> {
    let config = &body["config"];
    place(call.app, backend, config["Bucket"].as_str(), config["Path"].as_str())
        .ok_or_else(|| no_module(422, "backend", backend))
}

/// What the layer that validates requests refuses.
pub(super) fn validate(body: &Value) -> Result<(), Answer> {
    if body["config"]["CPUPercentage"].as_i64().is_some_and(|percentage| percentage > 80) {
        let message = "config.CPUPercentage in body should be less than or equal to 80";
        return Err(Answer::invalid(422, 608, message));
    }
    for option in ["rolesOptions", "usersOptions"] {
        if body["config"][option].as_str().is_some_and(|value| !matches!(value, "" | "noRestore" | "all")) {
            let message = format!("config.{option} in body should be one of [noRestore all]");
            return Err(Answer::invalid(422, 606, message));
        }
    }
    match body["config"]["CompressionLevel"].as_str() {
        Some(level) if !level.is_empty() && Compression::of_level(level).is_none() => {
            let message = format!("config.CompressionLevel in body should be one of {LEVELS}");
            Err(Answer::invalid(422, 606, message))
        }
        _ => Ok(()),
    }
}

pub(super) fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `include` and `exclude`, refused when both or doubled.
pub(super) fn selection(body: &Value) -> Result<(Vec<String>, Vec<String>), Answer> {
    let (include, exclude) = (names(&body["include"]), names(&body["exclude"]));
    if !include.is_empty() && !exclude.is_empty() {
        let message = "malformed request: 'include' and 'exclude' cannot both contain values";
        return Err(Answer::error(422, message));
    }
    for (kind, list) in [("include", &include), ("exclude", &exclude)] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = list.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Answer::error(422, format!("class list '{kind}' contains duplicate: {twice}")));
        }
    }
    Ok((include, exclude))
}

/// `*` and `?` as wildcards.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            matches(&pattern[1..], name)
                || name.chars().next().is_some_and(|c| matches(pattern, &name[c.len_utf8()..]))
        }
        (Some(p), Some(n)) => {
            (p == '?' || p == n) && matches(&pattern[p.len_utf8()..], &name[n.len_utf8()..])
        }
        _ => false,
    }
}

pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

pub(super) fn valid_id(id: &str) -> Result<(), Answer> {
    if !id.is_empty()
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    {
        return Ok(());
    }
    Err(Answer::error(422, format!("invalid backup id: '{id}' allowed characters are lowercase, 0-9, _, -")))
}

pub(super) fn resources(classes: &[String]) -> String {
    classes.iter().map(|class| format!("backups/collections/{class}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn descriptor(bytes: &[u8]) -> Result<Global, Answer> {
    serde_json::from_slice(bytes)
        .map_err(|error| Answer::error(422, format!("corrupted backup file: {error}")))
}

pub(super) fn started(body: &Value, backend: &str, id: &str, home: &str, classes: &[String]) -> Answer {
    let mut answer =
        json!({"backend": backend, "classes": classes, "id": id, "path": home, "status": "STARTED"});
    if let Some(bucket) = body["config"]["Bucket"].as_str().filter(|bucket| !bucket.is_empty()) {
        answer["bucket"] = bucket.into();
    }
    let config = &body["config"];
    let mut details = json!({"id": id, "status": "STARTED", "cpu_percentage": config["CPUPercentage"]});
    for (name, value) in [
        ("users", &body["includeUsers"]),
        ("roles", &body["includeRoles"]),
        ("users", &config["usersOptions"]),
        ("roles", &config["rolesOptions"]),
    ] {
        if !value.is_null() {
            details[name] = value.clone();
        }
    }
    Answer::ok(answer).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("Art*", "Article", true),
            ("*", "A", true),
            ("A?", "Ab", true),
            ("A?", "A", false),
            ("B", "A", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn ids_are_small_letters_digits_dashes_and_underscores() {
        assert!(valid_id("2026-11-21_1").is_ok());
        for bad in ["", "Bad.Id", "../x", "a b"] {
            assert!(valid_id(bad).is_err(), "{bad}");
        }
    }
}
