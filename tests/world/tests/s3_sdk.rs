//! The S3 double as the agent's own client sees it: the AWS SDK for Rust with its defaults.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart};
use world::faults::{Effect, Fault, Faults};
use world::ledger::Ledger;
use world::s3::{AllowAll, Credential, OneKey, Serving, Settings, Store};

const BUCKET: &str = "acme-weaviate";
const PART: usize = 5 * 1024 * 1024;

struct Bed {
    store: Store,
    client: Client,
    root: tempfile::TempDir,
    _serving: Serving,
}

async fn start(faults: Vec<Fault>) -> Bed {
    let root = tempfile::tempdir().expect("a directory");
    let credential = Credential {
        secret: "secret".into(),
        session_token: Some("token".into()),
        instance: Some("i-new".into()),
        expires: None,
    };
    let store = Store::new(
        root.path().join("s3"),
        Arc::new(OneKey { access_key: "ASIAWORLD".into(), credential }),
        Arc::new(AllowAll),
        Arc::new(Ledger::default()),
        Arc::new(Faults::new(faults)),
    );
    let store = store.expect("a store").with_settings(Settings { page: 3, ..Settings::default() });
    store.create_bucket(BUCKET);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let serving = store.serve(listener).expect("a server");
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://{}", serving.address))
        .credentials_provider(Credentials::new("ASIAWORLD", "secret", Some("token".into()), None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    Bed { store, client: Client::from_conf(config), root, _serving: serving }
}

#[tokio::test]
async fn bodies_from_memory_and_from_files() {
    let bed = start(Vec::new()).await;
    let file = bed.root.path().join("chunk");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&file, &bytes).expect("written");
    let put = |key: &str| bed.client.put_object().bucket(BUCKET).key(key);
    put("memory").body(ByteStream::from(bytes.clone())).send().await.expect("stored");
    let from_file = ByteStream::from_path(&file).await.expect("a file");
    let stored = put("file").body(from_file).checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
    assert!(stored.expect("stored").checksum_sha256().is_some());
    for key in ["memory", "file"] {
        let get = bed.client.get_object().bucket(BUCKET).key(key).checksum_mode(ChecksumMode::Enabled);
        let body = get.send().await.expect("an object").body.collect().await.expect("bytes").to_vec();
        assert_eq!(body, bytes, "{key}");
    }
    let get = bed.client.get_object().bucket(BUCKET).key("file").range("bytes=1000-1999");
    let body = get.send().await.expect("a range").body.collect().await.expect("bytes").to_vec();
    assert_eq!(body, bytes[1000..2000]);
}

#[tokio::test]
async fn conditions_give_the_codes_that_the_protocol_of_ownership_needs() {
    let bed = start(Vec::new()).await;
    let put = || bed.client.put_object().bucket(BUCKET).key("m").body(ByteStream::from_static(b"{}"));
    let absent = put().if_match("\"0123456789abcdef0123456789abcdef\"").send().await;
    assert_eq!(absent.expect_err("absent").code(), Some("NoSuchKey"));
    let first = put().if_none_match("*").send().await.expect("stored");
    let again = put().if_none_match("*").send().await.expect_err("taken");
    assert_eq!(
        (again.code(), again.raw_response().map(|r| r.status().as_u16())),
        (Some("PreconditionFailed"), Some(412))
    );
    put().if_match(first.e_tag().expect("an ETag")).send().await.expect("ours");
    let missing = bed.client.head_object().bucket(BUCKET).key("nothing").send().await.expect_err("missing");
    assert!(missing.into_service_error().is_not_found());
    let missing = bed.client.get_object().bucket(BUCKET).key("nothing").send().await.expect_err("missing");
    assert!(missing.into_service_error().is_no_such_key());
}

#[tokio::test]
async fn listings_are_paged() {
    let bed = start(Vec::new()).await;
    for number in 0..8 {
        bed.store.put(BUCKET, &format!("prod/manifests/{number}.json"), b"{}").expect("stored");
    }
    let mut pages = bed.client.list_objects_v2().bucket(BUCKET).prefix("prod/").into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.expect("a page");
        assert!(page.contents().iter().all(|object| object.e_tag().is_some()));
        sizes.push(page.contents().len());
    }
    assert_eq!(sizes, [3, 3, 2]);
}

#[tokio::test]
async fn uploads_in_parts() {
    let bed = start(Vec::new()).await;
    let (bucket, key) = (BUCKET, "big");
    let created = bed.client.create_multipart_upload().bucket(bucket).key(key);
    let created = created.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await.expect("begun");
    let id = created.upload_id().expect("an id");
    let mut parts = Vec::new();
    for (number, body) in [(1, vec![1; PART]), (2, vec![2; 10])] {
        let sent = bed
            .client
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body))
            .send()
            .await
            .expect("a part");
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned));
        parts.push(part.set_checksum_crc32(sent.checksum_crc32().map(str::to_owned)).build());
    }
    let done = bed.client.complete_multipart_upload().bucket(bucket).key(key).upload_id(id);
    let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let done = done.multipart_upload(list).send().await.expect("completed");
    assert!(done.checksum_crc32().is_some_and(|sum| sum.ends_with("-2")), "{done:?}");
    let get = bed.client.get_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
    let body = get.send().await.expect("an object").body.collect().await.expect("bytes");
    assert_eq!(body.into_bytes().len(), PART + 10);
}

#[tokio::test]
async fn the_client_retries_what_passes() {
    let fault = |effect| Fault { times: Some(1), ..Fault::on("s3:GetObject", effect) };
    let internal = Effect::Error { status: 500, code: "InternalError".into(), message: "try again".into() };
    for effect in [Effect::Throttled, Effect::Reset { acted: false }, internal] {
        let bed = start(vec![fault(effect.clone())]).await;
        bed.store.put(BUCKET, "k", b"body").expect("stored");
        let got = bed.client.get_object().bucket(BUCKET).key("k").send().await;
        let body = got.unwrap_or_else(|error| panic!("{effect:?}: {error:?}")).body.collect().await;
        assert_eq!(body.expect("bytes").to_vec(), b"body");
    }
    let bed = start(vec![fault(Effect::Truncated { bytes: 2 })]).await;
    bed.store.put(BUCKET, "k", b"body").expect("stored");
    let got = bed.client.get_object().bucket(BUCKET).key("k").send().await.expect("headers");
    got.body.collect().await.expect_err("a short body is an error");
}
