//! Two machines over one manifest, and the manifest itself.

use super::*;

/// The same by the instance that was there before.
fn former(event: Event) -> Event {
    let of = "i-old".to_owned();
    match event {
        Event::Server { method, path, status, details, of: _ } => {
            Event::Server { of, method, path, status, details }
        }
        Event::ServerStart { .. } => Event::ServerStart { of },
        Event::Call { service, operation, parameters, status, code, caller: _ } => {
            Event::Call { service, operation, caller: Some(of), parameters, status, code }
        }
        Event::Mark { what } => Event::Mark { what: format!("{what} {of}") },
        other => other,
    }
}

#[test]
fn of_two_machines_each_has_its_own_proof() {
    use Rule::{DoorLost, DoorUncounted, DoorUntaken};
    let near = || knock(Client::Near);
    let held =
        |to: &str| Event::State { of: "eni-15".to_owned(), from: "available".to_owned(), to: to.to_owned() };
    // The one before serves; the next one is on its way.
    let serves = || {
        let before = [start(), both(), put_as("i-old", 1, Some("full-1"), 200)].map(former);
        and(and(vec![held("attaching i-old")], before.into()), vec![near()])
    };
    let next_starts = || Event::Mark { what: format!("{START} i-new") };
    let long = || vec![schema(); 6];
    judged(vec![
        (
            "the next one starts and counts nothing",
            and(serves(), vec![next_starts(), restarted(), near()]),
            vec![],
        ),
        (
            "the one before starts its server again while the next one counts",
            and(serves(), vec![former(restarted()), both(), near()]),
            vec![DoorUncounted],
        ),
        (
            "the next one has the address and has counted nothing itself",
            and(serves(), vec![restarted(), former(both()), held("attaching i-new"), put("i-new"), near()]),
            vec![DoorUncounted],
        ),
        (
            "the next one has the address and no generation",
            and(serves(), vec![restarted(), both(), held("in-use i-new"), near()]),
            vec![DoorUntaken],
        ),
        (
            "the next one has all of it, and the one before looks",
            and(
                serves(),
                and(
                    vec![restarted(), both(), held("in-use i-new"), put("i-new"), near(), former(read())],
                    and(long(), vec![near()]),
                ),
            ),
            vec![],
        ),
        (
            "the one before has the address still, and has not been told",
            and(serves(), and(vec![restarted(), both(), put("i-new")], and(long(), vec![near()]))),
            vec![],
        ),
        (
            "the one before has the address still, and was told long ago",
            and(
                serves(),
                and(vec![restarted(), both(), put("i-new"), former(read())], and(long(), vec![near()])),
            ),
            vec![DoorLost],
        ),
        (
            "its own interface is no address of the node",
            and(
                serves(),
                vec![
                    Event::State {
                        of: "eni-new".to_owned(),
                        from: "absent".to_owned(),
                        to: "in-use i-new".to_owned(),
                    },
                    near(),
                ],
            ),
            vec![],
        ),
    ]);
}

#[test]
fn the_pointer_moves_by_conditions_and_upwards() {
    use Rule::{PointerLowered, PointerUnconditional};
    let put_if = |etag: Option<&str>| match put("i-new") {
        Event::Call { service, operation, caller, mut parameters, status, code } => {
            parameters.remove("IfMatch");
            parameters.extend(etag.map(|etag| ("IfMatch".to_owned(), etag.to_owned())));
            Event::Call { service, operation, caller, parameters, status, code }
        }
        other => other,
    };
    let unconditional = || put_if(None);
    let rows: Vec<(&str, Vec<Event>, Vec<Rule>)> = vec![
        ("taken", vec![published("i-old", 1), put("i-new")], vec![]),
        ("the very first", vec![put_as("i-new", 1, None, 200)], vec![]),
        ("refused", vec![published("i-old", 7), refused_put()], vec![]),
        ("without a condition", vec![published("i-old", 1), unconditional()], vec![PointerUnconditional]),
        (
            "if there is anything at all",
            vec![published("i-old", 1), put_if(Some("*"))],
            vec![PointerUnconditional],
        ),
        ("lower", vec![published("i-old", 7), put("i-new")], vec![PointerLowered]),
        ("the same", vec![published("i-old", 2), put("i-new")], vec![PointerLowered]),
        ("both", vec![published("i-old", 7), unconditional()], vec![PointerUnconditional, PointerLowered]),
        ("others may do as they like", vec![published("i-old", 7), published("i-old", 3)], vec![]),
        ("a copy", vec![s3("CopyObject", 200, BTreeMap::new())], vec![PointerUnconditional, PointerLowered]),
        ("a read", vec![published("i-old", 7), read()], vec![]),
    ];
    for (name, events, expected) in rows {
        let found = moves(&seen(events));
        let rules: Vec<&str> = found.iter().filter_map(|sentence| sentence.split(": ").next()).collect();
        let expected: Vec<&str> = expected.into_iter().map(Rule::name).collect();
        assert_eq!(rules, expected, "{name}: {found:?}");
    }
}
