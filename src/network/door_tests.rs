//! The door as text: what is loaded, and what `nft` lists of it.

use super::*;

fn door(publish: Publish, address: Option<Ipv4Addr>) -> Door {
    Door {
        publish,
        address,
        bridge: "weaviate0".to_owned(),
        bridge_subnet: Cidr { network: Ipv4Addr::new(172, 30, 254, 0), prefix: 24 },
        uid: 1000,
    }
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

fn chain<'a>(script: &'a str, name: &str) -> Vec<&'a str> {
    let lines = script.lines().skip_while(|line| line.trim() != format!("chain {name} {{"));
    lines.skip(2).take_while(|line| line.trim() != "}").map(str::trim).collect()
}

#[test]
fn each_door_has_its_rules() {
    let bridge = [
        "iifname \"weaviate0\" ip daddr 169.254.169.254 counter drop",
        "iifname \"weaviate0\" ip6 daddr fd00:ec2::254 counter drop",
    ];
    let anywhere = "iif != \"lo\" tcp dport { 8080, 50051 } counter drop";
    let there = "iif != \"lo\" ip daddr 10.0.2.15 tcp dport { 8080, 50051 } counter drop";
    let past = "iifname != { \"lo\", \"weaviate0\" } ip daddr 172.30.254.0/24 tcp dport { 8080, 50051 } counter drop";
    for (publish, address, open, quarantine) in [
        (Publish::Bridge, None, false, vec![anywhere]),
        (Publish::Bridge, Some(ADDRESS), false, vec![there, past]),
        (Publish::Bridge, Some(ADDRESS), true, vec![]),
        (Publish::Host, None, false, vec![anywhere]),
        (Publish::Host, Some(ADDRESS), false, vec![anywhere]),
        (Publish::Host, Some(ADDRESS), true, vec![]),
    ] {
        let script = door(publish, address).script(open);
        assert_eq!(chain(&script, "quarantine"), quarantine, "{script}");
        assert_eq!(chain(&script, "metadata").len(), 2, "the metadata service is closed for good: {script}");
        match publish {
            Publish::Bridge => assert_eq!(chain(&script, "metadata"), bridge, "{script}"),
            Publish::Host => assert!(chain(&script, "guard").len() >= 3, "{script}"),
        }
    }
}

#[test]
fn the_table_is_replaced_in_one_transaction() {
    let script = door(Publish::Bridge, Some(ADDRESS)).script(false);
    let head: Vec<&str> = script.lines().take(3).collect();
    let name = "inet weaviate_provisioner";
    assert_eq!(
        head,
        [format!("add table {name}"), format!("delete table {name}"), format!("table {name} {{")]
    );
}

#[test]
fn what_nft_lists_is_read() {
    let rule = |chain: &str| {
        serde_json::json!({"rule": {"family": "inet", "table": "weaviate_provisioner", "chain": chain, "handle": 4,
            "expr": [{"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]}})
    };
    let listed = |rules: &[&str]| {
        let rules: Vec<_> = rules.iter().map(|chain| rule(chain)).collect();
        serde_json::json!({ "nftables": rules }).to_string()
    };
    for (rules, expected) in [
        (&["metadata", "metadata"][..], DoorState::Open { metadata_closed: true }),
        (&["quarantine", "metadata", "metadata"], DoorState::Closed { metadata_closed: true }),
        (&["quarantine", "metadata"], DoorState::Closed { metadata_closed: false }),
        (&[], DoorState::Open { metadata_closed: false }),
    ] {
        assert_eq!(read(&listed(rules)).expect("is read"), expected, "{rules:?}");
    }
    assert!(matches!(read("nonsense"), Err(NetworkError::DoorUnreadable { .. })));
}
