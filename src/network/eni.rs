//! The network interface as EC2 describes it, and the evidence that it was found and claimed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types as ec2;

use super::NetworkError;
use crate::config::Cidr;

/// Set when the first backup of a deployment is published or restored: it never starts empty again.
pub const INITIALIZED_TAG: &str = "weaviate:initialized";

/// Who holds the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub id: String,
    /// Absent where a service of AWS holds it.
    pub instance: Option<String>,
    pub status: AttachmentStatus,
    pub device_index: i32,
    pub delete_on_termination: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentStatus {
    Attaching,
    Attached,
    Detaching,
    Detached,
    /// A word that is not in the API's model: nothing is done to it.
    Unknown,
}

impl From<Option<&ec2::AttachmentStatus>> for AttachmentStatus {
    fn from(status: Option<&ec2::AttachmentStatus>) -> Self {
        match status {
            Some(ec2::AttachmentStatus::Attaching) => Self::Attaching,
            Some(ec2::AttachmentStatus::Attached) => Self::Attached,
            Some(ec2::AttachmentStatus::Detaching) => Self::Detaching,
            Some(ec2::AttachmentStatus::Detached) => Self::Detached,
            _ => Self::Unknown,
        }
    }
}

/// One look at the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub id: String,
    pub address: Ipv4Addr,
    pub mac: String,
    pub subnet_id: String,
    pub vpc_id: String,
    pub zone: String,
    /// `available`, `in-use`, …
    pub available: bool,
    /// Made and kept by a service of AWS.
    pub managed_by: Option<String>,
    pub attachment: Option<Attachment>,
    pub tags: BTreeMap<String, String>,
    pub security_groups: Vec<String>,
}

impl TryFrom<&ec2::NetworkInterface> for Sight {
    type Error = NetworkError;

    fn try_from(eni: &ec2::NetworkInterface) -> Result<Self, NetworkError> {
        let id = text(eni.network_interface_id(), "a network interface")?;
        let misunderstood = |found: Option<&str>| NetworkError::Misunderstood {
            what: id.clone(),
            found: found.unwrap_or_default().to_owned(),
        };
        let address = eni.private_ip_address();
        let attachment = eni.attachment().and_then(|found| {
            Some(Attachment {
                id: found.attachment_id()?.to_owned(),
                instance: found.instance_id().map(str::to_owned),
                status: found.status().into(),
                device_index: found.device_index().unwrap_or_default(),
                delete_on_termination: found.delete_on_termination().unwrap_or_default(),
            })
        });
        Ok(Self {
            address: address.and_then(|text| text.parse().ok()).ok_or_else(|| misunderstood(address))?,
            mac: text(eni.mac_address(), &id)?.to_ascii_lowercase(),
            subnet_id: text(eni.subnet_id(), &id)?,
            vpc_id: text(eni.vpc_id(), &id)?,
            zone: text(eni.availability_zone(), &id)?,
            available: eni.status() == Some(&ec2::NetworkInterfaceStatus::Available),
            managed_by: eni
                .requester_managed()
                .unwrap_or_default()
                .then(|| eni.requester_id().unwrap_or("a service of AWS").to_owned()),
            attachment,
            tags: eni
                .tag_set()
                .iter()
                .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
                .collect(),
            security_groups: eni.groups().iter().filter_map(|g| Some(g.group_id()?.to_owned())).collect(),
            id,
        })
    }
}

fn text(found: Option<&str>, what: &str) -> Result<String, NetworkError> {
    found
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| NetworkError::Misunderstood { what: what.to_owned(), found: String::new() })
}

/// Evidence: the interface exists, is this node's, and can be attached here. Nothing was touched.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::network::LocatedEni;
/// fn forge(evidence: LocatedEni) -> LocatedEni { LocatedEni { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::network::LocatedEni;
/// fn hand_on(evidence: LocatedEni) -> LocatedEni { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedEni {
    sight: Sight,
    subnet: Cidr,
}

impl LocatedEni {
    /// Only [`super::locate()`] makes one.
    pub(super) const fn new(sight: Sight, subnet: Cidr) -> Self {
        Self { sight, subnet }
    }
    pub fn id(&self) -> &str {
        &self.sight.id
    }
    pub const fn address(&self) -> Ipv4Addr {
        self.sight.address
    }
    pub fn mac(&self) -> &str {
        &self.sight.mac
    }
    pub const fn subnet(&self) -> Cidr {
        self.subnet
    }
    pub fn subnet_id(&self) -> &str {
        &self.sight.subnet_id
    }
    /// The VPC router: the subnet's first address.
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.nth(1)
    }
    pub fn zone(&self) -> &str {
        &self.sight.zone
    }
    pub fn vpc_id(&self) -> &str {
        &self.sight.vpc_id
    }
    pub const fn attachment(&self) -> Option<&Attachment> {
        self.sight.attachment.as_ref()
    }
    /// The instance that held it when it was located.
    pub fn owner(&self) -> Option<&str> {
        self.sight.attachment.as_ref()?.instance.as_deref()
    }
    /// Whether the deployment has had a backup: it must never start empty again.
    pub fn initialized(&self) -> bool {
        self.sight.tags.contains_key(INITIALIZED_TAG)
    }
    pub fn security_groups(&self) -> &[String] {
        &self.sight.security_groups
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            sight: Sight {
                id: "eni-0fixed".to_owned(),
                address: Ipv4Addr::new(10, 0, 2, 15),
                mac: "02:00:00:00:02:15".to_owned(),
                subnet_id: "subnet-2".to_owned(),
                vpc_id: "vpc-1".to_owned(),
                zone: "eu-central-1a".to_owned(),
                available: true,
                managed_by: None,
                attachment: None,
                tags: BTreeMap::new(),
                security_groups: vec!["sg-node".to_owned()],
            },
            subnet: Cidr { network: Ipv4Addr::new(10, 0, 2, 0), prefix: 24 },
        }
    }
}

/// Evidence: the interface is attached to this instance, outlives it, and its link is here.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::network::AttachedEni;
/// fn forge(evidence: AttachedEni) -> AttachedEni { AttachedEni { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::network::AttachedEni;
/// fn hand_on(evidence: AttachedEni) -> AttachedEni { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedEni {
    eni: LocatedEni,
    attachment_id: String,
    reused: bool,
}

impl AttachedEni {
    /// Only [`super::claim()`] makes one.
    pub(super) const fn new(eni: LocatedEni, attachment_id: String, reused: bool) -> Self {
        Self { eni, attachment_id, reused }
    }
    pub const fn eni(&self) -> &LocatedEni {
        &self.eni
    }
    pub fn id(&self) -> &str {
        self.eni.id()
    }
    pub const fn address(&self) -> Ipv4Addr {
        self.eni.address()
    }
    pub fn attachment_id(&self) -> &str {
        &self.attachment_id
    }
    /// Whether it was attached before this run asked.
    pub const fn reused(&self) -> bool {
        self.reused
    }
}
