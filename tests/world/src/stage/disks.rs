//! The machine's disks, and whether the journal named each before a byte of it was changed.
//!
//! ```text
//! every 20 ms: image changed? ─▶ journal ──────────────────────────┐
//! a disk is about to be written, by a program or a mount: journal ─┴─▶ DiskTouched, once for each serial
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::ledger::{Event, Ledger};
use crate::machine::Machine;

/// Programs that write to the disks in their arguments, whatever else stands there. A mount replays the log.
const WRITERS: [&str; 4] = ["mkfs.xfs", "mdadm", "mount", "wipefs"];

/// The machine's disks, each told of once.
#[derive(Debug)]
pub struct Disks {
    machine: Arc<Machine>,
    ledger: Arc<Ledger>,
    told: Mutex<BTreeSet<String>>,
}

impl Disks {
    pub fn new(machine: &Arc<Machine>, ledger: &Arc<Ledger>) -> Self {
        Self { machine: Arc::clone(machine), ledger: Arc::clone(ledger), told: Mutex::default() }
    }

    /// What the disks hold now was there before: whatever is written from now on must be named by the journal. What
    /// was written since the last look is not forgiven.
    pub fn begin(&self) -> Result<()> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_at_all(&mut told);
        self.machine.disks().iter().try_for_each(|disk| disk.begin())?;
        told.clear();
        Ok(())
    }

    /// Disk first, journal second: a disk that is seen changed while a journal read later does not name it was
    /// changed before it was named.
    pub fn look(&self) {
        self.look_at_all(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn look_at_all(&self, told: &mut BTreeSet<String>) {
        for disk in self.machine.disks() {
            let serial = disk.spec.serial.clone();
            if told.contains(&serial) || !disk.written().unwrap_or(false) {
                continue;
            }
            let journalled = self.journal_names(&serial);
            self.ledger.record(Event::DiskTouched { serial: serial.clone(), journalled });
            told.insert(serial);
        }
    }

    /// A program is about to run with these words, or what it would do. The journal must name what it writes
    /// now: between two looks it might be named a moment later.
    pub fn announce(&self, words: &[&str]) {
        let program = words.first().and_then(|word| Path::new(word).file_name()?.to_str());
        if !program.is_some_and(|program| WRITERS.contains(&program)) {
            return;
        }
        for disk in words.iter().filter(|word| word.starts_with("/dev/")) {
            let Some(disk) = self.machine.disk_of(disk) else { continue };
            let serial = disk.spec.serial.clone();
            if self.journal_names(&serial) {
                continue;
            }
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert(serial.clone()) {
                self.ledger.record(Event::DiskTouched { serial, journalled: false });
            }
        }
    }

    fn journal_names(&self, serial: &str) -> bool {
        let journal = std::fs::read(self.machine.path("/var/lib/weaviate-provisioner/state.json"));
        let journal: serde_json::Value =
            serde_json::from_slice(&journal.unwrap_or_default()).unwrap_or_default();
        journal["disks"].as_array().is_some_and(|disks| disks.iter().any(|disk| *disk == serial))
    }
}
