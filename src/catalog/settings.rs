//! `[backup.keep]`: which backups stay.

use crate::config::Section;

/// A backup stays for any of these. The newest of its day or week counts for it, as in restic's `forget`
/// (restic documentation, "Removing snapshots according to a policy").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest ones.
    pub last: usize,
    /// Of the last days that have one.
    pub daily: usize,
    /// Of the last weeks (ISO 8601, UTC) that have one.
    pub weekly: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { last: 7, daily: 7, weekly: 4 }
    }
}

impl Keep {
    pub fn read(section: &mut Section<'_>) -> Self {
        let Self { last, daily, weekly } = Self::default();
        let mut number = |key: &'static str, default: usize| {
            let number: u32 = section.or(key, u32::try_from(default).unwrap_or(u32::MAX));
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let keep = Self {
            last: number("last", last),
            daily: number("daily", daily),
            weekly: number("weekly", weekly),
        };
        // A node that has just read the manifest restores what it named: the one before the newest, perhaps.
        if keep.last < 2 {
            section.problem("last", format!("is {}, and at least 2 must stay", keep.last));
        }
        keep
    }
}
