//! Ids of backups: `weaviate_backup_20250924_153000`, in UTC. The server takes `[a-z0-9_-]` only (weaviate 1.39.0,
//! usecases/backup/handler.go), so a time of ISO 8601 is none.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The id of a backup that begins now.
pub fn id_at(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("weaviate_backup_%Y%m%d_%H%M%S").to_string()
}

/// When one may begin after another one that began at `before`: their ids are of their seconds.
pub fn next(now: Timestamp, before: Timestamp) -> Timestamp {
    now.max(before + SignedDuration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::is_id;

    #[test]
    fn an_id_is_of_its_second_and_legal() {
        let rows = [
            ("2025-09-24T15:30:00Z", "weaviate_backup_20250924_153000"),
            // In UTC, wherever the machine is.
            ("2025-09-24T01:30:00.999+03:00", "weaviate_backup_20250923_223000"),
        ];
        for (now, expected) in rows {
            let id = id_at(now.parse().expect("a time"));
            assert_eq!(id, expected);
            assert!(is_id(&id));
        }
    }

    #[test]
    fn one_after_another_has_an_id_of_its_own() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let first = at("2025-09-24T15:30:59.2Z");
        // Both in the first one's second, or the clock was set back.
        let second = next(at("2025-09-24T15:30:59.5Z"), first);
        let third = next(at("2025-09-24T15:30:59.9Z"), second);
        assert_eq!(
            [first, second, third].map(id_at),
            [
                "weaviate_backup_20250924_153059",
                "weaviate_backup_20250924_153100",
                "weaviate_backup_20250924_153101"
            ]
        );
        assert_eq!(next(at("2025-09-24T15:32:00Z"), first), at("2025-09-24T15:32:00Z"));
    }
}
