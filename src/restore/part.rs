//! Some collections of a backup, into the server that serves: it has others, and clients.
//!
//! ```text
//! manifest ─cut▶ of these alone ─bring_part▶ bytes, checked ─order_part▶ the server's SUCCESS ─▶ lacking: what is not there
//! ```

use std::collections::BTreeSet;

use super::error::RestoreError;
use super::samples;
use super::serve::{self, Accepted, Order, Patience};
use super::stage::{self, Place};
use super::verify::{self, Seen};
use crate::host::Host;
use crate::manifest::{Collection, Manifest};
use crate::report::Status;
use crate::store::{Store, Tree};
use crate::weaviate::{Backend, Client, RestoreConfig};

/// What is asked of the server.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub only: &'a BTreeSet<String>,
    pub overwrite_alias: bool,
    /// `usersOptions` and `rolesOptions`.
    pub users: Option<&'static str>,
    pub roles: Option<&'static str>,
}

/// Half of the processors at the most, which is the server's own default: clients are served meanwhile.
const SHARE: u32 = 50;

/// The manifest of these collections alone: their chunks of the whole chain, and every descriptor.
pub fn cut(mut manifest: Manifest, collections: &BTreeSet<String>) -> Manifest {
    // `<backup>/<node>/<collection>/chunk-<n>`; descriptors lie above. A base may hold collections that are gone since.
    let is_others = |relative: &str| {
        let below = relative.splitn(4, '/').collect::<Vec<_>>();
        matches!(below.as_slice(), [_, _, collection, _] if !collections.contains(*collection))
    };
    let objects = std::mem::take(&mut manifest.objects);
    let kept = objects.into_iter().filter(|object| !is_others(manifest.relative(&object.key)));
    manifest.objects = kept.collect();
    manifest.collections.retain(|name, _| collections.contains(name));
    manifest.unprotected.retain(|name, _| collections.contains(name));
    manifest.aliases.retain(|alias| collections.contains(&alias.class));
    manifest
}

/// Brings what [`cut`] has left into the volume's own tree, checked one by one.
pub async fn bring_part(
    host: &Host,
    store: &Store,
    backups: &Tree,
    manifest: Manifest,
) -> Result<Manifest, RestoreError> {
    let collections = manifest.collections.keys().cloned().collect();
    bring_beside(host, store, backups, manifest, Some(&collections)).await
}

/// The bytes of a manifest, beside a server that serves: it keeps its tenth of the volume.
pub(super) async fn bring_beside(
    host: &Host,
    store: &Store,
    backups: &Tree,
    manifest: Manifest,
    only: Option<&BTreeSet<String>>,
) -> Result<Manifest, RestoreError> {
    let node = host.settings.node.name.to_string();
    let place = Place {
        backups,
        mount: &host.settings.storage.mount,
        node: &node,
        goes: 0,
        // The other half is for who is served.
        limits: host.settings.restore.staging(2),
        only,
    };
    stage::bring(&store.paced(host.settings.restore.rate), place, manifest, &host.status).await
}

/// Has the server unpack them, and waits until it says that it has.
pub async fn order_part(host: &Host, client: &Client, id: &str, part: Part<'_>) -> Result<(), RestoreError> {
    let Part { only, overwrite_alias, users, roles } = part;
    let order = Order {
        backend: Backend::Filesystem,
        backup: id,
        config: RestoreConfig {
            cpu_percentage: host.settings.restore.cpu_percentage.min(SHARE),
            users_options: users,
            roles_options: roles,
            ..RestoreConfig::default()
        },
        only: only.iter().cloned().collect(),
        overwrite_alias,
        renamed: None,
        mount: &host.settings.storage.mount,
    };
    match serve::order(client, &order).await? {
        Accepted::Yes => serve::wait(client, &order, Patience::default(), &host.status).await,
        Accepted::Busy(message) => {
            Err(RestoreError::NotAccepted { backup: id.to_owned(), message, again: true })
        }
    }
}

/// What these collections lack of what the backup holds, collection by collection; more may be there, since clients can
/// write to what they see. Those that are not there at all are left out.
pub async fn lacking(
    client: &Client,
    manifest: &Manifest,
    most: u32,
    status: &Status,
) -> Result<(Seen, Vec<(String, Vec<String>)>), RestoreError> {
    let seen = verify::count_some(client, status, |name| manifest.collections.contains_key(name)).await?;
    let mut found = Vec::new();
    for (name, there) in &seen.collections {
        let Some(expected) = manifest.collections.get(name) else { continue };
        let expected = verify::protected(manifest, name, expected);
        let mut lacks = lacks(name, &expected, there);
        let one = [(name.clone(), expected)].into();
        lacks.extend(samples::differences(client, &one, most as usize, status).await?);
        found.push((name.clone(), lacks));
    }
    Ok((seen, found))
}

/// Counts that are below what the backup holds; of a tenant that is not active nothing is known.
fn lacks(name: &str, expected: &Collection, there: &Collection) -> Vec<String> {
    let mut found = Vec::new();
    for (tenant, expected) in &expected.tenants {
        let of = if tenant.is_empty() { name.to_owned() } else { format!("{name}, tenant {tenant}") };
        match there.tenants.get(tenant) {
            None => found.push(format!("collection {of} is missing")),
            Some(there) => {
                if let (Some(wanted), Some(has)) = (expected.objects, there.objects)
                    && has < wanted
                {
                    found.push(format!("collection {of} has {has} objects, not {wanted}"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Alias, Collections, Object, Tenant};
    use crate::tests::make::scripted;

    fn tenant(objects: Option<u64>) -> Tenant {
        Tenant { objects, status: Some("HOT".to_owned()), ..Tenant::default() }
    }

    fn collection(tenants: &[(&str, Option<u64>)]) -> Collection {
        let tenants = tenants.iter().map(|(name, objects)| ((*name).to_owned(), tenant(*objects))).collect();
        Collection { tenants, ..Collection::default() }
    }

    /// Of two collections, built on another one.
    fn manifest() -> Manifest {
        let object = |below: &str| Object {
            key: format!("prod/{below}"),
            size: 1,
            sha256: "x".to_owned(),
            etag: None,
            version_id: None,
            other: <_>::default(),
        };
        let objects = [
            "full-1/backup_config.json",
            "full-1/weaviate-0/backup.json",
            "full-1/weaviate-0/Article/chunk-1",
            "full-1/weaviate-0/Chunk/chunk-1",
            "incr-1/backup_config.json",
            "incr-1/weaviate-0/backup.json",
            "incr-1/weaviate-0/Chunk/chunk-1",
        ];
        let alias = |alias: &str, class: &str| Alias {
            alias: alias.to_owned(),
            class: class.to_owned(),
            other: <_>::default(),
        };
        Manifest {
            backup_id: Some("incr-1".to_owned()),
            path: Some("prod/incr-1".to_owned()),
            chain: vec!["full-1".to_owned(), "incr-1".to_owned()],
            objects: objects.map(object).into(),
            collections: [
                ("Article".to_owned(), collection(&[("", Some(3))])),
                ("Chunk".to_owned(), collection(&[("a", Some(2)), ("b", None)])),
            ]
            .into(),
            aliases: vec![alias("News", "Article"), alias("Chunks", "Chunk")],
            unprotected: [
                ("Article".to_owned(), <_>::default()),
                ("Chunk".to_owned(), ["c".to_owned()].into()),
            ]
            .into(),
            ..Manifest::default()
        }
    }

    #[test]
    fn what_is_cut_has_every_descriptor_and_no_other_collection() {
        let cut = cut(manifest(), &["Chunk".to_owned()].into());
        let keys: Vec<&str> = cut.objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "prod/full-1/backup_config.json",
                "prod/full-1/weaviate-0/backup.json",
                "prod/full-1/weaviate-0/Chunk/chunk-1",
                "prod/incr-1/backup_config.json",
                "prod/incr-1/weaviate-0/backup.json",
                "prod/incr-1/weaviate-0/Chunk/chunk-1",
            ]
        );
        assert!(cut.collections.keys().eq(["Chunk"]) && cut.unprotected.keys().eq(["Chunk"]));
        assert!(cut.aliases.iter().map(|alias| alias.alias.as_str()).eq(["Chunks"]));
        let all = ["Article".to_owned(), "Chunk".to_owned()].into();
        assert_eq!(super::cut(manifest(), &all), manifest(), "of all of them nothing is cut");
        let mut gone = manifest();
        let of_base =
            Object { key: "prod/full-1/weaviate-0/Gone/chunk-1".to_owned(), ..gone.objects[0].clone() };
        gone.objects.push(of_base);
        assert_eq!(super::cut(gone, &all), manifest(), "what the base alone holds is not fetched");
    }

    #[test]
    fn more_than_was_backed_up_is_no_lack() {
        let expected = collection(&[("a", Some(2)), ("b", None)]);
        let rows: [(Collection, &[&str]); 5] = [
            (expected.clone(), &[]),
            (collection(&[("a", Some(5)), ("b", Some(1)), ("new", Some(1))]), &[]),
            (collection(&[("a", Some(1)), ("b", None)]), &["collection C, tenant a has 1 objects, not 2"]),
            (collection(&[("b", None)]), &["collection C, tenant a is missing"]),
            // A client has put it to rest: nothing is known of it.
            (collection(&[("a", None), ("b", None)]), &[]),
        ];
        for (there, wanted) in rows {
            assert_eq!(lacks("C", &expected, &there), wanted, "{there:?}");
        }
        let plain = collection(&[("", Some(3))]);
        assert_eq!(lacks("A", &plain, &collection(&[("", Some(0))])), ["collection A has 0 objects, not 3"]);
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_counted() {
        let schema = r#"{"classes":[{"class":"Article"},{"class":"Other"}]}"#.to_owned();
        let count = r#"{"data":{"Aggregate":{"Article":[{"meta":{"count":1}}]}}}"#.to_owned();
        let aliases = r#"{"aliases":[]}"#.to_owned();
        let client = scripted(&[(200, schema), (200, count), (200, aliases)]).await;
        let wanted = cut(manifest(), &["Article".to_owned()].into());
        let (seen, found) = lacking(&client, &wanted, 0, &Status::default()).await.expect("looked");
        assert!(Collections::keys(&seen.collections).eq(["Article"]));
        assert_eq!(
            found,
            [("Article".to_owned(), vec!["collection Article has 1 objects, not 3".to_owned()])]
        );
    }
}
