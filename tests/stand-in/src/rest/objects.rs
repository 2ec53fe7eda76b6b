//! Objects: one by one, listed by cursor, in batches (recording 27).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Call;
use super::answer::Answer;
use crate::auth::Verb;
use crate::store::State;
use crate::store::class::Class;
use crate::store::object::Object;

fn resource(class: &str, tenant: Option<&str>, id: &str) -> String {
    format!("data/collections/{class}/shards/{}/objects/{id}", tenant.unwrap_or("*"))
}

pub fn list(call: &Call<'_>) -> Result<Answer, Answer> {
    let request = call.request;
    let name = request.parameter("class");
    let tenant = request.parameter("tenant");
    call.allow(Verb::Read, &resource(name.unwrap_or("*"), tenant, "*"))?;
    let limit = request.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(25);
    let offset = request.parameter("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
    let after = request.parameter("after").and_then(|after| Uuid::parse_str(after).ok());
    let state = call.app.store.read();
    let mut found = Vec::new();
    for class in state.classes.values() {
        let wanted =
            name.is_none_or(|name| state.resolve(name).is_some_and(|named| named.name() == class.name()));
        if !wanted || (name.is_none() && class.is_multi_tenant()) {
            continue;
        }
        let index = class.name().to_lowercase();
        let shard = class
            .shard(tenant)
            .map_err(|error| Answer::error(422, format!("msg:search index {index} code:422 err:{error}")))?;
        found.extend(shard.list(after, offset, limit)?);
    }
    if let Some(name) = name.filter(|name| state.resolve(name).is_none()) {
        let message = format!("class not found: could not find class {name} in schema");
        return Err(Answer::error(422, message));
    }
    found.truncate(limit);
    let with_vector = wants_vector(call);
    let objects: Vec<Value> = found.iter().map(|object| shown(object, with_vector)).collect();
    let details = json!({"class": name, "tenant": tenant, "count": objects.len()});
    Ok(Answer::ok(json!({"deprecations": [], "totalResults": objects.len(), "objects": objects}))
        .with_details(details))
}

fn wants_vector(call: &Call<'_>) -> bool {
    call.request.parameter("include").is_some_and(|include| include.split(',').any(|word| word == "vector"))
}

fn shown(object: &Object, with_vector: bool) -> Value {
    let mut value = object.to_json(with_vector);
    value["vectorWeights"] = Value::Null;
    value
}

pub fn get(call: &Call<'_>, class: &str, id: &str) -> Result<Answer, Answer> {
    let tenant = call.request.parameter("tenant");
    call.allow(Verb::Read, &resource(class, tenant, id))?;
    let state = call.app.store.read();
    let class = state.resolve(class).ok_or_else(|| Answer::empty(404))?;
    let shard = class.shard(tenant).map_err(|error| Answer::error(422, error))?;
    let id = Uuid::parse_str(id).map_err(|error| Answer::error(422, error))?;
    let object = shard.get(id).ok_or_else(|| Answer::empty(404))??;
    if call.request.method == "HEAD" {
        return Ok(Answer::empty(204));
    }
    Ok(Answer::ok(shown(&object, wants_vector(call))))
}

pub fn delete(call: &Call<'_>, class: &str, id: &str) -> Result<Answer, Answer> {
    let tenant = call.request.parameter("tenant");
    call.allow(Verb::Delete, &resource(class, tenant, id))?;
    let id = Uuid::parse_str(id).map_err(|error| Answer::error(422, error))?;
    let mut state = call.app.store.write();
    let class = state.resolve_mut(class).ok_or_else(|| Answer::empty(404))?;
    let shard = class.shard_mut(tenant).map_err(|error| Answer::error(422, error))?;
    Ok(Answer::empty(if shard.remove(id)? { 204 } else { 404 }))
}

pub fn create(call: &Call<'_>) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    let class = request["class"].as_str().unwrap_or_default();
    let tenant = request["tenant"].as_str();
    call.allow(Verb::Create, &resource(class, tenant, "*"))?;
    writable(call)?;
    let object = parsed(&request)?;
    let mut state = call.app.store.write();
    let found = class_of(&mut state, class)?;
    check_properties(found, &object).map_err(|message| Answer::error(422, message))?;
    let shard = found.shard_mut(tenant).map_err(|error| Answer::error(422, error))?;
    if shard.contains(object.id) {
        return Err(Answer::error(422, format!("id '{}' already exists", object.id)));
    }
    let stored = shard.put(object)?;
    Ok(Answer::ok(stored.to_json(true)))
}

pub fn replace(call: &Call<'_>, class: &str, id: &str) -> Result<Answer, Answer> {
    let mut request = call.request.json()?;
    request["id"] = id.into();
    request["class"] = class.into();
    let tenant = request["tenant"].as_str();
    call.allow(Verb::Update, &resource(class, tenant, id))?;
    writable(call)?;
    let object = parsed(&request)?;
    let mut state = call.app.store.write();
    let found = class_of(&mut state, class)?;
    check_properties(found, &object).map_err(|message| Answer::error(422, message))?;
    let shard = found.shard_mut(tenant).map_err(|error| Answer::error(422, error))?;
    if !shard.contains(object.id) {
        return Err(Answer::error(422, format!("no object with id '{}'", object.id)));
    }
    Ok(Answer::ok(shard.put(object)?.to_json(true)))
}

pub fn batch(call: &Call<'_>) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    call.allow(Verb::Create, &resource("*", None, "*"))?;
    let refused = writable(call).err();
    let mut state = call.app.store.write();
    let mut shown = Vec::new();
    for item in request["objects"].as_array().into_iter().flatten() {
        let outcome = match &refused {
            Some(refused) => Err(message_of(refused)),
            None => put(&mut state, item),
        };
        shown.push(match outcome {
            Ok(object) => {
                let mut value = object.to_json(true);
                value["deprecations"] = Value::Null;
                value["result"] = json!({"status": "SUCCESS"});
                value
            }
            Err(message) => {
                let mut value = item.clone();
                value["deprecations"] = Value::Null;
                let id = item["id"].as_str().map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
                let now = now();
                value["id"] = id.into();
                value["creationTimeUnix"] = now.into();
                value["lastUpdateTimeUnix"] = now.into();
                value["result"] = json!({"errors": {"error": [{"message": message}]}, "status": "FAILED"});
                value
            }
        });
    }
    let details = json!({"objects": shown.len()});
    Ok(Answer::ok(shown.into()).with_details(details))
}

fn put(state: &mut State, item: &Value) -> Result<Object, String> {
    let object = parsed(item).map_err(|refused| message_of(&refused))?;
    let class = class_of(state, item["class"].as_str().unwrap_or_default())
        .map_err(|refused| message_of(&refused))?;
    check_properties(class, &object)?;
    let shard = class.shard_mut(item["tenant"].as_str()).map_err(|error| error.to_string())?;
    shard.put(object).map_err(|error| error.to_string())
}

fn message_of(answer: &Answer) -> String {
    let message = answer.body.as_ref().and_then(|body| body["error"][0]["message"].as_str());
    message.unwrap_or("not found").to_owned()
}

fn class_of<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Class, Answer> {
    state.resolve_mut(name).ok_or_else(|| Answer::error(422, format!("class \"{name}\" not found in schema")))
}

/// Above the disk threshold the shards are read-only.
fn writable(call: &Call<'_>) -> Result<(), Answer> {
    if call.app.is_read_only() {
        return Err(Answer::error(500, "put object: import into index: store is read-only"));
    }
    Ok(())
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn parsed(value: &Value) -> Result<Object, Answer> {
    let id = match value["id"].as_str() {
        Some(id) => Uuid::parse_str(id).map_err(|error| Answer::invalid(422, 601, error))?,
        None => Uuid::new_v4(),
    };
    let properties = value["properties"].as_object().cloned().unwrap_or_default();
    // A vector of JSON numbers is kept as f32 on purpose, as the server does.
    #[allow(clippy::cast_possible_truncation)]
    let vector = value["vector"].as_array().into_iter().flatten().filter_map(Value::as_f64).map(|v| v as f32);
    let now = now();
    Ok(Object {
        id,
        doc: 0,
        class: value["class"].as_str().unwrap_or_default().to_owned(),
        created: now,
        updated: now,
        vector: vector.collect(),
        properties: sorted(properties),
    })
}

fn sorted(mut properties: Map<String, Value>) -> Map<String, Value> {
    properties.sort_keys();
    properties
}

fn check_properties(class: &Class, object: &Object) -> Result<(), String> {
    for property in class.schema["properties"].as_array().into_iter().flatten() {
        let name = property["name"].as_str().unwrap_or_default();
        let Some(value) = object.properties.get(name).filter(|value| !value.is_null()) else { continue };
        if property["dataType"][0] == "text" && !value.is_string() {
            let kind = match value {
                Value::Number(_) => "json.Number",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            return Err(format!(
                "invalid text property '{name}' on class '{}': not a string, but {kind}",
                class.name()
            ));
        }
    }
    Ok(())
}
