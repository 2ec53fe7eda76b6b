//! The same for what is done with backups.

use super::errors::{Row, every};
use super::make::{SOME, call, io, process};
use crate::archive::ArchiveError;
use crate::aws::Kind;
use crate::backup::BackupError;
use crate::catalog::CatalogError;
use crate::container::ContainerError;
use crate::control::ControlError;
use crate::drill::DrillError;
use crate::manifest::ManifestError;
use crate::regain::RegainError;
use crate::restore::RestoreError;
use crate::secrets::SecretsError;
use crate::store::StoreError;
use crate::weaviate::{State, WeaviateError};

pub fn add(rows: &mut Vec<Row>) {
    let (bucket, key, backup) =
        (|| "acme".to_owned(), || "prod/x".to_owned(), || "weaviate_backup_1".to_owned());
    every!(rows, CatalogError in "catalog";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Manifest { 0: ManifestError::Vanished { bucket: bucket(), key: key() } },
        Restore { 0: RestoreError::Unsettled { within: SOME } },
        Unknown { bucket: bucket(), prefix: "prod".into(), id: backup() },
        NoneNamed { bucket: bucket(), prefix: "prod".into() },
        NoManifest { id: backup() },
        NotWhole { id: backup(), why: "its base weaviate_backup_0 is missing".into() },
        NamesAnother { bucket: bucket(), key: key(), named: "weaviate_backup_0".into() },
        Damaged { id: backup(), wrong: vec!["prod/x is missing".into(), "prod/y is missing".into()] },
        LatestNotWhole { id: backup(), wrong: vec!["prod/x is missing".into()] },
        Lease { bucket: bucket(), key: "prod/reports/leases/i-1.json".into(), what: "EOF".into() },
    );
    every!(rows, ArchiveError in "archive";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Manifest { 0: ManifestError::Vanished { bucket: bucket(), key: key() } },
        Catalog { 0: CatalogError::NoManifest { id: backup() } },
        Restore { 0: RestoreError::Unsettled { within: SOME } },
        Malformed { file: "x.tar.zst".into(), what: "it does not begin with a manifest".into() },
        Corrupt { file: "x.tar.zst".into(), entry: "b/chunk-1".into(), found: "ab".into(), expected: "cd".into() },
        OtherNode { file: "x.tar.zst".into(), theirs: "weaviate-1".into(), ours: "weaviate-0".into() },
        Exists { bucket: bucket(), prefix: "prod".into(), id: backup() },
        There { file: "x.tar.zst".into() },
        NoSpool {},
        Local { verb: "written", path: "x.tar.zst".into(), source: io() },
    );
    every!(rows, DrillError in "drill";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Catalog { 0: CatalogError::NoManifest { id: backup() } },
        Restore { 0: RestoreError::Unsettled { within: SOME } },
        Container { 0: ContainerError::NotOurs { name: "weaviate-drill".into() } },
        Server { 0: WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() } },
        Cancelled {},
        Memory { free: 100, needed: 256 },
        Answer { query: "{ Get { A } }".into(), missing: "3000".into(), answer: "{}".into() },
        Local { verb: "made", path: "/workspace/weaviate/drill".into(), source: io() },
    );
    every!(rows, RegainError in "regain";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Catalog { 0: CatalogError::NoManifest { id: backup() } },
        Restore { 0: RestoreError::Unsettled { within: SOME } },
        Server { 0: WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() } },
        Cancelled {},
        Unknown { name: "Articles".into(), backup: backup(), known: "Article, Chunk".into() },
        NothingLeft { backup: backup(), known: "Article, Chunk".into() },
        There { names: vec!["Article".into()] } { names: vec!["Article".into(), "Chunk".into()] },
        NameOfAlias { name: "Article".into(), class: "ArticleV2".into() },
        AliasThere { alias: "News".into(), class: "ArticleV2".into() },
        TooOld { option: "--overwrite-alias", since: "1.33.0".into(), server: "1.32.4".into() },
        Local { path: "regain.json".into(), source: io() },
    );
    every!(rows, BackupError in "backup";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Manifest { 0: ManifestError::Vanished { bucket: bucket(), key: key() } },
        Server { 0: WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() } },
        Restore { 0: RestoreError::Unsettled { within: SOME } },
        Secrets { 0: SecretsError::NotTmpfs { path: "/run/weaviate".into() } },
        Catalog { 0: CatalogError::NoManifest { id: backup() } },
        Deaf { status: 422 },
        NotWritable { 0: StoreError::Denied {
            operation: "s3:PutObject",
            bucket: bucket(),
            key: key(),
            source: call("s3:PutObject", Kind::Denied),
        } },
        Cancelled {},
        Hook { source: process() },
        Nothing {},
        LeavesOut { what: "2 tenants of collection Chunk (COLD)".into(), setting: "refuse" },
        TooOld { option: "backup.users", since: "1.38.3 or 1.39.0".into(), server: "1.37.0".into() },
        Asleep { what: "2 tenants of collection Chunk (COLD)".into(), waited: SOME },
        Busy { message: "backup full-1 already in progress".into() },
        Blocked { message: "backup blocked: runtime-reindex in flight".into() },
        NotAccepted { backup: backup(), message: "leader not found, try again later".into(), again: true }
            { backup: backup(), message: "code 608".into(), again: false },
        Ended { backup: backup(), state: State::Failed, message: "no space left on device".into() },
        Forgotten { backup: backup() },
        Stalled { backup: backup(), quiet: SOME },
        NoRoom { mount: "/workspace/weaviate".into(), free: 90, kept: 110 },
        Incomplete { backup: backup(), what: "weaviate_backup_1/weaviate-0/Article/chunk-2 was never written".into() },
        Differs { bucket: bucket(), key: key(), what: "it has 6 bytes, not 7".into() },
        Local { path: "/var/lib/weaviate-provisioner/backup.jsonl".into(), source: io() },
    );
    let path = || "/run/weaviate-provisioner/control.sock".to_owned();
    every!(rows, ControlError in "control";
        Absent { path: path(), source: io() },
        Denied { path: path(), source: io() },
        HungUp {},
        Malformed { what: "expected value".into() },
        Socket { path: path(), source: io() },
    );
}
