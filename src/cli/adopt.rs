//! `adopt`: a backup that the server made alone gets a manifest, after every byte of it was read.

use super::{Exit, Globals, context};
use crate::catalog::{self, Adopted, Scope};
use crate::{manifest, restore};

pub async fn adopt(globals: &Globals, id: &str) -> Exit {
    let (host, me) = match context::looker(globals).await {
        Ok(looker) => looker,
        Err(exit) => return exit,
    };
    let adopted = async {
        let store = restore::connect(&host, &me).await?;
        let writer = restore::connect_writer(&host, &me, &store).await;
        catalog::adopt(&Scope::of(&host, &store), &writer, id, host.settings.restore.reading()).await
    };
    match context::told(globals, &host, Box::pin(adopted)).await {
        Ok(adopted) => {
            if globals.json {
                println!("{}", serde_json::json!(adopted));
            } else {
                println!("{}", sentence(&adopted));
            }
            Exit::Done
        }
        Err(error) => Exit::answer(globals.json, &error),
    }
}

fn sentence(adopted: &Adopted) -> String {
    let Adopted { id, files, bytes, known, named, unprotected } = adopted;
    let what = if *known {
        "it had a manifest already; `verify` proves it"
    } else {
        "every byte was read, and its manifest is written"
    };
    let named = if *named { ". The manifest names it in full now" } else { "" };
    let without = manifest::listed(unprotected).map_or_else(String::new, |listed| {
        format!(" Unprotected are tenants whose data is not in it: {listed}.")
    });
    format!("{id}: {files} files, {} MiB: {what}{named}.{without}", bytes >> 20)
}
