//! A machine's lives: boots, cuts, disks, and what is left afterwards.

use std::time::{Duration, Instant};

use world::machine::{DiskSpec, Machine, MachineSpec};
use world::vpc::{EniPlan, Vpc, VpcPlan};

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

    machine.reboot().await.expect("a reboot");
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
    docker(&machine, &["run", "-d", "--name", "door", "door"]);
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
