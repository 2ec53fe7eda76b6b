//! A real disk: from blank to used, and all that it may be in between.

use super::*;

#[test]
fn a_blank_disk_is_formatted_once_and_then_recognised() {
    in_private_mounts(async || {
        let mut machine = Machine::new();
        machine.disk(0, "Amazon Elastic Block Store", "vol1");
        machine.disk(1, MODEL, "AWS1");
        let root = machine.root.path().to_owned();
        let untouched = machine.bytes(0);
        let host = host(&root, "");
        let planned = plan(&host, &me()).await.expect("plans");
        assert!(
            matches!(&planned, Plan::Format { disk, again: false } if disk.serial == "AWS1"),
            "{planned}"
        );
        assert!(host.journal.read().disks.is_empty(), "a plan changes nothing");

        let first = prepare(&host, &me()).await.expect("prepares");
        assert_eq!(host.journal.read().disks, ["AWS1"]);
        assert_eq!(first.record(), None, "nothing was restored here");
        for directory in [first.data_dir(), first.backups_dir()] {
            let metadata = std::fs::metadata(&directory).expect("is there");
            assert_eq!((metadata.uid(), metadata.gid(), metadata.dev()), (1000, 1000, first.device()));
        }
        let proof = std::fs::read_to_string(first.data_dir().join(PROOF)).expect("reads");
        assert_eq!(proof, first.nonce());

        // What a restore leaves; then a second run, and a reboot.
        std::fs::write(first.data_dir().join("segment"), "data").expect("writes");
        let mut done = first.identity().clone();
        done.restored = Some(Restored {
            backup_id: Some("full-1".into()),
            from: None,
            generation: 2,
            nonce: "n".into(),
            mode: "staged".into(),
            bytes: 1,
            collections: std::collections::BTreeMap::new(),
            verified: true,
            taken: true,
        });
        first.write_record(&done).expect("writes");
        let second = prepare(&host, &me()).await.expect("prepares");
        assert_eq!(second.record(), Some(&done));
        unmount(&root.join("mount"));
        let third = prepare(&host, &me()).await.expect("prepares");
        assert_eq!((third.record(), third.uuid()), (Some(&done), first.uuid()));
        assert_eq!(std::fs::read_to_string(third.data_dir().join("segment")).expect("reads"), "data");

        // A new restore begins with nothing, and a planted link is not followed.
        std::fs::write(root.join("precious"), "x").expect("writes");
        std::fs::create_dir(third.data_dir().join("class")).expect("makes");
        std::os::unix::fs::symlink(&root, third.data_dir().join("class/out")).expect("links");
        empty_data(&host, &third).await.expect("empties");
        assert!(root.join("precious").exists());
        let left: Vec<_> = std::fs::read_dir(third.data_dir())
            .expect("opens")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left.len(), 1, "only the proof is left: {left:?}");
        assert_eq!(
            third.reread().expect("reads").restored,
            None,
            "the record no longer says that it was restored"
        );
        assert_eq!(machine.bytes(0), untouched, "another disk was changed");
        unmount(&root.join("mount"));
    });
}

#[test]
fn what_a_killed_run_leaves_is_finished() {
    in_private_mounts(async || {
        let mut machine = Machine::new();
        let node = machine.disk(1, MODEL, "AWS1").display().to_string();
        let root = machine.root.path().to_owned();
        let host = host(&root, "");
        let label = identify::label("acme", "weaviate-0");
        // Killed between mkfs and the identity, unmounted and mounted; the journal was lost with the root volume.
        run("mkfs.xfs", &["-q", "-K", "-L", &label, &node]);
        assert!(matches!(plan(&host, &me()).await, Ok(Plan::Mount { .. })));
        let volume = prepare(&host, &me()).await.expect("completes");
        let mount = root.join("mount").display().to_string();
        let nonce = volume.nonce().to_owned();
        std::fs::remove_dir(volume.backups_dir()).expect("removes");
        assert_eq!(prepare(&host, &me()).await.expect("uses").nonce(), nonce);
        assert!(volume.backups_dir().is_dir());
        unmount(Path::new(&mount));
        let seen = plan(&host, &me()).await.expect("looks");
        assert!(matches!(seen, Plan::Mount { .. }), "{seen}");
        let known = seen.record().map(|record| record.nonce.as_str());
        assert_eq!(known, Some(nonce.as_str()), "not mounted, and known all the same");
        // Killed inside mkfs: the superblock says so.
        let disk = std::fs::OpenOptions::new().write(true).open(&node).expect("opens");
        disk.write_all_at(&[1], 126).expect("writes");
        disk.sync_all().expect("syncs");
        assert!(matches!(plan(&host, &me()).await, Ok(Plan::Format { again: true, .. })));
        assert_ne!(prepare(&host, &me()).await.expect("formats").nonce(), nonce);
        unmount(Path::new(&mount));
    });
}

/// A journal that cannot be written: root may write anywhere, but no file takes a directory's place.
fn spoil(host: &Host) {
    std::fs::create_dir_all(host.roots.state.join("state.json.tmp/x")).expect("makes");
}

fn mend(host: &Host) {
    std::fs::remove_dir_all(host.roots.state.join("state.json.tmp")).expect("removes");
}

/// As after the replacement of the root volume: the disk is what it was, and the journal is gone.
fn forget(root: &Path, host: Host) -> Host {
    drop(host);
    std::fs::remove_dir_all(root.join("state")).expect("removes");
    self::host(root, "")
}

#[test]
fn a_disk_that_the_journal_cannot_name_is_not_touched() {
    in_private_mounts(async || {
        let mut machine = Machine::new();
        let node = machine.disk(1, MODEL, "AWS1").display().to_string();
        let root = machine.root.path().to_owned();
        let mut host = host(&root, "");
        let refused = async |host: &Host, turn: &str| {
            spoil(host);
            let error = prepare(host, &me()).await.expect_err(turn);
            assert!(
                matches!(&error, DiskError::Journal { serial, .. } if serial == "AWS1"),
                "{turn}: {error}"
            );
            mend(host);
        };
        let before = machine.bytes(1);
        refused(&host, "format").await;
        assert_eq!(machine.bytes(1), before, "it was formatted");

        run("mkfs.xfs", &["-q", "-K", "-L", &identify::label("acme", "weaviate-0"), &node]);
        let before = machine.bytes(1);
        refused(&host, "mount").await;
        assert_eq!(machine.bytes(1), before, "it was mounted");

        let mount = root.join("mount");
        std::fs::create_dir_all(&mount).expect("makes");
        run("mount", &[&node, &mount.display().to_string()]);
        refused(&host, "complete").await;
        assert!(!mount.join("identity.json").exists(), "it got an identity");

        let volume = prepare(&host, &me()).await.expect("the control");
        assert_eq!(host.journal.read().disks, ["AWS1"]);
        let proof = volume.data_dir().join(PROOF);
        std::fs::remove_file(&proof).expect("removes");
        host = forget(&root, host);
        refused(&host, "use").await;
        assert!(!proof.exists(), "the proof was written");
        prepare(&host, &me()).await.expect("the control");
        assert_eq!(host.journal.read().disks, ["AWS1"], "a volume in use is named again");
        unmount(&mount);
        let host = forget(&root, host);
        prepare(&host, &me()).await.expect("the control");
        assert_eq!(host.journal.read().disks, ["AWS1"], "a volume that is mounted is named again");
        unmount(&mount);
    });
}

#[test]
fn a_volume_whose_log_was_not_written_back_is_used_again() {
    in_private_mounts(async || {
        let mut machine = Machine::new();
        machine.disk(1, MODEL, "AWS1");
        let root = machine.root.path().to_owned();
        let host = host(&root, "");
        let mount = root.join("mount");
        let first = prepare(&host, &me()).await.expect("prepares");
        let right = std::fs::read(mount.join("identity.json")).expect("reads");
        std::fs::write(mount.join("identity.json"), "{").expect("writes");
        unmount(&mount);
        // On the disk the identity is nonsense now, and here is the control: without a log it is refused.
        let error = prepare(&host, &me()).await.expect_err("nonsense");
        assert!(error.to_string().contains("nobody of us wrote"), "{error}");
        // Made right again and mains off: the log knows of it, what lies on the disk itself does not.
        crate::state::replace(&mount.join("identity.json"), &right, 0o600).expect("writes");
        run("xfs_io", &["-x", "-c", "shutdown -f", &mount.display().to_string()]);
        unmount(&mount);
        let seen = decide(&look::look(&host, &me()).await.expect("looks"));
        assert!(matches!(seen, Plan::Mount { .. }), "{seen}");
        let again = prepare(&host, &me()).await.expect("is looked at again");
        assert_eq!((again.nonce(), again.uuid()), (first.nonce(), first.uuid()));
        unmount(&mount);
    });
}

#[test]
fn only_the_machines_own_trouble_with_a_mount_passes() {
    use crate::explain::{Class, Explain as _};
    use nix::errno::Errno;
    let class = |source| DiskError::Mount { node: "n".into(), mount: "m".into(), source }.class();
    for (errno, expected) in [
        (Errno::EBUSY, Class::Retry),
        (Errno::ENOMEM, Class::Retry),
        (Errno::EUCLEAN, Class::Final),
        (Errno::EINVAL, Class::Final),
        (Errno::EIO, Class::Final),
    ] {
        assert_eq!(class(errno.into()), expected, "{errno}");
    }
    assert_eq!(class(std::io::ErrorKind::TimedOut.into()), Class::Retry);
}

/// Program, arguments, identity, words of the refusal.
type Case<'a> = (&'a str, Vec<&'a str>, Option<String>, &'a str);

#[test]
fn a_strangers_disk_is_refused_and_not_a_byte_of_it_is_changed() {
    in_private_mounts(async || {
        let mut machine = Machine::new();
        let node = machine.disk(1, MODEL, "AWS1").display().to_string();
        let root = machine.root.path().to_owned();
        let host = host(&root, "");
        let ours = identify::label("acme", "weaviate-0");
        let inner = root.join("inner");
        std::fs::create_dir(&inner).expect("makes");
        let identity = |change: fn(&mut Record)| {
            let mut record = record("u", "AWS1");
            change(&mut record);
            serde_json::to_string(&record).expect("JSON")
        };
        let cases: [Case<'_>; 5] = [
            ("mkfs.ext4", vec!["-q", "-F"], None, "carries ext4"),
            (
                "mkfs.xfs",
                vec!["-q", "-f", "-L", "other"],
                None,
                "carries an XFS file system labelled \"other\"",
            ),
            (
                "mkfs.xfs",
                vec!["-q", "-f", "-L", &ours],
                Some(identity(|r| r.deployment = "else".into())),
                "belongs to the deployment else",
            ),
            (
                "mkfs.xfs",
                vec!["-q", "-f", "-L", &ours],
                Some(identity(|_| {})),
                "belongs to the file system u",
            ),
            ("mkfs.xfs", vec!["-q", "-f", "-L", &ours], Some("{".into()), "nobody of us wrote"),
        ];
        for (program, mut arguments, text, expected) in cases {
            arguments.push(&node);
            run(program, &arguments);
            if let Some(text) = text {
                run("mount", &[&node, &inner.display().to_string()]);
                std::fs::write(inner.join("identity.json"), text).expect("writes");
                unmount(&inner);
            }
            run("sync", &[&node]);
            let before = machine.bytes(1);
            let error = prepare(&host, &me()).await.expect_err(expected);
            assert!(error.to_string().contains(expected), "{error} does not say {expected}");
            assert_eq!(machine.bytes(1), before, "{expected}: the disk was changed");
            assert!(host.journal.read().disks.is_empty(), "{expected}: the journal names it");
        }
        // The control: the same disk, blank, is taken.
        run("wipefs", &["--all", "--force", &node]);
        prepare(&host, &me()).await.expect("a blank disk is taken");
        unmount(&root.join("mount"));
    });
}

#[test]
fn a_directory_with_files_and_a_held_disk_are_refused() {
    in_private_mounts(async || {
        let mut machine = Machine::new();
        let node = machine.disk(1, MODEL, "AWS1").display().to_string();
        let root = machine.root.path().to_owned();
        let host = host(&root, "");
        let mount = root.join("mount");
        std::fs::create_dir_all(mount.join("data")).expect("makes");
        let error = prepare(&host, &me()).await.expect_err("files");
        assert!(matches!(error, DiskError::Refused(_)), "{error}");
        assert!(error.to_string().contains("holds files already (data)"), "{error}");
        std::fs::remove_dir(mount.join("data")).expect("removes");
        // Mounted elsewhere.
        run("mkfs.xfs", &["-q", "-K", "-L", &identify::label("acme", "weaviate-0"), &node]);
        let elsewhere = root.join("elsewhere");
        std::fs::create_dir(&elsewhere).expect("makes");
        run("mount", &[&node, &elsewhere.display().to_string()]);
        assert!(matches!(plan(&host, &me()).await, Ok(Plan::RefuseBusy { .. })));
        unmount(&elsewhere);
        prepare(&host, &me()).await.expect("the control");
        unmount(&mount);
    });
}
