//! The doubles, listening at their addresses inside the VPC.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use tokio::task::JoinHandle;

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
    _store: s3::Serving,
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

pub fn start(
    cloud: &Cloud,
    vpc: &Vpc,
    directory: &Path,
    image: &Image,
    speed: S3Speed,
    ledger: &Arc<Ledger>,
    faults: &Arc<Faults>,
) -> Result<(s3::Store, Services)> {
    let access = Arc::new(Access(cloud.clone()));
    let S3Speed { first_byte, bytes_per_second, region } = speed;
    let standard = s3::Settings::default();
    let region = region.unwrap_or_else(|| standard.region.clone());
    let settings = s3::Settings { first_byte, bytes_per_second, region, ..standard };
    let store =
        s3::Store::new(directory.join("s3"), access.clone(), access, Arc::clone(ledger), Arc::clone(faults))?
            .with_settings(settings);
    let serving = store.serve(vpc.listen(SocketAddr::from(([10, 0, 8, 9], 80)))?)?;
    let tasks = vec![
        serve(vpc, ([10, 0, 8, 8], 80), cloud.endpoint())?,
        serve(vpc, ([169, 254, 169, 254], 80), cloud.imds(NEW))?,
    ];
    let registry =
        Registry::from_image(image.clone(), "weaviate", TAG, Arc::clone(ledger), Arc::clone(faults));
    let registry = registry.serve(vpc.listen(SocketAddr::from(([10, 0, 8, 10], 5000)))?)?;
    Ok((store, Services { tasks, _store: serving, _registry: registry }))
}

fn serve(vpc: &Vpc, address: ([u8; 4], u16), router: Router) -> Result<JoinHandle<()>> {
    let listener = tokio::net::TcpListener::from_std(vpc.listen(address.into())?)?;
    Ok(tokio::spawn(async move {
        if let Err(error) = transport::serve(listener, router).await {
            tracing::error!(%error, "a double stopped to listen");
        }
    }))
}
