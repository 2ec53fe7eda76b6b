//! The Describe calls: by ids, by filters, in pages.

use std::fmt::Display;

use super::{GROUP, INSTANCE, INTERFACE, IdKind, ROUTE_TABLE, SUBNET, filters, render, types};
use crate::cloud::Cloud;
use crate::endpoint::{Call, Refusal, Xml};

pub(super) fn known(operation: &str) -> bool {
    matches!(
        operation,
        "DescribeInstances"
            | "DescribeInstanceTypes"
            | "DescribeNetworkInterfaces"
            | "DescribeSecurityGroups"
            | "DescribeSubnets"
            | "DescribeRouteTables"
    )
}

pub(super) fn answer(cloud: &Cloud, call: &Call) -> Result<Vec<Xml>, Refusal> {
    let vpc = &cloud.spec().vpc.id;
    let owner = &cloud.spec().account;
    cloud.read(call.view, |r| match call.operation.as_str() {
        "DescribeInstances" => {
            let found = select(call, "InstanceId", INSTANCE, r.instances.values(), |i| &i.id)?;
            let found = filters::keep(call, found, |i, name| filters::instance(i, r, name))?;
            page(call, "InstanceId", "reservationSet", found, |i| render::reservation(i, r, vpc, owner))
        }
        "DescribeNetworkInterfaces" => {
            let found = select(call, "NetworkInterfaceId", INTERFACE, r.enis.values(), |e| &e.id)?;
            let found = filters::keep(call, found, |e, name| filters::interface(e, vpc, name))?;
            page(call, "NetworkInterfaceId", "networkInterfaceSet", found, |e| {
                render::interface(e, r, vpc, owner)
            })
        }
        "DescribeSecurityGroups" => {
            let found = select(call, "GroupId", GROUP, r.security_groups.iter(), |g| &g.id)?;
            let found = filters::keep(call, found, |g, name| filters::security_group(g, vpc, name))?;
            page(call, "GroupId", "securityGroupInfo", found, |g| render::security_group(g, vpc, owner))
        }
        "DescribeSubnets" => {
            let found = select(call, "SubnetId", SUBNET, r.subnets.iter(), |s| &s.id)?;
            let found = filters::keep(call, found, |s, name| filters::subnet(s, vpc, name))?;
            page(call, "SubnetId", "subnetSet", found, |s| render::subnet(s, vpc, owner))
        }
        "DescribeRouteTables" => {
            let found = select(call, "RouteTableId", ROUTE_TABLE, r.route_tables.iter(), |t| &t.id)?;
            let found = filters::keep(call, found, |t, name| filters::route_table(t, vpc, name))?;
            page(call, "RouteTableId", "routeTableSet", found, |t| render::route_table(t, vpc, owner))
        }
        _ => types::answer(call),
    })
}

/// The named ones, each of which must exist; all where none is named.
fn select<'a, T: 'a>(
    call: &Call,
    parameter: &str,
    kind: IdKind,
    all: impl Iterator<Item = &'a T>,
    id: impl Fn(&T) -> &String,
) -> Result<Vec<&'a T>, Refusal> {
    let wanted = call.list(parameter);
    let all: Vec<&T> = all.collect();
    if wanted.is_empty() {
        return Ok(all);
    }
    for wanted in &wanted {
        kind.check(wanted)?;
        if !all.iter().any(|one| id(one) == wanted) {
            return Err(kind.missing(wanted));
        }
    }
    Ok(all.into_iter().filter(|one| wanted.contains(&id(one).as_str())).collect())
}

/// One page, and where the next begins. The token is the number of what came before.
pub(super) fn page<T>(
    call: &Call,
    ids: &str,
    set: &str,
    found: Vec<T>,
    render: impl Fn(T) -> Xml,
) -> Result<Vec<Xml>, Refusal> {
    let total = found.len();
    let size = match call.get("MaxResults") {
        None => total,
        Some(_) if !call.list(ids).is_empty() => {
            let text = format!("The parameter {ids}s cannot be used with the parameter MaxResults");
            return Err(Refusal::bad("InvalidParameterCombination", text));
        }
        Some(text) => {
            text.parse().ok().filter(|n| (5..=1000).contains(n)).ok_or_else(|| out_of_range(text))?
        }
    };
    let start = match call.get("NextToken") {
        None => 0,
        Some(token) => token.strip_prefix("page-").and_then(|n| n.parse().ok()).ok_or_else(|| {
            Refusal::bad("InvalidNextToken", format!("Invalid value '{token}' for NextToken"))
        })?,
    };
    let shown: Vec<Xml> = found.into_iter().skip(start).take(size).map(render).collect();
    let next = start + shown.len();
    let mut members = vec![Xml::list(set, "item", shown)];
    if next < total {
        members.push(Xml::leaf("nextToken", format!("page-{next}")));
    }
    Ok(members)
}

fn out_of_range(value: impl Display) -> Refusal {
    let text =
        format!("Value ( {value} ) for parameter maxResults is invalid. Expecting a value from 5 to 1000.");
    Refusal::bad("InvalidParameterValue", text)
}
