//! `[node]`: who this node is.

use crate::config::{Name, Section};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Which deployment: the value of the tag `weaviate:deployment` on ENI and instance.
    pub deployment: Name,
    /// Which node of it: `CLUSTER_HOSTNAME`, and the node's name inside every backup.
    pub name: Name,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let deployment = section.required("deployment");
        let name = section.required("name");
        Some(Self { deployment: deployment?, name: name? })
    }
}
