//! The container's own network: a bridge whose name a rule of ours can name.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use super::{ContainerError, docker, spec, start};
use crate::host::Host;
use crate::network::Publish;

/// Docker's option for the name of the interface.
const NAME_OPTION: &str = "com.docker.network.bridge.name";

/// Makes the network, or finds that it is there as it would be made.
pub async fn ensure(host: &Host, engine: &Docker) -> Result<(), ContainerError> {
    // On the host's network the door tells the server by its user, and guards no bridge: what is on this one goes
    // nowhere.
    let internal = host.settings.network.publish == Publish::Host;
    let network = &host.settings.network;
    // A second try: an idle network of ours with other settings is removed, or another run made it meanwhile.
    for _ in 0..3 {
        let found = docker::call(
            "look for the network",
            engine.inspect_network(&network.bridge, None::<InspectNetworkOptions>),
        );
        let Some(found) = docker::absent(found.await)? else {
            match create(host, engine, internal).await {
                Err(error) => match docker::status(&error) {
                    Some((409, _)) => continue,
                    Some((_, message)) if message.contains("overlaps with other one") => {
                        let what = message.to_owned();
                        if remove_older(host, engine).await? {
                            continue;
                        }
                        return Err(ContainerError::Bridge { bridge: network.bridge.clone(), what });
                    }
                    _ => return Err(error),
                },
                done => return done,
            }
        };
        let Err(what) = check(&found, &network.bridge, &network.bridge_subnet.to_string(), internal) else {
            return Ok(());
        };
        let ours = found.labels.is_some_and(|labels| labels.contains_key(&spec::label("network")));
        let idle = found.containers.is_none_or(|containers| containers.is_empty());
        if !(ours && idle) {
            return Err(ContainerError::Bridge { bridge: network.bridge.clone(), what });
        }
        let gone = docker::call("remove the network", engine.remove_network(&network.bridge)).await;
        docker::absent(gone)?;
    }
    Err(ContainerError::Bridge { bridge: network.bridge.clone(), what: "it changes all the time".to_owned() })
}

/// Removes networks of ours under other names: `network.bridge` was changed. The container that is on one is replaced
/// in any case, because its specification names the network. Whether there was one.
async fn remove_older(host: &Host, engine: &Docker) -> Result<bool, ContainerError> {
    let filters = HashMap::from([("label", vec![spec::label("network")])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let found = docker::call("list the networks", engine.list_networks(Some(options))).await?;
    let names = found.into_iter().filter_map(|network| network.name);
    let older: Vec<String> = names.filter(|name| *name != host.settings.network.bridge).collect();
    if !older.is_empty() {
        start::leave(host, engine).await?;
    }
    for name in &older {
        docker::absent(docker::call("remove the network", engine.remove_network(name)).await)?;
    }
    Ok(!older.is_empty())
}

async fn create(host: &Host, engine: &Docker, internal: bool) -> Result<(), ContainerError> {
    let network = &host.settings.network;
    let subnet = network.bridge_subnet;
    let request = NetworkCreateRequest {
        name: network.bridge.clone(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(false),
        internal: Some(internal),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                gateway: Some(subnet.nth(1).to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        options: Some(HashMap::from([(NAME_OPTION.to_owned(), network.bridge.clone())])),
        labels: Some(HashMap::from([(spec::label("network"), host.settings.node.deployment.to_string())])),
        ..NetworkCreateRequest::default()
    };
    docker::call("create the network", engine.create_network(request)).await.map(drop)
}

/// What of the network is not as it should be.
fn check(found: &NetworkInspect, bridge: &str, subnet: &str, internal: bool) -> Result<(), String> {
    let named = found.options.as_ref().and_then(|options| options.get(NAME_OPTION));
    if named.map(String::as_str) != Some(bridge) {
        return Err(format!("its interface is named {:?}", named.map_or("", String::as_str)));
    }
    if found.internal.unwrap_or(false) != internal {
        return Err(format!("it is {}internal", if internal { "not " } else { "" }));
    }
    let configs = found.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    let subnets: Vec<&str> =
        configs.into_iter().flatten().filter_map(|config| config.subnet.as_deref()).collect();
    if subnets == [subnet] { Ok(()) } else { Err(format!("its subnet is {}", subnets.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_or_subnet_is_seen() {
        let found = |name: &str, subnet: &str| NetworkInspect {
            options: Some(HashMap::from([(NAME_OPTION.to_owned(), name.to_owned())])),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig { subnet: Some(subnet.to_owned()), ..IpamConfig::default() }]),
                ..Ipam::default()
            }),
            ..NetworkInspect::default()
        };
        let internal = NetworkInspect { internal: Some(true), ..found("weaviate0", "172.30.254.0/24") };
        assert!(super::check(&internal, "weaviate0", "172.30.254.0/24", false).is_err());
        assert_eq!(super::check(&internal, "weaviate0", "172.30.254.0/24", true), Ok(()));
        let check = |name, subnet| check(&found(name, subnet), "weaviate0", "172.30.254.0/24", false);
        assert_eq!(check("weaviate0", "172.30.254.0/24"), Ok(()));
        assert!(check("br-1", "172.30.254.0/24").is_err_and(|what| what.contains("br-1")));
        assert!(check("weaviate0", "172.18.0.0/16").is_err_and(|what| what.contains("172.18.0.0/16")));
    }
}
