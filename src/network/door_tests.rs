//! The door as text: what is loaded, and what `nft` lists of it.

use super::*;

fn door(publish: Publish, address: Option<Ipv4Addr>) -> Door {
    Door {
        publish,
        address,
        bridge: "weaviate0".to_owned(),
        bridge_subnet: Cidr { network: Ipv4Addr::new(172, 30, 254, 0), prefix: 24 },
        uid: 1000,
        grpc: true,
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
    let anywhere = "iif != \"lo\" fib daddr type local tcp dport { 8080, 50051 } counter drop";
    let there = "iif != \"lo\" ip daddr 10.0.2.15 tcp dport { 8080, 50051 } counter drop";
    let past = "iifname != { \"lo\", \"weaviate0\" } ip daddr 172.30.254.0/24 tcp dport { 8080, 50051 } counter drop";
    for (publish, address, open, quarantine) in [
        (Publish::Bridge, None, false, vec![anywhere, past]),
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
fn grpc_that_is_not_for_clients_stays_shut_on_the_hosts_network() {
    let shut = "iif != \"lo\" fib daddr type local tcp dport 50051 counter drop";
    for (grpc, expected) in [(true, false), (false, true)] {
        let script = Door { grpc, ..door(Publish::Host, Some(ADDRESS)) }.script(true);
        assert_eq!(chain(&script, "guard").contains(&shut), expected, "{script}");
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
fn only_what_would_be_written_counts_as_a_door() {
    let (known, unknown) = (door(Publish::Bridge, Some(ADDRESS)), door(Publish::Bridge, None));
    let state = |chains: Vec<Chain>| compare(&table::normal(chains), &[unknown.clone(), known.clone()]);
    let altered = |chain: &str| DoorState::Altered { chain: chain.to_owned() };
    assert_eq!(state(known.chains(false)), DoorState::Closed);
    assert_eq!(state(unknown.chains(false)), DoorState::Closed);
    assert_eq!(state(known.chains(true)), DoorState::Open);
    let other = |change: fn(&mut Door), open| {
        let mut door = known.clone();
        change(&mut door);
        state(door.chains(open))
    };
    let elsewhere: fn(&mut Door) = |door| door.address = Some(Ipv4Addr::new(10, 0, 2, 16));
    assert_eq!(other(elsewhere, false), altered("quarantine"));
    assert_eq!(other(|door| door.bridge = "br0".to_owned(), true), altered("metadata"));
    assert_eq!(other(|door| door.publish = Publish::Host, false), altered("metadata"));
    let changed = |change: fn(&mut Vec<Chain>)| {
        let mut chains = known.chains(false);
        change(&mut chains);
        state(chains)
    };
    assert_eq!(changed(|chains| drop(chains[0].rules.pop())), altered("quarantine"));
    assert_eq!(changed(|chains| chains[0].priority = 0), altered("quarantine"));
    assert_eq!(changed(|chains| chains[1].rules.clear()), altered("metadata"));
    assert_eq!(changed(|chains| chains[1].hook = "input".to_owned()), altered("metadata"));
    let more = |chains: &mut Vec<Chain>| {
        let theirs = Chain { name: "theirs".to_owned(), ..chains[0].clone() };
        chains.push(theirs);
    };
    assert_eq!(changed(more), altered("quarantine"));
    for (state, closed) in [
        (DoorState::Absent, false),
        (DoorState::Closed, true),
        (DoorState::Open, true),
        (altered("metadata"), false),
        (altered("quarantine"), true),
    ] {
        assert_eq!(state.metadata_closed(), closed, "{state}");
    }
}

/// In host mode everything but the metadata hangs on the address, which is not known at first: what was altered is
/// told by the table that was written, whichever of the two that is.
#[test]
fn the_chain_that_was_altered_is_named_whichever_door_was_written() {
    let (unknown, known) = (door(Publish::Host, None), door(Publish::Host, Some(ADDRESS)));
    for written in [&unknown, &known] {
        for doors in [[unknown.clone(), known.clone()], [known.clone(), unknown.clone()]] {
            for (at, chain) in ["quarantine", "guard", "metadata"].into_iter().enumerate() {
                let mut chains = written.chains(false);
                assert_eq!(chains[at].name, chain);
                chains[at].rules.push(vec![is("meta skuid", &[0])]);
                let found = compare(&table::normal(chains), &doors);
                assert_eq!(found, DoorState::Altered { chain: chain.to_owned() }, "{written:?}");
            }
        }
    }
}

#[test]
fn what_nft_lists_is_read() {
    // As nft 1.0.6 lists it, and with the conditions that other versions list as well.
    let listed = |expression: &str| {
        format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6"}}}},
            {{"chain": {{"family": "inet", "table": "t", "name": "c", "handle": 1, "type": "filter",
              "hook": "forward", "prio": -10, "policy": "accept"}}}},
            {{"rule": {{"family": "inet", "table": "t", "chain": "c", "handle": 4, "expr": [{expression}]}}}}]}}"#
        )
    };
    let counted = r#"{"counter": {"packets": 7, "bytes": 9}}, {"drop": null}"#;
    let from = r#"{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "weaviate0"}}"#;
    let to = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}"#;
    let four = r#"{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}"#;
    let limit = r#"{"limit": {"rate": 1, "per": "second"}}"#;
    let expected = vec![is("iifname", &["weaviate0"]), is("ip daddr", &["10.0.0.0/8"])];
    let rows = [
        (format!("{from}, {to}, {counted}"), true),
        (format!("{from}, {four}, {to}, {counted}"), true),
        (format!("{from}, {to}, {{\"accept\": null}}"), false),
        (format!("{from}, {to}, {limit}, {counted}"), false),
        (format!("{from}, {four}, {counted}"), false),
    ];
    for (expression, same) in rows {
        let chains = table::read(&listed(&expression)).expect("is read");
        assert_eq!((chains.len(), chains[0].hook.as_str(), chains[0].priority), (1, "forward", -10));
        assert_eq!(chains[0].rules == [expected.clone()], same, "{expression}: {chains:?}");
    }
    let error = table::read("nonsense").map_err(|source| NetworkError::DoorUnreadable { source });
    assert!(matches!(error, Err(NetworkError::DoorUnreadable { .. })));
}
