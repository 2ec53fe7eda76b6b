//! The cloud on loopback, for real clients: `cargo run -p world --example cloud -- --listen 127.0.0.1:4566`.
//!
//! The endpoint is at `--listen`, the metadata of the default instance and S3 (with the empty bucket
//! `acme-weaviate`) on ports of their own; all are printed. Faults and the cloud come from the same file that a
//! case has; without one the defaults stand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;
use tokio::net::TcpListener;
use world::cloud::{Cloud, CloudSpec, spec};
use world::faults::{Fault, Faults, transport};
use world::iam::Policy;
use world::ledger::Ledger;
use world::s3::Store;
use world::stage::Access;

const BUCKET: &str = "acme-weaviate";

#[derive(Parser)]
struct Arguments {
    /// Where AWS answers; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// TOML with `[cloud]` and `[[fault]]`.
    #[arg(long)]
    case: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Case {
    cloud: CloudSpec,
    fault: Vec<Fault>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(arguments.listen.ip().is_loopback(), "the cloud listens on loopback only");
    let case = match &arguments.case {
        Some(path) => {
            toml::from_str(&std::fs::read_to_string(path)?).with_context(|| path.display().to_string())?
        }
        None => Case::default(),
    };
    let placeholders = [
        ("REGION", case.cloud.region.clone()),
        ("ACCOUNT", case.cloud.account.clone()),
        ("DEPLOYMENT", "acme-prod".to_owned()),
        ("NODE", "weaviate-0".to_owned()),
        ("BUCKET", BUCKET.to_owned()),
        ("PREFIX", "prod".to_owned()),
        ("GROUP", spec::GROUP.to_owned()),
    ];
    let placeholders: Vec<(&str, &str)> =
        placeholders.iter().map(|(word, value)| (*word, value.as_str())).collect();
    let policy = Policy::load(include_str!("../../../packaging/iam-instance.json"), &placeholders)?;
    let ledger = Arc::new(Ledger::default());
    let faults = Arc::new(Faults::new(case.fault));
    let cloud = Cloud::new(case.cloud, Arc::clone(&ledger), Arc::clone(&faults), policy);
    cloud.start();
    let bodies = tempfile::tempdir()?;
    let access = Arc::new(Access(cloud.clone()));
    let store = Store::new(bodies.path(), access.clone(), access, ledger, faults)?;
    store.create_bucket(BUCKET);
    let objects = store.serve(std::net::TcpListener::bind((arguments.listen.ip(), 0))?)?;

    let aws = TcpListener::bind(arguments.listen).await?;
    let metadata = TcpListener::bind((arguments.listen.ip(), 0)).await?;
    println!("aws http://{}", aws.local_addr()?);
    println!("imds http://{}", metadata.local_addr()?);
    println!("s3 http://{}", objects.address);
    tokio::select! {
        ended = transport::serve(aws, cloud.endpoint()) => ended?,
        ended = transport::serve(metadata, cloud.imds(spec::NEW)) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
