//! Every variant of every domain's error, at least once.

use std::path::PathBuf;

use super::make::{SOME, call, docker, io, json, netlink, process, web};
use crate::aws::Kind;
use crate::config::{ConfigError, Problem, SecretReference};
use crate::container::ContainerError;
use crate::disk::{Disk, DiskError, Plan};
use crate::explain::Explain;
use crate::instance::InstanceError;
use crate::manifest::ManifestError;
use crate::network::{DoorState, NetworkError};
use crate::restore::RestoreError;
use crate::secrets::SecretsError;
use crate::signal::SignalError;
use crate::state::StateError;
use crate::store::StoreError;
use crate::watch::WatchError;
use crate::weaviate::{State, WeaviateError};

/// One error and the name of its variant, `network::NetworkError::Held`.
pub struct Row {
    pub name: String,
    pub error: Box<dyn Explain>,
}

/// Rows of one enum: its variants, each with one pair of braces per error that is made of it. The match has no
/// `_`, so a new variant does not compile until it has a row.
macro_rules! every {
    ($rows:ident, $Error:ident in $domain:literal; $($Variant:ident $({ $($fields:tt)* })+),* $(,)?) => {
        let named = |error: &$Error| match error { $($Error::$Variant { .. } => stringify!($Variant),)* };
        for error in [$($($Error::$Variant { $($fields)* }),+),*] {
            let name = format!("{}::{}::{}", $domain, stringify!($Error), named(&error));
            $rows.push(Row { name, error: Box::new(error) });
        }
    };
}

pub(super) use every;

pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    shared(&mut rows);
    machine(&mut rows);
    network(&mut rows);
    server(&mut rows);
    data(&mut rows);
    super::errors_of_backups::add(&mut rows);
    rows
}

fn shared(rows: &mut Vec<Row>) {
    for kind in super::refusals::KINDS {
        let error = Box::new(call("ec2:AttachNetworkInterface", kind));
        rows.push(Row { name: format!("aws::Kind::{kind:?}"), error });
    }
    every!(rows, ConfigError in "config";
        Unreadable { path: "config.toml".into(), source: io() },
        Syntax { path: "config.toml".into(), message: "expected `]`".into() },
        Problems { 0: vec![Problem { key: "node.name".into(), what: "is missing".into() }] }
            { 0: vec![
                Problem { key: "node.name".into(), what: "is missing".into() },
                Problem { key: "nodes".into(), what: "is not known".into() },
            ] },
    );
    every!(rows, StateError in "state";
        Unreadable { path: "state.json".into(), source: io() },
        Corrupt { path: "state.json".into(), source: json() },
        Observed { path: "state.json".into() },
        Unwritable { path: "state.json".into(), source: io() },
        Locked { path: "state.json".into() },
    );
    every!(rows, SignalError in "signal";
        Call { 0: call("autoscaling:CompleteLifecycleAction", Kind::Denied) },
        NoHook { group: "weaviate".into(), hook: "launch".into() },
        NotTaken { group: "weaviate".into(), hook: "launch".into(), answer: "CONTINUE", waited: SOME },
        Ending { instance: "i-new".into(), stage: "Terminating:Wait".into() },
        State { 0: StateError::Locked { path: "state.json".into() } },
    );
}

fn machine(rows: &mut Vec<Row>) {
    every!(rows, InstanceError in "instance";
        Client { source: web() },
        Unreachable { url: "http://169.254.169.254".into(), source: web() },
        TokenRefused { status: 500 },
        SwitchedOff {},
        TokenNotTaken { path: "placement/region".into() },
        Trouble { path: "placement/region".into(), status: 500 },
        Absent { path: "placement/region".into() },
        NotText { path: "placement/region".into() },
        BootId { path: "/proc/sys/kernel/random/boot_id".into(), source: io() },
    );
    let disk =
        || Disk { serial: "AWS1".into(), node: "/dev/nvme1n1".into(), number: (259, 1), bytes: 1 << 30 };
    let (node, mount, path) =
        (|| PathBuf::from("/dev/nvme1n1"), || PathBuf::from("/workspace"), || PathBuf::from("/workspace/x"));
    every!(rows, DiskError in "disk";
        Sysfs { path: "/sys/class/nvme".into(), source: io() },
        Odd { serial: "AWS1".into(), what: "has no size".into() },
        Moved { serial: "AWS1".into(), node: node() },
        Device { node: node(), operation: "read", source: io() },
        Mounts { source: io() },
        Probe { node: node(), source: process() },
        Refused { 0: Box::new(Plan::RefuseNone { model: "Amazon EC2 NVMe Instance Storage".into() }) }
            { 0: Box::new(Plan::RefuseSeveral { serials: vec!["AWS1".into(), "AWS2".into()] }) }
            { 0: Box::new(Plan::RefuseForeign { disk: disk(), what: "an ext4 file system".into() }) }
            { 0: Box::new(Plan::RefuseMountpoint { mount: mount(), what: "holds files already (x)".into() }) }
            { 0: Box::new(Plan::RefuseBusy { disk: disk(), holder: "swap".into() }) }
            { 0: Box::new(Plan::RefuseRecord { disk: disk(), what: "holds data but no identity.json".into() }) },
        Journal { serial: "AWS1".into(), source: StateError::Unwritable { path: "state.json".into(), source: io() } },
        Format { node: node(), source: process() },
        Mount { node: node(), mount: mount(), source: io() }
            { node: node(), mount: mount(), source: nix::errno::Errno::EUCLEAN.into() },
        MountUnit { node: node(), mount: mount(), source: Box::new(process()) },
        Volume { path: path(), operation: "written", source: io() },
        Changed { mount: mount() },
        Unsettled { last: "formats /dev/nvme1n1".into() },
    );
    let (reference, second) = (
        || SecretReference::SecretsManager { name: "weaviate/admin-key".into(), key: None },
        || SecretReference::Parameter { name: "/weaviate/reader-key".into() },
    );
    let keyed =
        || SecretReference::SecretsManager { name: "weaviate/keys".into(), key: Some("admin".into()) };
    let read = |kind| call("secretsmanager:GetSecretValue", kind);
    every!(rows, SecretsError in "secrets";
        Missing { reference: reference(), source: read(Kind::Refused) },
        Denied { reference: reference(), source: read(Kind::Denied) },
        Call { reference: reference(), source: read(Kind::Service) },
        NotText { reference: reference() },
        Empty { reference: reference() },
        NotJson { reference: keyed() },
        NoKey { reference: keyed() },
        Malformed { reference: reference() },
        Same { first: reference(), second: second() },
        NotTmpfs { path: "/run/weaviate".into() },
        File { path: "/run/weaviate/config".into(), operation: "written", source: io() },
    );
}

fn network(rows: &mut Vec<Row>) {
    let (eni, instance, selector, url) = (
        || "eni-1".to_owned(),
        || "i-new".to_owned(),
        || "private_ip 10.0.2.15".to_owned(),
        || "http://10.0.2.15:8080/v1/meta".to_owned(),
    );
    let cidr = |text: &str| text.parse().expect("a network");
    let attach = |kind| call("ec2:AttachNetworkInterface", kind);
    let held = |state: &str| (eni(), "i-old".to_owned(), state.to_owned());
    let (running, ending) = (held("running"), held("shutting-down"));
    every!(rows, NetworkError in "network";
        Call { 0: attach(Kind::Denied) },
        Metadata { 0: InstanceError::SwitchedOff },
        State { 0: StateError::Locked { path: "state.json".into() } },
        EniNotFound { selector: selector() },
        EniAmbiguous { selector: selector(), ids: vec!["eni-1".into(), "eni-2".into()] },
        WrongZone { eni: eni(), zone: "eu-central-1b".into(), own: "eu-central-1a".into() },
        WrongVpc { eni: eni(), vpc: "vpc-2".into(), own: "vpc-1".into() },
        ForeignTag { eni: eni(), tag: "weaviate:node", found: "weaviate-1".into(), wanted: "weaviate-0".into() },
        MissingTag { eni: eni(), tag: "weaviate:node", wanted: "weaviate-0".into() },
        Unusable { eni: eni(), why: "it is the primary interface of i-old".into() },
        Misunderstood { what: "eni-1".into(), found: "no MAC".into() },
        Overlap { bridge: cidr("172.30.254.0/24"), range: cidr("172.30.0.0/16") },
        Held { eni: running.0, owner: running.1, state: running.2, waited: SOME }
            { eni: ending.0, owner: ending.1, state: ending.2, waited: SOME },
        NotAttached { eni: eni(), instance: instance(), waited: SOME },
        NoFreeSlot { eni: eni(), instance: instance(), source: attach(Kind::Refused) },
        AttachRefused { eni: eni(), instance: instance(), source: attach(Kind::Refused) },
        DeletedOnTermination { eni: eni(), instance: instance() },
        LinkAbsent { eni: eni(), mac: "02:00:00:00:02:15".into(), waited: SOME },
        Netlink { operation: "add a route".into(), source: netlink() },
        Undone { what: "puts a rule from 10.0.2.15/32 into table 8080 at priority 8080".into() },
        Socket { source: io() },
        BridgeAbsent { bridge: "weaviate0".into(), waited: SOME },
        TableTaken { table: 200, by: "default via 10.0.2.1".into() },
        PriorityTaken { priority: 200, by: "from 10.0.2.15 lookup 1".into() },
        Unwritable { path: "/run/systemd/network".into(), source: io() },
        Reload { source: process() },
        Door { operation: "close", source: process() },
        DoorUnreadable { source: json() },
        Ajar { found: DoorState::Altered { chain: "quarantine".into() } },
        Client { source: web() },
        Silent { url: url(), source: web() },
        Answer { url: url(), status: 503, wanted: 200 },
        OpenWithoutKey { url: url(), status: 200 },
        Grpc { address: "10.0.2.15:50051".into(), said: "NOT_SERVING".into() },
        WrongWay { from: [10, 0, 2, 15].into(), destination: [10, 0, 3, 20].into(), link: "ens5".into(), wanted: "ens6".into() },
    );
}

fn server(rows: &mut Vec<Row>) {
    let image = || "weaviate:1.39.0".to_owned();
    let file = || PathBuf::from("/opt/weaviate.tar");
    let log = || vec!["the server's words".to_owned()];
    every!(rows, ContainerError in "container";
        Engine { socket: "/run/docker.sock".into(), source: docker() },
        Call { operation: "create the container", source: docker() },
        Slow { operation: "create the container", deadline: SOME },
        Pull { image: image(), message: "no route".into(), again: true }
            { image: image(), message: "no such manifest".into(), again: false }
            { image: image(), message: "no basic auth credentials".into(), again: false },
        ImageFile { path: file(), source: io() },
        Load { path: file(), message: "not an archive".into() },
        NotInFile { path: file(), image: image() },
        Digest { image: image(), found: "sha256:00".into() },
        Bridge { bridge: "weaviate0".into(), what: "other".into() },
        NotOurs { name: "weaviate".into() },
        Address { address: "10.0.2.15:8080".into(), message: "address in use".into() },
        OpenFiles { limit: 65536, message: "operation not permitted".into() },
        Refused { message: "no such runtime".into() },
        Exited { code: 1, oom: false, log: log() }
            { code: 137, oom: true, log: log() }
            { code: 137, oom: false, log: log() },
        NotReady { deadline: SOME, log: log() },
        NoProof { what: "its identity.json is another".into() },
        Proc { path: "/proc/77/root".into(), source: io() },
        MetadataOpen {},
        Door { 0: Box::new(NetworkError::Door { operation: "list", source: process() }) }
            { 0: Box::new(NetworkError::Ajar { found: DoorState::Altered { chain: "quarantine".into() } }) },
        Leak {},
        Vend { address: "172.30.254.1:80".into(), source: io() },
        Assume { source: call("sts:AssumeRole", Kind::Denied) },
        Token { source: Box::new(SecretsError::NotTmpfs { path: "/run/weaviate".into() }) },
    );
    every!(rows, WatchError in "watch";
        Ended { code: 137, oom: true, log: log() }
            { code: 137, oom: false, log: log() }
            { code: 0, oom: false, log: log() },
        Gone {},
        Another {},
    );
    let what = || "GET /v1/meta".to_owned();
    every!(rows, WeaviateError in "weaviate";
        Unreachable { call: what(), source: web() },
        Refused { call: what(), status: 401, message: "anonymous access not enabled".into() }
            { call: what(), status: 422, message: "no such backend".into() }
            { call: what(), status: 503, message: "not ready".into() },
        Uncounted { of: "Article".into(), message: "shard is not ready".into() },
        Malformed { call: what(), what: "no version".into() },
    );
}

fn data(rows: &mut Vec<Row>) {
    let (bucket, prefix, key) = (|| "acme".to_owned(), || "prod".to_owned(), || "prod/x".to_owned());
    let get = |kind| call("s3:GetObject", kind);
    every!(rows, StoreError in "store";
        Absent { bucket: bucket(), key: key() },
        NoBucket { bucket: bucket() },
        Denied { operation: "s3:GetObject", bucket: bucket(), key: key(), source: get(Kind::Denied) },
        Keys { bucket: bucket(), source: get(Kind::Credentials) },
        Precondition { bucket: bucket(), key: key() },
        Conflict { bucket: bucket(), key: key() },
        Unreachable { operation: "s3:GetObject", bucket: bucket(), key: key(), source: get(Kind::Unreachable) }
            { operation: "s3:GetObject", bucket: bucket(), key: key(), source: get(Kind::Throttled) },
        Refused { operation: "s3:GetObject", bucket: bucket(), key: key(), source: get(Kind::Refused) },
        Interrupted { bucket: bucket(), key: key(), at: 7, why: "the body ended early".into() },
        Corrupt { bucket: bucket(), key: key(), what: "its SHA-256 is 00, not 11".into() },
        TooLarge { bucket: bucket(), key: key(), mib: 300, most: 256 },
        HalfListed { bucket: bucket(), prefix: prefix() },
        Unconditional { bucket: bucket(), key: key() },
        Local { verb: "written", path: "/workspace/x".into(), source: io() },
        Changed { path: "weaviate_backup_1/weaviate-0/Article/chunk-1".into() },
    );
    every!(rows, ManifestError in "manifest";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Malformed { bucket: bucket(), key: key(), what: "no generation".into() },
        Schema { bucket: bucket(), key: key(), schema: "2".into() },
        Checksum { bucket: bucket(), key: key() },
        Foreign { bucket: bucket(), key: key(), deployment: "other".into(), node: "weaviate-1".into() },
        Lost { bucket: bucket(), key: key(), owner: "i-other".into(), generation: 8 },
        Moved { bucket: bucket(), key: key(), generation: 8, backup: "weaviate_backup_2".into() },
        Vanished { bucket: bucket(), key: key() },
        Deadline { bucket: bucket(), key: key() },
        ReadBack { bucket: bucket(), key: key() },
        Record { generation: 8, source: Box::new(io()) },
    );
    let log = || vec!["the server's words".to_owned()];
    let (backup, mount) = (|| "weaviate_backup_1".to_owned(), || "/workspace".to_owned());
    let source = || "s3://acme-production/live (deployment acme-production, node weaviate-0)".to_owned();
    every!(rows, RestoreError in "restore";
        Store { 0: StoreError::NoBucket { bucket: bucket() } },
        Manifest { 0: ManifestError::Checksum { bucket: bucket(), key: key() } },
        Server { 0: WeaviateError::Malformed { call: "GET /v1/meta".into(), what: "no version".into() } },
        Disk { 0: DiskError::Mounts { source: io() } },
        Secrets { 0: SecretsError::NotTmpfs { path: "/run/weaviate".into() } },
        Container { 0: ContainerError::Leak },
        Network { 0: NetworkError::Socket { source: io() } },
        EmptyNotAllowed { bucket: bucket(), prefix: prefix() },
        NoSource { from: source() },
        SourceWithout { from: source(), backup: backup(), name: "Articles".into(), known: "Article, Chunk".into() },
        NothingLeft { from: source(), backup: backup(), known: "Article, Chunk".into() },
        Initialized { bucket: bucket(), prefix: prefix(), eni: "eni-1".into() },
        Unverified { bucket: bucket(), key: key() },
        NoneUsable { bucket: bucket(), prefix: prefix(), why: "chunk-2 is not there".into() },
        Descriptor { bucket: bucket(), key: key(), what: "no id".into() },
        OtherNode { backup: backup(), nodes: "weaviate-1".into(), node: "weaviate-0".into() }
            { backup: backup(), nodes: "weaviate-1, weaviate-2".into(), node: "weaviate-0".into() },
        NewerServer { backup: backup(), made: "1.40.0".into(), running: "1.39.0".into() },
        NoSpace { mount: mount(), backup: backup(), free: 10, needed: 20 },
        Space { mount: mount(), source: io() },
        ManifestGone { bucket: bucket(), key: key(), record: "/workspace/identity.json".into(), generation: 8 },
        Changed { bucket: bucket(), key: key(), what: "the size".into() },
        NotAccepted { backup: backup(), message: "already exists".into(), again: false }
            { backup: backup(), message: "context deadline exceeded".into(), again: true },
        Ended { backup: backup(), state: State::Failed, message: "no such file".into(), log: log() },
        Forgotten { backup: backup() },
        Stalled { backup: backup(), state: State::Transferring, quiet: SOME },
        Unsettled { within: SOME },
        Local { path: "/workspace/x".into(), source: io() },
        Differs { reference: "the manifest".into(), differences: vec!["Article has 2999 objects, not 3000".into()] }
            { reference: "the manifest".into(), differences: vec!["Article is absent".into(), "Chunk is absent".into()] },
        KeptDiffers {
            data: "/workspace/weaviate/data".into(),
            reference: "the count at the last clean stop".into(),
            differences: vec!["Article has 2999 objects, not 3000".into()],
        },
        Open { status: 200 },
        ReaderWrites { status: 200 },
        UnknownKey { role: "reader" },
        NoModule { module: "text2vec-transformers".into() },
    );
}
