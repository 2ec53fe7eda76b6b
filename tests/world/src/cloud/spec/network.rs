//! The VPC's own parts: subnets, route tables, security groups.

use serde::Deserialize;

use super::ZONE;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vpc {
    pub id: String,
    pub cidr: String,
}

impl Default for Vpc {
    fn default() -> Self {
        Self { id: "vpc-0aaaaaaaaaaaaaa00".into(), cidr: "10.0.0.0/16".into() }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    pub id: String,
    pub cidr: String,
    #[serde(default = "default_zone")]
    pub zone: String,
}

fn default_zone() -> String {
    ZONE.into()
}

pub(super) fn default_subnets() -> Vec<Subnet> {
    [("1", "10.0.1.0/24"), ("2", "10.0.2.0/24"), ("3", "10.0.3.0/24"), ("4", "10.0.4.0/24")]
        .map(|(n, cidr)| Subnet {
            id: format!("subnet-0aaaaaaaaaaaaaa0{n}"),
            cidr: cidr.into(),
            zone: ZONE.into(),
        })
        .into()
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTable {
    pub id: String,
    pub main: bool,
    /// Subnets that are associated by name; the others use the main table.
    pub subnets: Vec<String>,
    pub routes: Vec<Route>,
}

impl Default for RouteTable {
    fn default() -> Self {
        let local = Route { destination: "10.0.0.0/16".into(), target: "local".into() };
        Self { id: "rtb-0aaaaaaaaaaaaaa00".into(), main: true, subnets: Vec::new(), routes: vec![local] }
    }
}

/// The target is `local`, a gateway (`igw-`, `vpce-`, `nat-`) or an ENI.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub destination: String,
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroup {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub ingress: Vec<Rule>,
}

/// One ingress rule; the protocol `-1` means all, without ports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub protocol: String,
    pub from: Option<u16>,
    pub to: Option<u16>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub cidrs: Vec<String>,
}

pub(super) fn default_security_groups() -> Vec<SecurityGroup> {
    let port = |port| Rule {
        protocol: "tcp".into(),
        from: Some(port),
        to: Some(port),
        groups: vec!["sg-0aaaaaaaaaaaaaa03".into()],
        cidrs: Vec::new(),
    };
    let group = |n: u8, name: &str, ingress| SecurityGroup {
        id: format!("sg-0aaaaaaaaaaaaaa0{n}"),
        name: name.into(),
        ingress,
    };
    vec![
        group(1, "instances", Vec::new()),
        group(2, "weaviate", vec![port(8080), port(50051)]),
        group(3, "ray", Vec::new()),
    ]
}
