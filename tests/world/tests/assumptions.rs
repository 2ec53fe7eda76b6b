//! `world --assumptions` says of every behaviour how it is known, each once.

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn every_behaviour_is_listed_once_with_its_source() {
    let listed = Command::new(env!("CARGO_BIN_EXE_world")).arg("--assumptions").output().expect("the list");
    assert!(listed.status.success(), "{}", listed.status);
    let text = String::from_utf8(listed.stdout).expect("text");
    let mut names = BTreeSet::new();
    let mut tags = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (tag, name) = (words.next().expect("a tag"), words.next().expect("a name"));
        assert!(["documented", "recorded", "assumed"].contains(&tag), "{line}");
        assert!(line.ends_with(']') && !line.ends_with("[]"), "no source: {line}");
        assert!(names.insert(name.to_owned()), "{name} stands twice");
        tags.insert(tag.to_owned());
    }
    assert_eq!(names.len(), world::assumptions::all().count());
    assert!(tags.contains("documented") && tags.contains("assumed"), "{tags:?}");
    // Every double speaks for itself.
    for double in
        ["aws.", "iam.", "ec2.", "autoscaling.", "imds.", "sts.", "s3.", "registry.", "vpc.", "machine."]
    {
        assert!(names.iter().any(|name| name.starts_with(double)), "nothing of {double}");
    }
}
