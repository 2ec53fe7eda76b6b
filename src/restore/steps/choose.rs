//! Which backup: looked up, decided, and nothing changed.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use secrecy::ExposeSecret as _;

use super::super::choose::{self, Choice, Plan, Wish};
use super::super::elsewhere::{Elsewhere, Share};
use super::super::error::RestoreError;
use super::super::evidence::ChosenBackup;
use crate::host::Host;
use crate::instance::Identity;
use crate::network::LocatedEni;
use crate::report::Step;
use crate::retry::retry;
use crate::secrets;
use crate::store::Store;
use crate::weaviate::descriptor::tagged;

/// A client for the bucket: with the instance's role, or with keys of its own for a store that is not AWS.
pub async fn connect(host: &Host, me: &Identity) -> Result<Store, RestoreError> {
    Ok(Store::connect(host, me.region(), keys(host, me).await?).await)
}

async fn keys(host: &Host, me: &Identity) -> Result<Option<SharedCredentialsProvider>, RestoreError> {
    let Some(keys) = &host.settings.backup.credentials else { return Ok(None) };
    let access = secrets::value(host, me, &keys.access_key).await?;
    let secret = secrets::value(host, me, &keys.secret_key).await?;
    let name = "backup.credentials";
    let keys = Credentials::new(access.expose_secret(), secret.expose_secret(), None, None, name);
    Ok(Some(SharedCredentialsProvider::new(keys)))
}

/// Both buckets: the node's own, and the one that `restore.from` names.
async fn connect_both(host: &Host, me: &Identity) -> Result<(Store, Option<Elsewhere>), RestoreError> {
    let keys = keys(host, me).await?;
    let elsewhere = match &host.settings.restore.from {
        None => None,
        Some(source) => {
            let settings = Elsewhere::settings(host, source);
            let store = Store::connect_to(host, me.region(), &settings, keys.clone()).await;
            Some(Elsewhere::new(store, source.clone()))
        }
    };
    Ok((Store::connect(host, me.region(), keys).await, elsewhere))
}

/// A client for all writes but the manifest's and the reports': with `backup.role_arn`, where it is set.
pub async fn connect_writer(host: &Host, me: &Identity, store: &Store) -> Store {
    match &host.settings.backup.role_arn {
        Some(role) => Store::connect_as(host, me.region(), role, me.instance_id()).await,
        None => store.clone(),
    }
}

/// Finds out what is to be restored. Changes nothing.
pub async fn choose(host: &Host, me: &Identity, located: &LocatedEni) -> Result<ChosenBackup, RestoreError> {
    let (store, elsewhere) = connect_both(host, me).await?;
    host.status.say(Step::Choose, format!("looks into s3://{}", store.bucket()));
    let settings = &host.settings;
    let wish = Wish {
        deployment: settings.node.deployment.to_string(),
        node: settings.node.name.to_string(),
        allow_empty: settings.restore.allow_empty,
        unverified: settings.restore.unverified,
        eni: located.id().to_owned(),
        initialized: located.initialized(),
        image: tagged(&settings.weaviate.image).map(str::to_owned),
        from: settings.restore.from.clone(),
    };
    let choice = look(host, &store, elsewhere.as_ref(), &wish, Step::Choose).await?;
    Ok(ChosenBackup { store, elsewhere, wish, instance_id: me.instance_id().to_owned(), choice })
}

/// The look, asked again while that may help.
pub(super) async fn look(
    host: &Host,
    store: &Store,
    elsewhere: Option<&Elsewhere>,
    wish: &Wish,
    step: Step,
) -> Result<Choice, RestoreError> {
    retry(super::ASK, super::again(host, step), || choose::choose(store, elsewhere, wish)).await
}

/// What was decided although something is missing stays in the report, not only in the log.
pub(super) fn remind(host: &Host, plan: &Plan) {
    if let Plan::UseSource { from, share: Share { idle: Some(name), .. }, .. } = plan {
        host.status.warn(format!(
            "`restore.from.exclude` names {name}, and the backup of {from} has no such collection"
        ));
    }
    match plan {
        Plan::StartEmpty { after: Some(_) }
        | Plan::UseSource { after: Some(_), .. }
        | Plan::UseCopy
        | Plan::UseUnverified => {
            host.status.warn(format!("decided by what is missing: {plan}"));
        }
        Plan::UsePointer
        | Plan::StartEmpty { after: None }
        | Plan::UseSource { after: None, .. }
        | Plan::RefuseSource
        | Plan::RefuseShare { .. }
        | Plan::RefuseUnverified
        | Plan::RefuseBroken
        | Plan::RefuseInitialized
        | Plan::RefuseEmpty => {}
    }
}
