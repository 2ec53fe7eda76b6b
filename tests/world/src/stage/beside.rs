//! What lies beside the usual scene: a store that is not Amazon's, and everything of the machine that is not the door.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// Whose S3 has the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shop {
    #[default]
    Amazon,
    /// At `store.world:9000`.
    Other,
}

/// A region as Amazon has none.
pub const OTHER_REGION: &str = "garage";

/// A store that speaks S3 and is not Amazon's: a region of its own, and keys that no role vends.
#[derive(Clone, Debug)]
pub struct OtherStore {
    pub access_key: String,
    pub secret_key: String,
}

/// The secrets that hold its keys.
pub const OTHER_KEYS: [&str; 2] = ["weaviate/store-access-key", "weaviate/store-secret-key"];

/// Metrics, gossip, the cluster API and Raft.
const INNER_PORTS: [u16; 4] = [2112, 7946, 7947, 8300];

/// Everything of the machine that is not the door.
pub fn walls(primary: Ipv4Addr, fixed: Ipv4Addr) -> Vec<SocketAddr> {
    let on = |address: Ipv4Addr| INNER_PORTS.map(|port| SocketAddr::from((address, port)));
    let doors = [8080, 50051].map(|port| SocketAddr::from((primary, port)));
    doors.into_iter().chain(on(primary)).chain(on(fixed)).collect()
}
