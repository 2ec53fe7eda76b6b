//! Why there is no server.

use std::path::PathBuf;
use std::time::Duration;

use crate::explain::{Class, Explain};

#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    #[error("the Docker Engine does not answer on {}", socket.display())]
    Engine { socket: PathBuf, source: bollard::errors::Error },
    #[error("the Docker Engine did not {operation}")]
    Call { operation: &'static str, source: bollard::errors::Error },
    #[error("the Docker Engine did not {operation} within {} s", deadline.as_secs())]
    Slow { operation: &'static str, deadline: Duration },
    #[error("the image {image} cannot be pulled: {message}")]
    Pull { image: String, message: String, again: bool },
    #[error("the image file {} cannot be read", path.display())]
    ImageFile { path: PathBuf, source: std::io::Error },
    #[error("the image file {} cannot be loaded: {message}", path.display())]
    Load { path: PathBuf, message: String },
    #[error("the image file {} does not hold {image}", path.display())]
    NotInFile { path: PathBuf, image: String },
    #[error("the image {image} has the digest {found}")]
    Digest { image: String, found: String },
    #[error("the bridge {bridge} belongs to another network of Docker ({what})")]
    Bridge { bridge: String, what: String },
    #[error("the container {name} is not ours: it has no label of this program")]
    NotOurs { name: String },
    #[error("{address} cannot be published: {message}")]
    Address { address: String, message: String },
    #[error("the engine may not give the server {limit} open files")]
    OpenFiles { limit: u32, message: String },
    #[error("the container cannot be started: {message}")]
    Refused { message: String },
    #[error("the server exited with code {code}{}", if *oom { " (out of memory)" } else { "" })]
    Exited { code: i64, oom: bool, log: Vec<String> },
    #[error("the server was not ready within {} s", deadline.as_secs())]
    NotReady { deadline: Duration, log: Vec<String> },
    #[error("the server does not see the data volume: {what}")]
    NoProof { what: String },
    #[error("{} of the container cannot be read", path.display())]
    Proc { path: PathBuf, source: std::io::Error },
    #[error("the container could reach the instance metadata: the door's metadata rules are not loaded")]
    MetadataOpen,
    /// What is wrong with the door, in the words of whoever looked at it, or could not close it.
    #[error(transparent)]
    Door(Box<crate::network::NetworkError>),
    #[error("the container's specification would hold a secret")]
    Leak,
    #[error("the credentials for the container cannot be served on {address}")]
    Vend { address: String, source: std::io::Error },
    #[error("the role weaviate.s3_role_arn cannot be assumed")]
    Assume { source: crate::aws::CallError },
    #[error("the token for the container's credentials cannot be written")]
    Token { source: Box<crate::secrets::SecretsError> },
}

/// Whether a registry asks who we are: ECR and other private ones (Docker's own words, and the token server's).
pub fn wants_login(message: &str) -> bool {
    let message = message.to_lowercase();
    ["no basic auth credentials", "authentication required"].iter().any(|words| message.contains(words))
}

impl Explain for ContainerError {
    fn class(&self) -> Class {
        match self {
            Self::Pull { again: false, .. }
            | Self::ImageFile { .. }
            | Self::Load { .. }
            | Self::NotInFile { .. }
            | Self::Digest { .. }
            | Self::Bridge { .. }
            | Self::NotOurs { .. }
            | Self::OpenFiles { .. }
            | Self::Refused { .. }
            | Self::Leak
            // Its own word is final.
            | Self::Exited { code: 1..128, .. }
            | Self::Exited { oom: true, .. } => Class::Final,
            Self::Engine { .. }
            | Self::Call { .. }
            | Self::Slow { .. }
            | Self::Pull { again: true, .. }
            | Self::Address { .. }
            | Self::NotReady { .. }
            | Self::Proc { .. }
            | Self::NoProof { .. }
            | Self::MetadataOpen
            | Self::Vend { .. }
            // A signal that was not for want of memory, 0, and no code at all come from outside: somebody stopped
            // it, or the engine was restarted.
            | Self::Exited { .. } => Class::Retry,
            Self::Door(source) => source.class(),
            Self::Assume { source } => source.class(),
            Self::Token { source } => source.class(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Engine { socket, .. } => {
                format!("Start docker.service; it must listen on {}.", socket.display())
            }
            Self::Call { .. } | Self::Slow { .. } => "Look into `journalctl -u docker`.".to_owned(),
            Self::Pull { again: true, .. } => "Check the way to the registry; it is tried again.".to_owned(),
            Self::Pull { again: false, message, .. } if wants_login(message) => {
                "This program logs in to no registry: mirror the image to one without, or set weaviate.image_file."
                    .to_owned()
            }
            Self::Pull { again: false, image, .. } => {
                format!("Check that {image} exists and may be pulled, or set weaviate.image_file.")
            }
            Self::ImageFile { path, .. } | Self::Load { path, .. } => {
                format!("Make {} with `docker save`, readable by root.", path.display())
            }
            Self::NotInFile { image, .. } => {
                format!("Save {image} into the file, or name in weaviate.image what is in it.")
            }
            Self::Digest { .. } => "Name the digest that you mean in weaviate.image.".to_owned(),
            Self::Bridge { bridge, .. } => {
                format!("Remove that network, or set network.bridge and network.bridge_subnet ({bridge}).")
            }
            Self::NotOurs { name } => format!("Remove or rename it: `docker rename {name} {name}-old`."),
            Self::Address { address, .. } => {
                format!("Find what else listens on {address} (`ss -ltnp`); it is tried again.")
            }
            Self::OpenFiles { .. } => {
                "Lower weaviate.open_files, or raise LimitNOFILE of docker.service.".to_owned()
            }
            Self::Refused { .. } => "Mend what Docker names.".to_owned(),
            Self::Exited { oom: true, .. } => "Give it more memory (weaviate.memory).".to_owned(),
            Self::Exited { oom: false, .. } | Self::NotReady { .. } => {
                "Read its last lines in the details, and mend what they name.".to_owned()
            }
            Self::NoProof { .. } => {
                "Nothing was written; the container is replaced by the next run.".to_owned()
            }
            Self::Proc { .. } => "The container ended meanwhile; it is tried again.".to_owned(),
            Self::MetadataOpen => {
                "Find who removes the nft table inet weaviate_provisioner; it is tried again.".to_owned()
            }
            Self::Door(source) => source.remedy(),
            Self::Leak => "Take the secret out of weaviate.env and the image's name.".to_owned(),
            Self::Vend { .. } => "Find what else listens there; it is tried again.".to_owned(),
            Self::Assume { source } => {
                format!("{} Let the role trust the instance's role.", source.remedy())
            }
            Self::Token { source } => source.remedy(),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Exited { log, .. } | Self::NotReady { log, .. } => log.clone(),
            Self::OpenFiles { message, .. } => vec![message.clone()],
            Self::Door(source) => source.details(),
            _ => Vec::new(),
        }
    }
}
