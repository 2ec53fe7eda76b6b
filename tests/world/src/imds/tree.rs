//! The tree of leaves, built anew for each request: what is listed and what is served cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::cloud::resources::{Attachment, Eni, Instance, Resources};
use crate::cloud::{Cloud, View};
use crate::sts::whole_seconds;

/// Path → text.
pub(super) type Tree = BTreeMap<String, String>;

/// A leaf, or the listing of a directory; directories in it end in a slash.
pub(super) fn look(tree: &Tree, wanted: &str) -> Option<String> {
    if let Some(text) = tree.get(wanted) {
        return Some(text.clone());
    }
    let directory =
        if wanted.is_empty() || wanted.ends_with('/') { wanted.to_owned() } else { format!("{wanted}/") };
    let children: BTreeSet<String> = tree
        .keys()
        .filter_map(|path| path.strip_prefix(&directory))
        .map(|rest| rest.split_once('/').map_or_else(|| rest.to_owned(), |(first, _)| format!("{first}/")))
        .collect();
    (!children.is_empty()).then(|| children.into_iter().collect::<Vec<_>>().join("\n"))
}

pub(super) fn tree(cloud: &Cloud, id: &str, view: View) -> Tree {
    let mut tree = cloud.read(view, |r| {
        let mut tree = Tree::new();
        if let Some(instance) = r.instances.get(id) {
            about_instance(&mut tree, cloud, instance);
            about_interfaces(&mut tree, cloud, r, id);
            if let Some(target) = Cloud::target_lifecycle(r, id) {
                tree.insert("meta-data/autoscaling/target-lifecycle-state".into(), target.into());
            }
        }
        tree
    });
    let role = cloud.read(view, |r| r.instances.get(id).and_then(|i| i.role.clone()));
    if let Some(role) = role {
        credentials(&mut tree, cloud, id, &role);
    }
    tree
}

fn about_instance(tree: &mut Tree, cloud: &Cloud, instance: &Instance) {
    let spec = cloud.spec();
    let mut leaf = |path: &str, text: &str| tree.insert(format!("meta-data/{path}"), text.to_owned());
    leaf("ami-id", "ami-0aaaaaaaaaaaaaa00");
    leaf("instance-id", &instance.id);
    leaf("instance-type", &instance.kind);
    leaf("instance-life-cycle", if instance.spot_notice.is_some() { "spot" } else { "on-demand" });
    leaf("local-ipv4", &instance.address);
    let host = format!("ip-{}.{}.compute.internal", instance.address.replace('.', "-"), spec.region);
    leaf("hostname", &host);
    leaf("local-hostname", &host);
    leaf("placement/availability-zone", &instance.zone);
    leaf("placement/availability-zone-id", "euc1-az2");
    leaf("placement/region", &spec.region);
    leaf("services/domain", "amazonaws.com");
    leaf("services/partition", "aws");
    if instance.metadata_tags {
        let readable = instance.tags.iter().filter(|(key, _)| !key.contains(['/', ' ']));
        for (key, value) in readable {
            leaf(&format!("tags/instance/{key}"), value);
        }
    }
    if let Some((action, at)) = &instance.spot_notice {
        let at = whole_seconds(*at);
        leaf("spot/instance-action", &json!({ "action": action, "time": at }).to_string());
        if action == "terminate" {
            leaf("spot/termination-time", &at);
        }
    }
    if let Some(at) = instance.rebalance_notice {
        leaf("events/recommendations/rebalance", &json!({ "noticeTime": whole_seconds(at) }).to_string());
    }
    let document = json!({
        "accountId": spec.account,
        "architecture": "arm64",
        "availabilityZone": instance.zone,
        "billingProducts": null,
        "imageId": "ami-0aaaaaaaaaaaaaa00",
        "instanceId": instance.id,
        "instanceType": instance.kind,
        "pendingTime": whole_seconds(instance.launched),
        "privateIp": instance.address,
        "region": spec.region,
        "version": "2017-09-30",
    });
    tree.insert("dynamic/instance-identity/document".into(), format!("{document:#}"));
    if let Some(text) = &instance.user_data {
        tree.insert("user-data".into(), text.clone());
    }
}

fn about_interfaces(tree: &mut Tree, cloud: &Cloud, r: &Resources, id: &str) {
    let held = r.enis.values().filter_map(|eni| Some((eni, eni.attachment.as_ref()?)));
    for (eni, attachment) in held.filter(|(_, a)| a.instance == id && a.in_metadata) {
        interface(tree, cloud, r, eni, attachment);
    }
}

fn interface(tree: &mut Tree, cloud: &Cloud, r: &Resources, eni: &Eni, attachment: &Attachment) {
    let spec = cloud.spec();
    if attachment.index == 0 {
        tree.insert("meta-data/mac".into(), eni.mac.clone());
    }
    let index = if attachment.index_in_metadata { attachment.index } else { 0 };
    let subnet = r.subnets.iter().find(|s| s.id == eni.subnet).map(|s| s.cidr.as_str()).unwrap_or_default();
    let leaves = [
        ("device-number", index.to_string()),
        ("interface-id", eni.id.clone()),
        ("local-ipv4s", eni.address.clone()),
        ("mac", eni.mac.clone()),
        ("owner-id", spec.account.clone()),
        ("security-group-ids", eni.groups.join("\n")),
        ("subnet-id", eni.subnet.clone()),
        ("subnet-ipv4-cidr-block", subnet.to_owned()),
        ("vpc-id", spec.vpc.id.clone()),
        ("vpc-ipv4-cidr-block", spec.vpc.cidr.clone()),
        ("vpc-ipv4-cidr-blocks", spec.vpc.cidr.clone()),
    ];
    for (name, text) in leaves {
        tree.insert(format!("meta-data/network/interfaces/macs/{}/{name}", eni.mac), text);
    }
}

fn credentials(tree: &mut Tree, cloud: &Cloud, id: &str, role: &str) {
    let vended = cloud.role_credentials(id, role);
    let info = json!({
        "Code": "Success",
        "LastUpdated": whole_seconds(jiff::Timestamp::now()),
        "InstanceProfileArn": format!("arn:aws:iam::{}:instance-profile/{role}", cloud.spec().account),
        "InstanceProfileId": "AIPAWORLD000000000000",
    });
    tree.insert("meta-data/iam/info".into(), format!("{info:#}"));
    let body = json!({
        "Code": "Success",
        "LastUpdated": whole_seconds(jiff::Timestamp::now()),
        "Type": "AWS-HMAC",
        "AccessKeyId": vended.access_key,
        "SecretAccessKey": vended.secret,
        "Token": vended.session_token,
        "Expiration": vended.expires.map(whole_seconds),
    });
    tree.insert(format!("meta-data/iam/security-credentials/{role}"), format!("{body:#}"));
}
