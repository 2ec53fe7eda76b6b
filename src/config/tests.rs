//! The checks of the configuration, key by key.

use super::{ConfigError, Settings};

const SMALLEST: &str = r#"
[node]
deployment = "acme-prod"
name = "weaviate-0"
[network]
eni = { private_ip = "10.0.2.15" }
[weaviate]
image = "cr.weaviate.io/semitechnologies/weaviate:1.39.0"
keys = { admin = "sm:weaviate/admin-key" }
[backup]
bucket = "acme-weaviate"
"#;

fn check(over: &str) -> Result<Settings, ConfigError> {
    let mut table: toml::Table = SMALLEST.parse().expect("the smallest configuration is TOML");
    super::merge(&mut table, over.parse().expect("a row is TOML"));
    Settings::check(table)
}

#[test]
fn the_smallest_configuration_is_enough() {
    let settings = check("").expect("nothing is missing");
    assert_eq!(settings.backup.key("x"), "x");
    assert_eq!(settings.network.bridge, "weaviate0");
}

#[test]
fn a_source_lies_elsewhere_and_is_of_the_same_node_unless_it_says_so() {
    let own_bucket =
        "[restore]\nfrom = { bucket = 'acme-weaviate', prefix = 'other', deployment = 'acme-production' }";
    let from = check(own_bucket).expect("another prefix").restore.from.expect("a source");
    assert_eq!(from.to_string(), "s3://acme-weaviate/other (deployment acme-production, node weaviate-0)");
    assert_eq!(from.region, None);
    let named = "[restore]\nfrom = { bucket = 'b', deployment = 'd', node = 'n', region = 'eu-west-1' }";
    let from = check(named).expect("another bucket").restore.from.expect("a source");
    assert_eq!((from.node.as_str(), from.region.as_deref()), ("n", Some("eu-west-1")));
    assert_eq!(check("").expect("right").restore.from, None);
}

#[test]
fn some_collections_of_a_source_are_named_as_collections_are() {
    let of = |lists: &str| {
        check(&format!("[restore]\nfrom = {{ bucket = 'b', deployment = 'd'{lists} }}"))
            .map(|settings| settings.restore.from.expect("a source").words())
    };
    let said = [
        ("", ""),
        (", include = ['A*', 'B']", ", of its collections A*, B"),
        (", exclude = ['B']", ", all its collections without B"),
        (", include = ['A*'], exclude = ['Articles', '?b']", ", of its collections A* without Articles, ?b"),
    ];
    for (lists, words) in said {
        assert_eq!(of(lists).expect(lists), words);
    }
    let refused = [
        (", include = ['Art icle']", "`restore.from.include` has \"Art icle\", and no collection's name"),
        (
            ", exclude = ['Article', 'chunk']",
            "`restore.from.exclude` has \"chunk\", and no collection's name",
        ),
    ];
    for (lists, sentence) in refused {
        let error = of(lists).expect_err(lists).to_string();
        assert!(error.contains(sentence), "{error}");
    }
}

const OIDC: &str = "[weaviate.oidc]\nissuer = 'https://id.example'\nclient_id = 'weaviate'\n";

#[test]
fn each_problem_names_its_key() {
    let rows = [
        ("[node]\nname = 'Weaviate_0'", "`node.name` is \"Weaviate_0\", not a name"),
        ("[node]\nnmae = 'x'", "`node.nmae` is not known; did you mean `node.name`?"),
        ("[nodes]\nx = 1", "`nodes` is not known; did you mean `node`?"),
        ("[network]\neni = { id = 'eni-1' }", "`network.eni` must have exactly one of"),
        ("[network]\npublish = 'hots'", "`network.publish` is \"hots\""),
        ("[network]\nlink_deadline = 'soon'", "`network.link_deadline` is \"soon\", not a duration"),
        ("[network]\nbridge = 'a-name-that-is-too-long'", "`network.bridge` is not a name for an interface"),
        ("[network]\nbridge_subnet = '172.30.254.1/24'", "`network.bridge_subnet` is \"172.30.254.1/24\""),
        ("[network]\ntable = 0", "`network.table` is 0, which is the kernel's own"),
        ("[network]\ntable = 254", "`network.table` is 254, which is the kernel's own"),
        ("[network]\npriority = 0", "`network.priority` is 0"),
        ("[network]\npriority = 32765", "`network.priority` is 32765"),
        ("[storage]\nuid = 0", "`storage.uid` is 0: the server must not run as root"),
        (OIDC, "`weaviate.oidc.admin_users` is missing"),
        (
            &format!("{OIDC}admin_users = ['alice']\nread_only_users = ['alice']\n"),
            "`weaviate.oidc.read_only_users` names alice, who is in `admin_users` too",
        ),
        (
            &format!("{OIDC}admin_users = ['reader']\n"),
            "`weaviate.oidc.admin_users` names reader, who is the user of an API key",
        ),
        (
            &format!("{OIDC}admin_groups = ['ops']\n"),
            "`weaviate.oidc.groups_claim` is missing: groups are read from a claim",
        ),
        ("[weaviate]\nenv = { AWS_ROLE_ARN = 'x' }", "`weaviate.env` sets AWS_ROLE_ARN"),
        ("[weaviate]\nkeys = { admin = 'hunter2' }", "`weaviate.keys.admin` is not a reference to a secret"),
        ("[weaviate]\nenv = { ENABLE_MODULES = 'x' }", "`weaviate.env` sets ENABLE_MODULES"),
        (
            "[weaviate]\nimage = 'x/weaviate:1.23.12'",
            "`weaviate.image` is Weaviate 1.23.12, and one before 1.23.13 may lose data",
        ),
        ("[weaviate]\nmemory = '2GB'", "`weaviate.memory` is \"2GB\", not a size"),
        ("[restore]\nmode = 'fast'", "`restore.mode` is \"fast\""),
        (
            "[restore]\nmode = 'direct'",
            "`restore.mode` is \"direct\", which needs a role: set `weaviate.s3_role_arn`",
        ),
        (
            "[restore]\nmode = 'direct'\n[weaviate]\ns3_role_arn = 'arn:x'\n\
             [backup]\ncredentials = { access_key = 'sm:a', secret_key = 'sm:b' }",
            "`restore.mode` is \"direct\", which a store with `backup.credentials` cannot do",
        ),
        (
            "[restore]\nmode = 'direct'\nfrom = { bucket = 'b', deployment = 'd' }\n[weaviate]\ns3_role_arn = 'arn:x'",
            "`restore.mode` is \"direct\", and the server's own transfer knows one bucket",
        ),
        ("[restore]\nfrom = { bucket = 'b' }", "`restore.from.deployment` is missing"),
        ("[restore]\nfrom = { deployment = 'd' }", "`restore.from.bucket` is missing"),
        (
            "[restore]\nfrom = { bucket = 'b', deployment = 'D' }",
            "`restore.from.deployment` is \"D\", not a name",
        ),
        (
            "[restore]\nfrom = { bucket = 'acme-weaviate', deployment = 'd' }",
            "`restore.from.prefix` is where this node's own backups lie",
        ),
        ("[restore]\nconnections = 0", "`restore.connections` is 0"),
        ("[restore]\nrate = '1023KiB'", "`restore.rate` is less than \"1MiB\" a second"),
        ("[backup]\nrate = '100'", "`backup.rate` is \"100\", not a size"),
        ("[restore]\ncpu_percentage = 81", "`restore.cpu_percentage` is 81"),
        ("[restore]\nusers = 'some'", "`restore.users` is \"some\", not \"none\" or \"all\""),
        ("[restore]\nroles = 'some'", "`restore.roles` is \"some\", not \"none\" or \"all\""),
        ("[backup]\nchunk_size = 1", "`backup.chunk_size` is 1, not a number of MB from 2 to 512"),
        ("[backup]\nchunk_size = 513", "`backup.chunk_size` is 513"),
        ("[backup]\ncpu_percentage = 81", "`backup.cpu_percentage` is 81"),
        ("[backup]\ninactive_tenants = 'drop'", "`backup.inactive_tenants` is \"drop\", not \"refuse\""),
        ("[backup]\nunfenced = true", "`backup.unfenced` is for a store that `backup.endpoint` names"),
        ("[backup]\nendpoint = 'http://s3'", "`backup.endpoint` is a host and port"),
        ("[backup]\nmode = 'direct'", "`backup.mode` is \"direct\", which needs a role"),
        (
            "[backup]\nmode = 'direct'\nkms_key = 'k'\n[weaviate]\ns3_role_arn = 'arn:x'",
            "`backup.mode` is \"direct\", and the server knows no `backup.kms_key`",
        ),
        ("[backup]\ncpu_percentage = 0", "`backup.cpu_percentage` is 0"),
        ("[backup]\ncompression = 'Zstd'", "`backup.compression` is \"Zstd\", and none of"),
        ("[backup]\nconnections = 257", "`backup.connections` is 257"),
        ("[backup]\nmax_shrink = 101", "`backup.max_shrink` is 101"),
        ("[backup]\nkeep.last = 1", "`backup.keep.last` is 1, and at least 2"),
        ("[backup]\nmarker = 'manifests/x'", "`backup.marker` is \"manifests/x\""),
        ("[backup]\nmarker = '../x'", "`backup.marker` is \"../x\""),
        ("[backup]\nbefore = ['hold']", "`backup.before` does not begin with the absolute path"),
        ("[backup]\nstall = '0s'", "`backup.stall` is \"0s\", not a duration"),
        ("[signal]\non_final = 'explode'", "`signal.on_final` is \"explode\""),
        ("[signal.asg]\nterminate_hook = 'x'", "`signal.asg.launch_hook` is missing"),
        ("[boot]\ndeadline = '0s'", "`boot.deadline` is \"0s\""),
        ("[storage]\nmount = 'workspace'", "`storage.mount` is \"workspace\", not an absolute path"),
    ];
    for (over, expected) in rows {
        let error = check(over).expect_err(over).to_string();
        assert!(error.contains(expected), "{over}: {error}");
    }
}

/// An option of the server, the last version without it, and the first one with it.
#[test]
fn an_option_that_the_image_does_not_know_is_refused_and_a_newer_image_takes_it() {
    let rows = [
        ("[backup]\nusers = ['*']", "backup.users", "1.38.2", "1.38.3"),
        ("[backup]\nroles = ['*']", "backup.roles", "1.39.0", "1.39.1"),
        ("[backup]\ncompression = 'ZstdBestSpeed'", "backup.compression", "1.34.0", "1.34.1"),
        ("[backup]\ncompression = 'NoCompression'", "backup.compression", "1.31.20", "1.35.0"),
        ("[restore]\nusers = 'all'", "restore.users", "1.31.22", "1.32.0"),
        ("[restore]\nroles = 'all'", "restore.roles", "1.31.22", "1.32.0"),
        (
            "[restore.from]\nbucket = 'b'\ndeployment = 'd'\nnode = 'theirs'",
            "restore.from.node",
            "1.35.2",
            "1.35.3",
        ),
    ];
    for (over, key, old, new) in rows {
        let image = |version: &str| format!("{over}\n[weaviate]\nimage = 'x/weaviate:{version}'");
        let error = check(&image(old)).expect_err(over).to_string();
        let (named, version) = (format!("`{key}` is "), format!("`weaviate.image` is {old}"));
        assert!(error.contains(&named) && error.contains(&version), "{over}: {error}");
        check(&image(new)).expect("the control");
        // A tag that says no version says nothing against it.
        check(&image("latest")).expect("who knows");
    }
    for compression in ["DefaultCompression", "BestSpeed", "BestCompression"] {
        let over =
            format!("[backup]\ncompression = '{compression}'\n[weaviate]\nimage = 'x/weaviate:1.24.0'");
        check(&over).expect("as old as backups");
    }
}

#[test]
fn values_at_both_ends_of_a_range_are_taken() {
    for over in [
        "[backup]\nchunk_size = 2",
        "[backup]\nchunk_size = 512",
        "[backup]\ncpu_percentage = 1",
        "[backup]\ncpu_percentage = 80",
        "[restore]\ncpu_percentage = 1",
        "[restore]\ncpu_percentage = 80",
        "[backup]\ninactive_tenants = 'activate'",
        "[backup]\ninactive_tenants = 'accept'",
        "[backup]\nusers = []\n[weaviate]\nimage = 'x/weaviate:1.30.0'",
    ] {
        check(over).expect(over);
    }
}

#[test]
fn a_secret_written_where_a_reference_belongs_is_not_repeated() {
    let error = check("[weaviate]\nkeys = { admin = 'hunter2' }").expect_err("not a reference").to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn all_problems_are_told_at_once() {
    let error = Settings::check(toml::Table::new()).expect_err("nothing is there");
    assert!(matches!(error, ConfigError::Problems(_)), "{error:?}");
    let error = error.to_string();
    for key in [
        "node.deployment",
        "node.name",
        "network.eni",
        "weaviate.image",
        "weaviate.keys.admin",
        "backup.bucket",
    ] {
        assert!(error.contains(&format!("`{key}` is missing")), "{key}: {error}");
    }
}

/// The shipped reference: every key with its default, keys without one behind `#:`.
const REFERENCE: &str = include_str!("../../packaging/config.toml");

/// The reference with every key in use.
fn reference_in_full() -> toml::Table {
    REFERENCE.replace("#: ", "").parse().expect("the reference is TOML with its marks taken away")
}

#[test]
fn the_reference_has_the_defaults() {
    let reference =
        Settings::check(REFERENCE.parse().expect("the reference is TOML")).expect("the reference is right");
    let smallest = check("").expect("the smallest is right");
    assert_eq!(format!("{reference:#?}"), format!("{smallest:#?}"));
}

// Tables and tables of the user's own keys are not keys themselves.
const SECTIONS: [&str; 14] = [
    "node",
    "network",
    "network.eni",
    "storage",
    "weaviate",
    "weaviate.keys",
    "weaviate.oidc",
    "backup",
    "backup.credentials",
    "restore",
    "restore.from",
    "signal",
    "signal.asg",
    "boot",
];

/// Every key that some section asks for, when all of the reference is in use.
pub(crate) fn keys() -> std::collections::BTreeSet<String> {
    let problems = super::section::Problems::default();
    Settings::read(reference_in_full(), &problems).expect("the reference in full is right");
    problems.asked().into_iter().filter(|key| !SECTIONS.contains(&key.as_str())).collect()
}

#[test]
fn the_reference_holds_every_key_and_no_other() {
    let problems = super::section::Problems::default();
    Settings::read(reference_in_full(), &problems).expect("the reference in full is right");
    let words: std::collections::BTreeSet<&str> =
        REFERENCE.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for key in keys() {
        let last = key.rsplit('.').next().expect("a key has a last part");
        assert!(words.contains(last), "the reference says nothing about {key}");
    }
    assert_eq!(problems.into_vec(), []);
}

#[test]
fn a_missing_key_is_the_only_problem() {
    let required = [
        ("node", "deployment"),
        ("node", "name"),
        ("network", "eni"),
        ("weaviate", "image"),
        ("weaviate.keys", "admin"),
        ("weaviate.oidc", "issuer"),
        ("backup", "bucket"),
        ("backup.credentials", "access_key"),
        ("restore.from", "bucket"),
        ("signal.asg", "launch_hook"),
    ];
    for (section, key) in required {
        let mut table = reference_in_full();
        let inner = section.split('.').fold(&mut table, |table, name| {
            table.get_mut(name).and_then(toml::Value::as_table_mut).expect("a section of the reference")
        });
        inner.remove(key).expect("a key of the reference");
        match Settings::check(table).expect_err("it is missing") {
            ConfigError::Problems(problems) => {
                let keys: Vec<String> = problems.into_iter().map(|problem| problem.key).collect();
                assert_eq!(keys, [format!("{section}.{key}")]);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_refused_configuration_still_tells_where_its_answer_goes() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("config.toml");
    let broken =
        "[signal]\non_final = 'hold'\n[signal.asg]\nlaunch_hook = 'it\"s'\n[weaviate]\nmemory = '2GB'\n";
    std::fs::write(&file, broken).expect("writes");
    let settings = super::salvage(&file).expect("it names the hook");
    assert_eq!(settings.signal.asg.map(|asg| asg.launch_hook).as_deref(), Some("it\"s"));
    assert_eq!(settings.signal.on_final, crate::signal::OnFinal::Hold);
    // Without a hook there is nobody to tell.
    std::fs::write(&file, "[weaviate]\nmemory = '2GB'\n").expect("writes");
    assert!(super::salvage(&file).is_none());
}

#[test]
fn keys_without_an_effect_are_named() {
    assert_eq!(check("").expect("right").idle(), Vec::<String>::new());
    let over = "[signal.asg]\nlaunch_hook = 'a'\nterminate_hook = 'b'";
    let idle = check(over).expect("right").idle();
    assert!(idle[0].starts_with("`signal.asg.terminate_hook` has no effect yet"), "{idle:?}");
    let idle = check("[backup]\nchunk_size = 128").expect("right").idle();
    assert!(idle[0].starts_with("`backup.chunk_size` has no effect"), "{idle:?}");
}

#[test]
fn a_file_that_is_absent_or_no_toml_is_named() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("config.toml");
    let error = super::load(&file).expect_err("nothing is there");
    assert!(matches!(&error, ConfigError::Unreadable { path, .. } if *path == file.display().to_string()));
    std::fs::write(&file, "[node").expect("writes");
    let error = super::load(&file).expect_err("half a table");
    assert!(matches!(&error, ConfigError::Syntax { path, .. } if *path == file.display().to_string()));
    // A fragment is named by its own path.
    std::fs::write(&file, SMALLEST).expect("writes");
    super::load(&file).expect("the control");
    let fragment = folder.path().join("conf.d/10.toml");
    std::fs::create_dir(folder.path().join("conf.d")).expect("makes");
    std::fs::write(&fragment, "= 7").expect("writes");
    let error = super::load(&file).expect_err("no key");
    assert!(matches!(&error, ConfigError::Syntax { path, .. } if *path == fragment.display().to_string()));
}
