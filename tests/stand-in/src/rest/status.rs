//! Liveness, readiness, meta and nodes.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::Answer;
use crate::App;
use crate::auth::Verb;

pub fn ready(app: &App) -> Answer {
    Answer::empty(if app.ready.load(Ordering::Relaxed) { 200 } else { 503 })
}

pub fn openid(app: &App) -> Answer {
    match &app.settings.auth.oidc {
        None => Answer::empty(404),
        Some(oidc) => Answer::ok(json!({
            "href": format!("{}/.well-known/openid-configuration", oidc.issuer.trim_end_matches('/')),
            "clientId": oidc.client_id,
            "scopes": oidc.scopes,
        })),
    }
}

pub fn meta(app: &App) -> Answer {
    let settings = &app.settings;
    let mut modules: Map<String, Value> = if settings.api_modules {
        serde_json::from_str(include_str!("modules.json")).unwrap_or_default()
    } else {
        Map::new()
    };
    if let Some(path) = &settings.filesystem {
        modules.insert("backup-filesystem".into(), json!({"backupsPath": path}));
    }
    if let Some(s3) = &settings.s3 {
        modules.insert(
            "backup-s3".into(),
            json!({
                "bucketName": s3.bucket, "endpoint": s3.endpoint, "rootName": s3.prefix, "useSSL": s3.use_ssl,
            }),
        );
    }
    modules.sort_keys();
    Answer::ok(json!({
        "grpcMaxMessageSize": 104_858_000,
        "hostname": format!("http://{}:{}", settings.host, settings.port),
        "modules": modules,
        "version": settings.version,
    }))
}

pub fn nodes(call: &Call<'_>, class: Option<&str>) -> Result<Answer, Answer> {
    call.allow(Verb::Read, "nodes/verbosity/minimal")?;
    let mut node = json!({
        "batchStats": {"queueLength": 0, "ratePerSecond": 0},
        "name": call.app.store.node,
        "operationalMode": call.app.mode(),
        "shards": null,
        "status": "HEALTHY",
        "version": call.app.settings.version,
    });
    if call.request.parameter("output") == Some("verbose") {
        let state = call.app.store.read();
        let wanted = state.classes.values().filter(|found| class.is_none_or(|class| found.name() == class));
        let mut shards = Vec::new();
        let mut objects = 0;
        for class in wanted {
            for (name, shard) in &class.shards {
                objects += shard.flushed_count();
                shards.push(json!({
                    "asyncReplicationStatus": [], "class": class.name(), "compressed": false, "loaded": true,
                    "name": name, "numberOfReplicas": 1, "objectCount": shard.flushed_count(),
                    "replicationFactor": 1, "vectorIndexingStatus": "READY", "vectorQueueLength": 0,
                }));
            }
        }
        node["stats"] = json!({"objectCount": objects, "shardCount": shards.len()});
        if !shards.is_empty() {
            node["shards"] = shards.into();
        }
    }
    Ok(Answer::ok(json!({"nodes": [node]})))
}
