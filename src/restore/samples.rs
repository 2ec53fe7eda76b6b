//! Samples: some objects of each collection with their vectors, as digests in the manifest, and read back by their ids
//! after a restore. A count is the same for other data; a digest is not.
//!
//! ```text
//! backup : a random id ─▶ the next objects by cursor ─▶ SHA-256 of each ─▶ manifest: tenant → id → digest
//! restore: by id, as many as `restore.samples` says ─▶ the same digest, or a difference
//! ```

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::RestoreError;
use crate::hex::hex;
use crate::manifest::Collections;
use crate::report::Status;
use crate::weaviate::{Client, is_active};

/// Tenant, or "" → id → digest.
pub type Samples = BTreeMap<String, BTreeMap<String, String>>;

/// Objects that are read at a time.
const READS: usize = 8;
/// Tenants of which samples are taken: each is a request, and a collection may have a million.
const TENANTS: usize = 20;

/// Of what clients read of an object: not of the times, which a server may print in another way.
fn digest(object: &Value) -> String {
    let of = |name: &str| object.get(name).cloned().unwrap_or_default();
    let text = json!([of("class"), of("id"), of("properties"), of("vector"), of("vectors")]).to_string();
    hex(&Sha256::digest(text))
}

/// Takes samples of every active collection into `collections`: `most` of each at the most.
pub async fn take(client: &Client, collections: &mut Collections, most: usize) -> Result<(), RestoreError> {
    for (class, collection) in collections.iter_mut() {
        let tenants = collection.tenants.iter();
        let full = tenants.filter(|(_, tenant)| {
            tenant.objects.is_some_and(|n| n > 0) && tenant.status.as_deref().is_none_or(is_active)
        });
        let full: Vec<&String> = full.map(|(name, _)| name).collect();
        let chosen: Vec<&String> = full.sample(&mut rand::rng(), TENANTS).copied().collect();
        let each = most.div_ceil(chosen.len().max(1));
        let taken: Samples = stream::iter(chosen)
            .map(async |tenant| {
                let of = Some(tenant.as_str()).filter(|tenant| !tenant.is_empty());
                Ok::<_, RestoreError>((tenant.clone(), some(client, class, of, each).await?))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        collection.samples = json!(taken);
    }
    Ok(())
}

/// The objects after a random id, and, where those are too few, the first ones of all.
async fn some(
    client: &Client,
    class: &str,
    tenant: Option<&str>,
    most: usize,
) -> Result<BTreeMap<String, String>, RestoreError> {
    let mut found = BTreeMap::new();
    let anywhere = format!("{:08x}-0000-4000-8000-000000000000", rand::random::<u32>());
    for after in [anywhere.as_str(), "00000000-0000-0000-0000-000000000000"] {
        if found.len() >= most {
            break;
        }
        for object in client.objects(class, tenant, after, most - found.len()).await? {
            if let Some(id) = object["id"].as_str() {
                found.insert(id.to_owned(), digest(&object));
            }
        }
    }
    Ok(found)
}

/// Every sample that is not what it was, each as a sentence; those of collections that were changing are warnings.
pub async fn differences(
    client: &Client,
    collections: &Collections,
    most: usize,
    status: &Status,
) -> Result<Vec<String>, RestoreError> {
    let mut wanted = Vec::new();
    for (class, collection) in collections {
        // Null: nobody took any. Something else: a later version's.
        let Ok(samples) = serde_json::from_value::<Samples>(collection.samples.clone()) else { continue };
        let all: Vec<_> = samples
            .into_iter()
            .flat_map(|(tenant, objects)| objects.into_iter().map(move |(id, sum)| (tenant.clone(), id, sum)))
            .collect();
        let some = all.sample(&mut rand::rng(), most).cloned();
        wanted.extend(some.map(|(tenant, id, sum)| (class, collection.changing, tenant, id, sum)));
    }
    let found: Vec<Option<(bool, String)>> = stream::iter(wanted)
        .map(async |(class, changing, tenant, id, sum)| {
            let of = Some(tenant.as_str()).filter(|tenant| !tenant.is_empty());
            let object = client.object(class, of, &id).await?;
            status.alive();
            let what = match object {
                None => "is missing",
                Some(object) if digest(&object) != sum => "is not what was backed up",
                Some(_) => return Ok::<_, RestoreError>(None),
            };
            let of = of.map_or_else(String::new, |tenant| format!(", tenant {tenant}"));
            Ok(Some((changing, format!("object {id} of collection {class}{of} {what}"))))
        })
        .buffer_unordered(READS)
        .try_collect()
        .await?;
    let (unsure, found): (Vec<_>, Vec<_>) = found.into_iter().flatten().partition(|(changing, _)| *changing);
    for (_, what) in unsure {
        tracing::warn!("{what}; clients wrote to it while it was backed up");
    }
    Ok(found.into_iter().map(|(_, what)| what).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Collection, Tenant};
    use crate::tests::make::scripted;

    fn object(title: &str) -> Value {
        json!({
            "class": "A", "id": "7", "properties": { "title": title }, "vector": [0.25, 1], "lastUpdateTimeUnix": 1,
        })
    }

    fn with(samples: Value, changing: bool) -> Collections {
        let tenant = Tenant { objects: Some(1), status: Some("HOT".into()), ..Tenant::default() };
        let tenants = [(String::new(), tenant)].into();
        [("A".to_owned(), Collection { tenants, samples, changing, ..Collection::default() })].into()
    }

    #[test]
    fn a_digest_is_of_what_clients_read() {
        let same = json!({ "vector": [0.25, 1], "lastUpdateTimeUnix": 2, "id": "7", "class": "A",
            "properties": { "title": "one" } });
        assert_eq!(digest(&object("one")), digest(&same), "neither order nor times");
        assert_ne!(digest(&object("one")), digest(&object("two")));
        let turned =
            json!({ "class": "A", "id": "7", "properties": { "title": "one" }, "vector": [1, 0.25] });
        assert_ne!(digest(&object("one")), digest(&turned));
    }

    #[tokio::test]
    async fn what_was_taken_is_found_again_or_missed() {
        let listed = json!({ "objects": [object("one")] }).to_string();
        let client = scripted(&[(200, listed)]).await;
        let mut taken = with(Value::Null, false);
        take(&client, &mut taken, 5).await.expect("taken");
        let sum = digest(&object("one"));
        assert_eq!(taken["A"].samples, json!({ "": { "7": sum } }));

        let answers = [
            (200, object("one").to_string(), None),
            (200, object("two").to_string(), Some("object 7 of collection A is not what was backed up")),
            (404, String::new(), Some("object 7 of collection A is missing")),
        ];
        for (status, body, expected) in answers {
            let client = scripted(&[(status, body)]).await;
            let status = Status::default();
            let found = differences(&client, &taken, 5, &status).await.expect("looked");
            assert_eq!(found.first().map(String::as_str), expected);
            let changing = with(taken["A"].samples.clone(), true);
            let unsure = differences(&client, &changing, 5, &status).await.expect("looked");
            assert!(unsure.is_empty(), "{unsure:?}");
            assert!(
                differences(&client, &taken, 0, &status).await.expect("looked").is_empty(),
                "none wanted"
            );
            let none = differences(&client, &with(Value::Null, false), 5, &status).await.expect("looked");
            assert!(none.is_empty(), "nobody took any");
        }
    }

    #[tokio::test]
    async fn a_tenant_that_rests_has_no_samples() {
        let client = scripted(&[(500, "asked")]).await;
        let mut resting = with(Value::Null, false);
        for collection in resting.values_mut() {
            let tenant = Tenant { objects: None, status: Some("COLD".into()), ..Tenant::default() };
            collection.tenants = [("cold".to_owned(), tenant)].into();
        }
        take(&client, &mut resting, 5).await.expect("nobody is asked");
        assert_eq!(resting["A"].samples, json!({}));
    }
}
