//! A machine's lives: boots, cuts, disks, and what is left afterwards.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use world::machine::{DiskSpec, Machine, MachineSpec};
use world::vpc::{EniPlan, Nic, Vpc, VpcPlan};

use crate::door::{docker, import, sh};

const SERIAL: &str = "AWS2A1B3C4D5E6F70819";

fn spec() -> MachineSpec {
    MachineSpec {
        disks: vec![DiskSpec::ebs_root("vol0123456789abcdef0"), DiskSpec::instance_store(SERIAL, 1 << 30)],
        ..MachineSpec::default()
    }
}

async fn machine() -> Machine {
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    Machine::boot(&vpc, &spec()).await.expect("a machine")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_looks_like_one() {
    let begun = Instant::now();
    let machine = machine().await;
    println!("VPC and boot: {:?}", begun.elapsed());
    assert_eq!(sh(&machine, "hostname").await, "ip-10-0-1-10\n");
    assert!(sh(&machine, "tr '\\0' ' ' </proc/1/cmdline").await.contains("/bin/bash"));
    let model =
        std::fs::read_to_string(machine.path("/run/world-sysfs/class/nvme/nvme1/model")).expect("a model");
    assert_eq!(model, format!("{:<40}\n", "Amazon EC2 NVMe Instance Storage"));
    let disk = machine.disk(SERIAL).expect("a disk");
    let seen =
        sh(&machine, "cat /run/world-sysfs/class/block/nvme1n1/dev; stat -c '%Hr:%Lr' /dev/nvme1n1").await;
    let (dev, node) = seen.trim().split_once('\n').expect("two lines");
    assert_eq!(dev, node);
    assert_eq!(sh(&machine, "blockdev --getsize64 /dev/nvme1n1").await.trim(), (1u64 << 30).to_string());
    assert!(!disk.written().expect("a disk that can be read"));
    drop(disk);
    assert!(sh(&machine, "cat /etc/hosts").await.contains("10.0.8.9 s3.world"));
    // What a booted machine shows is what it will show: whoever compares before and after relies on it.
    let link_local = sh(&machine, "ip -6 address show dev ens5 scope link").await;
    assert!(link_local.contains("fe80::") && !link_local.contains("tentative"), "{link_local}");
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_reaped() {
    let machine = machine().await;
    sh(&machine, "(sleep 0.2 & ) ; exit 0").await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while sh(&machine, "ps -eo stat,comm | grep -c '[s]leep' || true").await.trim() != "0" {
        assert!(Instant::now() < deadline, "{}", sh(&machine, "ps -ef").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_keeps_what_was_synced_and_loses_the_rest() {
    let machine = machine().await;
    let first = sh(&machine, "cat /proc/sys/kernel/random/boot_id").await;
    machine.plug(&EniPlan::default()).await.expect("an ENI");
    let blank = machine.disk(SERIAL).expect("a disk").sha256().expect("a hash");
    sh(&machine, "mkfs.xfs -q /dev/nvme1n1 && mkdir -p /srv/d && mount /dev/nvme1n1 /srv/d").await;
    sh(&machine, "echo kept >/srv/d/synced && sync -f /srv/d/synced && echo root >/etc/mark").await;
    sh(&machine, "echo lost >/srv/d/unsynced").await;
    let mut sleeper = machine.command("sleep").expect("it runs").args(["60"]).spawn().expect("a process");

    machine.power_cut().await.expect("a cut");
    assert!(sleeper.wait().await.expect("an end").code().is_none(), "killed");
    assert_eq!(std::fs::read_to_string(machine.path("/etc/mark")).expect("the root volume"), "root\n");
    assert!(machine.command("true").is_err(), "no power");
    machine.power_on().await.expect("a boot");

    assert_ne!(sh(&machine, "cat /proc/sys/kernel/random/boot_id").await, first);
    assert_eq!(sh(&machine, "cat /etc/mark").await, "root\n");
    sh(&machine, "mount /dev/nvme1n1 /srv/d").await;
    assert_eq!(sh(&machine, "cd /srv/d && cat synced").await, "kept\n");
    assert_eq!(sh(&machine, "cat /srv/d/unsynced 2>/dev/null || true").await, "", "nobody synced it");
    sh(&machine, "echo kept >/srv/d/unsynced").await;
    assert!(sh(&machine, "ip -o link").await.contains("ens6"), "the ENI is still attached");

    let trap = "trap 'echo stopped >/etc/stopped; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let program = machine.command("/bin/sh").expect("it runs").args(["-c", trap]).stdout(Stdio::piped());
    let mut program = program.spawn().expect("a program");
    let mut up = [0; 3];
    program.stdout.take().expect("piped").read_exact(&mut up).await.expect("its word");
    machine.reboot().await.expect("a reboot");
    assert!(program.wait().await.expect("an end").success(), "it ended in an orderly way");
    assert_eq!(sh(&machine, "cat /etc/stopped").await, "stopped\n");
    sh(&machine, "mount /dev/nvme1n1 /srv/d").await;
    assert_eq!(sh(&machine, "cat /srv/d/unsynced").await, "kept\n", "an orderly reboot syncs");
    let disk = machine.disk(SERIAL).expect("a disk");
    assert!(disk.written().expect("readable"));
    assert_ne!(disk.sha256().expect("a hash"), blank);
    drop(disk);

    machine.replace_root().await.expect("a fresh root");
    assert_eq!(sh(&machine, "cat /etc/mark 2>/dev/null || true").await, "");
    sh(&machine, "mkdir -p /srv/d && mount /dev/nvme1n1 /srv/d && test -f /srv/d/synced").await;
    machine.stop_start().await.expect("another host");
    assert!(machine.disk(SERIAL).is_err(), "another disk");
    let blank_again = machine.disks()[1].sha256().expect("a hash");
    assert_eq!(blank_again, blank);
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_keeps_images_over_a_cut_and_nothing_is_left() {
    let begun = Instant::now();
    let machine = machine().await;
    let booted = begun.elapsed();
    machine.start_docker(&[]).await.expect("an engine");
    println!("VPC and boot {booted:?}, with Docker {:?}", begun.elapsed());
    import(&machine);
    docker(&machine, &["run", "-d", "--stop-timeout", "1", "--name", "door", "door"]);
    let begun = Instant::now();
    machine.power_cut().await.expect("a cut, without control groups left");
    println!("power cut with a container {:?}", begun.elapsed());
    let begun = Instant::now();
    machine.power_on().await.expect("a boot");
    machine.start_docker(&["--userland-proxy=false"]).await.expect("an engine");
    println!("boot with Docker {:?}", begun.elapsed());
    let door = docker(&machine, &["ps", "-a", "--format", "{{.Names}} {{.Status}}"]);
    assert!(door.starts_with("door Exited"), "{door}");
    docker(&machine, &["start", "door"]);
    machine.stop_docker().await.expect("an orderly end");
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_shown_read_only_and_not_all_of_it() {
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("another file system");
    std::fs::write(elsewhere.path().join("file"), "seen").expect("a file");
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    let share = vec![elsewhere.path().to_owned(), "/etc".into()];
    assert!(std::path::Path::new("/etc/debian_version").exists(), "there is something to hide");
    let hide = vec!["/etc/debian_version".into()];
    let machine = Machine::boot(&vpc, &MachineSpec { share, hide, ..spec() }).await.expect("a machine");
    let at = elsewhere.path().display();
    assert_eq!(sh(&machine, &format!("cat {at}/file; ! touch {at}/other 2>/dev/null")).await, "seen");
    sh(&machine, "touch /etc/mine && test ! -e /etc/debian_version").await;
    assert!(!std::path::Path::new("/etc/mine").exists(), "the host's own root is never written to");
    machine.destroy().await.expect("an end without remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eni_moves_between_instances() {
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    let other = Nic { address: [10, 0, 1, 11].into(), mac: "06:5e:00:01:00:0b".into(), ..spec().primary };
    let old_spec = MachineSpec { instance_id: "i-0old".into(), primary: other, ..spec() };
    let (old, new) =
        tokio::join!(Machine::boot(&vpc, &old_spec), async { Machine::boot(&vpc, &spec()).await });
    let (old, new) = (old.expect("the old owner"), new.expect("the new owner"));
    let eni = EniPlan::default();
    let has =
        async |machine: &Machine| sh(machine, "ip -o link").await.contains("link/ether 06:5e:00:02:00:0f");
    old.plug(&eni).await.expect("an ENI");
    assert_eq!([has(&old).await, has(&new).await], [true, false]);
    old.unplug(&eni.id).await.expect("a detachment");
    new.plug(&eni).await.expect("an ENI");
    assert_eq!([has(&old).await, has(&new).await], [false, true]);
    old.power_cut().await.expect("a cut");
    assert!(has(&new).await, "the old owner's end takes nothing from the new one");
    old.destroy().await.expect("an end without remains");
    new.destroy().await.expect("an end without remains");
}
