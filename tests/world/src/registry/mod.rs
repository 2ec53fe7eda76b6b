//! A small read-only OCI registry, and the image that it serves.
//!
//! ```text
//!  one static binary ─▶ Image (layer, config, manifest; digests) ─┬─▶ Registry ─▶ /v2/… ─▶ dockerd
//!                                                                 └─▶ archive ─▶ docker load
//! ```
//!
//! The image is what the real one looks like from outside (`FROM`, entry point, command, no user, no ports),
//! built from a stand-in's binary, the same bytes and so the same digest every time.
//!
//! Operations for faults: `Ping`, `GetManifest`, `HeadManifest`, `GetBlob`, `HeadBlob`, `ListTags`.
//! To add one: a row in `Path::of`, an arm in `Registry::found`, and a row in [`BEHAVIOURS`].

mod archive;
mod front;
mod gzip;
mod image;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use front::Front;
pub use image::{Image, ImageOptions};

use crate::assumptions::Behaviour;
use crate::assumptions::Known::{Assumed, Documented};
use crate::faults::Faults;
use crate::ledger::Ledger;
use crate::s3::Serving;

/// Images by repository and tag. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    repositories: Arc<BTreeMap<String, Repository>>,
    ledger: Arc<Ledger>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Repository {
    /// Tag → digest of its manifest.
    tags: BTreeMap<String, String>,
    images: BTreeMap<String, Image>,
}

impl Registry {
    /// One image under one name, such as `semitechnologies/weaviate` and `1.39.0`.
    pub fn from_image(
        image: Image,
        repository: &str,
        tag: &str,
        ledger: Arc<Ledger>,
        faults: Arc<Faults>,
    ) -> Self {
        Self::of([(repository, tag, image)], ledger, faults)
    }

    pub fn of<'a>(
        images: impl IntoIterator<Item = (&'a str, &'a str, Image)>,
        ledger: Arc<Ledger>,
        faults: Arc<Faults>,
    ) -> Self {
        let mut repositories: BTreeMap<String, Repository> = BTreeMap::new();
        for (repository, tag, image) in images {
            let repository = repositories.entry(repository.to_owned()).or_default();
            repository.tags.insert(tag.to_owned(), image.digest().to_owned());
            repository.images.insert(image.digest().to_owned(), image);
        }
        Self { repositories: Arc::new(repositories), ledger, faults }
    }

    /// Serves plain HTTP on `listener` until the result is dropped.
    pub fn serve(&self, listener: std::net::TcpListener) -> std::io::Result<Serving> {
        crate::s3::serve::serve(self.service(), listener)
    }

    pub fn service(&self) -> Front {
        Front { registry: self.clone() }
    }
}

pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "registry.manifest",
        what: "manifests by tag and by digest, with Content-Type and Docker-Content-Digest, for GET and HEAD",
        known: Documented("OCI distribution specification 1.1, pulling manifests"),
    },
    Behaviour {
        name: "registry.blob",
        what: "blobs by digest, unknown ones 404 BLOB_UNKNOWN",
        known: Documented("OCI distribution specification 1.1, pulling blobs"),
    },
    Behaviour {
        name: "registry.errors",
        what: "errors as JSON with code and message; 429 TOOMANYREQUESTS, 403 DENIED, 405 UNSUPPORTED for writes",
        known: Documented("OCI distribution specification 1.1, error codes"),
    },
    Behaviour {
        name: "registry.open",
        what: "nobody is asked for credentials",
        known: Assumed(
            "cr.weaviate.io and Docker Hub hand public images to everybody, behind a token that is free",
        ),
    },
    Behaviour {
        name: "registry.absent",
        what: "by fault only: a manifest or blob that is there is not found yet; stale means the same",
        known: Assumed("a mirror that has not caught up"),
    },
    Behaviour {
        name: "registry.image",
        what: "entry point /bin/weaviate, command --host 0.0.0.0 --port 8080 --scheme http, no user, ports or volumes",
        known: Documented("Dockerfile of weaviate 1.39.0"),
    },
    Behaviour {
        name: "registry.layer",
        what: "one layer in gzip without compression",
        known: Assumed("clients look at the magic number only; packing costs time and saves nothing here"),
    },
];
