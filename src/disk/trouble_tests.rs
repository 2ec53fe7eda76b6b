//! Trouble with the machine below the disk, made for real.

use std::path::Path;

use super::*;
use crate::tests::alone::alone;

/// A machine with one disk, and the path of a file in its sysfs.
fn machine() -> (Machine, std::path::PathBuf, std::path::PathBuf) {
    let mut machine = Machine::new();
    let node = machine.disk(1, MODEL, "AWS1");
    let controller = machine.root.path().join("sys/class/nvme/nvme1");
    (machine, node, controller)
}

type Spoil = fn(&Path, &Path);
type Is = fn(&DiskError) -> bool;

#[test]
fn a_disk_that_sysfs_or_dev_describe_wrongly_is_not_touched() {
    in_private_mounts(async || {
        let rows: [(&str, Spoil, Is); 7] = [
            (
                "no model",
                |_, controller| std::fs::remove_file(controller.join("model")).expect("removes"),
                |error| matches!(error, DiskError::Sysfs { .. }),
            ),
            (
                "no serial",
                |_, controller| std::fs::write(controller.join("serial"), "\n").expect("writes"),
                |error| matches!(error, DiskError::Odd { .. }),
            ),
            (
                "no number",
                |_, controller| std::fs::write(controller.join("nvme1n1/dev"), "x\n").expect("writes"),
                |error| matches!(error, DiskError::Odd { .. }),
            ),
            (
                "no size",
                |_, controller| std::fs::write(controller.join("nvme1n1/size"), "x\n").expect("writes"),
                |error| matches!(error, DiskError::Odd { .. }),
            ),
            (
                "another device under its name",
                |node, _| {
                    std::fs::remove_file(node).expect("removes");
                    std::fs::write(node, "").expect("writes");
                },
                |error| matches!(error, DiskError::Moved { .. }),
            ),
            (
                "another number under its name",
                |_, controller| std::fs::write(controller.join("nvme1n1/dev"), "1:3\n").expect("writes"),
                |error| matches!(error, DiskError::Moved { .. }),
            ),
            (
                "no node",
                |node, _| std::fs::remove_file(node).expect("removes"),
                |error| matches!(error, DiskError::Device { .. }),
            ),
        ];
        for (name, spoil, expected) in rows {
            let (machine, node, controller) = machine();
            let host = host(machine.root.path(), "");
            let before = machine.bytes(1);
            spoil(&node, &controller);
            let error = plan(&host, &me()).await.expect_err(name);
            assert!(expected(&error), "{name}: {error}");
            assert_eq!(machine.bytes(1), before, "{name}");
        }
    });
}

#[test]
fn what_is_mounted_where_must_be_known_and_stay() {
    in_private_mounts(async || {
        let (machine, ..) = machine();
        let root = machine.root.path();
        let mut host = host(root, "");
        let proc = std::mem::replace(&mut host.roots.proc, root.join("dev"));
        let error = plan(&host, &me()).await.expect_err("no mount table");
        assert!(matches!(error, DiskError::Mounts { .. }), "{error}");
        host.roots.proc = proc;

        let volume = prepare(&host, &me()).await.expect("the control");
        unmount(&root.join("mount"));
        let error = volume.write_record(volume.identity()).expect_err("the root disk is below");
        assert!(matches!(error, DiskError::Changed { .. }), "{error}");
        drop(host);

        std::fs::write(root.join("file"), "").expect("writes");
        let below = root.join("file/mount").display().to_string();
        let host = self::host(root, &format!("[storage]\nmount = {below:?}\n"));
        let error = plan(&host, &me()).await.expect_err("a file is no directory");
        assert!(matches!(error, DiskError::Volume { .. }), "{error}");
    });
}

#[test]
fn a_mount_by_systemd_that_fails_is_told_as_such() {
    in_private_mounts(async || {
        let (machine, ..) = machine();
        // sd_booted(3) asks for this directory; there is no systemd behind it.
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
        std::fs::create_dir_all("/run/systemd/system").expect("makes");
        let host = host(machine.root.path(), "");
        let error = prepare(&host, &me()).await.expect_err("nobody mounts");
        assert!(matches!(error, DiskError::MountUnit { .. }), "{error}");
    });
}

#[test]
fn without_its_programs_a_disk_is_left_alone() {
    let nowhere = tempfile::tempdir().expect("a directory");
    alone("disk::tests::trouble::without_programs", &["--mount"], Some(nowhere.path()));
}

#[tokio::test]
#[ignore = "is run with a PATH of its own by the test above"]
async fn without_programs() {
    let disk = Disk { node: "/nowhere".into(), ..disk("AWS1") };
    let error = identify::content(&disk, "label", None, Path::new("/nowhere")).await.expect_err("no blkid");
    assert!(matches!(error, DiskError::Probe { .. }), "{error}");
}

#[test]
fn a_disk_that_never_becomes_what_was_made_of_it_is_given_up() {
    // An mkfs that says that it is done and does nothing.
    let programs = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/usr/bin/true", programs.path().join("mkfs.xfs")).expect("links");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.path().display());
    alone("disk::tests::trouble::unsettled", &["--mount"], Some(Path::new(&path)));
}

#[tokio::test]
#[ignore = "is run with a PATH of its own by the test above"]
async fn unsettled() {
    let (machine, ..) = machine();
    let host = host(machine.root.path(), "");
    let error = prepare(&host, &me()).await.expect_err("it stays blank");
    let DiskError::Unsettled { last } = &error else { panic!("{error}") };
    assert!(last.contains("which is blank"), "{last}");
}
