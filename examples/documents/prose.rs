//! What the definition of the command line does not say.
//!
//! To add a command: what it does, in [`of_command`]; without it no page is written.

pub const MANUAL: &str = "Weaviate provisioner";

pub const PROGRAM: [&str; 3] = [
    "Makes an EC2 instance into the Weaviate node of its deployment: fixed private address, fast local NVMe, \
     secrets, container, and the latest backup, checked byte by byte and counted. Only then are clients let in, and \
     only then does the Auto Scaling group hear CONTINUE. When it does not come up, one sentence says why, and the \
     next one says what to do.",
    "Two units run it: `weaviate-provisioner-door.service` closes the door before the network comes up, and \
     `weaviate-provisioner.service` boots the node and stays. Both do nothing without \
     `/etc/weaviate-provisioner/config.toml`; whoever writes that file into a running machine starts the node with \
     `systemctl start --no-block weaviate-provisioner`, and later boots start it themselves.",
    "A restart of `weaviate-provisioner.service` leaves the container and its clients as they are. \
     `weaviate-provisioner close`, and with it a restart of the door's unit, cuts clients off until the next run has \
     verified the data.",
];

pub const FILES: [(&str, &str); 9] = [
    ("/etc/weaviate-provisioner/config.toml", "The configuration: weaviate-provisioner.toml(5)."),
    (
        "/etc/weaviate-provisioner/conf.d/*.toml",
        "Laid over the configuration, key by key, in the order of their names.",
    ),
    ("/usr/share/doc/weaviate-provisioner/config.toml", "The reference: every key with its default."),
    (
        "/usr/share/doc/weaviate-provisioner/examples/iam-instance.json",
        "The policy that the role of the instance needs.",
    ),
    (
        "/var/lib/weaviate-provisioner/",
        "The journal of this instance (`state.json`), the timeline of its last boot (`timeline.json`), the report \
         of its last run (`report.json`), and, while a backup is made, how far it is (`backup.jsonl`) and which tenants \
         are active for it alone (`tenants.json`).",
    ),
    (
        "/run/weaviate-provisioner/control.sock",
        "Where the other commands ask the agent, while the node serves; root's alone.",
    ),
    (
        "/run/weaviate-provisioner/env",
        "WEAVIATE_PRIVATE_IP, WEAVIATE_HTTP_PORT and, where gRPC is published, WEAVIATE_GRPC_PORT: for other units of \
         this instance (EnvironmentFile=), while the node serves.",
    ),
    (
        "/run/weaviate-provisioner/",
        "What is mounted into the container, keys among it; on a tmpfs, and gone after a reboot.",
    ),
    (
        "/etc/systemd/network/05-weaviate-provisioner.network",
        "Address, routes and rules, written where systemd-networkd runs: it would delete them otherwise.",
    ),
];

pub const ENVIRONMENT: [(&str, &str); 5] = [
    (
        "RUST_LOG",
        "What is logged, for example `debug` or `weaviate_provisioner=debug`; by default \
         `warn,weaviate_provisioner=info`.",
    ),
    (
        "AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EC2, \u{2026}",
        "Other endpoints than those of the region. Credentials in the environment are not used: they come from the \
         instance's role, or from the secrets that the configuration names.",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Other certificates of authorities than the system's."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM", "Set by systemd, which is told of every step."),
    ("PATH", "Where nft, blkid, mkfs.xfs, systemctl, systemd-escape and networkctl are found."),
];

pub const SEE_ALSO: [&str; 5] =
    ["weaviate-provisioner.toml(5)", "systemctl(1)", "journalctl(1)", "nft(8)", "mkfs.xfs(8)"];

/// What a command does, in paragraphs.
pub fn of_command(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "run" => &[
            "Closes the door, learns who this machine is, finds the interface with the fixed address and the local \
             disk, fetches the secrets, starts the server behind the closed door, restores the latest backup and \
             verifies it, takes the address, and opens the door. Then it tells systemd and the Auto Scaling group, \
             and stays.",
            "Every step looks before it acts: a second run, a run after a kill, and a reboot converge. Where an \
             earlier run of the same boot has opened the door, it stays open unless something that made it right has \
             changed.",
            "SIGTERM of its unit leaves the node serving. Where the whole machine goes down in order, the door is \
             closed, the data counted and the server stopped. SIGINT ends the program, never the node.",
        ],
        "close" => &[
            "Closes the door: no client reaches the server until `weaviate-provisioner run` has verified the data. \
             `weaviate-provisioner-door.service` does it at every boot, before the network comes up; by hand it \
             takes a node away from its clients, and `systemctl restart weaviate-provisioner` gives it back once the \
             data is verified.",
            "Where the configuration cannot be read, both ports of every address are closed.",
        ],
        "plan" => &[
            "Looks everything up, changes nothing, and prints for each step what `weaviate-provisioner run` would do \
             and why. A step that would fail says so, with what to do about it, and the exit status is that of the \
             failure.",
        ],
        "validate" => &[
            "Checks the configuration alone and prints every problem at once, each with its key. Nothing else is \
             looked at, so it can run on any machine.",
        ],
        "status" => &[
            "Prints how the last run ended or what it is at, whether the lifecycle hook was answered, what was \
             restored, how the last backup, drill and restore ended or how far they are, and the warnings, from what \
             the runs have written down. With the id of a backup it prints only what this machine knows of that one, \
             and the exit status is 78 where that is nothing. Nobody is asked and nothing is changed.",
        ],
        "metrics" => &[
            "Prints what `weaviate-provisioner status` knows in Prometheus' text format, for a collector that reads files \
             or runs programs: whether the node serves, and how the last backup, drill and restore of this machine ended, \
             when, and what they moved. What is not known has no line. Nobody is asked and nothing is changed.",
        ],
        "timeline" => &["Prints when each step of the last boot began and how long it took."],
        other => return of_backups(other),
    })
}

/// The commands that are about backups.
fn of_backups(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "backup" => &[
            "Asks the `weaviate-provisioner run` that serves the node for a backup and waits for its end; what was \
             asked for goes on when this command is ended. The server makes the backup on the data volume; each file \
             is hashed, sent to the bucket by the role in `backup.role_arn`, and removed from the volume as soon as the \
             server is done with it. What the bucket holds is compared with what was sent.",
            "A backup is built on the last full one, and holds what has changed since, until that is older than \
             `backup.full_every`. With `--full` it holds everything.",
            "With `--no-wait` the command ends as soon as the backup is under way; `weaviate-provisioner status` says how \
             far it is, and how the last one ended. `weaviate-provisioner cancel` ends it.",
            "Everything is counted before, meanwhile and after. A collection that clients wrote to is marked as \
             changing, with what its counts were. The manifest is written last: whatever fails before leaves the last \
             good backup the latest one, and what a killed backup left is removed by the next.",
            "A server may leave tenants out of its backups: inactive ones before Weaviate 1.37, offloaded ones always. What \
             it has left out is found out by its own descriptor, and `backup.inactive_tenants` decides: there is no backup \
             (`refuse`, the default), or they are made active for as long as it takes (`activate`), or the manifest lists \
             them as unprotected, and `weaviate-provisioner status` and the report of a restore say so (`accept`).",
            "A backup of some collections, or one with far fewer objects than the one before (`backup.max_shrink`), lies in the bucket, with its \
             copy of a manifest in `manifests/`, and the manifest goes on naming the one before.",
        ],
        "list" => &[
            "Prints every backup that the bucket holds, the newest first: when it was completed, whether it is whole, \
             its size, what it is built on, which one the manifest names (marked with `*`), who is restoring it at \
             the moment, and what is wrong with it.",
            "A backup is whole when every object that its manifest names, those of its bases included, is listed with \
             the size and the ETag that it had. One that no manifest knows is shown by the server's own descriptor.",
        ],
        "verify" => &[
            "Proves a backup, by default the one that the manifest names: every object must be listed with the size \
             and the ETag that it had when it was sent. With `--deep` every byte is read and its SHA-256 compared. \
             Nothing is changed; whatever is not as it was is named, and the exit status is 78.",
        ],
        "adopt" => &[
            "Gives a manifest to a backup that the server made alone, with its module backup-s3 or in a folder that was \
             copied into the bucket: its descriptors must say that it is whole, every byte of it and of its bases is \
             read, and `manifests/<id>.json` says what they are. It is restored then as one of this program's own; what \
             it holds is counted at its first restore.",
            "Where `latest_weaviate_backup.manifest.json` is of the plain form that scripts write (a JSON object with \
             `backup_id` and no `schema`) and names this backup, the full manifest takes its place.",
        ],
        "drill" => &[
            "Asks the `weaviate-provisioner run` that serves the node to prove a backup, by default the one that the \
             manifest names. Its bytes are brought to `drill/` on the data volume and checked, a second server restores \
             them, and what it holds is compared with the manifest: counts, tenants, aliases, samples with their \
             vectors, and the answers to `drill.queries`. The second server has no port, little of the processor, and \
             as much memory as `drill.memory` says; there must be room for it. It and its folder are removed whatever \
             comes of it, and clients are served all the time.",
            "With `--alone` this command does it itself, on an instance that has no part in the deployment and serves nobody: \
             with the node's own configuration it prepares the disk, fetches the keys and the image, and leaves neither \
             the address nor the manifest touched. Where a `weaviate-provisioner run` lives it is refused.",
            "What came of it lies in `drills/` in the bucket and in `drill.json` of the state directory, and `status` \
             shows it. The exit status is 78 where the backup is not what it was.",
        ],
        "restore" => &[
            "Asks the `weaviate-provisioner run` that serves the node to bring collections of a backup back into the server \
             that serves: all that the backup holds, or those that are named. None of them may be there, under its own \
             name or as an alias: that is looked up first, because the server itself would find it out when all has been \
             transferred. Their bytes are brought and checked, the server unpacks them while clients are served, and they \
             are compared with the manifest: counts, tenants, samples with their vectors. What lacks something is removed \
             again, and so is what a cancelled or killed one left.",
            "Clients see a collection as soon as the server has unpacked it, and may write to it: more objects than in the \
             backup are no difference. A collection that a client makes in the middle, under a name that is to come back, \
             is never removed; the report warns of it.",
            "The manifest is as it was. The next backup holds what came back.",
        ],
        "cancel" => &[
            "Ends what the `weaviate-provisioner run` that serves the node is at: a backup, which the server is told to \
             cancel and whose files are removed from the volume and from the bucket; a restore, which the server is told to \
             cancel and whose collections are removed unless they are whole already; a drill, whose server and folder \
             are removed; a prune, which the next one ends. With an id it ends only what is about that backup. The manifest \
             is as it was.",
        ],
        "export" => &[
            "Brings a backup, with all that it is built on, into one file: a tar in zstd, `manifest.json` first. Every \
             object is compared with its checksum on the way, and the file gets its name when it is whole and on the \
             disk. With `-` it goes to standard output, and what is said to standard error. With `s3://bucket/key` it is \
             an object of a bucket in the node's region, sent in parts while it is made, by the role in \
             `backup.role_arn`; it is there when it is whole, and one that is there is not overwritten.",
            "Unpacked without its first file it is what the server's module backup-filesystem reads.",
        ],
        "import" => &[
            "Brings a backup out of such a file into the bucket, under the own prefix and deployment, by the role in \
             `backup.role_arn`: its manifest is checked first, each file before it is sent, and what the bucket lists \
             afterwards. One file at a time lies beside the archive, or in the folder of `--spool`; with `-` the archive \
             comes from standard input, with `s3://bucket/key` from a bucket, by the instance's own role. It is a backup like any other then: `weaviate-provisioner list` shows it, and \
             it is the latest one only where no manifest names another.",
        ],
        "prune" => &[
            "Asks the `weaviate-provisioner run` that serves the node which backups may go, and prints each with the \
             reason why it stays or may go. With `--apply` those are removed, by the role in `backup.role_arn`.",
            "A backup stays when it is one of the newest, or the newest of a day or a week (`backup.keep`); when the \
             manifest names it; when a booting node is restoring it; and when another one that stays is built on it. \
             What no manifest of this program knows is left alone. Nothing is removed while the latest backup is not \
             whole.",
        ],
        _ => return None,
    })
}

/// What page 5 begins with, before what the reference itself says.
pub const REFERENCE: [&str; 2] = [
    "The configuration of weaviate-provisioner(8) is a TOML file. This page is made from the reference, \
     `/usr/share/doc/weaviate-provisioner/config.toml`, which can be copied. Unknown keys are refused, and \
     `weaviate-provisioner validate` tells every problem at once.",
    "Behind each key stands its default; one that is required or has no default shows an example instead.",
];
