//! `POST /v1/graphql`: exact counts and simple reads.
//!
//! ```text
//! no class in the schema ─► 422; syntax ─► 200 with errors; field by field ─► data | errors with path
//! ```

mod get;
mod parse;

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::Answer;
use crate::auth::Verb;
use crate::store::State;
use parse::Field;

pub fn run(call: &Call<'_>) -> Result<Answer, Answer> {
    let request = call.request.json()?;
    call.allow(Verb::Read, "data/collections/*/shards/*/objects/*")?;
    let state = call.app.store.read();
    if state.classes.is_empty() {
        let message = "no graphql provider present, this is most likely because no schema is present. \
                       Import a schema first!";
        return Err(Answer::error(422, message));
    }
    let fields = match parse::query(request["query"].as_str().unwrap_or_default()) {
        Ok(fields) => fields,
        Err(error) => {
            return Ok(Answer::ok(json!({"data": null, "errors": [{"message": error.to_string()}]})));
        }
    };
    // A name that the schema does not know stops the whole query before anything runs.
    if let Some(error) = fields.iter().find_map(|operation| unknown_field(&state, operation)) {
        return Ok(Answer::ok(json!({"errors": [error]})));
    }
    Ok(execute(&state, &fields))
}

fn unknown_field(state: &State, operation: &Field) -> Option<Value> {
    let place = |field: &Field| json!([{"column": field.column, "line": field.line}]);
    let kind = match operation.name.as_str() {
        "Aggregate" => "AggregateObjectsObj",
        "Get" => "GetObjectsObj",
        name => {
            let message = format!("Cannot query field \"{name}\" on type \"WeaviateObj\".");
            return Some(json!({"locations": place(operation), "message": message, "path": null}));
        }
    };
    let unknown = operation.fields.iter().find(|field| state.resolve(&field.name).is_none())?;
    let message = format!("Cannot query field \"{}\" on type \"{kind}\".", unknown.name);
    Some(json!({"locations": place(unknown), "message": message, "path": null}))
}

fn execute(state: &State, operations: &[Field]) -> Answer {
    let mut data = Map::new();
    let mut errors = Vec::new();
    let mut details = Vec::new();
    for operation in operations {
        let mut results = Map::new();
        for field in &operation.fields {
            let outcome = match operation.name.as_str() {
                "Aggregate" => aggregate(state, field, &mut details),
                _ => get::objects(state, field, &mut details),
            };
            let value = outcome.unwrap_or_else(|message| {
                errors.push(json!({
                    "locations": [{"column": field.column, "line": field.line}],
                    "message": message,
                    "path": [operation.name, field.name],
                }));
                Value::Null
            });
            results.insert(field.name.clone(), value);
        }
        data.insert(operation.name.clone(), Value::Object(results));
    }
    let mut body = json!({"data": data});
    if !errors.is_empty() {
        body["errors"] = errors.into();
    }
    // One question, one object; several, a list.
    let details = match details.len() {
        1 => details.remove(0),
        _ => Value::Array(details),
    };
    Answer::ok(body).with_details(details)
}

fn aggregate(state: &State, field: &Field, details: &mut Vec<Value>) -> Result<Value, String> {
    let class = state.resolve(&field.name).ok_or("class not found")?;
    let tenant = field.text("tenant");
    let count = class.shard(tenant).map_err(|error| error.to_string())?.count();
    details.push(json!({"class": class.name(), "tenant": tenant, "count": count}));
    let mut row = Map::new();
    if field.field("meta").is_some_and(|meta| meta.field("count").is_some()) {
        row.insert("meta".into(), json!({"count": count}));
    }
    Ok(json!([row]))
}
