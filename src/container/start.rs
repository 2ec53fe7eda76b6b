//! Makes the container what it should be, and waits until the server is ready.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountType, PortBinding, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, InspectContainerOptions};

use super::decide::{Life, Plan, Seen, decide};
use super::running::{self, Parts, STOP_SECONDS};
use super::spec::{self, Published, Specification};
use super::{ContainerError, Image, NAME, Running, ServerPlan, bridge, docker, proof, ready};
use crate::disk::{DataVolume, ServerProcess};
use crate::host::Host;
use crate::network::{self, NetworkError, PlacedAddress};
use crate::report::Step;
use crate::secrets::Secrets;

/// Starts the server on the interface's address, which lies on `lo` by now, behind the closed door.
pub async fn start(
    host: &Host,
    placed: &PlacedAddress,
    volume: &DataVolume,
    secrets: &Secrets,
    image: &Image,
    plan: &ServerPlan,
) -> Result<Running, ContainerError> {
    check_door(host, placed.address()).await?;
    start_at(host, placed.address(), volume, secrets, image, plan).await
}

/// The container has no way to the metadata and no client has one to it, before there is a server.
async fn check_door(host: &Host, address: Ipv4Addr) -> Result<(), ContainerError> {
    match network::check_door(host, address).await {
        Ok(_) => Ok(()),
        Err(NetworkError::Ajar { found }) if !found.metadata_closed() => Err(ContainerError::MetadataOpen),
        Err(source) => Err(ContainerError::Door(Box::new(source))),
    }
}

/// As [`start`], on any address.
pub(crate) async fn start_at(
    host: &Host,
    address: Ipv4Addr,
    volume: &DataVolume,
    secrets: &Secrets,
    image: &Image,
    plan: &ServerPlan,
) -> Result<Running, ContainerError> {
    let parts = Parts {
        address,
        volume: volume.clone(),
        secrets: secrets.clone(),
        image: image.clone(),
        plan: plan.clone(),
    };
    start_parts(host, parts).await
}

pub(super) async fn start_parts(host: &Host, parts: Parts) -> Result<Running, ContainerError> {
    if !parts.volume.is_mounted() {
        return Err(ContainerError::NoProof { what: "the data volume is not mounted".to_owned() });
    }
    let engine = docker::connect(host).await?;
    let specification =
        spec::specify(host, parts.address, &parts.volume, &parts.secrets, &parts.image, &parts.plan);
    if spec::leaks(&specification, &parts.secrets) {
        return Err(ContainerError::Leak);
    }
    if let Published::Bridge { .. } = specification.publish {
        bridge::ensure(host, &engine).await?;
    }
    let (id, adopted) = settle(host, &engine, &specification, &parts.volume).await?;
    host.status.say(Step::Start, "waits for the server's process");
    let pid = ready::check_alive(host, &engine, &id, &parts.secrets).await?.pid;
    prove(&engine, host, &id, pid, &parts).await?;
    let inside = match specification.publish {
        Published::Bridge { .. } | Published::Nowhere { .. } => {
            inside(host, &engine, &id, &parts.secrets).await?
        }
        Published::Host { address } => address,
    };
    let base_url = format!("http://{inside}:{}", super::REST_PORT);
    let started = ready::wait(host, &engine, &id, &base_url, &parts.secrets).await?.started;
    tracing::info!(container = id, adopted, "the server is ready on {inside}, process {pid}");
    Ok(Running::new(ServerProcess { container: id, started }, pid, adopted, inside, parts))
}

/// The container's own address on the bridge.
///
/// Until the node is exposed the server is spoken to there. On the published address it would be out of reach
/// as soon as the OS puts its own `from ADDRESS` rule on the ENI (Amazon Linux, Ubuntu): the answer to this very
/// instance would leave by the ENI (the truth table in `tests/world/tests/machine/reach.rs`), until our rules stand.
pub(super) async fn inside(
    host: &Host,
    engine: &Docker,
    id: &str,
    secrets: &Secrets,
) -> Result<Ipv4Addr, ContainerError> {
    let found = docker::call(
        "look at the container's address",
        engine.inspect_container(id, None::<InspectContainerOptions>),
    )
    .await?;
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    if let Some(address) = networks.into_values().find_map(|network| network.ip_address?.parse().ok()) {
        return Ok(address);
    }
    // A server that has ended has no address either: then its last lines are the better answer.
    ready::await_end(host, engine, id, secrets).await?;
    Err(ContainerError::Refused { message: format!("the container {id} has no address on the bridge") })
}

/// Brings the container to run; whether it ran already.
async fn settle(
    host: &Host,
    engine: &Docker,
    specification: &Specification,
    volume: &DataVolume,
) -> Result<(String, bool), ContainerError> {
    let hash = specification.hash();
    let mut last = String::new();
    for _ in 0..6 {
        let plan = decide(&see(engine).await?, &hash);
        last = plan.to_string();
        host.status.say(Step::Start, last.clone());
        match plan {
            Plan::Adopt { id } => return Ok((id, true)),
            Plan::RefuseNotOurs => return Err(ContainerError::NotOurs { name: NAME.to_owned() }),
            Plan::Replace { id, .. } => {
                close(host).await?;
                running::retire(engine, &id, volume).await?;
            }
            Plan::Create => match create(engine, specification, &hash).await {
                // Somebody was faster, or a removal has not ended: look again.
                Err(error) if matches!(docker::status(&error), Some((409, _))) => {
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                }
                other => drop(other?),
            },
            Plan::Start { id } => {
                close(host).await?;
                launch(engine, &id, specification).await?;
                return Ok((id, false));
            }
        }
    }
    Err(ContainerError::Refused { message: format!("the container does not settle; last: {last}") })
}

/// Whoever was let in by an earlier run of this boot came to another server than the one that starts now.
async fn close(host: &Host) -> Result<(), ContainerError> {
    match network::withdraw(host).await {
        Ok(_) => Ok(()),
        Err(source) => Err(ContainerError::Door(Box::new(source))),
    }
}

/// What becomes of the container under our name: for the command `plan`. The specification is only known once its
/// parts are, so it is decided as if it were the one that the container was made from.
pub async fn plan(host: &Host) -> Result<String, ContainerError> {
    let seen = see(&docker::connect(host).await?).await?;
    let as_made = match &seen {
        Seen::Here { hash: Some(hash), .. } => hash.as_str(),
        Seen::Here { hash: None, .. } | Seen::Absent => "",
    };
    match decide(&seen, as_made) {
        Plan::RefuseNotOurs => Err(ContainerError::NotOurs { name: NAME.to_owned() }),
        plan @ (Plan::Adopt { .. } | Plan::Start { .. }) => {
            Ok(format!("{plan}, if its specification is the same"))
        }
        plan @ (Plan::Create | Plan::Replace { .. }) => Ok(plan.to_string()),
    }
}

/// Ends the container if it is ours, whatever its specification. Whether there was one.
pub(super) async fn leave(host: &Host, engine: &Docker) -> Result<bool, ContainerError> {
    let Seen::Here { id, hash: Some(_), .. } = see(engine).await? else { return Ok(false) };
    close(host).await?;
    running::remove(engine, &id).await?;
    Ok(true)
}

async fn see(engine: &Docker) -> Result<Seen, ContainerError> {
    use ContainerStateStatusEnum as Status;
    let found = docker::call(
        "look at the container",
        engine.inspect_container(NAME, None::<InspectContainerOptions>),
    );
    let Some(found) = docker::absent(found.await)? else { return Ok(Seen::Absent) };
    let state = match found.state.and_then(|state| state.status) {
        Some(Status::RUNNING) => Life::Running,
        Some(Status::CREATED | Status::EXITED) => Life::Stopped,
        _ => Life::Odd,
    };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    Ok(Seen::Here {
        id: found.id.unwrap_or_default(),
        hash: labels.get(&spec::label("spec")).cloned(),
        state,
    })
}

async fn create(
    engine: &Docker,
    specification: &Specification,
    hash: &str,
) -> Result<String, ContainerError> {
    create_as(engine, NAME, body(specification, hash)).await
}

pub(super) async fn create_as(
    engine: &Docker,
    name: &str,
    body: ContainerCreateBody,
) -> Result<String, ContainerError> {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let made = docker::call("create the container", engine.create_container(Some(options), body)).await;
    match made {
        Ok(made) => Ok(made.id),
        Err(error) => match docker::status(&error) {
            // 400: a mount that is not there, a value that Docker does not take.
            Some((400, message)) => Err(ContainerError::Refused { message: message.to_owned() }),
            _ => Err(error),
        },
    }
}

pub(super) async fn launch(
    engine: &Docker,
    id: &str,
    specification: &Specification,
) -> Result<(), ContainerError> {
    let error = match docker::call("start the container", engine.start_container(id, None)).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let address = match &specification.publish {
        Published::Bridge { address, .. } | Published::Host { address } => *address,
        Published::Nowhere { .. } => Ipv4Addr::UNSPECIFIED,
    };
    match docker::status(&error) {
        // It runs.
        Some((304, _)) => Ok(()),
        Some((_, message))
            if ["address already in use", "port is already allocated", "cannot assign requested address"]
                .iter()
                .any(|words| message.contains(words)) =>
        {
            Err(ContainerError::Address { address: address.to_string(), message: message.to_owned() })
        }
        Some((_, message)) if message.contains("error setting rlimit") => {
            Err(ContainerError::OpenFiles { limit: specification.open_files, message: message.to_owned() })
        }
        Some((400, message)) => Err(ContainerError::Refused { message: message.to_owned() }),
        // The program is not in the image, or may not be run.
        Some((_, message))
            if message.contains("executable file not found") || message.contains("exec format") =>
        {
            Err(ContainerError::Refused { message: message.to_owned() })
        }
        _ => Err(error),
    }
}

async fn prove(
    engine: &Docker,
    host: &Host,
    id: &str,
    pid: i64,
    parts: &Parts,
) -> Result<(), ContainerError> {
    let proof = proof::prove(&host.roots.proc, pid, &parts.volume);
    match proof {
        // The process may have ended since: then its last lines are the better answer.
        Err(ContainerError::Proc { .. }) => {
            let pid = ready::await_end(host, engine, id, &parts.secrets).await?.pid;
            proof::prove(&host.roots.proc, pid, &parts.volume)
        }
        Err(error @ ContainerError::NoProof { .. }) => {
            // It writes to the wrong place: it must not go on, and the next run must not adopt it.
            running::remove(engine, id).await?;
            Err(error)
        }
        other => other,
    }
}

/// The specification in Docker's words. Destructured, so that a new field cannot be forgotten here.
pub(super) fn body(specification: &Specification, hash: &str) -> ContainerCreateBody {
    let Specification {
        image,
        command,
        env,
        user,
        mounts,
        publish,
        ports,
        memory,
        open_files,
        core,
        labels,
        volume: _,
        configuration: _,
    } = specification;
    let mut labels: HashMap<String, String> = labels.clone().into_iter().collect();
    labels.insert(spec::label("spec"), hash.to_owned());
    let port = |port: &u16| format!("{port}/tcp");
    let (network_mode, bindings, exposed) = match publish {
        Published::Host { .. } => ("host".to_owned(), None, None),
        Published::Nowhere { network } => (network.clone(), None, None),
        Published::Bridge { address, network } => {
            let bind = |port: &u16| PortBinding {
                host_ip: Some(address.to_string()),
                host_port: Some(port.to_string()),
            };
            let bindings = ports.iter().map(|p| (port(p), Some(vec![bind(p)]))).collect();
            (network.clone(), Some(bindings), Some(ports.iter().map(port).collect()))
        }
    };
    let limit = |name: &str, limit: u32| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(i64::from(limit)),
        hard: Some(i64::from(limit)),
    };
    ContainerCreateBody {
        image: Some(image.clone()),
        cmd: Some(command.clone()),
        env: Some(env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: Some(user.clone()),
        labels: Some(labels),
        exposed_ports: exposed,
        stop_timeout: Some(i64::from(STOP_SECONDS)),
        host_config: Some(HostConfig {
            // `Mounts`, not `Binds`: a source that is not there is an error instead of a new directory.
            mounts: Some(mounts.iter().map(mount).collect()),
            network_mode: Some(network_mode),
            port_bindings: bindings,
            memory: memory.and_then(|bytes| i64::try_from(bytes).ok()),
            ulimits: Some(vec![limit("nofile", *open_files), limit("core", *core)]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(
                    [("max-size", "50m"), ("max-file", "3")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                ),
            }),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            cap_drop: Some(vec!["ALL".to_owned()]),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn mount((source, target, read_only): &(std::path::PathBuf, String, bool)) -> Mount {
    Mount {
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.clone()),
        typ: Some(MountType::BIND),
        read_only: Some(*read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}
