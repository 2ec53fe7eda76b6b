//! `export`: one backup into one file, one object of a bucket, or to standard output.

use std::path::Path;

use super::{Exit, Globals, context};
use crate::archive::{self, Exported, Place};
use crate::catalog::Scope;
use crate::restore;

pub async fn export(globals: &Globals, id: &str, file: &Path) -> Exit {
    let (host, me) = match context::looker(globals).await {
        Ok(looker) => looker,
        Err(exit) => return exit,
    };
    let place = Place::of(file);
    let exported = async {
        let store = restore::connect(&host, &me).await?;
        let limits = host.settings.restore.reading();
        let writer = restore::connect_writer(&host, &me, &store).await.paced(host.settings.making.rate);
        archive::export(&Scope::of(&host, &store), &writer, id, &place, limits).await
    };
    match context::told(globals, &host, Box::pin(exported)).await {
        Ok(Exported { id, files, bytes }) => {
            let text =
                format!("{id}: {files} files, {} MiB, each with the checksum that it had.", bytes >> 20);
            match (&place, globals.json) {
                // The archive itself is there.
                (Place::Stream, _) => eprintln!("{text}"),
                (Place::File(_) | Place::Object { .. }, false) => println!("{text}"),
                (Place::File(_) | Place::Object { .. }, true) => {
                    println!("{}", serde_json::json!({ "id": id, "files": files, "bytes": bytes }));
                }
            }
            Exit::Done
        }
        Err(error) => Exit::answer(globals.json && place != Place::Stream, &error),
    }
}
