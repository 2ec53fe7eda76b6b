//! What becomes of collections whose restore has ended, well or not, or whose agent has ended in the middle.
//!
//! ```text
//! regain.json ─▶ the server is at it still: cancelled, its end awaited ─▶ the server's last word ─┐
//!    each of its collections that is there ─▶ what it lacks of the backup ────────────────────────┴▶ decide
//!    ─▶ Keep │ Remove │ Doubt ─▶ aliases of those that go, put back ─▶ staged bytes gone ─▶ regain.json gone
//! ```

use tokio::time::Instant;

use super::Job;
use super::error::RegainError;
use super::note::{self, Note};
use crate::catalog::{self, CatalogError, Scope};
use crate::instance::Identity;
use crate::report::Work;
use crate::restore;
use crate::weaviate::{Backend, Client, State, WeaviateError};

/// For the end of what was cancelled: the server looks between two files, and the longest takes a while (recording 06).
const CANCEL: std::time::Duration = std::time::Duration::from_mins(2);
/// A question costs the server nothing (recordings 11, 12).
const ASK: std::time::Duration = std::time::Duration::from_millis(250);

/// What the server says of the restore last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Success,
    /// Collections that it names were not restored: they were there, or nothing came of them.
    Failed(String),
    /// Nothing was unpacked (recording 16).
    Canceled,
    /// It lives in the server's memory: gone with it, or never begun.
    Unknown,
}

/// What becomes of a collection that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It has all that the backup holds.
    Keep,
    /// The restore made it, it lacks something, and nobody was told that it is back.
    Remove,
    /// It lacks something, and a client may have made it: not ours to remove.
    Doubt,
}

/// A pure function of the server's word, and of whether the collection lacks something.
fn decide(word: &Word, class: &str, lacks: bool) -> Fate {
    let ours = match word {
        Word::Success => true,
        // `could not restore classes: ["Article": error when trying to restore class: …]` (recording 07).
        Word::Failed(message) => !message.contains(&format!("\"{class}\":")),
        Word::Canceled | Word::Unknown => false,
    };
    match (lacks, ours) {
        (false, _) => Fate::Keep,
        (true, true) => Fate::Remove,
        (true, false) => Fate::Doubt,
    }
}

/// Settles what is left of a restore, if there is any.
pub async fn left(job: &Job<'_>, me: &Identity) -> Result<(), RegainError> {
    let state = &job.host.roots.state;
    let Some(note) = note::left(state)? else { return Ok(()) };
    if note.instance_id == me.instance_id() {
        let word = last_word(&job.client, &note.backup_id).await?;
        each(job, &note, &word).await?;
        restore::clear(job.host, job.serving.volume()).await;
    }
    note::end(state)
}

/// Ends what is at work, and waits for the end.
async fn last_word(client: &Client, id: &str) -> Result<Word, RegainError> {
    let (mut cancelled, begun) = (false, Instant::now());
    loop {
        let now = match client.restore_status(Backend::Filesystem, id, None).await {
            Ok(now) => now,
            Err(WeaviateError::Refused { status: 404, .. }) => return Ok(Word::Unknown),
            Err(error) => return Err(error.into()),
        };
        match now.state {
            State::Success => return Ok(Word::Success),
            State::Failed => return Ok(Word::Failed(now.error)),
            State::Canceled => return Ok(Word::Canceled),
            State::Started
            | State::Transferring
            | State::Transferred
            | State::Finalizing
            | State::Cancelling
            | State::Unknown(_) => {}
        }
        if !std::mem::replace(&mut cancelled, true)
            && let Err(error) = client.cancel_restore(Backend::Filesystem, id).await
        {
            // It applies its collections already, or the server is of before 1.36: its end is awaited.
            tracing::info!(%error, "the restore of {id} goes on: {error}");
        }
        // A state that the server's file tells, and nobody works at: the server was restarted in the middle.
        if begun.elapsed() >= CANCEL {
            return Ok(Word::Unknown);
        }
        tokio::time::sleep(ASK).await;
    }
}

async fn each(job: &Job<'_>, note: &Note, word: &Word) -> Result<(), RegainError> {
    let Job { host, store, client, .. } = job;
    let manifest = match catalog::find(&Scope::of(host, store), Some(&note.backup_id)).await {
        Ok(manifest) => restore::cut(manifest, &note.collections),
        // Gone since: nothing can be compared, and nothing is removed.
        Err(error @ (CatalogError::Unknown { .. } | CatalogError::NoManifest { .. })) => {
            host.status.warn(format!("what came of a restore cannot be compared: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let samples = host.settings.restore.samples;
    let (_, found) = restore::lacking(client, &manifest, samples, &host.status).await?;
    let backup = &note.backup_id;
    for (class, lacks) in found {
        let why = lacks.first().map_or_else(String::new, Clone::clone);
        match decide(word, &class, !lacks.is_empty()) {
            Fate::Keep => {}
            Fate::Remove => {
                host.status.say(Work::Regain, format!("removes collection {class} again: {why}"));
                let given: Vec<_> = manifest.aliases.iter().filter(|alias| alias.class == class).collect();
                for before in note.aliases.iter().filter(|b| given.iter().any(|a| a.alias == b.alias)) {
                    client.set_alias(&before.alias, &before.class).await?;
                }
                client.delete_class(&class).await?;
            }
            Fate::Doubt => host.status.warn(format!(
                "collection {class} came while it was restored from {backup}, and is not what that says: {why}; see \
                 whose it is"
            )),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::make::scripted;

    #[test]
    fn only_what_the_restore_made_and_what_lacks_something_is_removed() {
        let failed = Word::Failed(
            r#"could not restore classes: ["Article": error when trying to restore class: class name Article already exists]"#
                .to_owned(),
        );
        let rows = [
            (Word::Success, "Article", false, Fate::Keep),
            (Word::Success, "Article", true, Fate::Remove),
            (failed.clone(), "Article", true, Fate::Doubt),
            (failed.clone(), "Article", false, Fate::Keep),
            (failed, "Chunk", true, Fate::Remove),
            (Word::Canceled, "Article", true, Fate::Doubt),
            (Word::Unknown, "Article", true, Fate::Doubt),
            (Word::Unknown, "Article", false, Fate::Keep),
        ];
        for (word, class, lacks, expected) in rows {
            assert_eq!(decide(&word, class, lacks), expected, "{word:?} {class} {lacks}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_is_waited_for() {
        let says = |state: &str| {
            (
                200,
                format!(
                    r#"{{"backend":"filesystem","id":"b","path":"/b","status":"{state}","error":"why"}}"#
                ),
            )
        };
        let gone = (404, r#"{"error":[{"message":"metadata not found"}]}"#.to_owned());
        let late = (422, r#"{"error":[{"message":"is applying schema changes"}]}"#.to_owned());
        let rows = [
            (vec![says("SUCCESS")], Word::Success),
            (vec![says("FAILED")], Word::Failed("why".to_owned())),
            (vec![says("TRANSFERRING"), (204, String::new()), says("CANCELED")], Word::Canceled),
            (vec![says("FINALIZING"), late, says("FINALIZING"), says("SUCCESS")], Word::Success),
            (vec![gone], Word::Unknown),
            (vec![says("TRANSFERRING")], Word::Unknown),
        ];
        for (answers, expected) in rows {
            let client = scripted(&answers).await;
            assert_eq!(last_word(&client, "b").await.expect("a word"), expected, "{answers:?}");
        }
        let broken = scripted(&[(500, "no")]).await;
        assert!(matches!(last_word(&broken, "b").await, Err(RegainError::Server(_))));
    }
}
