//! What goes wrong with engine, image and container, made for real.

use std::net::Ipv4Addr;

use super::*;
use crate::explain::{Class, Explain as _};
use crate::host::Host;
use crate::network::{self, LocatedEni};
use crate::tests::alone::alone;

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_absent_mute_or_gone_is_told_apart() {
    let root = tempfile::tempdir().expect("a directory");
    let host = crate::disk::tests::host(root.path(), "");
    let error = docker::connect(&host).await.expect_err("no socket");
    assert!(matches!(error, ContainerError::Engine { .. }), "{error}");

    let socket = &host.roots.docker_socket;
    let mute = std::os::unix::net::UnixListener::bind(socket).expect("binds");
    let path = socket.to_string_lossy();
    let engine =
        bollard::Docker::connect_with_unix(&path, 600, bollard::API_DEFAULT_VERSION).expect("a client");
    let error = docker::call("look at the container", engine.ping()).await.expect_err("no answer");
    assert!(matches!(error, ContainerError::Slow { .. }), "{error}");

    drop(mute);
    let error = docker::call("look at the container", engine.ping()).await.expect_err("nobody listens");
    assert!(matches!(error, ContainerError::Call { .. }), "{error}");
    for error in [error, ContainerError::Slow { operation: "x", deadline: std::time::Duration::ZERO }] {
        assert_eq!(error.class(), Class::Retry);
    }
}

#[test]
fn each_trouble_with_an_image_is_named() {
    crate::disk::tests::in_private_mounts(async || {
        let engine = Engine::start().await;
        let archive = engine.image();
        let text = engine.root.path().join("text.tar");
        std::fs::write(&text, "no archive").expect("writes");
        let from = |image: &str, file: &Path| {
            format!("[weaviate]\nimage = {image:?}\nimage_file = {:?}\n", file.display().to_string())
        };
        let refused = async |over: &str| {
            let host = engine.host(over);
            ready_image(&host).await.expect_err(over)
        };
        let error = refused(&from("server:1", Path::new("/nowhere.tar"))).await;
        assert!(matches!(error, ContainerError::ImageFile { .. }), "{error}");
        let error = refused(&from("server:1", &text)).await;
        assert!(matches!(error, ContainerError::Load { .. }), "{error}");
        let error = refused(&from("server:2", &archive)).await;
        assert!(matches!(error, ContainerError::NotInFile { .. }), "{error}");
        assert_eq!(error.class(), Class::Final);

        let host = engine.host("");
        let docker = docker::connect(&host).await.expect("connects");
        let error = image::pull(&host, &docker, "127.0.0.1:1/server:1").await.expect_err("nobody listens");
        assert!(matches!(error, ContainerError::Pull { again: true, .. }), "{error}");
        drop(host);
        let host = engine.host(&from("server:1", &archive));
        ready_image(&host).await.expect("the control");
    });
}

type Is = fn(&ContainerError) -> bool;

#[test]
fn each_trouble_with_the_container_is_named() {
    crate::disk::tests::in_private_mounts(async || {
        let engine = Engine::start().await;
        let root = engine.root.path();
        let archive = engine.image();
        let base =
            format!("[weaviate]\nopen_files = 4096\nimage_file = {:?}\n", archive.display().to_string());
        let host = engine.host(&base);
        let image = ready_image(&host).await.expect("is loaded");
        drop(host);
        let (volume, secrets) = lay(root);
        let plan = ServerPlan::default();
        let start = async |host: &Host, address: Ipv4Addr, image: &Image| {
            start::start_at(host, address, &volume, &secrets, image, &plan).await
        };

        // What others have under our names.
        let theirs: [(&[&str], &[&str], Is); 2] = [
            (&["network", "create", "weaviate0"], &["network", "rm", "weaviate0"], |error| {
                matches!(error, ContainerError::Bridge { .. })
            }),
            (&["create", "--name", "weaviate", "server:1"], &["rm", "weaviate"], |error| {
                matches!(error, ContainerError::NotOurs { .. })
            }),
        ];
        let host = engine.host(&base);
        for (make, undo, expected) in theirs {
            engine.docker(make);
            let error = start(&host, ADDRESS, &image).await.expect_err("it is not ours");
            assert!(expected(&error) && error.class() == Class::Final, "{make:?}: {error}");
            engine.docker(undo);
        }
        let error = start(&host, Ipv4Addr::new(10, 0, 2, 99), &image).await.expect_err("not on lo");
        assert!(matches!(error, ContainerError::Address { .. }), "{error}");
        engine.docker(&["build", "--quiet", "--tag", "empty:1", &empty(root)]);
        let nothing = Image::for_tests(
            "empty:1",
            &engine.docker(&["image", "inspect", "--format", "{{.Id}}", "empty:1"]),
        );
        let error = start(&host, ADDRESS, &nothing).await.expect_err("no program");
        assert!(matches!(error, ContainerError::Refused { .. }), "{error}");
        drop(host);

        let many = engine.host(&base.replace("4096", "4294967295"));
        let error = start(&many, ADDRESS, &image).await.expect_err("more than the kernel gives");
        assert!(
            matches!(error, ContainerError::OpenFiles { .. }) && error.class() == Class::Final,
            "{error}"
        );
        drop(many);

        // What a configuration asks for.
        let asked: [(&str, Is, Class); 4] = [
            (
                "start_deadline = '1s'\nenv = { TEST_MUTE = '1' }",
                |e| matches!(e, ContainerError::NotReady { .. }),
                Class::Retry,
            ),
            ("env = { X = 'planted-admin-key' }", |e| matches!(e, ContainerError::Leak), Class::Final),
            // Somebody stopped it, or the engine was restarted: not its own word.
            (
                "env = { TEST_EXIT = '0' }",
                |e| matches!(e, ContainerError::Exited { code: 0, .. }),
                Class::Retry,
            ),
            (
                "env = { TEST_EXIT = '3' }",
                |e| matches!(e, ContainerError::Exited { code: 3, .. }),
                Class::Final,
            ),
        ];
        for (over, expected, class) in asked {
            let host = engine.host(&format!("{base}{over}\n"));
            let error = start(&host, ADDRESS, &image).await.expect_err(over);
            assert!(expected(&error) && error.class() == class, "{over}: {error}");
        }

        let mut host = engine.host(&base);
        let proc = std::mem::replace(&mut host.roots.proc, root.join("tree"));
        let error = start(&host, ADDRESS, &image).await.expect_err("no such process");
        assert!(matches!(error, ContainerError::Proc { .. }), "{error}");
        host.roots.proc = proc;

        let placed = network::place_address(&host, &LocatedEni::for_tests()).await.expect("it lies on lo");
        network::close(&host).await.expect("closes");
        engine::run("nft", &["flush", "chain", "inet", "weaviate_provisioner", "metadata"]);
        let behind = async || super::start(&host, &placed, &volume, &secrets, &image, &plan).await;
        let error = behind().await.expect_err("the container would reach the metadata");
        assert!(matches!(error, ContainerError::MetadataOpen), "{error}");
        let running = behind().await.expect("the control: the door was closed at once");
        engine::run("nft", &["flush", "chain", "inet", "weaviate_provisioner", "quarantine"]);
        let error = behind().await.expect_err("clients would get in");
        assert!(matches!(error, ContainerError::Door(_)), "{error}");
        assert_eq!(error.to_string(), "the door does not keep clients out: it is open");
        let again = behind().await.expect("the control");
        assert_eq!((again.container_id(), again.adopted()), (running.container_id(), true));
        drop(host);

        // The bridge has another name now: its network and the container on it are replaced.
        let host = engine.host(&format!("{base}[network]\nbridge = 'other0'\n"));
        let moved = start(&host, ADDRESS, &image).await.expect("the old network of ours is no obstacle");
        assert_ne!(moved.container_id(), running.container_id());
        let networks = engine.docker(&["network", "ls", "--format", "{{.Name}}"]);
        assert!(networks.contains("other0") && !networks.contains("weaviate0"), "{networks}");
    });
}

/// An image whose program is not in it.
fn empty(root: &Path) -> String {
    let tree = root.join("empty");
    std::fs::create_dir_all(&tree).expect("makes");
    std::fs::write(tree.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\nENTRYPOINT [\"/bin/none\"]\n")
        .expect("writes");
    tree.display().to_string()
}

#[test]
fn a_machine_without_nft_starts_nothing() {
    let nowhere = tempfile::tempdir().expect("a directory");
    alone("container::tests::trouble::without_nft", &["--net"], Some(nowhere.path()));
}

#[tokio::test]
#[ignore = "is run with an empty PATH and in a namespace of its own by the test above"]
async fn without_nft() {
    let root = tempfile::tempdir().expect("a directory");
    let host = crate::disk::tests::host(root.path(), "");
    let placed = network::place_address(&host, &LocatedEni::for_tests()).await.expect("on lo");
    let (volume, secrets) = (volume(root.path(), "0123"), Secrets::for_tests(KEY, root.path()));
    let image = Image::for_tests("server:1", "sha256:0");
    let error = super::start(&host, &placed, &volume, &secrets, &image, &ServerPlan::default()).await;
    let Err(ContainerError::Door(source)) = error else { panic!("{error:?}") };
    assert!(matches!(*source, crate::network::NetworkError::Door { operation: "list", .. }), "{source}");
}

#[test]
fn credentials_are_vended_on_their_own_port_and_from_a_tmpfs_only() {
    alone("container::tests::trouble::vending", &["--net", "--mount"], None);
}

#[tokio::test]
#[ignore = "is run in namespaces of its own by the test above"]
async fn vending() {
    use nix::mount::{MsFlags, mount};
    let root = tempfile::tempdir().expect("a directory");
    engine::run("ip", &["link", "set", "lo", "up"]);
    let host = crate::disk::tests::host(root.path(), "[network]\npublish = 'host'\n");
    let me = crate::instance::Identity::for_tests("i-1");
    let serve = async || vend::serve(&host, &me, "arn:aws:iam::123456789012:role/x").await;
    std::fs::create_dir(&host.roots.run).expect("makes");
    for (kind, expected) in [
        // Memory, but one that does not call itself a tmpfs: what is asked is the kind.
        ("ramfs", (|error| matches!(error, ContainerError::Token { .. })) as Is),
        ("tmpfs", |error| matches!(error, ContainerError::Vend { .. })),
    ] {
        mount(Some(kind), &host.roots.run, Some(kind), MsFlags::empty(), None::<&str>).expect("mounts");
        let _taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, vend::PORT)).expect("binds");
        let error = serve().await.expect_err(kind);
        assert!(expected(&error), "{kind}: {error}");
    }
}
