//! `metrics`: how this node stands, its last backup, drill and restore, as Prometheus reads them. From what the runs have
//! written down: nobody is asked, and nothing is changed.
//!
//! ```text
//! state directory ─▶ Facts ─▶ page ─▶ standard output ─▶ a collector that reads files, or runs programs
//! ```
//!
//! To add a figure: its line in [`page`], with its unit in its name (Prometheus, "Metric and label naming").

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::status::Works;
use super::{Exit, Globals, context};
use crate::backup;
use crate::drill::Drilled;
use crate::explain::Class;
use crate::regain;
use crate::report::{Outcome, Report};
use crate::state::{Journal, Provisioning};

/// What is known on this machine.
#[derive(Default)]
struct Facts {
    provisioning: Option<Provisioning>,
    report: Option<Report>,
    works: Works,
}

pub fn metrics(globals: &Globals) -> Exit {
    let directory = context::roots(globals).state;
    let state = match Journal::peek(&directory) {
        Ok(state) => state,
        Err(error) => return Exit::answer(globals.json, &error),
    };
    let facts = Facts {
        provisioning: state.map(|state| state.provisioning),
        // One that cannot be read says nothing; `status` says so.
        report: Report::read(&directory).ok().flatten(),
        works: Works::read(&directory),
    };
    match page(&facts) {
        Ok(text) if globals.json => println!("{}", json(&text)),
        Ok(text) => print!("{text}"),
        Err(error) => {
            let why = format!("the figures cannot be written: {error}");
            super::exit::say(Class::Retry, &why, "Ask again.", &[]);
            return Exit::Retry;
        }
    }
    Exit::Done
}

/// The figures in Prometheus' text format. What is not known has no line: a zero would be a lie.
fn page(facts: &Facts) -> Result<String, std::fmt::Error> {
    let Facts { provisioning, report, works } = facts;
    let mut page = Page(Registry::with_prefix("weaviate_provisioner"));
    let build = Family::<[(&str, &str); 1], Gauge>::default();
    build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    page.0.register("build_info", "The version of this program", build);
    if let Some(provisioning) = provisioning {
        let serving = matches!(provisioning, Provisioning::Serving { .. });
        page.whole("serving", "Whether the last boot ended in serving, and nothing has ended that", serving);
        if let Provisioning::Serving { since } = provisioning {
            page.when("serving_since_timestamp_seconds", "When the door opened", *since);
        }
    }
    let served = report.as_ref().filter(|report| report.outcome == Outcome::Serving);
    if let Some(restored) = served.and_then(|report| report.restored.as_ref()) {
        let objects: u64 = restored.collections.values().flat_map(|tenants| tenants.values()).sum();
        page.whole("boot_restored_objects", "Objects that the last boot counted", objects);
        page.whole("boot_restored_bytes", "Bytes of the backup that the last boot restored", restored.bytes);
    }
    if let Some(last) = &works.backup {
        of_backup(&mut page, last);
    }
    if let Some(drilled) = &works.drill {
        of_drill(&mut page, drilled);
    }
    if let Some(last) = &works.restore {
        of_restore(&mut page, last);
    }
    let mut text = String::new();
    encode(&mut text, &page.0)?;
    Ok(text)
}

/// Series → value.
fn json(text: &str) -> Value {
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    let value = |value: &str| serde_json::from_str::<Value>(value).unwrap_or_else(|_| value.into());
    lines.map(|(name, text)| (name.to_owned(), value(text))).collect()
}

fn of_backup(page: &mut Page, last: &backup::Last) {
    let under_way = matches!(last, backup::Last::UnderWay { .. });
    page.whole("backup_under_way", "Whether a backup is being made", under_way);
    match last {
        backup::Last::UnderWay { .. } => {}
        backup::Last::Made { made, at } => {
            let backup::Made { files, bytes, objects, seconds, held_back, unprotected, .. } = made;
            let tenants: u64 = unprotected.values().map(|tenants| tenants.len() as u64).sum();
            page.ended("backup", true, *at);
            page.whole("backup_duration_seconds", "How long the last backup took", *seconds);
            page.whole("backup_files", "Files of the last backup, without its base", *files);
            page.whole("backup_bytes", "Bytes of the last backup, without its base", *bytes);
            page.whole("backup_objects", "Objects in the collections of the last backup", *objects);
            page.whole(
                "backup_named",
                "Whether the manifest was made to name the last backup",
                held_back.is_none(),
            );
            page.whole("backup_unprotected_tenants", "Tenants whose data is not in the last backup", tenants);
        }
        backup::Last::Failed { at, .. } => page.ended("backup", false, *at),
    }
}

fn of_drill(page: &mut Page, drilled: &Drilled) {
    let Drilled { at, proven, bytes, objects, queries, seconds, .. } = drilled;
    page.ended("drill", *proven, *at);
    page.whole("drill_duration_seconds", "How long the last drill took", *seconds);
    if *proven {
        page.whole("drill_restored_bytes", "Bytes that the last drill restored", *bytes);
        page.whole("drill_compared_objects", "Objects that the last drill counted", *objects);
        page.whole("drill_queries", "Queries of drill.queries that the last drill compared", *queries);
    }
}

/// Of collections, into the server that serves.
fn of_restore(page: &mut Page, last: &regain::Last) {
    let under_way = matches!(last, regain::Last::UnderWay { .. });
    page.whole("restore_under_way", "Whether collections come back into the server that serves", under_way);
    match last {
        regain::Last::UnderWay { .. } => {}
        regain::Last::Done { regained, at } => {
            page.ended("restore", true, *at);
            page.whole("restore_duration_seconds", "How long the last restore took", regained.seconds);
            page.whole("restore_objects", "Objects that came back with the last restore", regained.objects);
        }
        regain::Last::Failed { at, .. } => page.ended("restore", false, *at),
    }
}

struct Page(Registry);

impl Page {
    fn whole(&mut self, name: &str, help: &str, value: impl Into<u64>) {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value.into());
        self.0.register(name, help, gauge);
    }

    /// Whole seconds: nobody alarms by less.
    fn when(&mut self, name: &str, help: &str, at: Timestamp) {
        let gauge = <Gauge>::default();
        gauge.set(at.as_second());
        self.0.register(name, help, gauge);
    }

    fn ended(&mut self, work: &str, well: bool, at: Timestamp) {
        let when = format!("When the last {work} of this machine ended");
        self.when(&format!("{work}_timestamp_seconds"), &when, at);
        let well_said = format!("Whether the last {work} of this machine ended well");
        self.whole(&format!("{work}_succeeded"), &well_said, well);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Last, Made};
    use crate::explain::Failure;
    use crate::regain::{RegainError, Regained};
    use crate::report::RestoredReport;

    const AT: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn made() -> Made {
        Made {
            id: "weaviate_backup_1".to_owned(),
            base: None,
            files: 12,
            bytes: 34,
            objects: 3200,
            collections: 3,
            seconds: 56,
            quiesced: false,
            held_back: None,
            unprotected: [("Chunk".to_owned(), ["beta".to_owned(), "gamma".to_owned()].into())].into(),
        }
    }

    fn drilled(proven: bool) -> Drilled {
        Drilled {
            backup_id: "weaviate_backup_1".to_owned(),
            at: AT,
            instance_id: "i-1".to_owned(),
            proven,
            bytes: 34,
            objects: 3200,
            queries: 2,
            seconds: 78,
            reason: None,
            details: Vec::new(),
            agent: "0".to_owned(),
        }
    }

    #[test]
    fn a_page_has_what_is_known() {
        let restored = RestoredReport {
            backup_id: Some("full-1".to_owned()),
            from: None,
            mode: "staged".to_owned(),
            bytes: 90,
            collections: [("A".to_owned(), [(String::new(), 7)].into())].into(),
        };
        let failure = Failure::new("boot", &RegainError::Cancelled);
        let report = Report::of_failure(&failure, Outcome::Serving);
        let regained = Regained {
            id: "full-1".to_owned(),
            collections: ["A".to_owned()].into(),
            objects: 7,
            bytes: 90,
            seconds: 9,
        };
        let facts = Facts {
            provisioning: Some(Provisioning::Serving { since: AT }),
            report: Some(Report { restored: Some(restored), ..report }),
            works: Works {
                backup: Some(Last::Made { made: made(), at: AT }),
                drill: Some(drilled(true)),
                restore: Some(regain::Last::Done { regained, at: AT }),
            },
        };
        insta::assert_snapshot!(page(&facts).expect("written"));
    }

    #[test]
    fn what_is_not_known_has_no_line_and_what_failed_no_figures() {
        let series = |facts: &Facts| -> Vec<String> {
            let json = json(&page(facts).expect("written"));
            let all = json.as_object().expect("series").iter();
            let short = |name: &str| name.trim_start_matches("weaviate_provisioner_").to_owned();
            all.filter(|(name, _)| !name.contains("build_info"))
                .map(|(name, value)| format!("{} {value}", short(name)))
                .collect()
        };
        assert_eq!(series(&Facts::default()), Vec::<String>::new());
        let failure = || Failure::new("x", &RegainError::Cancelled);
        let id = || Some("x".to_owned());
        let rows = [
            (
                Facts { provisioning: Some(Provisioning::Failed { failure: failure() }), ..Facts::default() },
                vec!["serving 0"],
            ),
            (Facts { provisioning: Some(Provisioning::Running), ..Facts::default() }, vec!["serving 0"]),
            (
                Facts {
                    works: Works {
                        backup: Some(Last::Failed { id: id(), failure: failure(), at: AT }),
                        drill: Some(drilled(false)),
                        restore: Some(regain::Last::Failed { id: id(), failure: failure(), at: AT }),
                    },
                    ..Facts::default()
                },
                vec![
                    "backup_under_way 0",
                    "backup_timestamp_seconds 1790000000",
                    "backup_succeeded 0",
                    "drill_timestamp_seconds 1790000000",
                    "drill_succeeded 0",
                    "drill_duration_seconds 78",
                    "restore_under_way 0",
                    "restore_timestamp_seconds 1790000000",
                    "restore_succeeded 0",
                ],
            ),
            (
                Facts {
                    works: Works {
                        backup: Some(Last::UnderWay {
                            id: "x".to_owned(),
                            files: 1,
                            bytes: 2,
                            direct: false,
                        }),
                        ..Works::default()
                    },
                    ..Facts::default()
                },
                vec!["backup_under_way 1"],
            ),
        ];
        for (facts, expected) in rows {
            assert_eq!(series(&facts), expected);
        }
    }
}
