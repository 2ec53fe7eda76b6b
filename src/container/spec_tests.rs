use super::*;
use crate::container::OWNED_ENVIRONMENT;

fn environment_of(over: &str, direct: bool) -> BTreeMap<String, String> {
    let root = tempfile::tempdir().expect("a directory");
    let host = crate::disk::tests::host(root.path(), over);
    let access = DirectS3 {
        credentials_uri: "http://172.30.254.1:8081/credentials".to_owned(),
        token_dir: root.path().to_owned(),
        region: "eu-central-1".to_owned(),
    };
    environment(&host, &ServerPlan { s3: direct.then(|| Arc::new(Vending::for_tests(access))) })
}

#[tokio::test]
async fn each_variable_has_the_value_of_who_may_set_it() {
    // Configuration, whether in direct mode, variable, its value.
    let rows = [
        ("", false, "DEFAULT_VECTORIZER_MODULE", Some("none")),
        ("", false, "DISABLE_TELEMETRY", Some("true")),
        ("", false, "GO_PROFILING_DISABLE", Some("true")),
        ("", false, "RAFT_TIMEOUTS_MULTIPLIER", Some("1")),
        ("", false, "LIMIT_RESOURCES", Some("true")),
        // The user's come after the defaults.
        ("[weaviate]\nenv = { DISABLE_TELEMETRY = 'false' }", false, "DISABLE_TELEMETRY", Some("false")),
        ("[weaviate]\nenv = { LOG_LEVEL = 'debug' }", false, "LOG_LEVEL", Some("debug")),
        // What is ours cannot be set by another.
        ("", false, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", Some("false")),
        ("[weaviate]\nanonymous = true", false, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", Some("true")),
        ("", false, "AUTHENTICATION_APIKEY_ENABLED", Some("true")),
        ("", false, "AUTHENTICATION_APIKEY_ALLOWED_KEYS", None),
        ("", false, "BACKUP_FILESYSTEM_PATH", Some("/var/lib/weaviate-backups")),
        ("", false, "CLUSTER_HOSTNAME", Some("weaviate-0")),
        ("", false, "GRPC_PORT", Some("50051")),
        ("", false, "PERSISTENCE_DATA_PATH", Some("/var/lib/weaviate")),
        ("", false, "RUNTIME_OVERRIDES_ENABLED", Some("true")),
        ("", false, "RUNTIME_OVERRIDES_PATH", Some("/etc/weaviate-overrides/overrides.yaml")),
        ("", false, "RUNTIME_OVERRIDES_LOAD_INTERVAL", Some("1s")),
        // Modules are merged: ours first, each once.
        ("", false, "ENABLE_MODULES", Some("backup-filesystem")),
        ("", true, "ENABLE_MODULES", Some("backup-filesystem,backup-s3")),
        (
            "[weaviate]\nmodules = ['text2vec-openai', 'backup-filesystem', 'text2vec-openai']",
            false,
            "ENABLE_MODULES",
            Some("backup-filesystem,text2vec-openai"),
        ),
        ("[weaviate]\nmodules = ['backup-s3']", true, "ENABLE_MODULES", Some("backup-filesystem,backup-s3")),
        // A way to S3 only in direct mode, and there no credentials.
        ("", false, "BACKUP_S3_BUCKET", None),
        ("", false, "AWS_REGION", None),
        ("", true, "BACKUP_S3_BUCKET", Some("acme-weaviate")),
        ("[backup]\nprefix = 'prod'", true, "BACKUP_S3_PATH", Some("prod")),
        ("", true, "BACKUP_S3_USE_SSL", Some("true")),
        ("[backup]\nuse_ssl = false", true, "BACKUP_S3_USE_SSL", Some("false")),
        ("", true, "BACKUP_S3_ENDPOINT", None),
        ("[backup]\nendpoint = 'minio:9000'", true, "BACKUP_S3_ENDPOINT", Some("minio:9000")),
        ("", true, "AWS_REGION", Some("eu-central-1")),
        ("", true, "AWS_CONTAINER_CREDENTIALS_FULL_URI", Some("http://172.30.254.1:8081/credentials")),
        ("", true, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Some("/etc/weaviate-credentials/token")),
        ("", true, "AWS_ACCESS_KEY_ID", None),
    ];
    for (over, direct, name, expected) in rows {
        let env = environment_of(over, direct);
        assert_eq!(env.get(name).map(String::as_str), expected, "{name} with {over:?}, direct: {direct}");
    }
}

#[tokio::test]
async fn what_this_program_sets_for_good_no_configuration_may_set() {
    // Ours as well, but every one of them a default that a user may have reasons to change.
    let defaults = [
        "DEFAULT_VECTORIZER_MODULE",
        "DISABLE_TELEMETRY",
        "GO_PROFILING_DISABLE",
        "LIMIT_RESOURCES",
        "RAFT_TIMEOUTS_MULTIPLIER",
    ];
    for name in environment_of("[backup]\nendpoint = 'minio:9000'", true).keys() {
        let owned = OWNED_ENVIRONMENT.contains(&name.as_str());
        assert_ne!(owned, defaults.contains(&name.as_str()), "{name}");
    }
    // And no variable by which the server would find credentials or another way out (minio-go's order).
    for name in [
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "BACKUP_S3_AUTH_PROXY_ENDPOINT",
    ] {
        assert!(OWNED_ENVIRONMENT.contains(&name), "{name}");
    }
}
