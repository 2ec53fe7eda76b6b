//! `list`: every backup in the bucket, and what is wrong with each; nothing is changed.

use super::{Exit, Globals, context};
use crate::catalog::{self, CatalogError, Row, Scope};
use crate::manifest::{self, Origin};
use crate::restore;

pub async fn list(globals: &Globals) -> Exit {
    let (host, me) = match context::looker(globals).await {
        Ok(looker) => looker,
        Err(exit) => return exit,
    };
    let looked = async {
        let store = restore::connect(&host, &me).await?;
        let looked = catalog::look(&Scope::of(&host, &store), host.now()).await?;
        let from = looked.pointer.as_ref().and_then(|pointer| pointer.manifest.from.clone());
        Ok::<_, CatalogError>((catalog::weigh(&looked), from))
    };
    match looked.await {
        Ok((rows, from)) => {
            if globals.json {
                println!("{}", serde_json::json!({ "backups": rows, "from": from }));
            } else {
                print!("{}", text(&rows, from.as_ref()));
            }
            Exit::Done
        }
        Err(error) => Exit::answer(globals.json, &error),
    }
}

fn text(rows: &[Row], from: Option<&Origin>) -> String {
    let widest = rows.iter().map(|row| row.id.len()).max().unwrap_or_default();
    let mut lines: Vec<String> = rows.iter().flat_map(|row| about(row, widest)).collect();
    lines.push(match rows.iter().any(|row| row.latest) {
        true => "* is what the manifest names.".to_owned(),
        false if rows.is_empty() => "There is no backup.".to_owned(),
        false => "No manifest names one of them.".to_owned(),
    });
    if let Some(from) = from {
        let id = &from.backup_id;
        lines
            .push(format!("This node was restored from {id} of {from}, and has made none of its own since."));
    }
    lines.join("\n") + "\n"
}

/// A line, and one for each thing that must be known of it.
fn about(row: &Row, widest: usize) -> Vec<String> {
    let Row { id, completed, chain, files, bytes, objects, standing, latest, .. } = row;
    let Row { leased, held_back, unprotected, wrong, .. } = row;
    let completed = completed.map_or_else(|| "at no known time".to_owned(), |at| format!("{at:.0}"));
    let objects = objects.map_or_else(|| "?".to_owned(), |objects| objects.to_string());
    let (mark, mib) = (if *latest { "*" } else { " " }, bytes >> 20);
    let bases: Vec<&str> = chain.iter().filter(|link| *link != id).map(String::as_str).collect();
    let on = if bases.is_empty() { String::new() } else { format!("  on {}", bases.join(", ")) };
    let standing = standing.name();
    let mut lines = vec![format!(
        "{mark} {id:<widest$}  {completed:<20}  {standing:<16}  {files:>6} files  {mib:>8} MiB  {objects:>10} objects{on}"
    )];
    lines.extend(leased.iter().map(|instance| format!("    {instance} is restoring it")));
    lines.extend(held_back.iter().map(|why| format!("    the manifest does not name it: {why}")));
    let without = manifest::listed(unprotected);
    lines.extend(without.map(|tenants| format!("    without the data of tenants: {tenants}")));
    lines.extend(wrong.iter().take(SHOWN).map(|what| format!("    {what}")));
    if wrong.len() > SHOWN {
        lines.push(format!("    and {} more: --json has all", wrong.len() - SHOWN));
    }
    lines
}

/// Of what is wrong with one backup.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::Standing;

    fn row(id: &str, standing: Standing) -> Row {
        Row {
            id: id.to_owned(),
            completed: "2026-01-02T03:04:05.678Z".parse().ok(),
            chain: vec![id.to_owned()],
            files: 12,
            bytes: 3 << 20,
            objects: Some(3200),
            standing,
            latest: false,
            leased: Vec::new(),
            held_back: None,
            unprotected: BTreeMap::new(),
            wrong: Vec::new(),
        }
    }

    #[test]
    fn a_line_for_each_and_below_it_what_is_wrong() {
        let rows = [
            Row {
                latest: true,
                chain: vec!["full".to_owned(), "more".to_owned()],
                ..row("more", Standing::Whole)
            },
            Row { leased: vec!["i-1".to_owned()], ..row("full", Standing::Whole) },
            Row { held_back: Some("it leaves out A".to_owned()), ..row("some", Standing::Whole) },
            Row {
                unprotected: [("Chunk".to_owned(), ["beta".to_owned()].into())].into(),
                ..row("old", Standing::Whole)
            },
            Row {
                completed: None,
                objects: None,
                wrong: (0..7).map(|n| format!("chunk-{n} is missing")).collect(),
                ..row("broken", Standing::Damaged)
            },
        ];
        insta::assert_snapshot!(text(&rows, None));
        assert_eq!(text(&[], None), "There is no backup.\n");
        let from = Origin {
            bucket: "acme-production".to_owned(),
            prefix: "live".to_owned(),
            deployment: "acme-production".to_owned(),
            node: "weaviate-0".to_owned(),
            backup_id: "full-1".to_owned(),
            ..Origin::default()
        };
        let said = text(&[], Some(&from));
        assert!(
            said.contains("restored from full-1 of s3://acme-production/live (deployment acme-production"),
            "{said}"
        );
        let left_out = ["A", "B", "C", "D", "E", "F"].map(str::to_owned).into();
        let said = text(&[], Some(&Origin { left_out, ..from }));
        assert!(
            said.contains("node weaviate-0) without A, B, C, D, E, \u{2026}, and has made none"),
            "{said}"
        );
        assert!(text(&rows[1..], None).ends_with("No manifest names one of them.\n"));
    }
}
