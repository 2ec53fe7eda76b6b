//! `{ Get { Class(...) { property _additional { id distance } } } }`.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::parse::Field;
use crate::store::State;
use crate::store::class::Class;
use crate::store::object::{Object, number};
use crate::store::shard::Shard;

const DEFAULT_LIMIT: usize = 10;

pub fn objects(state: &State, field: &Field, details: &mut Vec<Value>) -> Result<Value, String> {
    let class = state.resolve(&field.name).ok_or("class not found")?;
    let tenant = field.text("tenant");
    let shard = class.shard(tenant).map_err(|error| error.to_string())?;
    let limit = field.size("limit").unwrap_or(DEFAULT_LIMIT);
    let found = if let Some(near) = field.arguments.get("nearVector") {
        nearest(class, shard, &near["vector"], limit)?
    } else if let Some(bm25) = field.arguments.get("bm25") {
        holding(shard, bm25["query"].as_str().unwrap_or_default(), limit)?
    } else {
        let after = field.text("after").and_then(|after| Uuid::parse_str(after).ok());
        let skip = field.size("offset").unwrap_or(0);
        let listed = shard.list(after, skip, limit).map_err(|error| error.to_string())?;
        listed.into_iter().map(|object| (object, None)).collect()
    };
    details.push(json!({"class": class.name(), "tenant": tenant, "objects": found.len()}));
    Ok(found.iter().map(|(object, distance)| project(field, object, *distance)).collect())
}

fn project(field: &Field, object: &Object, distance: Option<f32>) -> Value {
    let mut row = Map::new();
    for wanted in &field.fields {
        let value = if wanted.name == "_additional" {
            additional(wanted, object, distance)
        } else {
            object.properties.get(&wanted.name).cloned().unwrap_or(Value::Null)
        };
        row.insert(wanted.name.clone(), value);
    }
    Value::Object(row)
}

fn additional(field: &Field, object: &Object, distance: Option<f32>) -> Value {
    let mut row = Map::new();
    for wanted in &field.fields {
        let value = match wanted.name.as_str() {
            "id" => object.id.to_string().into(),
            "distance" => distance.map_or(Value::Null, number),
            "vector" => object.vector.iter().copied().map(number).collect(),
            "creationTimeUnix" => object.created.to_string().into(),
            "lastUpdateTimeUnix" => object.updated.to_string().into(),
            _ => Value::Null,
        };
        row.insert(wanted.name.clone(), value);
    }
    Value::Object(row)
}

type Found = Vec<(Object, Option<f32>)>;

fn nearest(class: &Class, shard: &Shard, vector: &Value, limit: usize) -> Result<Found, String> {
    #[allow(clippy::cast_possible_truncation)]
    let wanted: Vec<f32> =
        vector.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|value| value as f32).collect();
    let mut found = Vec::new();
    for object in shard.all() {
        let object = object.map_err(|error| error.to_string())?;
        if object.vector.is_empty() {
            continue;
        }
        if object.vector.len() != wanted.len() {
            let index = class.name().to_lowercase();
            let shard = class.shard_names().into_iter().next().unwrap_or_default();
            return Err(format!(
                "explorer: get class: concurrentTargetVectorSearch): explorer: get class: vector search: \
                 object vector search at index {index}: shard {index}_{shard}: vector search: knn search: \
                 distance between entrypoint and query node: {} vs {}: vector lengths don't match",
                object.vector.len(),
                wanted.len()
            ));
        }
        let distance = cosine_distance(&object.vector, &wanted);
        found.push((object, Some(distance)));
    }
    found.sort_by(|(_, a), (_, b)| a.unwrap_or(0.0).total_cmp(&b.unwrap_or(0.0)));
    found.truncate(limit);
    Ok(found)
}

fn cosine_distance(a: &[f32], b: &[f32]) -> f32 {
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    1.0 - dot / (norm(a) * norm(b)).max(f32::MIN_POSITIVE)
}

/// Objects that hold a word of the query, in the order in which they came.
fn holding(shard: &Shard, query: &str, limit: usize) -> Result<Found, String> {
    let wanted = words(query);
    let mut found = Vec::new();
    for object in shard.all() {
        let object = object.map_err(|error| error.to_string())?;
        let text: Vec<String> =
            object.properties.values().filter_map(Value::as_str).flat_map(words).collect();
        if wanted.iter().any(|word| text.contains(word)) {
            found.push((object, None));
        }
    }
    found.sort_by_key(|(object, _)| object.doc);
    found.truncate(limit);
    Ok(found)
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
