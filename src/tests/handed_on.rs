//! What another domain refuses is handed on whole: its sentence, class, remedy and details.

use super::make::{call, json};
use crate::archive::ArchiveError;
use crate::aws::Kind;
use crate::backup::BackupError;
use crate::catalog::CatalogError;
use crate::container::ContainerError;
use crate::disk::DiskError;
use crate::drill::DrillError;
use crate::explain::{Explain, Failure};
use crate::manifest::ManifestError;
use crate::network::{DoorState, NetworkError};
use crate::regain::RegainError;
use crate::restore::RestoreError;
use crate::secrets::SecretsError;
use crate::signal::SignalError;
use crate::state::StateError;
use crate::store::StoreError;
use crate::weaviate::WeaviateError;

fn same(inner: &dyn Explain, outer: &dyn Explain) {
    assert_eq!(Failure::new("step", inner), Failure::new("step", outer), "{inner:?}");
}

/// `hands_on!(Outer::Variant, inner)`, for an inner error that cannot be cloned.
macro_rules! hands_on {
    ($($Outer:path, $inner:expr;)+) => { $(same(&$inner, &$Outer($inner.into()));)+ };
}

fn bucket() -> StoreError {
    StoreError::NoBucket { bucket: "acme".into() }
}

#[test]
fn what_another_domain_says_is_handed_on_whole() {
    let log = || vec!["panic: no space".to_owned()];
    let io = || std::io::Error::other("the system's words");
    hands_on! {
        RestoreError::Store, bucket();
        RestoreError::Manifest, ManifestError::Vanished { bucket: "acme".into(), key: "m".into() };
        RestoreError::Server, WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() };
        RestoreError::Disk, DiskError::Mounts { source: io() };
        RestoreError::Secrets, SecretsError::NotTmpfs { path: "/run/weaviate".into() };
        RestoreError::Container, ContainerError::Exited { code: 1, oom: false, log: log() };
        RestoreError::Network, NetworkError::Socket { source: io() };
        ManifestError::Store, bucket();
        ContainerError::Door, NetworkError::DoorUnreadable { source: json() };
        ContainerError::Door, NetworkError::Ajar { found: DoorState::Absent };
        SignalError::Call, call("autoscaling:CompleteLifecycleAction", Kind::Denied);
        SignalError::Call, call("autoscaling:CompleteLifecycleAction", Kind::Throttled);
        SignalError::State, StateError::Unwritable { path: "state.json".into(), source: io() };
        BackupError::Store, bucket();
        BackupError::Manifest, ManifestError::Vanished { bucket: "acme".into(), key: "m".into() };
        BackupError::Secrets, SecretsError::NotTmpfs { path: "/run/weaviate".into() };
        BackupError::Server, WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() };
        BackupError::Restore, RestoreError::Container(ContainerError::Exited { code: 1, oom: false, log: log() });
        BackupError::Catalog, CatalogError::NoManifest { id: "full-1".into() };
        ArchiveError::Store, bucket();
        ArchiveError::Manifest, ManifestError::Vanished { bucket: "acme".into(), key: "m".into() };
        ArchiveError::Catalog, CatalogError::NoManifest { id: "full-1".into() };
        ArchiveError::Restore, RestoreError::Container(ContainerError::Exited { code: 1, oom: false, log: log() });
        RegainError::Store, bucket();
        RegainError::Catalog, CatalogError::NoManifest { id: "full-1".into() };
        RegainError::Restore, RestoreError::Container(ContainerError::Exited { code: 1, oom: false, log: log() });
        RegainError::Server, WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() };
        DrillError::Store, bucket();
        DrillError::Catalog, CatalogError::NoManifest { id: "full-1".into() };
        DrillError::Restore, RestoreError::Container(ContainerError::Exited { code: 1, oom: false, log: log() });
        DrillError::Container, ContainerError::Exited { code: 1, oom: false, log: log() };
        DrillError::Server, WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() };
        CatalogError::Store, bucket();
        CatalogError::Manifest, ManifestError::Vanished { bucket: "acme".into(), key: "m".into() };
        CatalogError::Restore, RestoreError::Container(ContainerError::Exited { code: 1, oom: false, log: log() });
        SignalError::State, StateError::Observed { path: "state.json".into() };
    }
}
