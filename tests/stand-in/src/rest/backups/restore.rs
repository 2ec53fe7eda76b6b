//! `POST /v1/backups/{backend}/{id}/restore`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::Call;
use super::super::answer::Answer;
use super::check::{descriptor, is_pattern, matches, place_of_body, resources, selection, started, validate};
use crate::auth::Verb;
use crate::backup::backend::{BackendError, Place};
use crate::backup::create::{self, shuffled};
use crate::backup::descriptor::{Global, PerNode};
use crate::backup::{restore as restoring, workers};

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
