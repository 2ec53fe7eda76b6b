//! `import`: one backup out of one file, of one object of a bucket, or from standard input, into the bucket.

use std::path::Path;

use super::{Exit, Globals, context};
use crate::archive::{self, Imported, Place};
use crate::catalog::Scope;
use crate::restore;

pub async fn import(globals: &Globals, file: &Path, spool: Option<&Path>) -> Exit {
    let (host, me) = match context::looker(globals).await {
        Ok(looker) => looker,
        Err(exit) => return exit,
    };
    let imported = async {
        let store = restore::connect(&host, &me).await?;
        let writer = restore::connect_writer(&host, &me, &store).await;
        let connections = usize::try_from(host.settings.making.connections).unwrap_or(1);
        let scope = Scope::of(&host, &store);
        let limits = host.settings.restore.reading();
        archive::import(&scope, &writer, &Place::of(file), spool, connections, limits).await
    };
    match context::told(globals, &host, Box::pin(imported)).await {
        Ok(imported) => {
            if globals.json {
                println!("{}", serde_json::json!(imported));
            } else {
                println!("{}", sentence(&imported));
            }
            Exit::Done
        }
        Err(error) => Exit::answer(globals.json, &error),
    }
}

fn sentence(imported: &Imported) -> String {
    let Imported { id, files, bytes, deployment } = imported;
    format!(
        "{id} of {deployment}: {files} files, {} MiB are in the bucket, each with the checksum that it had. What the \
         manifest names is as it was.",
        bytes >> 20
    )
}
