//! `/v1/backups`: the checks in front of the work, with the texts and codes of recordings 02, 04-10 and 15.

mod check;
mod create;
mod restore;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Call;
use super::answer::Answer;
use crate::auth::Verb;
use crate::backup::backend::{BackendError, Place};
use crate::backup::create::shuffled;
use crate::backup::descriptor::{Global, api_time};
use check::{descriptor, no_module, place, place_of_query, valid_id};
pub use create::create;
pub use restore::restore;

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
