//! What a backup holds, as the manifest says it.
//!
//! The server takes each shard at a moment of its own while clients write on, and does not say when. So it is counted
//! before, again and again meanwhile, and after. A collection that was the same each time is what it was; of another one
//! the manifest says between what its counts were, and that it was changing: no restore can be held to one number then.

use super::inactive::{self, Tenants};
use crate::manifest::{Alias, Collection, Collections, Tenant};
use crate::restore::Seen;

/// All counts of one backup.
#[derive(Debug, Default)]
pub struct Counted {
    rounds: Vec<Seen>,
}

impl Counted {
    /// One more, in the order of time. Two in a row that are the same are one.
    pub fn add(&mut self, seen: Seen) {
        if self.rounds.last() != Some(&seen) {
            self.rounds.push(seen);
        }
    }

    /// Objects of these collections, at the last count.
    pub fn total(&self, names: &[String]) -> u64 {
        let last = self.rounds.last().into_iter().flat_map(|seen| &seen.collections);
        let wanted = last.filter(|(name, _)| names.contains(name)).map(|(_, collection)| collection);
        wanted.flat_map(|collection| collection.tenants.values()).filter_map(|tenant| tenant.objects).sum()
    }

    /// Collections that the server holds, and that are not among these.
    pub fn left_out(&self, names: &[String]) -> Vec<String> {
        let last = self.rounds.last().into_iter().flat_map(|seen| seen.collections.keys());
        last.filter(|name| !names.contains(name)).cloned().collect()
    }

    /// Tenants of these collections that were there from the first count to the last.
    pub fn throughout(&self, names: &[String]) -> Tenants {
        let (Some(first), Some(last)) = (self.rounds.first(), self.rounds.last()) else {
            return Tenants::new();
        };
        let mut tenants = inactive::throughout(&first.collections, &last.collections);
        tenants.retain(|class, _| names.contains(class));
        tenants
    }

    /// Of the collections that are in the backup.
    pub fn collections(&self, names: &[String]) -> Collections {
        names.iter().map(|name| (name.clone(), self.collection(name))).collect()
    }

    /// At the last count; the server takes them with the collections.
    pub fn aliases(&self, names: &[String]) -> Vec<Alias> {
        let last = self.rounds.last().into_iter().flat_map(|seen| &seen.aliases);
        last.filter(|alias| names.contains(&alias.class)).map(Alias::from).collect()
    }

    fn collection(&self, name: &str) -> Collection {
        let rounds: Vec<Option<&Collection>> =
            self.rounds.iter().map(|seen| seen.collections.get(name)).collect();
        let mut found = Collection {
            changing: rounds.windows(2).any(|pair| pair[0] != pair[1]),
            ..Collection::default()
        };
        for (tenant, seen) in rounds.iter().copied().flatten().flat_map(|collection| &collection.tenants) {
            match found.tenants.get_mut(tenant) {
                None => drop(found.tenants.insert(tenant.clone(), seen.clone())),
                Some(known) => widen(known, seen),
            }
        }
        found
    }
}

fn widen(known: &mut Tenant, seen: &Tenant) {
    let most = known.at_most.or(known.objects).max(seen.objects);
    let least = match (known.objects, seen.objects) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    };
    known.at_most = most.filter(|_| most != least);
    known.objects = least;
    known.status.clone_from(&seen.status);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weaviate;

    /// A collection `A` with tenants and their objects.
    fn seen(tenants: &[(&str, Option<u64>)]) -> Seen {
        let status = |objects: Option<u64>| Some(if objects.is_some() { "HOT" } else { "COLD" }.to_owned());
        let tenant = |(name, objects): &(&str, Option<u64>)| {
            ((*name).to_owned(), Tenant { objects: *objects, status: status(*objects), ..Tenant::default() })
        };
        let tenants = tenants.iter().map(tenant).collect();
        let collections = [("A".to_owned(), Collection { tenants, ..Collection::default() })].into();
        Seen { collections, aliases: vec![weaviate::Alias { alias: "Main".into(), class: "A".into() }] }
    }

    #[test]
    fn what_was_the_same_each_time_is_one_number() {
        type Row<'a> = (&'a [&'a [(&'a str, Option<u64>)]], bool, &'a [(&'a str, Option<u64>, Option<u64>)]);
        let rows: [Row<'_>; 6] = [
            (&[&[("", Some(7))], &[("", Some(7))]], false, &[("", Some(7), None)]),
            // More, fewer, and back again: a rolling window has the same count at both ends.
            (&[&[("", Some(7))], &[("", Some(9))]], true, &[("", Some(7), Some(9))]),
            (&[&[("", Some(9))], &[("", Some(7))]], true, &[("", Some(7), Some(9))]),
            (&[&[("", Some(7))], &[("", Some(6))], &[("", Some(7))]], true, &[("", Some(6), Some(7))]),
            // A tenant came.
            (
                &[&[("a", Some(1))], &[("a", Some(1)), ("b", Some(5))]],
                true,
                &[("a", Some(1), None), ("b", Some(5), None)],
            ),
            // One was put to rest, and cannot be counted any more.
            (&[&[("a", Some(4))], &[("a", None)]], true, &[("a", Some(4), None)]),
        ];
        for (rounds, changing, expected) in rows {
            let mut counted = Counted::default();
            for round in rounds {
                counted.add(seen(round));
            }
            let found = counted.collections(&["A".to_owned()]);
            assert_eq!(found["A"].changing, changing, "{rounds:?}");
            let tenants: Vec<_> =
                found["A"].tenants.iter().map(|(name, t)| (name.as_str(), t.objects, t.at_most)).collect();
            assert_eq!(tenants, expected, "{rounds:?}");
        }
    }

    #[test]
    fn only_what_is_in_the_backup_is_told() {
        let mut counted = Counted::default();
        counted.add(seen(&[("", Some(7))]));
        assert_eq!((counted.total(&["A".to_owned()]), counted.total(&[])), (7, 0));
        assert_eq!(counted.left_out(&["B".to_owned()]), ["A"]);
        assert!(counted.left_out(&["A".to_owned(), "B".to_owned()]).is_empty());
        assert_eq!(counted.throughout(&["B".to_owned()]), Tenants::new());
        counted.add(seen(&[("t", Some(7))]));
        assert_eq!(counted.throughout(&["A".to_owned()]), Tenants::new(), "it came later");
        assert_eq!(counted.aliases(&["A".to_owned()]).len(), 1);
        assert!(counted.aliases(&["B".to_owned()]).is_empty());
        // In the backup, and gone before it was counted once.
        assert_eq!(counted.collections(&["B".to_owned()])["B"], Collection::default());
    }
}
