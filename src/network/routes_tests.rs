//! Routes and rules as a decision: from what is there to the changes, and what of others is never touched.

use super::*;
use crate::explain::{Class, Explain as _};

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a network")
}

fn link(index: u32, name: &str) -> Link {
    Link { index, name: name.to_owned(), mac: None, up: true, loopback: index == 1, stacked: false }
}

fn wanted() -> Wanted {
    Wanted {
        address: Ipv4Addr::new(10, 0, 2, 15),
        subnet: cidr("10.0.2.0/24"),
        gateway: Ipv4Addr::new(10, 0, 2, 1),
        link: 3,
        bridge: Some(Bridge { link: 4, name: "weaviate0".to_owned(), subnet: cidr("172.30.254.0/24") }),
        table: 8080,
        priority: 8080,
    }
}

fn on(link: u32, prefix: u8, permanent: bool) -> Address {
    Address { link, ip: wanted().address, prefix, permanent }
}

fn rule(priority: u32, table: Option<u32>) -> Rule {
    Rule { priority, from: None, arriving: None, table, ours: false }
}

/// A machine as Docker and EC2 leave it, and as we leave it.
fn bare() -> Facts {
    Facts {
        links: vec![
            link(1, "lo"),
            link(2, "ens5"),
            link(3, "ens6"),
            link(4, "weaviate0"),
            link(5, "docker0"),
        ],
        rules: vec![rule(0, Some(255)), rule(32766, Some(254)), rule(32767, Some(253))],
        ..Facts::default()
    }
}

fn done() -> Facts {
    let mut facts = bare();
    facts.addresses.push(on(3, 32, true));
    facts.routes = wanted().routes();
    facts.rules.extend(wanted().rules());
    facts
}

#[test]
fn a_bare_machine_gets_everything_in_order() {
    let mut facts = bare();
    facts.addresses.push(on(1, 32, true));
    let changes = decide(&facts, &wanted()).expect("nobody is in the way");
    let [subnet, default, bridge] = wanted().routes().try_into().expect("three routes");
    let [from, arriving] = wanted().rules().try_into().expect("two rules");
    assert_eq!(
        changes,
        [
            Change::AddAddress { link: 3, address: wanted().address },
            Change::PutRoute(subnet),
            Change::PutRoute(default),
            Change::PutRoute(bridge),
            Change::AddRule(from),
            Change::AddRule(arriving),
            Change::RemoveAddress(on(1, 32, true)),
        ]
    );
}

#[test]
fn nothing_changes_when_all_is_as_wanted() {
    assert_eq!(decide(&done(), &wanted()).expect("nobody is in the way"), []);
}

#[test]
fn each_single_drift_is_mended_by_one_change() {
    type Drift = fn(&mut Facts);
    let rows: [(&str, Drift, Vec<Change>); 7] = [
        ("link down", |f| f.links[2].up = false, vec![Change::SetUp { link: 3 }]),
        (
            "the OS leased the address",
            |f| f.addresses = vec![on(3, 24, false)],
            vec![Change::AddAddress { link: 3, address: wanted().address }],
        ),
        ("the OS gave it for good", |f| f.addresses = vec![on(3, 24, true)], vec![]),
        ("a route is gone", |f| f.routes.truncate(2), vec![Change::PutRoute(wanted().routes().remove(2))]),
        ("a rule is gone", |f| f.rules.truncate(4), vec![Change::AddRule(wanted().rules().remove(1))]),
        (
            "the address is on lo too",
            |f| f.addresses.push(on(1, 32, true)),
            vec![Change::RemoveAddress(on(1, 32, true))],
        ),
        (
            "an older rule of ours",
            |f| f.rules.push(rule(8080, Some(8080))),
            vec![Change::RemoveRule(rule(8080, Some(8080)))],
        ),
    ];
    for (name, drift, expected) in rows {
        let mut facts = done();
        drift(&mut facts);
        assert_eq!(decide(&facts, &wanted()).expect(name), expected, "{name}");
    }
}

#[test]
fn an_old_route_of_ours_is_replaced() {
    let mut facts = done();
    let old = Route { gateway: Some(Ipv4Addr::new(10, 0, 2, 254)), ..wanted().routes().remove(1) };
    facts.routes[1] = old.clone();
    let expected = [Change::RemoveRoute(old), Change::PutRoute(wanted().routes().remove(1))];
    assert_eq!(decide(&facts, &wanted()).expect("ours"), expected);
}

#[test]
fn others_in_our_table_or_priorities_are_refused_and_named() {
    type Drift = fn(&mut Facts);
    let rows: [(Drift, &str); 9] = [
        (
            |f| f.rules.push(Rule { from: Some(cidr("10.0.2.15/32")), ..rule(101, Some(101)) }),
            "rule priority 101 is used by others: a rule from 10.0.2.15/32 into table 101, which comes before ours for the ENI's address",
        ),
        (
            |f| f.rules.push(Rule { from: Some(cidr("172.30.0.0/16")), ..rule(99, Some(101)) }),
            "rule priority 99 is used by others: a rule from 172.30.0.0/16 into table 101, which comes before ours for the bridge",
        ),
        (
            |f| f.rules.push(Rule { from: Some(cidr("172.30.254.2/32")), ..rule(99, Some(101)) }),
            "rule priority 99 is used by others: a rule from 172.30.254.2/32 into table 101, which comes before ours for the bridge",
        ),
        (
            |f| f.rules.push(Rule { arriving: Some("weaviate0".to_owned()), ..rule(99, Some(101)) }),
            "rule priority 99 is used by others: a rule for what comes by weaviate0 into table 101, which comes before ours for the bridge",
        ),
        (
            |f| f.routes.push(Route { table: 8080, destination: None, gateway: None, link: 5, ours: false }),
            "routing table 8080 is used by others: a default route by docker0",
        ),
        (
            |f| {
                f.routes.push(Route {
                    destination: Some(cidr("10.9.0.0/16")),
                    link: 9,
                    ours: false,
                    ..wanted().routes().remove(0)
                });
            },
            "routing table 8080 is used by others: a route to 10.9.0.0/16 by link 9",
        ),
        (
            |f| f.rules.push(rule(100, Some(8080))),
            "routing table 8080 is used by others: the rule of priority 100",
        ),
        (
            |f| f.rules.push(rule(8081, Some(10001))),
            "rule priority 8081 is used by others: a rule into table 10001",
        ),
        (
            |f| f.rules.push(rule(8080, None)),
            "rule priority 8080 is used by others: a rule into no plain table",
        ),
    ];
    for (drift, expected) in rows {
        let mut facts = done();
        drift(&mut facts);
        let error = decide(&facts, &wanted()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.class(), Class::Final);
        // Before the interface is attached the same is seen.
        let mut facts = bare();
        drift(&mut facts);
        let wanted = wanted();
        let place = Place { links: vec![4], ..wanted.place() };
        let early = refuse_foreign(&facts, &place).expect_err(expected);
        assert_eq!(early.to_string(), expected);
    }
    let harmless: [Drift; 4] = [
        |f| f.rules.push(Rule { from: Some(cidr("10.0.1.10/32")), ..rule(101, Some(101)) }),
        |f| f.rules.push(Rule { arriving: Some("docker0".to_owned()), ..rule(101, Some(101)) }),
        |f| f.rules.push(Rule { from: Some(cidr("10.0.2.15/32")), ..rule(10_001, Some(10_001)) }),
        |f| f.rules.push(rule(101, Some(101))),
    ];
    for drift in harmless {
        let mut facts = done();
        drift(&mut facts);
        assert_eq!(decide(&facts, &wanted()).expect("nobody is in the way"), [], "{facts:?}");
    }
}

#[test]
fn what_another_configuration_of_ours_left_is_cleaned() {
    type Other = fn(&mut Wanted);
    let rows: [(&str, Other); 5] = [
        ("the bridge was given up", |w| w.bridge = None),
        ("the priority was lowered", |w| w.priority = 70),
        ("the priority was raised", |w| w.priority = 9000),
        ("the table was changed", |w| w.table = 9090),
        ("the bridge was renamed", |w| {
            w.bridge = Some(Bridge { link: 7, name: "other0".to_owned(), subnet: cidr("172.30.254.0/24") });
        }),
    ];
    for (name, change) in rows {
        let mut wanted = wanted();
        change(&mut wanted);
        let mut facts = done();
        facts.links.push(link(7, "other0"));
        let changes = decide(&facts, &wanted).expect(name);
        for change in &changes {
            match change {
                Change::RemoveRoute(gone) => facts.routes.retain(|route| route != gone),
                Change::RemoveRule(gone) => facts.rules.retain(|rule| rule != gone),
                Change::PutRoute(new) => facts.routes.push(new.clone()),
                Change::AddRule(new) => facts.rules.push(new.clone()),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(!changes.is_empty(), "{name}");
        assert_eq!(
            (facts.routes.len(), facts.rules.len()),
            (wanted.routes().len(), 3 + wanted.rules().len()),
            "{name}"
        );
        assert_eq!(decide(&facts, &wanted).expect(name), [], "{name}");
    }
}

#[test]
fn on_the_hosts_network_there_is_one_rule_and_no_bridge() {
    let wanted = Wanted { bridge: None, ..wanted() };
    assert_eq!((wanted.routes().len(), wanted.rules().len()), (2, 1));
    assert_eq!(wanted.rules()[0].from, Some(cidr("10.0.2.15/32")));
}
