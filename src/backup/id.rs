//! Ids of backups: `weaviate_backup_20250924_153000`, in UTC. The server takes `[a-z0-9_-]` only (weaviate 1.39.0,
//! usecases/backup/handler.go), so a time of ISO 8601 is none.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The id of a backup that begins now.
pub fn id_at(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("weaviate_backup_%Y%m%d_%H%M%S").to_string()
}

/// The same for one that is begun after another one, perhaps in the same second.
pub fn id_after(now: Timestamp, before: &str) -> String {
    let id = id_at(now);
    if id == before { id_at(now + jiff::SignedDuration::from_secs(1)) } else { id }
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
        let now = "2025-09-24T15:30:59Z".parse().expect("a time");
        assert_eq!(id_after(now, "weaviate_backup_20250924_153058"), "weaviate_backup_20250924_153059");
        assert_eq!(id_after(now, "weaviate_backup_20250924_153059"), "weaviate_backup_20250924_153100");
    }
}
