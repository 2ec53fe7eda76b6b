//! Resources as EC2's XML.

use std::collections::BTreeMap;

use crate::cloud::resources::{Eni, Instance, Resources};
use crate::cloud::spec::{Route, RouteTable, Rule, SecurityGroup, Subnet};
use crate::endpoint::Xml;
use crate::sts::whole_seconds;

fn tag_set(name: &str, tags: &BTreeMap<String, String>) -> Xml {
    Xml::list(
        name,
        "item",
        tags.iter().map(|(key, value)| Xml::new("item").text("key", key).text("value", value)),
    )
}

fn group_set(ids: &[String], r: &Resources) -> Xml {
    let name = |id: &String| {
        r.security_groups.iter().find(|g| g.id == *id).map(|g| g.name.clone()).unwrap_or_default()
    };
    Xml::list(
        "groupSet",
        "item",
        ids.iter().map(|id| Xml::new("item").text("groupId", id).text("groupName", name(id))),
    )
}

fn addresses(address: &str) -> Xml {
    let item = Xml::new("item").text("privateIpAddress", address).text("primary", true);
    Xml::list("privateIpAddressesSet", "item", [item])
}

pub(super) fn interface(eni: &Eni, r: &Resources, vpc: &str, owner: &str) -> Xml {
    let item = Xml::new("item")
        .text("networkInterfaceId", &eni.id)
        .text("subnetId", &eni.subnet)
        .text("vpcId", vpc)
        .text("availabilityZone", &eni.zone)
        .text("description", &eni.description)
        .text("ownerId", owner)
        .maybe("requesterId", eni.requester_managed.then_some("amazon-elb"))
        .text("requesterManaged", eni.requester_managed)
        .text("status", eni.status())
        .text("macAddress", &eni.mac)
        .text("privateIpAddress", &eni.address)
        .text("sourceDestCheck", true)
        .text("interfaceType", "interface")
        .child(group_set(&eni.groups, r))
        .child(tag_set("tagSet", &eni.tags))
        .child(addresses(&eni.address));
    let Some(held) = &eni.attachment else { return item };
    item.child(
        Xml::new("attachment")
            .text("attachmentId", &held.id)
            .text("instanceId", &held.instance)
            .text("instanceOwnerId", owner)
            .text("deviceIndex", held.index)
            .text("networkCardIndex", 0)
            .text("status", held.text())
            .text("attachTime", whole_seconds(held.since))
            .text("deleteOnTermination", held.delete_on_termination),
    )
}

/// The interface as DescribeInstances shows it: in fewer words.
fn instance_interface(eni: &Eni, r: &Resources, vpc: &str, owner: &str) -> Xml {
    let mut shown = eni.clone();
    shown.tags.clear();
    interface(&shown, r, vpc, owner)
}

pub(super) fn reservation(instance: &Instance, r: &Resources, vpc: &str, owner: &str) -> Xml {
    let state =
        Xml::new("instanceState").text("code", instance.state.code()).text("name", instance.state.text());
    let held = r.enis.values().filter(|e| e.owner() == Some(instance.id.as_str()));
    let profile = instance.role.as_ref().map(|role| {
        Xml::new("iamInstanceProfile")
            .text("arn", format!("arn:aws:iam::{owner}:instance-profile/{role}"))
            .text("id", "AIPAWORLD000000000000")
    });
    let options = Xml::new("metadataOptions")
        .text("state", "applied")
        .text("httpTokens", "required")
        .text("httpPutResponseHopLimit", 1)
        .text("httpEndpoint", "enabled")
        .text("instanceMetadataTags", if instance.metadata_tags { "enabled" } else { "disabled" });
    let item = Xml::new("item")
        .text("instanceId", &instance.id)
        .text("imageId", "ami-0aaaaaaaaaaaaaa00")
        .child(state)
        .text("instanceType", &instance.kind)
        .text("launchTime", whole_seconds(instance.launched))
        .child(Xml::new("placement").text("availabilityZone", &instance.zone).text("tenancy", "default"))
        .text("subnetId", &instance.subnet)
        .text("vpcId", vpc)
        .text("privateIpAddress", &instance.address)
        .text("architecture", "arm64")
        // "The value xen is used for both Xen and Nitro hypervisors" (API reference, Instance).
        .text("hypervisor", "xen")
        .text("sourceDestCheck", true)
        .extend(profile)
        .child(options)
        .child(tag_set("tagSet", &instance.tags))
        .child(Xml::list("networkInterfaceSet", "item", held.map(|e| instance_interface(e, r, vpc, owner))));
    Xml::new("item")
        .text("reservationId", format!("r-{}", instance.id.trim_start_matches("i-")))
        .text("ownerId", owner)
        .child(Xml::list("instancesSet", "item", [item]))
}

pub(super) fn security_group(group: &SecurityGroup, vpc: &str, owner: &str) -> Xml {
    let rule = |rule: &Rule| {
        let pairs = rule.groups.iter().map(|id| Xml::new("item").text("userId", owner).text("groupId", id));
        let ranges = rule.cidrs.iter().map(|cidr| Xml::new("item").text("cidrIp", cidr));
        Xml::new("item")
            .text("ipProtocol", &rule.protocol)
            .maybe("fromPort", rule.from)
            .maybe("toPort", rule.to)
            .child(Xml::list("groups", "item", pairs))
            .child(Xml::list("ipRanges", "item", ranges))
    };
    Xml::new("item")
        .text("ownerId", owner)
        .text("groupId", &group.id)
        .text("groupName", &group.name)
        .text("groupDescription", &group.name)
        .text("vpcId", vpc)
        .child(Xml::list("ipPermissions", "item", group.ingress.iter().map(rule)))
        .child(Xml::new("ipPermissionsEgress"))
        .child(Xml::new("tagSet"))
}

pub(super) fn subnet(subnet: &Subnet, vpc: &str, owner: &str) -> Xml {
    Xml::new("item")
        .text("subnetId", &subnet.id)
        .text("state", "available")
        .text("vpcId", vpc)
        .text("cidrBlock", &subnet.cidr)
        .text("availabilityZone", &subnet.zone)
        .text("ownerId", owner)
        .text("availableIpAddressCount", 240)
        .child(Xml::new("tagSet"))
}

pub(super) fn route_table(table: &RouteTable, vpc: &str, owner: &str) -> Xml {
    let route = |route: &Route| {
        let kind = match route.target.split('-').next() {
            Some("nat") => "natGatewayId",
            Some("eni") => "networkInterfaceId",
            _ => "gatewayId",
        };
        let origin = if route.target == "local" { "CreateRouteTable" } else { "CreateRoute" };
        Xml::new("item")
            .text("destinationCidrBlock", &route.destination)
            .text(kind, &route.target)
            .text("state", "active")
            .text("origin", origin)
    };
    let association = |n: usize, subnet: Option<&String>| {
        Xml::new("item")
            .text("routeTableAssociationId", format!("rtbassoc-{n:017x}"))
            .text("routeTableId", &table.id)
            .maybe("subnetId", subnet)
            .text("main", subnet.is_none())
    };
    let named = table.subnets.iter().enumerate().map(|(n, subnet)| association(n + 1, Some(subnet)));
    let main = table.main.then(|| association(0, None));
    Xml::new("item")
        .text("routeTableId", &table.id)
        .text("vpcId", vpc)
        .text("ownerId", owner)
        .child(Xml::list("routeSet", "item", table.routes.iter().map(route)))
        .child(Xml::list("associationSet", "item", named.chain(main)))
        .child(Xml::new("tagSet"))
}
