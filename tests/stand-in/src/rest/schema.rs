//! Classes, tenants and aliases.

use serde_json::{Value, json};

use super::Call;
use super::answer::Answer;
use crate::auth::Verb;
use crate::store::class::{Class, remove_dir};

/// The schema as `GET` shows it: alphabetical inside, which a comparison of JSON does not see.
pub fn list(call: &Call<'_>) -> Result<Answer, Answer> {
    call.allow(Verb::Read, "schema/collections/*/shards/#")?;
    let state = call.app.store.read();
    let classes: Vec<_> = state.classes.values().map(shown).collect();
    let names: Vec<_> = state.classes.keys().cloned().collect();
    Ok(Answer::ok(json!({"classes": classes})).with_details(json!({"classes": names})))
}

/// A backup leaves out what is false here, the API says it (recording 10).
fn shown(class: &Class) -> Value {
    let mut schema = class.schema.clone();
    if let Some(replication) = schema["replicationConfig"].as_object_mut() {
        replication.entry("asyncEnabled").or_insert(false.into());
    }
    schema
}

pub fn create(call: &Call<'_>) -> Result<Answer, Answer> {
    let mut request = call.request.json()?;
    let name = capitalised(request["class"].as_str().unwrap_or_default());
    request["class"] = name.clone().into();
    call.allow(Verb::Create, &format!("schema/collections/{name}/shards/#"))?;
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || name.is_empty() {
        return Err(Answer::error(422, format!("'{name}' is not a valid class name")));
    }
    let mut state = call.app.store.write();
    if state.resolve(&name).is_some() {
        return Err(Answer::error(422, format!("class name {name} already exists")));
    }
    let class = Class::create(&call.app.store.root, &call.app.store.node, &request)?;
    let schema = class.schema.clone();
    state.classes.insert(name, class);
    call.app.store.save(&state)?;
    Ok(Answer::ok(schema))
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

pub fn get(call: &Call<'_>, class: &str) -> Result<Answer, Answer> {
    call.allow(Verb::Read, &format!("schema/collections/{class}/shards/#"))?;
    let state = call.app.store.read();
    state.resolve(class).map_or(Err(Answer::empty(404)), |class| Ok(Answer::ok(shown(class))))
}

pub fn delete(call: &Call<'_>, class: &str) -> Result<Answer, Answer> {
    call.allow(Verb::Delete, &format!("schema/collections/{class}/shards/#"))?;
    let mut state = call.app.store.write();
    if let Some(class) = state.classes.remove(class) {
        call.app.store.save(&state)?;
        remove_dir(class.dir())?;
    }
    Ok(Answer::empty(200))
}

fn with_class<T>(
    call: &Call<'_>,
    name: &str,
    act: impl FnOnce(&mut Class) -> Result<T, Answer>,
) -> Result<T, Answer> {
    let mut state = call.app.store.write();
    let class = state.resolve_mut(name).ok_or_else(|| Answer::empty(404))?;
    if !class.is_multi_tenant() {
        let name = class.name().to_owned();
        return Err(Answer::error(422, format!("multi-tenancy is not enabled for class \"{name}\"")));
    }
    let result = act(class)?;
    call.app.store.save(&state)?;
    Ok(result)
}

pub fn tenants(call: &Call<'_>, class: &str) -> Result<Answer, Answer> {
    call.allow(Verb::Read, &format!("schema/collections/{class}/shards/*"))?;
    let state = call.app.store.read();
    let class = state.resolve(class).ok_or_else(|| Answer::empty(404))?;
    if !class.is_multi_tenant() {
        return Err(Answer::error(
            422,
            format!("multi-tenancy is not enabled for class \"{}\"", class.name()),
        ));
    }
    let tenants: Vec<Value> = class
        .shard_names()
        .iter()
        .map(|name| json!({"activityStatus": class.status(name), "name": name}))
        .collect();
    Ok(Answer::ok(tenants.into()))
}

/// The state of each shard: READONLY while the disk is too full.
pub fn shards(call: &Call<'_>, class: &str) -> Result<Answer, Answer> {
    call.allow(Verb::Read, &format!("schema/collections/{class}/shards/*"))?;
    let state = call.app.store.read();
    let class = state.resolve(class).ok_or_else(|| Answer::empty(404))?;
    let status = if call.app.is_read_only() { "READONLY" } else { "READY" };
    let shards: Vec<Value> = class
        .shard_names()
        .iter()
        .filter(|name| class.is_active(name))
        .map(|name| json!({"name": name, "status": status, "vectorQueueSize": 0}))
        .collect();
    Ok(Answer::ok(shards.into()))
}

/// The words of the API for what is HOT and COLD inside.
fn inner_status(word: Option<&str>) -> Result<&'static str, Answer> {
    match word {
        None | Some("ACTIVE" | "HOT") => Ok("HOT"),
        Some("INACTIVE" | "COLD") => Ok("COLD"),
        Some(word) => Err(Answer::error(422, format!("invalid activity status '{word}'"))),
    }
}

pub fn set_tenants(call: &Call<'_>, class: &str, verb: Verb) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    call.allow(verb, &format!("schema/collections/{class}/shards/*"))?;
    let node = call.app.store.node.clone();
    let shown = with_class(call, class, |class| {
        let mut shown = Vec::new();
        for tenant in request.as_array().into_iter().flatten() {
            let name = tenant["name"].as_str().unwrap_or_default();
            let word = tenant["activityStatus"].as_str();
            let status = inner_status(word)?;
            if verb == Verb::Update && class.status(name).is_none() {
                return Err(Answer::error(422, format!("tenant not found: \"{name}\"")));
            }
            if verb == Verb::Update || class.status(name).is_none() {
                class.set_tenant(&node, name, status)?;
            }
            shown.push(match word {
                None => json!({"name": name}),
                Some(_) => json!({"activityStatus": status, "name": name}),
            });
        }
        Ok(shown)
    })?;
    Ok(Answer::ok(shown.into()))
}

pub fn delete_tenants(call: &Call<'_>, class: &str) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    call.allow(Verb::Delete, &format!("schema/collections/{class}/shards/*"))?;
    with_class(call, class, |class| {
        for name in request.as_array().into_iter().flatten().filter_map(Value::as_str) {
            class.remove_tenant(name)?;
        }
        Ok(())
    })?;
    Ok(Answer::empty(200))
}

pub fn aliases(call: &Call<'_>) -> Result<Answer, Answer> {
    call.allow(Verb::Read, "aliases/collections/*/aliases/*")?;
    let state = call.app.store.read();
    let wanted = call.request.parameter("class");
    let aliases: Vec<_> = state
        .aliases
        .iter()
        .filter(|(_, class)| wanted.is_none_or(|wanted| wanted == class.as_str()))
        .map(|(alias, class)| json!({"alias": alias, "class": class}))
        .collect();
    Ok(Answer::ok(json!({"aliases": aliases})))
}

pub fn alias(call: &Call<'_>, alias: &str) -> Result<Answer, Answer> {
    call.allow(Verb::Read, &format!("aliases/collections/*/aliases/{alias}"))?;
    let state = call.app.store.read();
    let class = state.aliases.get(alias).ok_or_else(|| Answer::empty(404))?;
    Ok(Answer::ok(json!({"alias": alias, "class": class})))
}

pub fn set_alias(call: &Call<'_>) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    let alias = capitalised(request["alias"].as_str().unwrap_or_default());
    let class = capitalised(request["class"].as_str().unwrap_or_default());
    call.allow(Verb::Create, &format!("aliases/collections/{class}/aliases/{alias}"))?;
    let mut state = call.app.store.write();
    if !state.classes.contains_key(&class) {
        return Err(Answer::error(422, format!("create alias: class {class} not found")));
    }
    if state.resolve(&alias).is_some() {
        return Err(Answer::error(422, format!("create alias: alias name: {alias} already exists")));
    }
    let shown = json!({"alias": alias, "class": class});
    state.aliases.insert(alias, class);
    call.app.store.save(&state)?;
    Ok(Answer::ok(shown))
}

/// `PUT`: the alias names another collection from now on.
pub fn move_alias(call: &Call<'_>, alias: &str) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    let alias = capitalised(alias);
    let class = capitalised(request["class"].as_str().unwrap_or_default());
    call.allow(Verb::Update, &format!("aliases/collections/{class}/aliases/{alias}"))?;
    let mut state = call.app.store.write();
    if !state.classes.contains_key(&class) {
        return Err(Answer::error(422, format!("replace alias: class {class} not found")));
    }
    let held = state.aliases.get_mut(&alias).ok_or_else(|| Answer::empty(404))?;
    held.clone_from(&class);
    call.app.store.save(&state)?;
    Ok(Answer::ok(json!({"alias": alias, "class": class})))
}

pub fn delete_alias(call: &Call<'_>, alias: &str) -> Result<Answer, Answer> {
    call.allow(Verb::Delete, &format!("aliases/collections/*/aliases/{alias}"))?;
    let mut state = call.app.store.write();
    state.aliases.remove(alias).ok_or_else(|| Answer::empty(404))?;
    call.app.store.save(&state)?;
    Ok(Answer::empty(204))
}
