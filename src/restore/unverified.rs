//! Backups that no manifest names: found by their descriptors, believed only if everything that they need is
//! there. They have no checksums.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::choose::{Described, Wish, time};
use super::error::RestoreError;
use super::settings::Unverified;
use crate::manifest::{Collection, Collections, Manifest, Object, RESERVED_IDS, Server, checksum};
use crate::store::{Listed, Store, StoreError};
use crate::weaviate::descriptor::{GLOBAL, Global, NODE, Node, PROBE, RESTORE};

/// A chain of incremental backups is shorter than this: of daily ones it would be two months without a
/// full one.
const LONGEST_CHAIN: usize = 64;
const READS: usize = 8;

/// The newest backup that is whole; with the policy "refuse" only that there is one.
pub(super) async fn newest(store: &Store, wish: &Wish) -> Result<Option<Described>, RestoreError> {
    let prefix = store.settings().key("");
    let folders = store.folders(&prefix).await?;
    let ids = folders.into_iter().filter(|id| !RESERVED_IDS.contains(&id.as_str()));
    let mut found: Vec<(String, Global)> = stream::iter(ids)
        .map(async |id| {
            let key = store.settings().key(&format!("{id}/{GLOBAL}"));
            Ok::<_, RestoreError>(read::<Global>(store, &key).await?.map(|global| (id, global)))
        })
        .buffer_unordered(READS)
        .try_filter_map(async |found| Ok(found))
        .try_collect()
        .await?;
    if found.is_empty() {
        return Ok(None);
    }
    found.sort_by_key(|(_, global)| std::cmp::Reverse(time(Some(&global.completed_at))));
    if wish.unverified == Unverified::Refuse {
        let newest = &found[0].0;
        return Ok(Some(Described::Known(store.settings().key(&format!("{newest}/{GLOBAL}")))));
    }
    let all: BTreeMap<String, Global> = found.iter().cloned().collect();
    let mut why = None;
    for (id, global) in &found {
        match whole(store, (&wish.deployment, &wish.node), id, global, &all).await? {
            Ok(manifest) => return Ok(Some(Described::Whole(Box::new(manifest)))),
            Err(broken) => {
                tracing::warn!(backup_id = id, "{id} cannot be used: {broken}");
                why.get_or_insert_with(|| format!("{id}: {broken}"));
            }
        }
    }
    Ok(Some(Described::Broken(why.unwrap_or_default())))
}

async fn read<T: serde::de::DeserializeOwned>(store: &Store, key: &str) -> Result<Option<T>, RestoreError> {
    let object = match store.get(key).await {
        Ok(object) => object,
        Err(StoreError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&object.bytes).map(Some).map_err(|error| RestoreError::Descriptor {
        bucket: store.bucket().to_owned(),
        key: key.to_owned(),
        what: error.to_string(),
    })
}

/// A manifest without checksums for this backup, from its descriptors and its listing; `None` where it has no
/// descriptor, else why it is not whole.
pub async fn described(
    store: &Store,
    deployment: &str,
    node: &str,
    id: &str,
) -> Result<Option<Result<Manifest, String>>, RestoreError> {
    let mut all = BTreeMap::new();
    let mut next = id.to_owned();
    while !next.is_empty() && !all.contains_key(&next) && all.len() < LONGEST_CHAIN {
        let Some(global) = read::<Global>(store, &store.settings().key(&format!("{next}/{GLOBAL}"))).await?
        else {
            break;
        };
        let base = global.base_backup_id.clone();
        all.insert(std::mem::replace(&mut next, base), global);
    }
    match all.get(id) {
        Some(global) => whole(store, (deployment, node), id, global, &all).await.map(Some),
        None => Ok(None),
    }
}

/// A manifest without checksums for `id`, or why it is not whole. A backup of another node is an error, not
/// something to be passed over: the prefix is wrong then.
async fn whole(
    store: &Store,
    (deployment, name): (&str, &str),
    id: &str,
    global: &Global,
    all: &BTreeMap<String, Global>,
) -> Result<Result<Manifest, String>, RestoreError> {
    if let Some(why) = global.unusable(id) {
        return Ok(Err(why));
    }
    super::check_nodes(id, global, name)?;
    let chain = match chain(id, all) {
        Ok(chain) => chain,
        Err(why) => return Ok(Err(why)),
    };
    let root = store.settings().key("");
    let mut objects = Vec::new();
    for link in &chain {
        let listed = store.list(&format!("{root}{link}/")).await?;
        objects.extend(listed.into_iter().filter(|o| is_part(&o.key)));
    }
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    let key = format!("{root}{id}/{name}/{NODE}");
    let Some(node) = read::<Node>(store, &key).await? else { return Ok(Err(format!("{key} is missing"))) };
    if node.status != "SUCCESS" || !node.error.is_empty() {
        return Ok(Err(format!("{key} has status {} {}", node.status, node.error)));
    }
    for chunk in node.chunks(id, name) {
        let key = format!("{root}{chunk}");
        let there = objects.binary_search_by(|o| o.key.cmp(&key)).is_ok_and(|at| objects[at].size > 0);
        if !there {
            return Ok(Err(format!("{key} is missing")));
        }
    }
    let unprotected = match node.left_out(&global.server_version) {
        Ok(unprotected) => unprotected,
        Err(why) => return Ok(Err(format!("{key}: {why}"))),
    };
    let manifest = manifest(store, (deployment, name), global, chain, objects);
    Ok(Ok(Manifest { unprotected, ..manifest }))
}

fn is_part(key: &str) -> bool {
    !matches!(key.rsplit('/').next(), Some(RESTORE | PROBE | ""))
}

/// Oldest first, `id` last.
fn chain(id: &str, all: &BTreeMap<String, Global>) -> Result<Vec<String>, String> {
    let mut chain = vec![id.to_owned()];
    let mut at = id;
    while let Some(base) = all.get(at).map(|g| g.base_backup_id.as_str()).filter(|b| !b.is_empty()) {
        let Some(global) = all.get(base) else { return Err(format!("its base {base} is missing")) };
        if let Some(why) = global.unusable(base) {
            return Err(format!("its base {base} cannot be used: {why}"));
        }
        if chain.iter().any(|known| known == base) || chain.len() >= LONGEST_CHAIN {
            return Err(format!("its chain of bases does not end at {base}"));
        }
        chain.push(base.to_owned());
        at = base;
    }
    chain.reverse();
    Ok(chain)
}

/// The collections without their tenants: how much each holds, no descriptor says.
fn named(node: &str, global: &Global) -> Collections {
    let node = global.nodes.get(node);
    let classes = node.and_then(|node| node.classes.as_ref()).into_iter().flatten();
    classes.map(|class| (class.clone(), Collection::default())).collect()
}

fn manifest(
    store: &Store,
    (deployment, node): (&str, &str),
    global: &Global,
    chain: Vec<String>,
    listed: Vec<Listed>,
) -> Manifest {
    let objects: Vec<Object> = listed
        .into_iter()
        .map(|Listed { key, size, etag, modified: _ }| Object {
            key,
            size,
            sha256: String::new(),
            etag: Some(etag).filter(|e| !e.is_empty()),
            version_id: None,
            other: serde_json::Map::new(),
        })
        .collect();
    Manifest {
        schema: 1,
        deployment: deployment.to_owned(),
        node: node.to_owned(),
        backup_id: Some(global.id.clone()),
        bucket: Some(store.bucket().to_owned()),
        path: Some(store.settings().key(&global.id)),
        completed: Some(global.completed_at.clone()),
        server: Server { version: global.server_version.clone(), ..Server::default() },
        compression: Some(global.compression_type.clone()).filter(|c| !c.is_empty()),
        chain,
        checksum: Some(checksum(&objects)),
        objects,
        collections: named(node, global),
        unverified: true,
        ..Manifest::default()
    }
}
