//! A second server beside the one that serves, for a drill: the same image and settings, a name and directories of its
//! own, no port that anybody could reach, and little of the processor while the other one wants it.

use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptionsBuilder};

use super::spec::{self, Room};
use super::{ContainerError, Image, REST_PORT, Running, bridge, docker, ready, start};
use crate::disk::DataVolume;
use crate::host::Host;
use crate::secrets::Secrets;

const NAME: &str = "weaviate-drill";
/// Of the processor's time, where the server that serves has Docker's default of 1024 (docker run --cpu-shares).
const SHARES: i64 = 64;

/// A server that nobody is served by.
#[derive(Debug)]
pub struct Aside {
    inside: Ipv4Addr,
}

impl Aside {
    pub fn base_url(&self) -> String {
        format!("http://{}:{REST_PORT}", self.inside)
    }
}

/// What it is made of.
#[derive(Clone, Copy, Debug)]
pub struct Stuff<'a> {
    pub volume: &'a DataVolume,
    pub secrets: &'a Secrets,
    pub image: &'a Image,
}

impl<'a> From<&'a Running> for Stuff<'a> {
    fn from(running: &'a Running) -> Self {
        Self { volume: running.volume(), secrets: running.secrets(), image: running.image() }
    }
}

/// Starts it and waits until it is ready.
pub async fn start_aside(host: &Host, stuff: Stuff<'_>, room: &Room) -> Result<Aside, ContainerError> {
    let engine = docker::connect(host).await?;
    let Stuff { volume, secrets, image } = stuff;
    let specification = spec::aside(host, volume, secrets, image, room);
    if spec::leaks(&specification, secrets) {
        return Err(ContainerError::Leak);
    }
    bridge::ensure(host, &engine).await?;
    let mut body = start::body(&specification, &specification.hash());
    if let Some(limits) = &mut body.host_config {
        limits.cpu_shares = Some(SHARES);
    }
    let id = start::create_as(&engine, NAME, body).await?;
    start::launch(&engine, &id, &specification).await?;
    let aside = Aside { inside: start::inside(host, &engine, &id, secrets).await? };
    ready::wait(host, &engine, &id, &aside.base_url(), secrets).await?;
    Ok(aside)
}

/// Removes it, if there is one: by force, because nothing that it holds is needed. One of that name which is not ours
/// is left, and said.
pub async fn remove_aside(host: &Host) -> Result<(), ContainerError> {
    let engine = docker::connect(host).await?;
    if !is_there(&engine).await? {
        return Ok(());
    }
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let gone = docker::call("remove the container", engine.remove_container(NAME, Some(options))).await;
    match gone {
        // 409: its removal is in progress already.
        Err(error) if matches!(docker::status(&error), Some((409, _))) => Ok(()),
        other => docker::absent(other).map(drop),
    }
}

/// Whether there is one; an error where it is somebody else's.
async fn is_there(engine: &Docker) -> Result<bool, ContainerError> {
    let looked = engine.inspect_container(NAME, None::<InspectContainerOptions>);
    let Some(found) = docker::absent(docker::call("look at the container", looked).await)? else {
        return Ok(false);
    };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    if labels.contains_key(&spec::label("drill")) {
        return Ok(true);
    }
    Err(ContainerError::NotOurs { name: NAME.to_owned() })
}
