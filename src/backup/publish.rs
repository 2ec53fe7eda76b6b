//! The manifest of a new backup: what it says, whether the pointer follows, and the two writes.

use std::time::Duration;

use super::Job;
use super::carry::Carried;
use super::error::BackupError;
use super::take::Taken;
use crate::manifest::{self, Manifest, ManifestError, Pointer, Server};
use crate::report::Work;
use crate::store::{Condition, StoreError};

/// As for taking the fence.
const DEADLINE: Duration = Duration::from_mins(2);

/// The manifest as it will be: the owner's own, with what is backed up now.
pub fn next(
    job: &Job<'_>,
    own: &Pointer,
    id: &str,
    carried: Carried,
    taken: Taken,
    base: Option<&str>,
) -> Manifest {
    let Carried { mut objects, of_base, global, shards: _ } = carried;
    objects.extend(of_base);
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    let now = own.manifest.clone();
    let Taken { collections, aliases, objects: _, left_out: _, tenants: _, unprotected, quiesced } = taken;
    Manifest {
        backup_id: Some(id.to_owned()),
        from: None,
        bucket: Some(job.store.bucket().to_owned()),
        path: Some(job.store.settings().key(id)),
        created: Some(global.started_at),
        completed: Some(global.completed_at),
        quiesced,
        server: Server {
            version: job.version.clone(),
            image_digest: job.serving.running().image().digest().map(str::to_owned),
            ..Server::default()
        },
        compression: Some(global.compression_type).filter(|kind| !kind.is_empty()),
        chain: base.into_iter().chain([id]).map(str::to_owned).collect(),
        checksum: Some(manifest::checksum(&objects)),
        objects,
        collections,
        aliases,
        unprotected,
        unverified: false,
        adopted: false,
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..now
    }
}

/// Why the pointer stays where it is; `None`: it moves. A pure function of two manifests and of what is not in the next.
pub fn held_back(before: &Manifest, next: &Manifest, left_out: &[String], max_shrink: u32) -> Option<String> {
    if !left_out.is_empty() {
        return Some(format!("it leaves out {}", left_out.join(", ")));
    }
    // A tenant that was put to rest meanwhile is in the backup, or named as unprotected, and cannot be counted.
    let rests = |collection: &str, tenant: &str| {
        let now = next.collections.get(collection).and_then(|now| now.tenants.get(tenant));
        now.is_some_and(|now| now.objects.is_none())
    };
    let (had, has) = (objects(before, rests), objects(next, |_, _| false));
    let kept = u128::from(has) * 100;
    let least = u128::from(had) * u128::from(100 - max_shrink.min(100));
    (kept < least).then(|| {
        format!("it holds {has} objects, the one before held {had}: `backup.max_shrink` allows {max_shrink} % less")
    })
}

/// As many as were counted, without tenants that do not count.
fn objects(manifest: &Manifest, without: impl Fn(&str, &str) -> bool) -> u64 {
    let tenants = manifest.collections.iter().flat_map(|(name, collection)| {
        collection.tenants.iter().filter(|(tenant, _)| !without(name, tenant)).map(|(_, tenant)| tenant)
    });
    tenants.filter_map(|tenant| tenant.at_most.or(tenant.objects)).sum()
}

/// The copy, and then the pointer, unless it is held back; the sentence that says why.
pub async fn publish(
    job: &Job<'_>,
    own: &Pointer,
    next: &Manifest,
    left_out: &[String],
) -> Result<Option<String>, BackupError> {
    let id = next.backup_id.as_deref().unwrap_or_default();
    job.host.status.say(Work::Backup, format!("publishes {id}"));
    let held_back = held_back(&own.manifest, next, left_out, job.host.settings.making.max_shrink);
    copy(job, id, next, held_back.clone()).await?;
    if let Some(why) = &held_back {
        job.host.status.warn(format!("the manifest does not name {id}: {why}"));
        if next.marker != own.manifest.marker {
            // It names what it named, and that the marker was followed: else the next look would follow it again.
            let followed = Manifest { marker: next.marker.clone(), ..own.manifest.clone() };
            manifest::publish_again(&job.store, own, &followed, DEADLINE).await?;
        }
        return Ok(held_back);
    }
    manifest::publish_again(&job.store, own, next, DEADLINE).await?;
    Ok(None)
}

/// Immutable, and nobody's: without owner and nonce.
async fn copy(
    job: &Job<'_>,
    id: &str,
    next: &Manifest,
    held_back: Option<String>,
) -> Result<(), BackupError> {
    let key = job.store.settings().key(&format!("{}/{id}.json", manifest::COPIES));
    let copy = Manifest { owner: None, nonce: None, renewed: 0, held_back, ..next.clone() };
    let malformed = |error: serde_json::Error| ManifestError::Malformed {
        bucket: job.store.bucket().to_owned(),
        key: key.clone(),
        what: error.to_string(),
    };
    let bytes = serde_json::to_vec(&copy).map_err(malformed)?;
    match job.writer.put(&key, bytes.clone(), &Condition::IfAbsent).await {
        Ok(_) => Ok(()),
        // A try whose answer got lost may have written it.
        Err(error @ (StoreError::Precondition { .. } | StoreError::Unreachable { .. })) => {
            match job.store.get(&key).await {
                Ok(there) if there.bytes == bytes => Ok(()),
                Ok(_) | Err(_) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Collection, Tenant};

    fn of(objects: u64, at_most: Option<u64>) -> Manifest {
        let tenant = Tenant { objects: Some(objects), at_most, ..Tenant::default() };
        let collection = Collection { tenants: [(String::new(), tenant)].into(), ..Collection::default() };
        Manifest { collections: [("A".to_owned(), collection)].into(), ..Manifest::default() }
    }

    #[test]
    fn a_database_that_shrank_too_far_is_not_named() {
        let rows = [
            (of(100, None), of(100, None), 0, false),
            (of(100, None), of(99, None), 0, true),
            (of(100, None), of(50, None), 50, false),
            (of(100, None), of(49, None), 50, true),
            (of(100, None), of(0, None), 100, false),
            // What it may have held counts.
            (of(100, None), of(40, Some(60)), 50, false),
            // The first one of all, and a growing one.
            (of(0, None), of(0, None), 0, false),
            (of(1, None), of(u64::MAX, None), 0, false),
        ];
        for (before, next, max_shrink, expected) in rows {
            assert_eq!(held_back(&before, &next, &[], max_shrink).is_some(), expected, "{before:?} {next:?}");
        }
        // Put to rest is not lost; a tenant that is gone is.
        let two = |resting: Option<u64>| {
            let mut both = of(10, None);
            let tenant = Tenant { objects: resting, ..Tenant::default() };
            let collection = both.collections.get_mut("A").expect("there");
            collection.tenants.insert("resting".to_owned(), tenant);
            both
        };
        assert_eq!(held_back(&two(Some(1000)), &two(None), &[], 0), None);
        assert!(held_back(&two(Some(1000)), &of(10, None), &[], 50).is_some());
        // Whoever restored it would lose the rest.
        let some = held_back(&of(7, None), &of(7, None), &["B".to_owned(), "C".to_owned()], 100);
        assert_eq!(some.as_deref(), Some("it leaves out B, C"));
    }
}
