//! Caches filled before clients come, and the staged bytes gone.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::error::RestoreError;
use super::super::evidence::Warm;
use super::super::{blocking, staging};
use super::client;
use crate::disk::DataVolume;
use crate::host::Host;
use crate::manifest::Owned;
use crate::report::{Status, Step};
use crate::secrets::Secrets;
use crate::weaviate::{Client, WeaviateError};

/// For all queries together: clients wait meanwhile, and a cold cache is slow, not wrong.
pub(super) const BUDGET: Duration = Duration::from_mins(2);

/// Sends the configured queries once. A query that fails is said, and stops nothing: the data is right.
pub async fn warm(host: &Host, owned: Owned, secrets: &Secrets) -> Result<Warm, RestoreError> {
    let (eni, running, volume, restored) = owned.into_parts();
    ask(&host.status, &client(&running, secrets), &host.settings.restore.warm, BUDGET).await;
    Ok(Warm { eni, running, volume, restored })
}

/// Asks all, within the budget; what did not go well is a warning.
async fn ask(status: &Status, client: &Client, queries: &[String], budget: Duration) {
    let end = Instant::now() + budget;
    for (n, query) in (1..).zip(queries) {
        status.count(Step::Warm, format!("query {n} of {}", queries.len()));
        match timeout_at(end, one(client, query)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(why))) => status.warn(format!("query {n} of restore.warm failed: {why}")),
            Ok(Err(error)) => status.warn(format!("query {n} of restore.warm failed: {error}")),
            Err(_) => {
                let all = queries.len();
                let budget = budget.as_secs();
                return status.warn(format!(
                    "restore.warm was ended at query {n} of {all}: all of them may take {budget} s"
                ));
            }
        }
    }
}

/// The server's complaint, if it has one.
async fn one(client: &Client, query: &str) -> Result<Option<String>, WeaviateError> {
    let answer = client.graphql(query).await?;
    if answer.status == 200 && answer.body["errors"].is_null() {
        return Ok(None);
    }
    let said = answer.body["errors"][0]["message"].as_str();
    Ok(Some(said.map_or_else(|| answer.message(), str::to_owned)))
}

/// Removes the staged bytes, once the fence is ours and nobody can make us restore again. They take space and
/// nothing else, so what cannot be removed is a warning.
pub async fn clear(host: &Host, volume: &DataVolume) {
    let cleared = async {
        let tree = staging(volume)?;
        blocking(move || {
            for name in tree.names(Path::new(""))? {
                tree.remove(Path::new(&name))?;
            }
            Ok(())
        })
        .await
    };
    let cleared: Result<(), RestoreError> = cleared.await;
    if let Err(error) = cleared {
        host.status.warn(format!("the staged backup still takes space: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slow_queries_do_not_keep_clients_out() {
        // It takes connections, and never answers.
        let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let client = Client::new(&format!("http://{}", mute.local_addr().expect("bound")), None);
        let status = Status::default();
        let queries = ["{ Get }".to_owned(), "{ Aggregate }".to_owned()];
        ask(&status, &client, &queries, Duration::from_millis(200)).await;
        assert_eq!(
            status.warnings(),
            ["restore.warm was ended at query 1 of 2: all of them may take 0 s"],
            "the second is not tried at all"
        );
    }
}
