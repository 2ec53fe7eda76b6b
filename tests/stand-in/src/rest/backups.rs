//! `/v1/backups`: the checks in front of the work, with the texts and codes of recordings 02, 04-10 and 15.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Call;
use super::answer::Answer;
use crate::App;
use crate::auth::Verb;
use crate::backup::archive::Compression;
use crate::backup::backend::{BackendError, Place};
use crate::backup::create::{self, shuffled};
use crate::backup::descriptor::{Global, PerNode, api_time};
use crate::backup::{restore as restoring, workers};

const LEVELS: &str = "[DefaultCompression BestSpeed BestCompression ZstdDefaultCompression ZstdBestSpeed \
                      ZstdBestCompression NoCompression]";

/// The backend of that name with the overrides of one request, if its module is enabled.
fn place(app: &App, backend: &str, bucket: Option<&str>, path: Option<&str>) -> Option<Place> {
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

fn no_module(status: u16, kind: &str, backend: &str) -> Answer {
    let message = format!(
        "no backup {kind} \"{backend}\": backup: {backend} not found, did you enable the right module?"
    );
    Answer::error(status, message)
}

fn place_of_query(call: &Call<'_>, backend: &str, status: u16) -> Result<Place, Answer> {
    let request = call.request;
    place(call.app, backend, request.parameter("bucket"), request.parameter("path"))
        .ok_or_else(|| no_module(status, "provider", backend))
}

fn place_of_body(call: &Call<'_>, backend: &str, body: &Value) -> Result<Place, Answer> {
    let config = &body["config"];
    place(call.app, backend, config["Bucket"].as_str(), config["Path"].as_str())
        .ok_or_else(|| no_module(422, "backend", backend))
}

/// What the layer that validates requests refuses.
fn validate(body: &Value) -> Result<(), Answer> {
    if body["config"]["CPUPercentage"].as_i64().is_some_and(|percentage| percentage > 80) {
        let message = "config.CPUPercentage in body should be less than or equal to 80";
        return Err(Answer::invalid(422, 608, message));
    }
    match body["config"]["CompressionLevel"].as_str() {
        Some(level) if !level.is_empty() && Compression::of_level(level).is_none() => {
            let message = format!("config.CompressionLevel in body should be one of {LEVELS}");
            Err(Answer::invalid(422, 606, message))
        }
        _ => Ok(()),
    }
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `include` and `exclude`, refused when both or doubled.
fn selection(body: &Value) -> Result<(Vec<String>, Vec<String>), Answer> {
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
fn matches(pattern: &str, name: &str) -> bool {
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

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn valid_id(id: &str) -> Result<(), Answer> {
    if !id.is_empty()
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    {
        return Ok(());
    }
    Err(Answer::error(422, format!("invalid backup id: '{id}' allowed characters are lowercase, 0-9, _, -")))
}

fn resources(classes: &[String]) -> String {
    classes.iter().map(|class| format!("backups/collections/{class}")).collect::<Vec<_>>().join(" ")
}

fn descriptor(bytes: &[u8]) -> Result<Global, Answer> {
    serde_json::from_slice(bytes)
        .map_err(|error| Answer::error(422, format!("corrupted backup file: {error}")))
}

pub async fn create(call: &Call<'_>, backend: &str) -> Result<Answer, Answer> {
    let body = call.request.json()?;
    validate(&body)?;
    let id = body["id"].as_str().unwrap_or_default();
    let base = body["incremental_base_backup_id"].as_str().unwrap_or_default();
    if id == base {
        return Err(Answer::error(500, format!("base backup cannot be the same as the new backup ID: {id}")));
    }
    let place = place_of_body(call, backend, &body)?;
    valid_id(id)?;
    let classes = classes_to_back_up(call, &body)?;
    let home = place.home(id);
    match place.get(&format!("{id}/backup_config.json")).await {
        Ok(bytes) if descriptor(&bytes).is_ok_and(|found| found.status == "CANCELED") => {
            // The server's own slip of the pen: ids of canceled backups are lost for ever.
            return Err(Answer::error(
                422,
                format!("check if backup \"{id}\" exists at \"{home}\": %!w(<nil>)"),
            ));
        }
        Ok(_) => return Err(Answer::error(422, format!("backup \"{id}\" already exists at \"{home}\""))),
        Err(BackendError::Failed(error)) => {
            return Err(Answer::error(
                422,
                format!("check if backup \"{id}\" exists at \"{home}\": {error}"),
            ));
        }
        Err(BackendError::NotFound(_)) => {}
    }
    call.allow_as("", Verb::Create, &resources(&classes))?;
    let base = match base {
        "" => None,
        base => {
            let chain = create::base_chain(&place, &call.app.store.node, base).await;
            Some(chain.map_err(|error| Answer::error(422, error))?)
        }
    };
    let level = body["config"]["CompressionLevel"].as_str().and_then(Compression::of_level);
    let plan = create::Plan {
        id: id.to_owned(),
        place,
        classes: classes.clone(),
        compression: level.unwrap_or(Compression::Gzip(6)),
        base,
    };
    let slot = &call.app.slots.create;
    let canceled = slot
        .take(id, "STARTED", home.clone())
        .map_err(|running| Answer::error(422, format!("backup {running} already in progress")))?;
    if let Err(error) = create::start(call.app, plan, canceled).await {
        slot.release();
        return Err(Answer::error(500, format!("init uploader: {error}")));
    }
    Ok(started(&body, backend, id, &home, &classes))
}

fn started(body: &Value, backend: &str, id: &str, home: &str, classes: &[String]) -> Answer {
    let mut answer =
        json!({"backend": backend, "classes": classes, "id": id, "path": home, "status": "STARTED"});
    if let Some(bucket) = body["config"]["Bucket"].as_str().filter(|bucket| !bucket.is_empty()) {
        answer["bucket"] = bucket.into();
    }
    Answer::ok(answer).with_details(json!({"id": id, "status": "STARTED"}))
}

fn classes_to_back_up(call: &Call<'_>, body: &Value) -> Result<Vec<String>, Answer> {
    let (include, exclude) = selection(body)?;
    let all = shuffled(call.app.store.read().classes.keys().cloned().collect());
    if let Some(missing) = include.iter().find(|name| !is_pattern(name) && !all.contains(name)) {
        return Err(Answer::error(422, format!("class {missing} doesn't exist")));
    }
    if all.is_empty() {
        return Err(Answer::error(422, "no available classes to backup, there's nothing to do here"));
    }
    let listed = |list: &[String], name: &String| list.iter().any(|pattern| matches(pattern, name));
    let wanted = |name: &String| (include.is_empty() || listed(&include, name)) && !listed(&exclude, name);
    let chosen: Vec<String> = all.iter().filter(|name| wanted(name)).cloned().collect();
    if chosen.is_empty() {
        return Err(Answer::error(
            422,
            format!("empty class list: please choose from : [{}]", all.join(" ")),
        ));
    }
    Ok(chosen)
}

fn shown(global: &Global) -> Value {
    let mut value = json!({
        "completedAt": api_time(&global.completed_at),
        "id": global.id,
        "startedAt": api_time(&global.started_at),
        "status": global.status,
    });
    if global.pre_compression_size_bytes > 0 {
        #[allow(clippy::cast_precision_loss)]
        let gib = global.pre_compression_size_bytes as f64 / f64::from(1 << 30);
        value["size"] = gib.into();
    }
    value
}

pub async fn list(call: &Call<'_>, backend: &str) -> Result<Answer, Answer> {
    call.allow_as("", Verb::Read, "backups/collections/*")?;
    let place = place(call.app, backend, None, None).ok_or_else(|| no_module(422, "backend", backend))?;
    let mut found = Vec::new();
    for id in place.ids().await.map_err(|error| Answer::error(500, error))? {
        match place.get(&format!("{id}/backup_config.json")).await {
            Ok(bytes) => {
                let parsed = serde_json::from_slice::<Global>(&bytes);
                // One descriptor that cannot be read fails the whole list (FetchBackupDescriptors).
                let parsed =
                    parsed.map_err(|error| Answer::error(500, format!("unmarshal descriptor: {error}")))?;
                found.push(parsed);
            }
            Err(BackendError::NotFound(_)) => {}
            Err(error) => return Err(Answer::error(500, format!("fetch descriptor: {error}"))),
        }
    }
    found.sort_by_key(|global| global.started_at.parse::<jiff::Timestamp>().unwrap_or(jiff::Timestamp::MIN));
    if call.request.parameter("order") != Some("asc") {
        found.reverse();
    }
    let list: Vec<Value> = found
        .iter()
        .map(|global| {
            let mut value = shown(global);
            let classes: BTreeSet<_> =
                global.nodes.values().flat_map(|node| &node.classes).cloned().collect();
            value["classes"] = shuffled(classes.into_iter().collect()).into();
            value
        })
        .collect();
    Ok(Answer::ok(list.into()))
}

/// What the slot says while the operation runs, if the question is about it.
fn running(slot: &crate::backup::Slot, id: &str) -> Option<(&'static str, String, String)> {
    let operation = slot.get();
    let started = operation.started.map(|at| at.to_string()).unwrap_or_default();
    (operation.id == id && !id.is_empty()).then(|| (operation.status, operation.home.clone(), started))
}

pub async fn status(call: &Call<'_>, backend: &str, id: &str) -> Result<Answer, Answer> {
    call.allow_as("", Verb::Read, "backups/collections/*")?;
    let place = place_of_query(call, backend, 422)?;
    let slot = &call.app.slots.create;
    if let Some((status, home, started)) = running(slot, id) {
        return Ok(Answer::ok(json!({
            "backend": backend, "completedAt": "0001-01-01T00:00:00.000Z", "id": id, "path": home,
            "startedAt": api_time(&started), "status": status,
        })));
    }
    let global = fetch(&place, id, "backup_config.json", slot).await?;
    let mut value = shown(&global);
    value["backend"] = backend.into();
    value["path"] = place.home(id).into();
    if !global.error.is_empty() {
        value["error"] = global.error.into();
    }
    Ok(Answer::ok(value).with_details(json!({"id": id, "status": global.status})))
}

async fn fetch(place: &Place, id: &str, file: &str, slot: &crate::backup::Slot) -> Result<Global, Answer> {
    let bytes = place.get(&format!("{id}/{file}")).await.map_err(|error| match error {
        BackendError::NotFound(text) => Answer::error(
            404,
            format!(
                "coordinator cannot get status: metadata not found: \"\": {text} store: {}",
                slot.printed()
            ),
        ),
        BackendError::Failed(text) => Answer::error(500, format!("coordinator cannot get status: {text}")),
    })?;
    descriptor(&bytes)
}

pub async fn restore_status(call: &Call<'_>, backend: &str, id: &str) -> Result<Answer, Answer> {
    call.allow_as("", Verb::Read, "backups/collections/*")?;
    let place = place_of_query(call, backend, 500)?;
    let slot = &call.app.slots.restore;
    let (status, home, error) = if let Some((status, home, _)) = running(slot, id) {
        (status.to_owned(), home, String::new())
    } else {
        // Whatever a machine wrote last, this one or another (recordings 08 and 09).
        let global = fetch(&place, id, "restore_config.json", slot).await?;
        (global.status, place.home(id), global.error)
    };
    let mut value = json!({"backend": backend, "id": id, "path": home, "status": status});
    if !error.is_empty() {
        value["error"] = error.into();
    }
    Ok(Answer::ok(value).with_details(json!({"id": id, "status": status})))
}

pub async fn cancel(call: &Call<'_>, backend: &str, id: &str) -> Result<Answer, Answer> {
    call.allow_as("", Verb::Delete, "backups/collections/*")?;
    let place = place_of_query(call, backend, 422)?;
    valid_id(id)?;
    cancel_in(&place, &call.app.slots.create, id, "backup").await
}

pub async fn cancel_restore(call: &Call<'_>, backend: &str, id: &str) -> Result<Answer, Answer> {
    call.allow_as("", Verb::Delete, "backups/collections/*")?;
    let place = place_of_query(call, backend, 422)?;
    valid_id(id)?;
    cancel_in(&place, &call.app.slots.restore, id, "restore").await
}

async fn cancel_in(
    place: &Place,
    slot: &crate::backup::Slot,
    id: &str,
    what: &str,
) -> Result<Answer, Answer> {
    if let Some((status, ..)) = running(slot, id) {
        if status == "FINALIZING" {
            let message = format!("restore \"{id}\" is applying schema changes and cannot be cancelled");
            return Err(Answer::error(422, message));
        }
        slot.get().canceled.store(true, std::sync::atomic::Ordering::Relaxed);
        return Ok(Answer::empty(204));
    }
    match place.get(&format!("{id}/{what}_config.json")).await {
        Ok(bytes) if descriptor(&bytes)?.status == "SUCCESS" => {
            Err(Answer::error(422, format!("{what} \"{id}\" already succeeded")))
        }
        Ok(_) | Err(BackendError::NotFound(_)) => Ok(Answer::empty(204)),
        Err(error) => Err(Answer::error(422, error)),
    }
}

pub async fn restore(call: &Call<'_>, backend: &str, id: &str) -> Result<Answer, Answer> {
    let body = call.request.json()?;
    validate(&body)?;
    let place = place_of_body(call, backend, &body)?;
    let selected = selection(&body)?;
    let home = place.home(id);
    let global = restorable(&place, id, &home).await?;
    let classes = classes_to_restore(&global, &selected)?;
    call.allow_as("", Verb::Create, &resources(&classes))?;
    let slot = &call.app.slots.restore;
    let canceled = slot
        .take(id, "STARTED", home.clone())
        .map_err(|running| Answer::error(422, format!("restoration {running} already in progress")))?;
    let outcome = begin(call, &body, place, global, &classes, canceled).await;
    match outcome {
        Ok(true) => Ok(started(&body, backend, id, &home, &classes)),
        Ok(false) => {
            slot.release();
            Ok(started(&body, backend, id, &home, &classes))
        }
        Err(refused) => {
            slot.release();
            Err(refused)
        }
    }
}

/// The descriptor, if the backup is one that may be restored.
async fn restorable(place: &Place, id: &str, home: &str) -> Result<Global, Answer> {
    let bytes = place.get(&format!("{id}/backup_config.json")).await.map_err(|error| match error {
        BackendError::NotFound(text) => {
            Answer::error(404, format!("backup id \"{id}\" does not exist: {text}: metadata not found"))
        }
        BackendError::Failed(text) => Answer::error(422, format!("find backup {home}: {text}")),
    })?;
    let global = descriptor(&bytes)?;
    if global.id != id {
        let message = format!("wrong backup file: restore request asked for {id}, file is of {}", global.id);
        return Err(Answer::error(422, message));
    }
    if global.status != "SUCCESS" {
        let message = format!("invalid backup in scheduler {home} status: {}", global.status);
        return Err(Answer::error(422, message));
    }
    if global
        .version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_none_or(|major| major > 2)
    {
        let version = &global.version;
        let message =
            format!("unable to restore backup as it was produced by a higher version: {version} > 2.1");
        return Err(Answer::error(422, message));
    }
    Ok(global)
}

fn classes_to_restore(
    global: &Global,
    (include, exclude): &(Vec<String>, Vec<String>),
) -> Result<Vec<String>, Answer> {
    let all: BTreeSet<String> = global.nodes.values().flat_map(|node| &node.classes).cloned().collect();
    let all = shuffled(all.into_iter().collect());
    if let Some(missing) = include.iter().find(|name| !is_pattern(name) && !all.contains(name)) {
        let message =
            format!("class {missing} doesn't exist in the backup, but does have [{}]: ", all.join(" "));
        return Err(Answer::error(422, message));
    }
    let listed = |list: &[String], name: &String| list.iter().any(|pattern| matches(pattern, name));
    let wanted = |name: &&String| (include.is_empty() || listed(include, name)) && !listed(exclude, name);
    let chosen: Vec<String> = all.iter().filter(wanted).cloned().collect();
    if chosen.is_empty() {
        let message = format!("nothing left to restore: please choose from : [{}]", all.join(" "));
        return Err(Answer::error(422, message));
    }
    Ok(chosen)
}

/// The node-level checks, and the start. `false`: a half canceled restore is in the way, nothing happens.
async fn begin(
    call: &Call<'_>,
    body: &Value,
    place: Place,
    global: Global,
    classes: &[String],
    canceled: std::sync::Arc<std::sync::atomic::AtomicBool>,
) -> Result<bool, Answer> {
    let app = call.app;
    let id = global.id.clone();
    if let Ok(bytes) = place.get(&format!("{id}/restore_config.json")).await
        && descriptor(&bytes).is_ok_and(|found| found.status == "CANCELLING")
    {
        return Ok(false);
    }
    let mapping: BTreeMap<String, String> =
        serde_json::from_value(body["node_mapping"].clone()).unwrap_or_default();
    let resolves = |node: &String| mapping.get(node).unwrap_or(node) == &app.store.node;
    if let Some(strange) = global.nodes.keys().find(|node| !resolves(node)) {
        let nodes: Vec<_> = global.nodes.keys().map(|node| format!("{node}:0xc000000000")).collect();
        let pairs: Vec<_> = mapping.iter().map(|(old, new)| format!("{old}:{new}")).collect();
        let message = format!(
            "cannot resolve hostname for \"{strange}\", nodes=map[{}], nodeMapping=map[{}]",
            nodes.join(" "),
            pairs.join(" ")
        );
        return Err(Answer::error(500, message));
    }
    let node = global.nodes.keys().next().cloned().unwrap_or_default();
    if !global.base_backup_id.is_empty() {
        let chain = create::base_chain(&place, &node, &global.base_backup_id).await;
        chain.map_err(|error| Answer::error(422, error))?;
    }
    let cannot = |error: &dyn std::fmt::Display| {
        Answer::error(500, format!("node \"{}\": cannot commit : {error}", app.store.node))
    };
    let bytes = place.get(&format!("{id}/{node}/backup.json")).await.map_err(|error| cannot(&error))?;
    let mut per_node: PerNode = serde_json::from_slice(&bytes).map_err(|error| cannot(&error))?;
    per_node.classes.retain(|class| classes.contains(&class.name));
    let plan = restoring::Plan {
        id,
        place,
        global,
        node,
        per_node,
        mapping,
        workers: workers(app.settings.cores, body["config"]["CPUPercentage"].as_u64()),
        overwrite_alias: body["overwriteAlias"] == true,
    };
    restoring::start(app, plan, canceled)
        .await
        .map_err(|error| Answer::error(500, format!("put initial metadata: putMeta: {error}")))?;
    Ok(true)
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
