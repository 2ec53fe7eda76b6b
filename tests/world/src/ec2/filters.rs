//! `Filter.N.Name` and `Filter.N.Value.M`: filters join by and, values by or, `*` and `?` are wildcards.

use std::collections::BTreeMap;

use crate::cloud::resources::{Eni, Instance, Resources};
use crate::cloud::spec::{RouteTable, SecurityGroup, Subnet};
use crate::endpoint::{Call, Refusal};
use crate::iam::condition::like;

/// What a resource shows to a filter: its values, or `None` where no such filter exists.
type Shown = Option<Vec<String>>;

/// Those that all filters of the call accept.
pub(super) fn keep<'a, T>(
    call: &Call,
    found: Vec<&'a T>,
    show: impl Fn(&T, &str) -> Shown,
) -> Result<Vec<&'a T>, Refusal> {
    let mut kept = found;
    for number in 1.. {
        let Some(name) = call.get(&format!("Filter.{number}.Name")) else { break };
        let values = call.list(&format!("Filter.{number}.Value"));
        let mut matching = Vec::new();
        for one in kept {
            let shown = show(one, name).ok_or_else(|| {
                Refusal::bad("InvalidParameterValue", format!("The filter '{name}' is invalid"))
            })?;
            if shown.iter().any(|shown| values.iter().any(|wanted| like(shown, wanted))) {
                matching.push(one);
            }
        }
        kept = matching;
    }
    Ok(kept)
}

fn tags(tags: &BTreeMap<String, String>, name: &str) -> Shown {
    if let Some(key) = name.strip_prefix("tag:") {
        return Some(tags.get(key).cloned().into_iter().collect());
    }
    (name == "tag-key").then(|| tags.keys().cloned().collect())
}

pub(super) fn interface(eni: &Eni, vpc: &str, name: &str) -> Shown {
    let attachment = eni.attachment.as_ref();
    let one = |text: &str| Some(vec![text.to_owned()]);
    let of_attachment = |text: Option<String>| Some(text.into_iter().collect());
    match name {
        "network-interface-id" => one(&eni.id),
        "private-ip-address" | "addresses.private-ip-address" => one(&eni.address),
        "mac-address" => one(&eni.mac),
        "subnet-id" => one(&eni.subnet),
        "vpc-id" => one(vpc),
        "availability-zone" => one(&eni.zone),
        "status" => one(eni.status()),
        "description" => one(&eni.description),
        "group-id" => Some(eni.groups.clone()),
        "attachment.instance-id" => of_attachment(attachment.map(|a| a.instance.clone())),
        "attachment.attachment-id" => of_attachment(attachment.map(|a| a.id.clone())),
        "attachment.status" => of_attachment(attachment.map(|a| a.text().to_owned())),
        "attachment.device-index" => of_attachment(attachment.map(|a| a.index.to_string())),
        "attachment.delete-on-termination" => {
            of_attachment(attachment.map(|a| a.delete_on_termination.to_string()))
        }
        _ => tags(&eni.tags, name),
    }
}

pub(super) fn instance(instance: &Instance, r: &Resources, name: &str) -> Shown {
    let one = |text: &str| Some(vec![text.to_owned()]);
    match name {
        "instance-id" => one(&instance.id),
        "instance-type" => one(&instance.kind),
        "instance-state-name" => one(instance.state.text()),
        "availability-zone" => one(&instance.zone),
        "subnet-id" => one(&instance.subnet),
        "private-ip-address" => one(&instance.address),
        "network-interface.network-interface-id" => {
            let held = r.enis.values().filter(|e| e.owner() == Some(instance.id.as_str()));
            Some(held.map(|e| e.id.clone()).collect())
        }
        _ => tags(&instance.tags, name),
    }
}

pub(super) fn security_group(group: &SecurityGroup, vpc: &str, name: &str) -> Shown {
    match name {
        "group-id" => Some(vec![group.id.clone()]),
        "group-name" => Some(vec![group.name.clone()]),
        "vpc-id" => Some(vec![vpc.to_owned()]),
        _ => tags(&BTreeMap::new(), name),
    }
}

pub(super) fn subnet(subnet: &Subnet, vpc: &str, name: &str) -> Shown {
    match name {
        "subnet-id" => Some(vec![subnet.id.clone()]),
        "cidr-block" | "cidr" => Some(vec![subnet.cidr.clone()]),
        "availability-zone" => Some(vec![subnet.zone.clone()]),
        "vpc-id" => Some(vec![vpc.to_owned()]),
        _ => tags(&BTreeMap::new(), name),
    }
}

pub(super) fn route_table(table: &RouteTable, vpc: &str, name: &str) -> Shown {
    match name {
        "route-table-id" => Some(vec![table.id.clone()]),
        "association.subnet-id" => Some(table.subnets.clone()),
        "association.main" => Some(vec![table.main.to_string()]),
        "vpc-id" => Some(vec![vpc.to_owned()]),
        _ => tags(&BTreeMap::new(), name),
    }
}
