//! Tenants that a backup leaves out, and what is done about them.
//!
//! ```text
//! before: status, disk, server's version ─▶ what it will leave out ─┬─ "refuse"   ─▶ no backup
//!                                                                   ├─ "activate" ─▶ active until the backup is made
//!                                                                   └─ "accept"   ─▶ goes on
//! after : the descriptor's shards, status, disk ─▶ what it has left out ─┬─ "accept" ─▶ `unprotected` in the manifest
//!                                                                        └─ else     ─▶ no backup
//! ```
//!
//! Versions before 1.37 take what they have loaded, and SUCCESS says nothing of the rest. What lies in another store than
//! the node's disk is in no backup of any version. The forecast saves the work of a backup that would be refused; the
//! descriptor is the evidence, whatever the version.

use std::collections::BTreeMap;
use std::path::Path;

use super::Job;
use super::error::BackupError;
use super::{Order, awake};
use crate::instance::Identity;
use crate::manifest::{Collections, Unprotected};
use crate::report::Work;
use crate::store::{Owner, Tree};
use crate::weaviate::descriptor::{KEEPS_INACTIVE, Shards, release};
use crate::weaviate::{Class, is_active, is_offloaded};

/// `backup.inactive_tenants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactive {
    Refuse,
    Activate,
    Accept,
}

impl Inactive {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Activate => "activate",
            Self::Accept => "accept",
        }
    }
}

/// Collection → tenant → its status.
pub type Tenants = BTreeMap<String, BTreeMap<String, String>>;

/// What to do, before the server has its order and when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    GoOn,
    Activate,
    Refuse,
}

/// `left_out` is what the server will leave out.
pub fn before(setting: Inactive, left_out: &Tenants) -> Plan {
    match setting {
        _ if left_out.is_empty() => Plan::GoOn,
        Inactive::Refuse => Plan::Refuse,
        Inactive::Activate => Plan::Activate,
        Inactive::Accept => Plan::GoOn,
    }
}

/// `left_out` is what the server has left out: nobody can be activated any more.
pub fn after(setting: Inactive, left_out: &Tenants) -> Plan {
    match setting {
        _ if left_out.is_empty() => Plan::GoOn,
        Inactive::Refuse | Inactive::Activate => Plan::Refuse,
        Inactive::Accept => Plan::GoOn,
    }
}

/// Whether this server will leave a tenant out. One that has no folder on the disk was never active, and holds nothing.
pub fn will_leave_out(server: &str, status: &str, on_disk: bool) -> bool {
    if is_active(status) {
        return false;
    }
    // Of a server whose version says nothing the descriptor tells.
    is_offloaded(status) || (on_disk && release(server).is_some_and(|release| release < KEEPS_INACTIVE))
}

/// What is not in the backup, of the tenants that were there from the first count to the last: one that came meanwhile
/// was never promised, and one that went needs nobody.
pub fn left_out(throughout: &Tenants, shards: &Shards, on_disk: impl Fn(&str, &str) -> bool) -> Tenants {
    let mut found = Tenants::new();
    for (class, tenants) in throughout {
        let Some(taken) = shards.get(class) else { continue };
        for (tenant, status) in tenants.iter().filter(|(tenant, _)| !taken.contains(*tenant)) {
            if is_offloaded(status) || on_disk(class, tenant) {
                found.entry(class.clone()).or_default().insert(tenant.clone(), status.clone());
            }
        }
    }
    found
}

/// Of collections with tenants: those that are in both counts, with the status that they had last.
pub fn throughout(first: &Collections, last: &Collections) -> Tenants {
    let mut found = Tenants::new();
    for (class, collection) in last {
        let Some(before) = first.get(class) else { continue };
        for (tenant, seen) in &collection.tenants {
            if !tenant.is_empty() && before.tenants.contains_key(tenant) {
                let status = seen.status.clone().unwrap_or_default();
                found.entry(class.clone()).or_default().insert(tenant.clone(), status);
            }
        }
    }
    found
}

/// Collections that a sentence names; a schema may have a thousand.
const NAMED: usize = 3;

/// `2 tenants of collection Chunk (COLD)`.
pub fn sentence(tenants: &Tenants) -> String {
    let of = |(class, tenants): (&String, &BTreeMap<String, String>)| {
        let mut statuses: Vec<&str> = tenants.values().map(String::as_str).collect();
        statuses.sort_unstable();
        statuses.dedup();
        let s = if tenants.len() == 1 { "" } else { "s" };
        format!("{} tenant{s} of collection {class} ({})", tenants.len(), statuses.join(", "))
    };
    let mut parts: Vec<String> = tenants.iter().take(NAMED).map(of).collect();
    if let Some(more @ 1..) = tenants.len().checked_sub(NAMED) {
        parts.push(format!("tenants of {more} more"));
    }
    parts.join(", ")
}

/// Their names, for the manifest.
pub fn names(tenants: &Tenants) -> Unprotected {
    tenants.iter().map(|(class, tenants)| (class.clone(), tenants.keys().cloned().collect())).collect()
}

/// The server's own folders of tenants: it could plant a link, which is no folder here.
pub struct Disk(Tree);

impl Disk {
    pub fn of(job: &Job<'_>) -> Result<Self, BackupError> {
        let volume = job.serving.volume();
        let (uid, gid) = volume.owner();
        Ok(Self(Tree::open(&volume.data_dir(), Owner { uid, gid })?))
    }

    /// Whether a tenant has one: `<collection in small letters>/<tenant>` (Weaviate 1.39.0, adapters/repos/db/index.go).
    pub fn has(&self, class: &str, tenant: &str) -> bool {
        self.0.has(&Path::new(&class.to_lowercase()).join(tenant))
    }
}

/// Looks what the server will leave out, and sees to it that it does not, or that nobody minds.
pub async fn prepare(job: &Job<'_>, me: &Identity, order: &Order) -> Result<(), BackupError> {
    let (setting, disk) = (job.host.settings.making.inactive_tenants, Disk::of(job)?);
    let mut found = Tenants::new();
    for Class { name, multi_tenant } in job.client.classes().await? {
        if !multi_tenant || !order.selection().takes(&name) {
            continue;
        }
        for tenant in job.client.tenants(&name).await? {
            if !is_active(&tenant.status)
                && will_leave_out(&job.version, &tenant.status, disk.has(&name, &tenant.name))
            {
                found.entry(name.clone()).or_default().insert(tenant.name, tenant.status);
            }
        }
    }
    match before(setting, &found) {
        Plan::GoOn => Ok(()),
        Plan::Activate => awake::wake(job, me, &found).await,
        Plan::Refuse => Err(refused(setting, &found)),
    }
}

/// Compares what the server has made with what is there; what of it the manifest has to say.
pub fn check(job: &Job<'_>, there: &Tenants, shards: &Shards) -> Result<Unprotected, BackupError> {
    let (setting, disk) = (job.host.settings.making.inactive_tenants, Disk::of(job)?);
    let found = left_out(there, shards, |class, tenant| disk.has(class, tenant));
    match after(setting, &found) {
        Plan::GoOn => {
            if !found.is_empty() {
                let what = sentence(&found);
                job.status()
                    .say(Work::Backup, format!("leaves out {what}, as `backup.inactive_tenants` allows"));
            }
            Ok(names(&found))
        }
        Plan::Refuse | Plan::Activate => Err(refused(setting, &found)),
    }
}

fn refused(setting: Inactive, left_out: &Tenants) -> BackupError {
    BackupError::LeavesOut { what: sentence(left_out), setting: setting.name() }
}

#[cfg(test)]
mod tests;
