//! Whether the server serves what was restored, and to those only who may have it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use secrecy::SecretString;

use super::error::RestoreError;
use crate::manifest::{self, Collection, Collections, Manifest, Tenant};
use crate::report::Status;
use crate::retry::{Limits, retry};
use crate::weaviate::descriptor::release;
use crate::weaviate::{Alias, Class, Client, Count, Meta, WeaviateError, is_active};

/// Counts that are asked for at a time. The server answers each from its own count in milliseconds (recording 03): so
/// many hide the way there and back, and more would take its threads from a load.
const COUNTS: usize = 8;

/// A server that has just started may still load a shard; what it cannot count then is counted again.
const COUNT: Limits =
    Limits::new(Duration::from_secs(30), Duration::from_millis(200), Duration::from_secs(3));

/// What the server holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub collections: Collections,
    pub aliases: Vec<Alias>,
}

/// Counts everything. A tenant that is not active cannot be counted (recording 27): its status is what is known.
pub async fn count(client: &Client, status: &Status) -> Result<Seen, RestoreError> {
    count_some(client, status, |_| true).await
}

/// Counts those collections that are wanted.
pub async fn count_some(
    client: &Client,
    status: &Status,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Seen, RestoreError> {
    let mut wanted = Vec::new();
    let mut collections = Collections::new();
    let classes = client.classes().await?;
    for Class { name, multi_tenant } in classes.into_iter().filter(|class| is_wanted(&class.name)) {
        let mut collection = Collection::default();
        if multi_tenant {
            for tenant in client.tenants(&name).await? {
                if is_active(&tenant.status) {
                    wanted.push((name.clone(), Some(tenant.name.clone())));
                }
                let status = Some(tenant.status);
                collection.tenants.insert(tenant.name, Tenant { status, ..Tenant::default() });
            }
        } else {
            wanted.push((name.clone(), None));
            let status = Some("HOT".to_owned());
            collection.tenants.insert(String::new(), Tenant { status, ..Tenant::default() });
        }
        collections.insert(name, collection);
    }
    let counted: Vec<(String, Option<String>, Count)> = stream::iter(wanted)
        .map(async |(class, tenant)| {
            let note = |error: &WeaviateError| tracing::warn!(%error, class, tenant, "counts {class} again: {error}");
            let count = retry(COUNT, note, || client.count(&class, tenant.as_deref())).await?;
            status.alive();
            Ok::<_, RestoreError>((class, tenant, count))
        })
        .buffer_unordered(COUNTS)
        .try_collect()
        .await?;
    for (class, tenant, count) in counted {
        let entry = collections
            .get_mut(&class)
            .and_then(|c| c.tenants.get_mut(tenant.as_deref().unwrap_or_default()));
        match (entry, count) {
            (Some(entry), Count::Objects(objects)) => entry.objects = Some(objects),
            (_, Count::Uncounted(why)) => tracing::warn!(class, tenant, "{class} is not counted: {why}"),
            (None, Count::Objects(_)) => {}
        }
    }
    Ok(Seen { collections, aliases: client.aliases().await? })
}

/// Counts until two counts in a row are the same, `pause` apart.
pub async fn count_at_rest(
    client: &Client,
    status: &Status,
    pause: Duration,
    within: Duration,
) -> Result<Seen, RestoreError> {
    let counted = async {
        let mut last = count(client, status).await?;
        loop {
            tokio::time::sleep(pause).await;
            let now = count(client, status).await?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    };
    tokio::time::timeout(within, counted).await.unwrap_or(Err(RestoreError::Unsettled { within }))
}

/// Every difference, each as a sentence. Empty: the same.
pub fn differences(expected: &Collections, seen: &Collections) -> Vec<String> {
    let mut found = Vec::new();
    for name in keys(expected, seen) {
        match (expected.get(name), seen.get(name)) {
            (Some(_), None) => found.push(format!("collection {name} is missing")),
            (None, Some(_)) => found.push(format!("there is a collection {name} besides")),
            (Some(expected), Some(seen)) => compare_tenants(name, expected, seen, &mut found),
            (None, None) => {}
        }
    }
    found
}

fn compare_tenants(name: &str, expected: &Collection, seen: &Collection, found: &mut Vec<String>) {
    for tenant in keys(&expected.tenants, &seen.tenants) {
        let of = if tenant.is_empty() {
            format!("collection {name}")
        } else {
            format!("tenant {tenant} of collection {name}")
        };
        match (expected.tenants.get(tenant), seen.tenants.get(tenant)) {
            (Some(_), None) => found.push(format!("{of} is missing")),
            (None, Some(_)) => found.push(format!("there is a {of} besides")),
            (Some(expected), Some(seen)) => {
                match (expected.objects, seen.objects) {
                    (Some(expected), Some(seen)) if expected != seen => {
                        found.push(format!("{of} has {seen} objects, not {expected}"));
                    }
                    (Some(expected), None) if seen.status.as_deref().is_none_or(is_active) => {
                        found.push(format!("{of} cannot be counted, and has {expected} objects"));
                    }
                    _ => {}
                }
                if let (Some(expected), Some(seen)) = (&expected.status, &seen.status)
                    && is_active(expected) != is_active(seen)
                {
                    found.push(format!("{of} is {seen}, not {expected}"));
                }
            }
            (None, None) => {}
        }
    }
}

fn keys<'a, T>(a: &'a BTreeMap<String, T>, b: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    a.keys().chain(b.keys()).collect()
}

/// Compares with what the backup is said to hold. Of a backup without a manifest only the names of its collections
/// are known; what was counted is the record then.
pub fn compare(manifest: &Manifest, seen: &Seen) -> Result<(), RestoreError> {
    let names_only = manifest.collections.values().all(|collection| collection.tenants.is_empty());
    if let (Some(id), true, true) = (&manifest.backup_id, manifest.unverified || manifest.adopted, names_only)
    {
        return compare_names(id, &manifest.collections, &seen.collections);
    }
    // What was written to while it was backed up has no count that it must have; what is not in the backup, neither.
    let still = |collections: &Collections| -> Collections {
        let changing = |name: &String| manifest.collections.get(name).is_some_and(|c| c.changing);
        let still = collections.iter().filter(|(name, _)| !changing(name));
        still.map(|(name, collection)| (name.clone(), protected(manifest, name, collection))).collect()
    };
    let mut found = differences(&still(&manifest.collections), &still(&seen.collections));
    for (name, expected) in manifest.collections.iter().filter(|(_, collection)| collection.changing) {
        let there = seen.collections.get(name).map(|seen| protected(manifest, name, seen));
        match lost(name, &protected(manifest, name, expected), there.as_ref()) {
            Changed::Within => {}
            Changed::Outside(what) => tracing::warn!("{what}"),
            Changed::Lost(what) => found.push(what),
        }
    }
    let expected: BTreeSet<Alias> = manifest.aliases.iter().map(manifest::Alias::plain).collect();
    let there: BTreeSet<Alias> = seen.aliases.iter().cloned().collect();
    for alias in expected.symmetric_difference(&there) {
        let how = if expected.contains(alias) { "is missing" } else { "is there besides" };
        found.push(format!("alias {} of collection {} {how}", alias.alias, alias.class));
    }
    if found.is_empty() {
        return Ok(());
    }
    let id = manifest.backup_id.as_deref();
    let reference = id.map_or("an empty node".to_owned(), |id| format!("the manifest of {id}"));
    Err(RestoreError::Differs { reference, differences: found })
}

/// Without the tenants whose data is not in the backup.
pub fn protected(manifest: &Manifest, name: &str, collection: &Collection) -> Collection {
    let mut collection = collection.clone();
    if let Some(without) = manifest.unprotected.get(name) {
        collection.tenants.retain(|tenant, _| !without.contains(tenant));
    }
    collection
}

/// What nobody must believe to be there: the tenants whose data was left out when the backup was made.
pub fn unprotected(manifest: &Manifest) -> Option<String> {
    let id = manifest.backup_id.as_deref().unwrap_or_default();
    let listed = manifest::listed(&manifest.unprotected)?;
    Some(format!("the data of tenants that were inactive is not in {id}: {listed}; they are unprotected"))
}

/// What became of a collection that was written to while it was backed up.
#[derive(Debug, PartialEq, Eq)]
enum Changed {
    /// As it was counted then, at one time or another.
    Within,
    /// Between two of those counts, perhaps: nobody saw it so.
    Outside(String),
    /// No writing of clients explains it.
    Lost(String),
}

fn lost(name: &str, expected: &Collection, seen: Option<&Collection>) -> Changed {
    let Some(seen) = seen else { return Changed::Lost(format!("collection {name} is missing")) };
    let least: u64 = expected.tenants.values().filter_map(|tenant| tenant.objects).sum();
    let there: u64 = seen.tenants.values().filter_map(|tenant| tenant.objects).sum();
    if least > 0 && there == 0 {
        return Changed::Lost(format!("collection {name} is empty, and had {least} objects at least"));
    }
    for (tenant, expected) in &expected.tenants {
        let Some(objects) = seen.tenants.get(tenant).and_then(|seen| seen.objects) else { continue };
        let (least, most) = (expected.objects, expected.at_most.or(expected.objects));
        if least.is_some_and(|least| objects < least) || most.is_some_and(|most| objects > most) {
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
            return Changed::Outside(format!(
                "collection {name} has {objects} objects{}; {least} to {most} were counted while it was backed up",
                if tenant.is_empty() { String::new() } else { format!(" in tenant {tenant}") },
            ));
        }
    }
    Changed::Within
}

fn compare_names(id: &str, expected: &Collections, seen: &Collections) -> Result<(), RestoreError> {
    let bare = |collections: &Collections| -> Collections {
        collections.keys().map(|name| (name.clone(), Collection::default())).collect()
    };
    let differences = differences(&bare(expected), &bare(seen));
    if differences.is_empty() {
        return Ok(());
    }
    Err(RestoreError::Differs { reference: format!("the descriptor of {id}"), differences })
}

/// Who may do what.
#[derive(Clone, Debug)]
pub struct Access {
    /// Everybody may, by name.
    pub anonymous: bool,
    pub writer: Option<SecretString>,
    pub reader: Option<SecretString>,
}

/// No key means 401, the writer's key is known, and the reader's cannot write.
pub async fn access(client: &Client, access: &Access) -> Result<(), RestoreError> {
    let without = client.with_key(None).meta_status().await?;
    if !access.anonymous && without != 401 {
        return Err(RestoreError::Open { status: without });
    }
    if client.meta_status().await? == 401 {
        return Err(RestoreError::UnknownKey { role: "admin" });
    }
    if let Some(writer) = &access.writer
        && client.with_key(Some(writer.clone())).meta_status().await? != 200
    {
        return Err(RestoreError::UnknownKey { role: "writer" });
    }
    let Some(reader) = &access.reader else { return Ok(()) };
    match client.with_key(Some(reader.clone())).harmless_write().await? {
        403 => Ok(()),
        401 => Err(RestoreError::UnknownKey { role: "reader" }),
        status => Err(RestoreError::ReaderWrites { status }),
    }
}

/// The server is new enough for the backup, and has the modules.
pub fn server(meta: &Meta, manifest: &Manifest, modules: &[&str]) -> Result<(), RestoreError> {
    super::choose::check_version(manifest, Some(&meta.version))?;
    if release(&meta.version).is_none() {
        tracing::warn!("the server's version cannot be read: {}", meta.version);
    }
    match modules.iter().find(|module| !meta.modules.contains_key(**module)) {
        Some(module) => Err(RestoreError::NoModule { module: (*module).to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_backup_is_not_missed_and_is_said() {
        let tenant =
            |objects, status: &str| Tenant { objects, status: Some(status.into()), ..Tenant::default() };
        let of = |tenants: &[(&str, Tenant)], changing| -> Collections {
            let tenants = tenants.iter().map(|(name, tenant)| ((*name).to_owned(), tenant.clone())).collect();
            [("A".to_owned(), Collection { tenants, changing, ..Collection::default() })].into()
        };
        for changing in [false, true] {
            let collections = of(&[("a", tenant(Some(5), "HOT")), ("b", tenant(None, "COLD"))], changing);
            let all = Manifest { backup_id: Some("full-1".into()), collections, ..Manifest::default() };
            let some =
                Manifest { unprotected: [("A".to_owned(), ["b".to_owned()].into())].into(), ..all.clone() };
            let seen =
                |tenants: &[(&str, Tenant)]| Seen { collections: of(tenants, false), aliases: Vec::new() };
            let there = [
                seen(&[("a", tenant(Some(5), "HOT"))]),
                seen(&[("a", tenant(Some(5), "HOT")), ("b", tenant(None, "COLD"))]),
                seen(&[("a", tenant(Some(5), "HOT")), ("b", tenant(Some(0), "HOT"))]),
            ];
            for seen in &there {
                compare(&some, seen).expect("b may be anything");
            }
            // The others are held to what they were.
            compare(&some, &seen(&[("b", tenant(None, "COLD"))])).expect_err("a is missing");
            assert_eq!(compare(&all, &there[0]).is_err(), !changing, "b is missed where it is in the backup");
            assert_eq!(unprotected(&all), None);
            let said = unprotected(&some).expect("said");
            assert!(said.contains("1 of collection A (b);") && said.contains("full-1"), "{said}");
        }
    }

    #[test]
    fn what_was_written_to_is_held_to_what_it_may_be() {
        let tenant = |objects, at_most| Tenant { objects, at_most, ..Tenant::default() };
        let of = |tenants: &[(&str, Tenant)]| Collection {
            tenants: tenants.iter().map(|(name, tenant)| ((*name).to_owned(), tenant.clone())).collect(),
            changing: true,
            ..Collection::default()
        };
        let expected = of(&[("a", tenant(Some(5), Some(9))), ("b", tenant(None, None))]);
        let seen = |a: u64| Some(of(&[("a", tenant(Some(a), None))]));
        for inside in [5, 7, 9] {
            assert_eq!(lost("A", &expected, seen(inside).as_ref()), Changed::Within, "{inside}");
        }
        for outside in [4, 10] {
            assert!(matches!(lost("A", &expected, seen(outside).as_ref()), Changed::Outside(_)), "{outside}");
        }
        for gone in [seen(0), None] {
            assert!(matches!(lost("A", &expected, gone.as_ref()), Changed::Lost(_)), "{gone:?}");
        }
        // A tenant that came while it was backed up need not be there.
        let empty = of(&[("a", tenant(Some(0), Some(9)))]);
        assert_eq!(lost("A", &empty, seen(0).as_ref()), Changed::Within);
    }
}
