//! `restore.from`: another environment's backups, as the source of a node that has none of its own.
//!
//! ```text
//! own manifest names a backup ─▶ that one; the source is not even looked at
//! else its newest copy        ─▶ that one
//! else                        ─▶ the source's manifest, or its newest copy ─Share▶ the bytes ─▶ restored
//!                                     own manifest: backup_id null, `from` the source ◀─ take over
//! ```
//!
//! The source is only read: no lease, no report and no tag is written there, and its `prune` knows nothing of whoever
//! reads.

use std::collections::BTreeSet;

use super::error::RestoreError;
use super::settings::Source;
use super::{choose, part};
use crate::host::Host;
use crate::manifest::{self, Collections, Manifest, Origin, Pointer};
use crate::store::{self, Store};
use crate::weaviate::idle;

/// The bucket that `restore.from` names, and whose backups in it.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    store: Store,
    source: Source,
}

impl Elsewhere {
    pub const fn new(store: Store, source: Source) -> Self {
        Self { store, source }
    }

    /// How it is reached: as the bucket of `[backup]`, but in its own region.
    pub fn settings(host: &Host, source: &Source) -> store::Settings {
        let own = &host.settings.backup;
        store::Settings {
            bucket: source.bucket.clone(),
            prefix: source.prefix.clone(),
            region: source.region.clone().or_else(|| own.region.clone()),
            // Of writes.
            kms_key: None,
            role_arn: None,
            ..own.clone()
        }
    }

    /// For who reads.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What its manifest names; else its newest copy. Descriptors alone have no checksums: `adopt` makes them, there.
    pub async fn latest(&self) -> Result<Option<Pointer>, RestoreError> {
        let (deployment, node) = (self.source.deployment.as_str(), self.source.node.as_str());
        let key = self.store.settings().key(manifest::NAME);
        let pointer = manifest::read(&self.store, &key, deployment, node).await?;
        match pointer.filter(|pointer| pointer.manifest.backup_id.is_some()) {
            Some(pointer) => Ok(Some(pointer)),
            None => choose::newest_copy(&self.store, deployment, node).await,
        }
    }

    /// Where this backup of it comes from, for the manifest of who restores it.
    pub fn origin(&self, manifest: &Manifest, share: &Share) -> Option<Origin> {
        let Source { bucket, prefix, deployment, node, region: _, include: _, exclude: _ } = &self.source;
        Some(Origin {
            bucket: bucket.clone(),
            prefix: prefix.clone(),
            deployment: deployment.to_string(),
            node: node.to_string(),
            backup_id: manifest.backup_id.clone()?,
            left_out: share.left_out.clone(),
            other: serde_json::Map::new(),
        })
    }
}

/// Which of a backup's collections `restore.from` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub taken: BTreeSet<String>,
    pub left_out: BTreeSet<String>,
    /// What is excluded and is not there: nothing is wrong with the data, perhaps with a name.
    pub idle: Option<String>,
}

/// Why that cannot be done: never a node without what it was to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unshared {
    /// It is to be included, and the backup has none such.
    Unknown(String),
    NothingLeft,
}

impl Share {
    pub fn of(source: &Source, collections: &Collections) -> Result<Self, Unshared> {
        if let Some(name) = idle(&source.include, collections) {
            return Err(Unshared::Unknown(name.to_owned()));
        }
        let selection = source.selection();
        let (taken, left_out): (BTreeSet<_>, BTreeSet<_>) =
            collections.keys().cloned().partition(|name| selection.takes(name));
        if taken.is_empty() && !left_out.is_empty() {
            return Err(Unshared::NothingLeft);
        }
        Ok(Self { taken, left_out, idle: idle(&source.exclude, collections).map(str::to_owned) })
    }

    /// The manifest of what is taken.
    pub fn cut(&self, manifest: Manifest) -> Manifest {
        if self.left_out.is_empty() { manifest } else { part::cut(manifest, &self.taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::tests::source;

    #[test]
    fn what_is_included_must_be_there_and_something_must_be_left() {
        type Names = &'static [&'static str];
        type Expected = Result<(Names, Names, Option<&'static str>), Unshared>;
        let unknown = |name: &str| Err(Unshared::Unknown(name.to_owned()));
        let all: Names = &["Article", "Chunk", "Empty"];
        let rows: [(Names, Names, Names, Expected); 9] = [
            (all, &[], &[], Ok((all, &[], None))),
            (all, &["Art*", "Chunk"], &[], Ok((&["Article", "Chunk"], &["Empty"], None))),
            (all, &[], &["C*"], Ok((&["Article", "Empty"], &["Chunk"], None))),
            (all, &["*"], &["?rticle", "Scratch"], Ok((&["Chunk", "Empty"], &["Article"], Some("Scratch")))),
            (all, &["Article", "Artikel"], &[], unknown("Artikel")),
            (all, &["Article"], &["A*"], Err(Unshared::NothingLeft)),
            (all, &[], &["*"], Err(Unshared::NothingLeft)),
            // A source without any collection: all of it is nothing.
            (&[], &[], &["Scratch"], Ok((&[], &[], Some("Scratch")))),
            (&[], &["Article"], &[], unknown("Article")),
        ];
        let list = |names: Names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (there, include, exclude, expected) in rows {
            let collections = there.iter().map(|name| ((*name).to_owned(), <_>::default())).collect();
            let source = Source { include: list(include), exclude: list(exclude), ..source() };
            let expected = expected.map(|(taken, left_out, idle)| Share {
                taken: list(taken).into_iter().collect(),
                left_out: list(left_out).into_iter().collect(),
                idle: idle.map(str::to_owned),
            });
            assert_eq!(Share::of(&source, &collections), expected, "{there:?} {include:?} {exclude:?}");
        }
    }
}
