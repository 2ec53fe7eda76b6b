//! A real engine, in namespaces that end with the test.

mod engine;
mod trouble;

use std::path::Path;

use bollard::query_parameters::InspectContainerOptions;

use super::*;
use crate::disk::{DataVolume, PROOF};
use crate::secrets::Secrets;
use engine::{ADDRESS, Engine};

const KEY: &str = "planted-admin-key";

/// A volume as `disk::prepare` leaves it, on a tmpfs of the test.
fn volume(mount: &Path, nonce: &str) -> DataVolume {
    let mut record = crate::disk::tests::record("u", "AWS1");
    record.nonce = nonce.to_owned();
    DataVolume::for_tests(mount.to_owned(), record, true, (1000, 1000))
}

/// What of the specification only the engine's own words show.
fn check_limits(shown: &bollard::models::ContainerInspectResponse) {
    use bollard::models::RestartPolicyNameEnum;
    let config = shown.config.as_ref().expect("has one");
    assert_eq!((config.user.as_deref(), config.stop_timeout), (Some("1000:1000"), Some(120)));
    let host = shown.host_config.as_ref().expect("has one");
    assert_eq!(host.memory, Some(256 << 20));
    let policy = host.restart_policy.as_ref().and_then(|policy| policy.name);
    assert_eq!(policy, Some(RestartPolicyNameEnum::NO));
    let limits: Vec<_> = host.ulimits.iter().flatten().map(|l| (l.name.as_deref(), l.soft, l.hard)).collect();
    assert_eq!(
        limits,
        [(Some("nofile"), Some(4096), Some(4096)), (Some("core"), Some(0), Some(0))],
        "no core dump: the server's keys stand in its memory"
    );
    assert_eq!(host.binds, None, "a source that is not there would be made");
    let mounts: Vec<_> = host
        .mounts
        .iter()
        .flatten()
        .map(|m| (m.target.as_deref().unwrap_or_default(), m.read_only))
        .collect();
    assert_eq!(
        mounts,
        [
            ("/var/lib/weaviate", None),
            ("/var/lib/weaviate-backups", None),
            ("/etc/weaviate", Some(true)),
            ("/etc/weaviate-overrides", Some(true)),
        ]
    );
}

/// What lies on the volume and on the tmpfs when the server is started.
fn lay(root: &Path) -> (DataVolume, Secrets) {
    let volume = volume(&root.join("mount"), "0123");
    for directory in [volume.data_dir(), volume.backups_dir(), root.join("run/overrides")] {
        std::fs::create_dir_all(directory).expect("makes");
    }
    std::fs::write(volume.data_dir().join(PROOF), "0123").expect("writes");
    std::fs::create_dir_all(root.join("run/weaviate")).expect("makes");
    std::fs::write(root.join("run/weaviate/config.json"), format!("{{\"key\":\"{KEY}\"}}")).expect("writes");
    (volume, Secrets::for_tests(KEY, &root.join("run")))
}

#[test]
fn a_server_is_loaded_started_adopted_replaced_and_its_end_explained() {
    crate::disk::tests::in_private_mounts(async || {
        let engine = Engine::start().await;
        let root = engine.root.path();
        let archive = engine.image();
        let setting = format!(
            "[weaviate]\nopen_files = 4096\nmemory = '256MiB'\nimage_file = {:?}\n",
            archive.display().to_string()
        );
        let host = engine.host(&setting);
        let image = ready_image(&host).await.expect("is loaded from the file");
        assert_eq!(ready_image(&host).await.expect("is there"), image);

        let (volume, secrets) = lay(root);
        let plan = ServerPlan::default();
        let start = async |host: &crate::host::Host, volume: &DataVolume| {
            start::start_at(host, ADDRESS, volume, &secrets, &image, &plan).await
        };

        let first = start(&host, &volume).await.expect("starts");
        assert!(!first.adopted());
        let started = |running: &Running| running.process().started.clone();
        let runs = |running: &Running| Sight::Here { started: started(running), life: Now::Runs };
        assert_eq!(look(&host, &first).await.expect("looks"), runs(&first));
        engine.docker(&["pause", NAME]);
        let paused = Sight::Here { started: started(&first), life: Now::Paused };
        assert_eq!(look(&host, &first).await.expect("looks"), paused);
        engine.docker(&["unpause", NAME]);
        let docker = docker::connect(&host).await.expect("connects");
        let shown = docker.inspect_container(NAME, None::<InspectContainerOptions>).await.expect("is there");
        let text = serde_json::to_string(&shown).expect("JSON");
        assert!(!text.contains(KEY), "a key stands in docker inspect");
        assert!(!format!("{first:?} {secrets:?}").contains(KEY), "a key stands in Debug");
        check_limits(&shown);
        let config = shown.host_config.expect("has one");
        let ports = config.port_bindings.unwrap_or_default();
        let addresses: Vec<_> =
            ports.values().flatten().flatten().filter_map(|b| b.host_ip.clone()).collect();
        assert_eq!(addresses, vec![ADDRESS.to_string(); 2]);

        let second = start(&host, &volume).await.expect("goes on");
        assert!(second.adopted());
        assert_eq!(second.container_id(), first.container_id());

        stop(&host, &second).await.expect("stops");
        stop(&host, &second).await.expect("is stopped already");
        // By SIGKILL, which is the image's own stop signal.
        let ended = Sight::Here { started: started(&first), life: Now::Ended { code: 137, oom: false } };
        assert_eq!(look(&host, &first).await.expect("looks"), ended);
        let third = start(&host, &volume).await.expect("starts what is there");
        assert_eq!((third.container_id(), third.adopted()), (first.container_id(), false));
        assert_eq!(look(&host, &first).await.expect("looks"), runs(&third));
        assert_ne!(started(&first), started(&third), "one container, two lives");
        let fourth = restart(&host, &third).await.expect("makes a new one");
        assert_eq!(look(&host, &third).await.expect("looks"), Sight::Gone);
        assert_ne!(fourth.container_id(), first.container_id());

        // Another specification, which ends at its start: replaced, and explained without the key.
        drop(host);
        let host = engine.host(&format!("{setting}env = {{ TEST_EXIT = \"3\" }}\n"));
        let error = start(&host, &volume).await.expect_err("exits");
        // Told because its end was seen, long before `start_deadline`: the sentence is that of an exit, and no
        // clock is needed to know it.
        assert_eq!(error.to_string(), "the server exited with code 3");
        let details = crate::explain::Explain::details(&error).join("\n");
        assert!(details.contains("starts with") && details.contains("[redacted]"), "{details}");
        assert!(!details.contains(KEY), "{details}");

        // A volume whose nonce the server does not see.
        drop(host);
        let host = engine.host(&setting);
        let other = self::volume(&root.join("mount"), "4567");
        let error = start(&host, &other).await.expect_err("no proof");
        assert!(error.to_string().contains("holds another nonce"), "{error}");
        let gone = docker.inspect_container(NAME, None::<InspectContainerOptions>).await;
        assert!(gone.is_err(), "a container without proof goes on");
        let last = start(&host, &volume).await.expect("the control");
        assert!(!last.adopted());
    });
}
