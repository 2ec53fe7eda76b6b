//! The doubles, listening at their addresses inside the VPC.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use tokio::task::JoinHandle;

use super::beside::{OTHER_REGION, OtherStore};
use super::scene::{S3Speed, TAG};
use crate::cloud::Cloud;
use crate::cloud::spec::NEW;
use crate::faults::{Faults, transport};
use crate::iam::{Decision, Resource};
use crate::ledger::Ledger;
use crate::registry::{Image, Registry};
use crate::s3;
use crate::vpc::Vpc;

/// Listens until it is dropped.
pub struct Services {
    tasks: Vec<JoinHandle<()>>,
    _stores: Vec<s3::Serving>,
    _registry: s3::Serving,
}

impl Drop for Services {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The cloud's sessions and policies, as the S3 double asks for them.
pub struct Access(pub Cloud);

impl s3::CredentialLookup for Access {
    fn lookup(&self, access_key: &str) -> Option<s3::Credential> {
        let credential = self.0.credentials(access_key)?;
        Some(s3::Credential {
            secret: credential.secret,
            session_token: credential.session_token,
            instance: credential.principal.instance().map(str::to_owned),
            expires: credential.expires,
        })
    }
}

impl s3::Authorise for Access {
    fn allowed(
        &self,
        caller: &s3::Caller,
        action: &str,
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> bool {
        let Some(credential) = self.0.credentials(&caller.access_key) else { return false };
        let context = context.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect();
        self.0.permits(&credential.principal, action, &[Resource::new(resource)], &context)
            == Decision::Allowed
    }
}

/// A store that is not Amazon's, with one key pair that may do everything. It is this instance's.
struct KeyPair(s3::OneKey);

impl s3::CredentialLookup for KeyPair {
    fn lookup(&self, access_key: &str) -> Option<s3::Credential> {
        let credential = self.0.lookup(access_key)?;
        Some(s3::Credential { instance: Some(NEW.to_owned()), ..credential })
    }
}

/// Where objects lie, and how fast they move.
pub struct Stores<'a> {
    pub speed: S3Speed,
    /// Absent: the bucket is Amazon's.
    pub other: Option<&'a OtherStore>,
}

pub fn start(
    cloud: &Cloud,
    vpc: &Vpc,
    directory: &Path,
    image: &Image,
    Stores { speed, other }: Stores<'_>,
    ledger: &Arc<Ledger>,
    faults: &Arc<Faults>,
) -> Result<(s3::Store, Services)> {
    let access = Arc::new(Access(cloud.clone()));
    let S3Speed { first_byte, bytes_per_second, line, region, regions, direct } = speed;
    let line = line.map(|rate| Arc::new(s3::Line::new(rate)));
    let standard = s3::Settings::default();
    let region = region.unwrap_or_else(|| standard.region.clone());
    let settings = s3::Settings {
        first_byte,
        bytes_per_second,
        line,
        region,
        regions,
        server_calls: direct,
        ..standard
    };
    let (seen, troubled) = (Arc::clone(ledger), Arc::clone(faults));
    let mut store = s3::Store::new(directory.join("s3"), access.clone(), access, seen, troubled)?
        .with_settings(settings.clone());
    let mut stores = vec![store.serve(vpc.listen(SocketAddr::from(([10, 0, 8, 9], 80)))?)?];
    if let Some(OtherStore { access_key, secret_key }) = other {
        let keys = Arc::new(KeyPair(s3::OneKey::new(access_key, secret_key)));
        let (seen, troubled) = (Arc::clone(ledger), Arc::clone(faults));
        let lies = directory.join("other-store");
        store = s3::Store::new(lies, keys, Arc::new(s3::AllowAll), seen, troubled)?
            .with_settings(s3::Settings { region: OTHER_REGION.to_owned(), ..settings });
        stores.push(store.serve(vpc.listen(SocketAddr::from(([10, 0, 8, 11], 9000)))?)?);
    }
    let tasks = vec![
        serve(vpc, ([10, 0, 8, 8], 80), cloud.endpoint())?,
        serve(vpc, ([169, 254, 169, 254], 80), cloud.imds(NEW))?,
    ];
    let registry =
        Registry::from_image(image.clone(), "weaviate", TAG, Arc::clone(ledger), Arc::clone(faults));
    let registry = registry.serve(vpc.listen(SocketAddr::from(([10, 0, 8, 10], 5000)))?)?;
    Ok((store, Services { tasks, _stores: stores, _registry: registry }))
}

fn serve(vpc: &Vpc, address: ([u8; 4], u16), router: Router) -> Result<JoinHandle<()>> {
    let listener = tokio::net::TcpListener::from_std(vpc.listen(address.into())?)?;
    Ok(tokio::spawn(async move {
        if let Err(error) = transport::serve(listener, router).await {
            tracing::error!(%error, "a double stopped to listen");
        }
    }))
}
