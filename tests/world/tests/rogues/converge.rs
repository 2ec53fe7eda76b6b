//! `killed-anywhere` itself judged: an agent that does not converge after its death must be caught.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use world::case::{Case, load_all};
use world::kill::{Attempt, Point, When, strike};
use world::stage::Programs;

use crate::rogue::programs;

fn case() -> Case {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    load_all(&cases).expect("the cases").remove("killed-anywhere").expect("the case")
}

/// The moment at which the interface is ours and nobody has heard of it.
fn attached() -> Attempt {
    let call = "ec2:AttachNetworkInterface".to_owned();
    Attempt::At(Point { call, when: When::After, nth: 1 })
}

/// The agent, but `on_second` is what a run does that finds the journal of an earlier one.
fn forgetful(folder: &Path, on_second: &str) -> Programs {
    let honest = programs();
    let agent: PathBuf = folder.join("agent");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' run '*) [ ! -e /var/lib/weaviate-provisioner/state.json ] || {{ {on_second}; }} ;; esac\nexec '{}' \"$@\"\n",
        honest.agent.display()
    );
    std::fs::write(&agent, script).expect("write the script");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).expect("make it a program");
    Programs { agent, ..honest }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_converge_is_caught_and_ours_is_not() {
    let folder = tempfile::tempdir().expect("a directory");
    let rogues = [
        // It believes that the earlier run has done everything.
        ("exit 0", "the agent has written no report"),
        // It leaves something behind.
        ("docker create 10.0.8.10:5000/weaviate:1.39.0 >/dev/null", "2 containers are left, not 1"),
    ];
    for (rogue, expected) in rogues {
        let complaints = match strike(&case(), &forgetful(folder.path(), rogue), &attached()).await {
            Ok(complaints) => complaints.join("\n"),
            Err(error) => format!("{error:#}"),
        };
        assert!(complaints.contains(expected), "{rogue}: {complaints:?}");
    }
    let ours = strike(&case(), &programs(), &attached()).await.expect("a killed run");
    assert_eq!(ours, Vec::<String>::new());
}
