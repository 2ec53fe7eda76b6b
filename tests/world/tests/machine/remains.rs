//! What is left of a world: nothing, however it ended.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use world::machine::{Machine, MachineSpec};
use world::vpc::{EniPlan, Vpc, VpcPlan};

use crate::door::{docker, import, sh};

async fn busy() -> (Vpc, Machine) {
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    let machine = Machine::boot(&vpc, &MachineSpec::default()).await.expect("a machine");
    machine.plug(&EniPlan::default()).await.expect("an ENI");
    sh(&machine, "mkfs.xfs -q /dev/nvme1n1 && mkdir -p /srv/d && mount /dev/nvme1n1 /srv/d").await;
    machine.start_docker(&[]).await.expect("an engine");
    import(&machine);
    docker(&machine, &["run", "-d", "-v", "/srv/d:/data", "door"]);
    (vpc, machine)
}

/// What a host can see of the world of process `world`, apart from its control groups.
fn remains(world: u32) -> Vec<String> {
    let mine = format!("world-{world}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block").expect("block devices").flatten() {
        let file = std::fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if file.contains(&mine) {
            found.push(format!("{} {file}", entry.path().display()));
        }
    }
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        // The daemon and its children carry the name in their arguments or their control group.
        for file in ["cmdline", "cgroup", "mountinfo"] {
            let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
            if String::from_utf8_lossy(&text).contains(&mine) {
                found.push(format!("{} {file}", entry.path().display()));
            }
        }
    }
    found
}

fn groups(world: u32) -> Vec<String> {
    let names = |at: &Path| {
        let entries = std::fs::read_dir(at).into_iter().flatten().flatten();
        entries.map(|e| e.path().display().to_string()).collect::<Vec<_>>()
    };
    let root = Path::new("/sys/fs/cgroup");
    let all = names(root).into_iter().flat_map(|at| [vec![at.clone()], names(Path::new(&at))].concat());
    all.filter(|at| at.contains(&format!("world-{world}-"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_ends_well_leaves_nothing() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let (vpc, machine) = busy().await;
    let processes = machine.processes().expect("it runs");
    assert!(processes.len() >= 4, "init, dockerd, containerd, a shim and a container: {processes:?}");
    assert_eq!(
        std::fs::read_to_string("/proc/self/mountinfo").expect("mounts"),
        mounts,
        "seen by nobody else"
    );
    machine.destroy().await.expect("an end without remains");
    drop(vpc);
    for pid in processes {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
}

/// Not a test: the process that the next one kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it waits to be killed"]
async fn a_world_that_waits() {
    let (_vpc, machine) = busy().await;
    println!("\npids {:?}", machine.processes().expect("it runs"));
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_is_killed_leaves_nothing() {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "remains::a_world_that_waits"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a world of its own");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let pids = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("pids [").map(str::to_owned));
    let pids: Vec<u32> = pids
        .expect("its processes")
        .trim_end_matches(']')
        .split(", ")
        .map(|p| p.parse().expect("a pid"))
        .collect();
    let world = child.id();
    assert!(!remains(world).is_empty(), "the search finds what is there");
    child.kill().expect("kill -9");
    child.wait().expect("its end");
    let killed = Instant::now();
    let alive = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    while !remains(world).is_empty() || pids.iter().any(alive) {
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?} {pids:?}", remains(world));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("nothing left {:?} after kill -9", killed.elapsed());
    // Control groups alone outlive it; the next world sweeps them.
    let vpc = Vpc::build(&VpcPlan::default()).await.expect("a VPC");
    let next = Machine::boot(&vpc, &MachineSpec::default()).await.expect("a machine");
    assert_eq!(groups(world), Vec::<String>::new());
    next.destroy().await.expect("an end without remains");
}
