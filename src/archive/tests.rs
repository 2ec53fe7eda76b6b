//! A backup into a file and out of it again, against an S3 on loopback; and files that are none of ours.

use std::path::Path;
use std::time::Duration;

use axum::http::Method;

use super::*;
use crate::catalog::Scope;
use crate::explain::{Class, Explain as _};
use crate::manifest::{Manifest, Object, checksum};
use crate::report::Status;
use crate::store::fake::{FakeS3, Trouble};
use crate::store::{Limits, Store, StoreError};
use crate::tests::make::{noise, object};

const QUICK: Limits = Limits {
    connections: 4,
    first: 4,
    range: 1 << 16,
    stall: Duration::from_millis(500),
    answer: Duration::from_secs(2),
    tries: 2,
    pause: Duration::from_millis(1),
};

/// `more`, which is built on `full`, in a bucket, with its copy.
fn backed_up(fake: &FakeS3) -> Manifest {
    let name = "a-name-that-is-longer-than-a-hundred-letters".repeat(3);
    let files = [
        ("from/full/n/A/chunk-1".to_owned(), noise(300_000)),
        ("from/more/backup_config.json".to_owned(), b"{}".to_vec()),
        ("from/more/n/A/chunk-1".to_owned(), noise(65_536)),
        (format!("from/more/n/{name}/chunk-1"), Vec::new()),
    ];
    let mut objects: Vec<Object> = files.iter().map(|(key, bytes)| object(key, bytes)).collect();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    for (key, bytes) in files {
        fake.put(&key, bytes);
    }
    let manifest = Manifest {
        schema: 1,
        deployment: "theirs".to_owned(),
        node: "n".to_owned(),
        generation: 3,
        owner: Some("i-1".to_owned()),
        nonce: Some("secret".to_owned()),
        backup_id: Some("more".to_owned()),
        path: Some("from/more".to_owned()),
        completed: Some("2026-03-01T00:00:00Z".to_owned()),
        chain: vec!["full".to_owned(), "more".to_owned()],
        checksum: Some(checksum(&objects)),
        objects,
        ..Manifest::default()
    };
    fake.put("from/manifests/more.json", serde_json::to_vec(&manifest).expect("json"));
    manifest
}

const fn scope<'a>(store: &'a Store, deployment: &'a str, node: &'a str, status: &'a Status) -> Scope<'a> {
    Scope::new(store, deployment, node, status)
}

/// A file of an archive: its name and its bytes.
type Packed<'a> = (&'a str, &'a [u8]);

async fn out(fake: &FakeS3, file: &Path) -> Result<Exported, ArchiveError> {
    let (store, status) = (fake.store("from"), Status::default());
    export(&scope(&store, "theirs", "n", &status), &store, "more", &Place::of(file), QUICK).await
}

async fn back(fake: &FakeS3, node: &str, file: &Path) -> Result<Imported, ArchiveError> {
    let (store, status) = (fake.store("to"), Status::default());
    import(&scope(&store, "ours", node, &status), &store, &Place::of(file), None, 4, QUICK).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_into_the_file_comes_out_as_it_was() {
    let (fake, folder) = (FakeS3::start().await, tempfile::tempdir().expect("a folder"));
    let theirs = backed_up(&fake);
    let file = folder.path().join("more.tar.zst");
    fake.trouble(Method::GET, "from/full/n/A/chunk-1", Trouble::Cut(3));
    let exported = out(&fake, &file).await.expect("exported");
    assert_eq!((exported.files, exported.bytes), (4, theirs.bytes()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Once more is another file, the same to the last byte; over one that is there, none.
    let again = folder.path().join("again.tar.zst");
    out(&fake, &again).await.expect("exported");
    assert_eq!(std::fs::read(&file).expect("read"), std::fs::read(&again).expect("read"));
    assert!(matches!(out(&fake, &file).await, Err(ArchiveError::There { .. })));
    let imported = back(&fake, "n", &file).await.expect("imported");
    assert_eq!((imported.id.as_str(), imported.files, imported.deployment.as_str()), ("more", 4, "theirs"));
    for object in &theirs.objects {
        let key = object.key.replace("from/", "to/");
        assert_eq!(fake.get(&key), fake.get(&object.key), "{key}");
    }
    let (store, status) = (fake.store("to"), Status::default());
    let here = scope(&store, "ours", "n", &status);
    crate::catalog::verify(&here, Some("more"), Some(QUICK)).await.expect("a backup of our own");
    let copy = fake.get("to/manifests/more.json").expect("its copy");
    assert!(!String::from_utf8_lossy(&copy).contains("secret"), "nobody's nonce");
    // It is there now; and nothing is left of the spool.
    assert!(matches!(back(&fake, "n", &file).await, Err(ArchiveError::Exists { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 2);
}

#[test]
fn a_place_is_what_its_name_says() {
    let object = |bucket: &str, key: &str| Place::Object { bucket: bucket.to_owned(), key: key.to_owned() };
    let rows = [
        ("-", Place::Stream),
        ("s3://cold/a/b.tar.zst", object("cold", "a/b.tar.zst")),
        // No object could have these names.
        ("s3://cold", Place::File("s3://cold".into())),
        ("s3://cold/", Place::File("s3://cold/".into())),
        ("s3://cold/a/", Place::File("s3://cold/a/".into())),
        ("/run/x", Place::File("/run/x".into())),
    ];
    for (name, expected) in rows {
        assert_eq!(Place::of(Path::new(name)), expected);
    }
    assert_eq!(object("cold", "a").name(), "s3://cold/a");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_a_place_as_a_file_is() {
    let (fake, folder) = (FakeS3::start().await, tempfile::tempdir().expect("a folder"));
    let theirs = backed_up(&fake);
    let (file, place) = (folder.path().join("more.tar.zst"), Path::new("s3://backups/cold/more.tar.zst"));
    out(&fake, &file).await.expect("exported");
    fake.trouble(Method::GET, "from/full/n/A/chunk-1", Trouble::Cut(3));
    assert_eq!(out(&fake, place).await.expect("exported").bytes, theirs.bytes());
    let lies = fake.get("cold/more.tar.zst").expect("there");
    assert!(lies == std::fs::read(&file).expect("read"), "the same to the last byte");
    assert!(
        matches!(out(&fake, place).await, Err(ArchiveError::There { file }) if file.starts_with("s3://"))
    );
    // It needs a place for one file at a time.
    assert!(matches!(back(&fake, "n", place).await, Err(ArchiveError::NoSpool)));
    let from = async |place: &str| {
        let (store, status) = (fake.store("to"), Status::default());
        let here = scope(&store, "ours", "n", &status);
        import(&here, &store, &Place::of(Path::new(place)), Some(folder.path()), 4, QUICK).await
    };
    let absent = from("s3://backups/cold/none").await;
    assert!(matches!(absent, Err(ArchiveError::Store(StoreError::Absent { .. }))), "{absent:?}");
    let mut wrong = lies.clone();
    wrong[200_000] ^= 1;
    fake.put("cold/wrong.tar.zst", wrong);
    let damaged = from("s3://backups/cold/wrong.tar.zst").await.expect_err("damaged");
    assert_eq!(damaged.class(), Class::Final, "{damaged}");
    assert_eq!(from("s3://backups/cold/more.tar.zst").await.expect("imported").files, 4);
    for object in &theirs.objects {
        let key = object.key.replace("from/", "to/");
        assert_eq!(fake.get(&key), fake.get(&object.key), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_gets_no_object() {
    let fake = FakeS3::start().await;
    backed_up(&fake);
    fake.put("from/full/n/A/chunk-1", noise(300_001)[1..].to_vec());
    let error = out(&fake, Path::new("s3://backups/cold/more.tar.zst")).await.expect_err("damaged");
    assert!(matches!(error, ArchiveError::Catalog(_)), "{error}");
    assert_eq!(fake.get("cold/more.tar.zst"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_gets_no_file_and_a_damaged_file_is_no_backup() {
    let (fake, folder) = (FakeS3::start().await, tempfile::tempdir().expect("a folder"));
    backed_up(&fake);
    let file = folder.path().join("more.tar.zst");
    out(&fake, &file).await.expect("exported");
    let whole = std::fs::read(&file).expect("read");
    // Every byte of it matters: a bit here and there, and every end that it might have.
    let places = (0..whole.len()).step_by(whole.len() / 40);
    for at in places.clone() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let wrong = folder.path().join("flipped");
        std::fs::write(&wrong, flipped).expect("written");
        let error = back(&fake, "n", &wrong).await.expect_err("it is damaged");
        assert_eq!(error.class(), Class::Final, "{at}: {error}");
        assert!(fake.get("to/manifests/more.json").is_none(), "{at}: {error}");
    }
    for end in places {
        let short = folder.path().join("short");
        std::fs::write(&short, &whole[..end]).expect("written");
        let error = back(&fake, "n", &short).await.expect_err("it is short");
        assert!(matches!(error, ArchiveError::Malformed { .. }), "{end}: {error}");
        assert!(fake.get("to/manifests/more.json").is_none(), "{end}: {error}");
    }
    let error = back(&fake, "other", &file).await.expect_err("another node");
    assert!(matches!(error, ArchiveError::OtherNode { .. }), "{error}");
    let error = back(&fake, "n", &folder.path().join("none")).await.expect_err("no file");
    assert!(matches!(error, ArchiveError::Malformed { .. }), "{error}");
    // The control.
    back(&fake, "n", &file).await.expect("the whole one");
    // And the other way round.
    fake.put("from/more/n/A/chunk-1", noise(65_537)[1..].to_vec());
    let other = folder.path().join("other.tar.zst");
    let error = out(&fake, &other).await.expect_err("other bytes");
    assert!(matches!(error, ArchiveError::Catalog(_)), "{error}");
    assert!(!other.exists() && !folder.path().join("other.tar.zst.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_in_besides_is_refused() {
    let (fake, folder) = (FakeS3::start().await, tempfile::tempdir().expect("a folder"));
    let manifest = backed_up(&fake);
    let front = serde_json::to_vec(&manifest).expect("json");
    let packed = |entries: &[(&str, &[u8])]| {
        let file = folder.path().join("packed");
        let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("zstd"));
        for (name, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            // As it stands: the library itself refuses to write some of these.
            header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *bytes).expect("packed");
        }
        let bytes = tar.into_inner().and_then(zstd::Encoder::finish).expect("finished");
        std::fs::write(&file, bytes).expect("written");
        file
    };
    let config = fake.get("from/more/backup_config.json").expect("there");
    let rows: [(&str, Vec<Packed<'_>>); 5] = [
        ("no manifest", vec![("more/backup_config.json", &config)]),
        ("a path out of it", vec![("manifest.json", &front), ("../../etc/passwd", b"x")]),
        ("a file besides", vec![("manifest.json", &front), ("more/other", b"x")]),
        (
            "twice",
            vec![
                ("manifest.json", &front),
                ("more/backup_config.json", &config),
                ("more/backup_config.json", &config),
            ],
        ),
        ("too few", vec![("manifest.json", &front), ("more/backup_config.json", &config)]),
    ];
    for (name, entries) in rows {
        let error = back(&fake, "n", &packed(&entries)).await.expect_err(name);
        assert!(matches!(error, ArchiveError::Malformed { .. }), "{name}: {error}");
        assert!(fake.get("to/manifests/more.json").is_none(), "{name}");
    }
    let error = back(&fake, "n", &packed(&[("manifest.json", b"{}")])).await.expect_err("no manifest");
    assert!(matches!(error, ArchiveError::Manifest(_)), "{error}");
    let (store, status) = (fake.store("to"), Status::default());
    let here = scope(&store, "ours", "n", &status);
    let error = import(&here, &store, &Place::Stream, None, 4, QUICK).await.expect_err("no spool");
    assert!(matches!(error, ArchiveError::NoSpool), "{error}");
}
