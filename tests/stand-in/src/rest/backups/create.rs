//! `POST /v1/backups/{backend}`.

use serde_json::Value;

use super::super::Call;
use super::super::answer::Answer;
use super::check::{
    descriptor, is_pattern, matches, place_of_body, resources, selection, started, valid_id, validate,
};
use crate::auth::Verb;
use crate::backup::archive::Compression;
use crate::backup::backend::BackendError;
use crate::backup::create::{self, shuffled};
use crate::log;

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
        version: call.app.settings.version.clone(),
    };
    if let Some(refusal) = classes.iter().find_map(|class| create::blocked(&call.app.store, class)) {
        log::line("warning", "create", &refusal);
        return Err(Answer::error(422, refusal));
    }
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
