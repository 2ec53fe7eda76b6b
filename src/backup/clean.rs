//! What a backup left that came to no end.
//!
//! ```text
//! journal ─┬─ the manifest names it, or a copy does ─▶ it is done: forgotten
//!          └─ else ─▶ cancelled where the server is at it, its files gone from volume and bucket, forgotten
//! tenants that it made active ─▶ what they were
//! ```

use std::path::Path;

use super::error::BackupError;
use super::journal::Journal;
use super::{Job, awake, make};
use crate::instance::Identity;
use crate::manifest::{self, Pointer};
use crate::report::Work;
use crate::store::StoreError;
use crate::weaviate::Backend;

/// What to do with a journal: a pure function of what the bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// It is whole, and whether the manifest names it was decided.
    Forget,
    Discard,
}

const fn decide(named: bool, copied: bool) -> Plan {
    if named || copied { Plan::Forget } else { Plan::Discard }
}

/// Cleans up after a run that was killed, or after a backup that failed a moment ago: the id of what came to no end.
pub async fn clean(job: &Job<'_>, me: &Identity, own: &Pointer) -> Result<Option<String>, BackupError> {
    let discarded = discard(job, me, own).await?;
    // Last: a server that still packs holds on to the shards of its tenants.
    awake::put_back(job, me).await?;
    Ok(discarded)
}

async fn discard(job: &Job<'_>, me: &Identity, own: &Pointer) -> Result<Option<String>, BackupError> {
    let state = &job.host.roots.state;
    let Some((begun, _)) = Journal::left(state)? else { return Ok(None) };
    let mut discarded = None;
    // A root volume that was copied holds another instance's journal: its backup is none of ours.
    if begun.instance_id == me.instance_id() && manifest::is_id(&begun.id) {
        let id = begun.id;
        let named = own.manifest.chain.contains(&id);
        let key = job.store.settings().key(&format!("{}/{id}.json", manifest::COPIES));
        let copied = match job.store.get(&key).await {
            Ok(_) => true,
            Err(StoreError::Absent { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        match decide(named, copied) {
            Plan::Forget => {}
            Plan::Discard => {
                job.host
                    .status
                    .say(Work::Backup, format!("removes what is left of {id}, which came to no end"));
                let backend = if begun.direct { Backend::S3 } else { Backend::Filesystem };
                make::cancel(&job.client, backend, &id, &job.host.status).await;
                job.tree.remove(Path::new(&id))?;
                for object in job.store.list(&format!("{}/", job.store.settings().key(&id))).await? {
                    job.writer.delete(&object.key).await?;
                }
                discarded = Some(id);
            }
        }
    }
    Journal::forget(state)?;
    Ok(discarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_names_is_removed() {
        let rows = [
            (true, true, Plan::Forget),
            (true, false, Plan::Forget),
            // Copied, and the manifest was not to name it, or was not written yet: it is whole all the same.
            (false, true, Plan::Forget),
            (false, false, Plan::Discard),
        ];
        for (named, copied, expected) in rows {
            assert_eq!(decide(named, copied), expected);
        }
    }
}
