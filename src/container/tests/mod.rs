//! A real engine, in namespaces that end with the test.

mod engine;

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

#[test]
fn a_server_is_loaded_started_adopted_replaced_and_its_end_explained() {
    crate::disk::tests::in_private_mounts(async || {
        let engine = Engine::start().await;
        let root = engine.root.path();
        let archive = engine.image();
        let setting =
            format!("[weaviate]\nopen_files = 4096\nimage_file = {:?}\n", archive.display().to_string());
        let host = engine.host(&setting);
        let image = ready_image(&host).await.expect("is loaded from the file");
        assert_eq!(ready_image(&host).await.expect("is there"), image);

        let volume = volume(&root.join("mount"), "0123");
        for directory in [volume.data_dir(), volume.backups_dir(), root.join("run/overrides")] {
            std::fs::create_dir_all(directory).expect("makes");
        }
        std::fs::write(volume.data_dir().join(PROOF), "0123").expect("writes");
        std::fs::create_dir_all(root.join("run/weaviate")).expect("makes");
        std::fs::write(root.join("run/weaviate/config.json"), format!("{{\"key\":\"{KEY}\"}}"))
            .expect("writes");
        let secrets = Secrets::for_tests(KEY, &root.join("run"));
        let plan = ServerPlan::default();
        let start = async |host: &crate::host::Host, volume: &DataVolume| {
            start::start_at(host, ADDRESS, volume, &secrets, &image, &plan).await
        };

        let first = start(&host, &volume).await.expect("starts");
        assert!(!first.adopted());
        let docker = docker::connect(&host).await.expect("connects");
        let shown = docker.inspect_container(NAME, None::<InspectContainerOptions>).await.expect("is there");
        let text = serde_json::to_string(&shown).expect("JSON");
        assert!(!text.contains(KEY), "a key stands in docker inspect");
        assert!(!format!("{first:?} {secrets:?}").contains(KEY), "a key stands in Debug");
        let config = shown.host_config.expect("has one");
        assert_eq!(config.binds, None);
        let ports = config.port_bindings.unwrap_or_default();
        let addresses: Vec<_> =
            ports.values().flatten().flatten().filter_map(|b| b.host_ip.clone()).collect();
        assert_eq!(addresses, vec![ADDRESS.to_string(); 2]);

        let second = start(&host, &volume).await.expect("goes on");
        assert!(second.adopted());
        assert_eq!(second.container_id(), first.container_id());

        stop(&host, &second).await.expect("stops");
        stop(&host, &second).await.expect("is stopped already");
        let third = start(&host, &volume).await.expect("starts what is there");
        assert_eq!((third.container_id(), third.adopted()), (first.container_id(), false));
        let fourth = restart(&host, &third).await.expect("makes a new one");
        assert_ne!(fourth.container_id(), first.container_id());

        // Another specification, which ends at its start: replaced, and explained without the key.
        drop(host);
        let host = engine.host(&format!("{setting}env = {{ TEST_EXIT = \"3\" }}\n"));
        let error = start(&host, &volume).await.expect_err("exits");
        // Told because its end was seen, long before `start_deadline`: the sentence is that of an exit, and no
        // clock is needed to know it.
        assert_eq!(error.to_string(), "the server exited with code 3 at its start");
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
