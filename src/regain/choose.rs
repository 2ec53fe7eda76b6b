//! Which collections come back, and whether the server can take them: a pure function of the manifest, the order and what
//! is there.

use std::collections::BTreeSet;

use super::Order;
use super::error::RegainError;
use crate::manifest::Manifest;
use crate::weaviate::options::{OVERWRITE_SINCE, RESTORED_SINCE};
use crate::weaviate::{Alias, Client, idle};

/// What the server has.
#[derive(Clone, Debug, Default)]
pub struct Here {
    pub classes: Vec<String>,
    pub aliases: Vec<Alias>,
}

impl Here {
    pub async fn look(client: &Client) -> Result<Self, RegainError> {
        let classes = client.classes().await?.into_iter().map(|class| class.name).collect();
        Ok(Self { classes, aliases: client.aliases().await? })
    }
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Chosen {
    pub collections: BTreeSet<String>,
    /// What aliases name until then that will name something else.
    pub aliases: Vec<Alias>,
}

pub fn choose(manifest: &Manifest, here: &Here, order: &Order, version: &str) -> Result<Chosen, RegainError> {
    let backup = manifest.backup_id.clone().unwrap_or_default();
    if let Some(name) =
        [&order.include, &order.exclude].into_iter().find_map(|list| idle(list, &manifest.collections))
    {
        return Err(RegainError::Unknown { name: name.to_owned(), backup, known: manifest.names() });
    }
    let selection = order.selection();
    let collections: BTreeSet<String> =
        manifest.collections.keys().filter(|name| selection.takes(name)).cloned().collect();
    if collections.is_empty() {
        return Err(RegainError::NothingLeft { backup, known: manifest.names() });
    }
    // The server takes two names that differ in their letters' size for one: their folders would be the same (Weaviate
    // 1.39.0, cluster/schema, "class already exists: found similar class").
    let there = |name: &&String| here.classes.iter().any(|class| class.eq_ignore_ascii_case(name));
    let doubled: Vec<String> = collections.iter().filter(there).cloned().collect();
    if !doubled.is_empty() {
        return Err(RegainError::There { names: doubled });
    }
    if let Some(alias) = here.aliases.iter().find(|alias| collections.contains(&alias.alias)) {
        return Err(RegainError::NameOfAlias { name: alias.alias.clone(), class: alias.class.clone() });
    }
    let comes = |alias: &&Alias| {
        let mut of_backup = manifest.aliases.iter().filter(|known| collections.contains(&known.class));
        of_backup.any(|known| known.alias == alias.alias)
    };
    let taken: Vec<Alias> = here.aliases.iter().filter(comes).cloned().collect();
    if let (Some(alias), false) = (taken.first(), order.overwrite_alias) {
        return Err(RegainError::AliasThere { alias: alias.alias.clone(), class: alias.class.clone() });
    }
    // A server that does not know an option leaves it away without a word.
    let asked = [
        ("--overwrite-alias", !taken.is_empty(), OVERWRITE_SINCE),
        ("--users", order.users, RESTORED_SINCE),
        ("--roles", order.roles, RESTORED_SINCE),
    ];
    if let Some((option, _, since)) = asked.into_iter().find(|(_, is, since)| *is && !since.knows(version)) {
        let (since, server) = (since.to_string(), version.to_owned());
        return Err(RegainError::TooOld { option, since, server });
    }
    Ok(Chosen { collections, aliases: taken })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(alias: &str, class: &str) -> Alias {
        Alias { alias: alias.to_owned(), class: class.to_owned() }
    }

    fn backup() -> Manifest {
        Manifest {
            backup_id: Some("full-1".to_owned()),
            collections: ["Article", "Chunk", "Empty"].map(|name| (name.to_owned(), <_>::default())).into(),
            aliases: vec![(&alias("News", "Article")).into()],
            ..Manifest::default()
        }
    }

    fn order(include: &[&str], exclude: &[&str], overwrite_alias: bool) -> Order {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Order { include: list(include), exclude: list(exclude), overwrite_alias, ..Order::default() }
    }

    #[test]
    fn what_comes_back_is_not_there() {
        type Names = &'static [&'static str];
        type Expected = Result<Names, fn(&RegainError) -> bool>;
        type Row = (Names, Names, bool, Names, Vec<Alias>, Expected);
        let other = |name: &str| vec![alias(name, "Other")];
        let rows: [Row; 13] = [
            (&[], &[], false, &[], vec![], Ok(&["Article", "Chunk", "Empty"])),
            (&["Chunk"], &[], false, &["Article"], vec![], Ok(&["Chunk"])),
            (&["*"], &["Article"], false, &["Article"], vec![], Ok(&["Chunk", "Empty"])),
            (&["C?unk"], &[], false, &[], vec![], Ok(&["Chunk"])),
            (
                &[],
                &[],
                false,
                &["Chunk"],
                vec![],
                Err(|e| matches!(e, RegainError::There { names } if names == &["Chunk"])),
            ),
            (&[], &[], false, &["CHUNK"], vec![], Err(|e| matches!(e, RegainError::There { .. }))),
            (&["Chunks"], &[], false, &[], vec![], Err(|e| matches!(e, RegainError::Unknown { .. }))),
            (&[], &["Chunks"], false, &[], vec![], Err(|e| matches!(e, RegainError::Unknown { .. }))),
            (&["Chunk"], &["C*"], false, &[], vec![], Err(|e| matches!(e, RegainError::NothingLeft { .. }))),
            (
                &["Chunk"],
                &[],
                false,
                &[],
                other("Chunk"),
                Err(|e| matches!(e, RegainError::NameOfAlias { .. })),
            ),
            (
                &["Article"],
                &[],
                false,
                &[],
                other("News"),
                Err(|e| matches!(e, RegainError::AliasThere { .. })),
            ),
            (&["Article"], &[], true, &[], other("News"), Ok(&["Article"])),
            // Of another collection of the backup, which does not come.
            (&["Chunk"], &[], false, &[], other("News"), Ok(&["Chunk"])),
        ];
        for (include, exclude, overwrite, classes, aliases, expected) in rows {
            let here = Here { classes: classes.iter().map(|name| (*name).to_owned()).collect(), aliases };
            let chosen = choose(&backup(), &here, &order(include, exclude, overwrite), "1.39.0");
            match (&chosen, expected) {
                (Ok(chosen), Ok(names)) => assert!(chosen.collections.iter().eq(names), "{chosen:?}"),
                (Err(error), Err(is)) => assert!(is(error), "{include:?} {exclude:?}: {error:?}"),
                _ => panic!("{include:?} {exclude:?} {classes:?}: {chosen:?}"),
            }
        }
    }

    #[test]
    fn an_alias_is_moved_by_a_server_that_can_and_its_former_collection_is_known() {
        let here = Here { classes: Vec::new(), aliases: vec![alias("News", "Other")] };
        let of = |version| choose(&backup(), &here, &order(&["Article"], &[], true), version);
        assert_eq!(of("1.39.0").expect("moved").aliases, [alias("News", "Other")]);
        assert!(matches!(of("1.32.4"), Err(RegainError::TooOld { .. })));
        // Where none is moved the version is no matter.
        let free = choose(&backup(), &Here::default(), &order(&["Article"], &[], true), "1.32.4");
        assert_eq!(free.expect("chosen").aliases, []);
        for (users, roles) in [(true, false), (false, true)] {
            let asked = Order { users, roles, ..order(&["Article"], &[], false) };
            let of = |version| choose(&backup(), &Here::default(), &asked, version);
            assert!(matches!(of("1.31.9"), Err(RegainError::TooOld { .. })));
            of("1.32.0").expect("known");
        }
    }
}
