//! `verify`: proves a backup by what the bucket lists, or by its every byte; nothing is changed.

use super::{Exit, Globals, context};
use crate::catalog::{self, Checked, Scope};
use crate::restore;

pub async fn verify(globals: &Globals, id: Option<&str>, deep: bool) -> Exit {
    let (host, me) = match context::looker(globals).await {
        Ok(looker) => looker,
        Err(exit) => return exit,
    };
    let checked = async {
        let store = restore::connect(&host, &me).await?;
        let limits = deep.then(|| host.settings.restore.reading());
        catalog::verify(&Scope::of(&host, &store), id, limits).await
    };
    match context::told(globals, &host, Box::pin(checked)).await {
        Ok(checked) => {
            if globals.json {
                println!("{}", serde_json::json!(checked));
            } else {
                println!("{}", sentence(&checked));
            }
            Exit::Done
        }
        Err(error) => Exit::answer(globals.json, &error),
    }
}

fn sentence(checked: &Checked) -> String {
    let Checked { id, chain, files, bytes, deep } = checked;
    let bases: Vec<&str> = chain.iter().filter(|link| *link != id).map(String::as_str).collect();
    let on = if bases.is_empty() { String::new() } else { format!(", built on {}", bases.join(", ")) };
    let what = if *deep {
        "every byte was read, and is as it was"
    } else {
        "each has the size and ETag that it had"
    };
    format!("{id}{on}: {files} files, {} MiB: {what}.", bytes >> 20)
}
