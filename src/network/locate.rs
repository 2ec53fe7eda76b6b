//! Finding the interface. Nothing is changed.

use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Filter;
use tokio::time::Instant;

use super::eni::{LocatedEni, Sight};
use super::{EniSelector, NetworkError, Publish, Settings};
use crate::aws::{CallError, Kind, failed};
use crate::config::Cidr;
use crate::explain::{Class, Explain as _};
use crate::host::Host;
use crate::instance::{Identity, Metadata};
use crate::report::Step;
use crate::retry::{Limits, retry};

/// "Run the Describe command repeatedly …" (EC2 developer guide, eventual consistency): an interface made a
/// moment before the instance may not be seen yet. Half a minute, then a wrong name is called wrong.
pub(super) const UNSEEN: Limits =
    Limits::new(Duration::from_secs(30), Duration::from_millis(500), Duration::from_secs(5));
/// How long throttling and trouble of the service are sat out, for all that is asked together.
const TROUBLE: Limits =
    Limits::new(Duration::from_mins(2), Duration::from_millis(500), Duration::from_secs(10));

/// Two leaves that come late, trouble, and in the last try of each call an interface that is not seen yet.
#[cfg(test)]
pub(super) const LONGEST: Duration = Duration::from_secs(
    3 * UNSEEN.deadline.as_secs() + TROUBLE.deadline.as_secs() + 2 * crate::aws::OPERATION.as_secs(),
);

pub const DEPLOYMENT_TAG: &str = "weaviate:deployment";
pub const NODE_TAG: &str = "weaviate:node";

impl std::fmt::Display for EniSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "the id {id}"),
            Self::PrivateIp(address) => write!(f, "the private address {address}"),
            Self::Tags(tags) => {
                let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "the tags {}", tags.join(", "))
            }
        }
    }
}

/// What must be known to choose among what EC2 shows.
#[derive(Debug)]
struct Own<'a> {
    selector: &'a EniSelector,
    vpc_id: &'a str,
    zone: &'a str,
    primary_mac: &'a str,
    deployment: &'a str,
    node: &'a str,
}

/// Finds the interface that `[network] eni` names, and refuses what could never be claimed.
pub async fn locate(host: &Host, identity: &Identity) -> Result<LocatedEni, NetworkError> {
    let settings = &host.settings.network;
    host.status.say(Step::Locate, format!("looks for the interface with {}", settings.eni));
    let metadata = Metadata::new(&host.roots.metadata)?;
    let (vpc_id, ranges) = vpc(&metadata, identity.primary_mac()).await?;
    check_overlap(settings, &ranges)?;
    let ec2 = &host.aws(identity.region()).await.ec2;
    let own = Own {
        selector: &settings.eni,
        vpc_id: &vpc_id,
        zone: identity.zone(),
        primary_mac: identity.primary_mac(),
        deployment: host.settings.node.deployment.as_str(),
        node: host.settings.node.name.as_str(),
    };
    let note = |error: &NetworkError| host.status.say(Step::Locate, format!("tries again: {error}"));
    let end = Instant::now() + TROUBLE.deadline;
    let left = || Limits { deadline: end.saturating_duration_since(Instant::now()), ..TROUBLE };
    let found = retry(left(), note, || find(ec2, &own)).await?;
    let sight = choose(&own, found)?;
    let subnet = retry(left(), note, || subnet(ec2, &sight.subnet_id)).await?;
    check_overlap(settings, &[subnet])?;
    let owner = sight.attachment.as_ref().and_then(|a| a.instance.as_deref()).unwrap_or("nobody");
    tracing::info!(eni = %sight.id, owner, "{} has {}, and {owner} has it", sight.id, sight.address);
    Ok(LocatedEni::new(sight, subnet))
}

/// The VPC of this instance and its ranges: the metadata service knows them without a permission.
async fn vpc(metadata: &Metadata, mac: &str) -> Result<(String, Vec<Cidr>), NetworkError> {
    let vpc_id = format!("network/interfaces/macs/{mac}/vpc-id");
    let ranges = format!("network/interfaces/macs/{mac}/vpc-ipv4-cidr-blocks");
    let id = metadata.await_leaf(&vpc_id, UNSEEN).await?;
    let text = metadata.await_leaf(&ranges, UNSEEN).await?;
    let ranges = text
        .lines()
        .map(|line| {
            let line = line.trim();
            line.parse().map_err(|()| NetworkError::Misunderstood {
                what: format!("the ranges of {id}"),
                found: line.to_owned(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok((id, ranges))
}

/// On the host's network there is no bridge that could hide a part of the VPC.
fn check_overlap(settings: &Settings, ranges: &[Cidr]) -> Result<(), NetworkError> {
    let bridge = settings.bridge_subnet;
    match ranges.iter().find(|range| overlap(**range, bridge)) {
        Some(range) if settings.publish == Publish::Bridge => {
            Err(NetworkError::Overlap { bridge, range: *range })
        }
        _ => Ok(()),
    }
}

const fn overlap(one: Cidr, other: Cidr) -> bool {
    let prefix = if one.prefix < other.prefix { one.prefix } else { other.prefix };
    let mask = match u32::MAX.checked_shl(32 - prefix as u32) {
        Some(mask) => mask,
        None => 0,
    };
    one.network.to_bits() & mask == other.network.to_bits() & mask
}

/// Everything that fits the selector, however long EC2 needs to show it (bounded).
async fn find(ec2: &Client, own: &Own<'_>) -> Result<Vec<Sight>, NetworkError> {
    let started = Instant::now();
    let mut looks = 0;
    loop {
        let found = describe(ec2, own.selector).await?;
        if !found.is_empty() || started.elapsed() >= UNSEEN.deadline {
            return Ok(found);
        }
        tokio::time::sleep(UNSEEN.pause(looks)).await;
        looks += 1;
    }
}

/// One look. Ids must not come with `MaxResults`, and everything else should (EC2 API reference).
pub(super) async fn describe(ec2: &Client, selector: &EniSelector) -> Result<Vec<Sight>, NetworkError> {
    let call = ec2.describe_network_interfaces();
    let call = match selector {
        EniSelector::Id(id) => call.network_interface_ids(id),
        EniSelector::PrivateIp(address) => {
            call.filters(filter("private-ip-address", &address.to_string())).max_results(100)
        }
        EniSelector::Tags(tags) => tags
            .iter()
            .fold(call, |call, (key, value)| call.filters(filter(&format!("tag:{key}"), value)))
            .max_results(100),
    };
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let answer = match call.clone().set_next_token(token).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = failed("ec2:DescribeNetworkInterfaces", &error);
                return if absent(&error) { Ok(Vec::new()) } else { Err(error.into()) };
            }
        };
        for eni in answer.network_interfaces() {
            found.push(Sight::try_from(eni)?);
        }
        token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Both spellings are listed in EC2's error codes.
fn absent(error: &CallError) -> bool {
    matches!(error.code.as_str(), "InvalidNetworkInterfaceID.NotFound" | "InvalidNetworkInterface.NotFound")
}

async fn subnet(ec2: &Client, id: &str) -> Result<Cidr, NetworkError> {
    let answer = ec2.describe_subnets().subnet_ids(id).send().await;
    let answer = answer.map_err(|error| failed("ec2:DescribeSubnets", &error))?;
    let found = answer.subnets().first().and_then(|subnet| subnet.cidr_block()).unwrap_or_default();
    found.parse().map_err(|()| NetworkError::Misunderstood { what: id.to_owned(), found: found.to_owned() })
}

/// Chooses the one interface that may be claimed, or says why none may.
fn choose(own: &Own<'_>, found: Vec<Sight>) -> Result<Sight, NetworkError> {
    let selector = own.selector.to_string();
    let elsewhere = found.iter().find(|sight| sight.vpc_id != own.vpc_id).cloned();
    let mut here: Vec<Sight> = found.into_iter().filter(|sight| sight.vpc_id == own.vpc_id).collect();
    if here.len() > 1 {
        let ids = here.into_iter().map(|sight| sight.id).collect();
        return Err(NetworkError::EniAmbiguous { selector, ids });
    }
    let Some(sight) = here.pop() else {
        return Err(match elsewhere {
            Some(Sight { id, vpc_id, .. }) => {
                NetworkError::WrongVpc { eni: id, vpc: vpc_id, own: own.vpc_id.to_owned() }
            }
            None => NetworkError::EniNotFound { selector },
        });
    };
    let eni = sight.id.clone();
    if sight.zone != own.zone {
        return Err(NetworkError::WrongZone { eni, zone: sight.zone, own: own.zone.to_owned() });
    }
    let unusable = |why: String| NetworkError::Unusable { eni: eni.clone(), why };
    // The filter finds secondary addresses too (EC2 API reference, DescribeNetworkInterfaces), and everything after
    // this is about the primary one: the door would be shut for one address and the server published on another.
    if let EniSelector::PrivateIp(wanted) = own.selector
        && *wanted != sight.address
    {
        return Err(unusable(format!(
            "{wanted} is a secondary address of it, its primary one is {}",
            sight.address
        )));
    }
    if sight.mac == own.primary_mac {
        return Err(unusable("it is this instance's primary interface".to_owned()));
    }
    if let Some(by) = &sight.managed_by {
        return Err(unusable(format!("it is kept by {by}")));
    }
    if let Some(holder) = sight.attachment.as_ref().filter(|held| held.device_index == 0) {
        let holder = holder.instance.as_deref().unwrap_or("another instance");
        return Err(unusable(format!("it is the primary interface of {holder}")));
    }
    for (tag, wanted) in [(DEPLOYMENT_TAG, own.deployment), (NODE_TAG, own.node)] {
        let wanted = wanted.to_owned();
        match sight.tags.get(tag) {
            Some(found) if *found == wanted => {}
            Some(found) => {
                return Err(NetworkError::ForeignTag { eni, tag, found: found.clone(), wanted });
            }
            None => return Err(NetworkError::MissingTag { eni, tag, wanted }),
        }
    }
    Ok(sight)
}

/// Whether a look that failed may be repeated by this run.
///
/// Not with credentials that were revoked, which EC2 calls expired: the SDK keeps those that it has until they end by
/// themselves, so it is the next run that gets others.
pub(super) fn may_pass(error: &NetworkError) -> bool {
    match error {
        NetworkError::Call(call) if matches!(call.kind, Kind::Credentials | Kind::Clock) => false,
        error => error.class() == Class::Retry,
    }
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
