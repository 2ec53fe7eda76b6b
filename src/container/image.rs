//! The server's image: there already, loaded from a file, or pulled.

use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ImageInspect;
use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::{ContainerError, docker};
use crate::host::Host;
use crate::report::Step;
use crate::retry::{Limits, retry};

/// One try of a pull may be silent for so long. One that moves is let go on, however slowly: what it has fetched would
/// be fetched again. Only the step's own deadline ends it.
const SILENCE: Duration = Duration::from_mins(2);
/// For so long a pull that failed is begun again.
const PULL: Limits = Limits::new(Duration::from_mins(20), Duration::from_secs(1), Duration::from_secs(20));
/// The engine, three calls, and a pull whose last try is silent.
#[cfg(test)]
pub(crate) const LONGEST: Duration = Duration::from_secs(
    docker::READY.deadline.as_secs()
        + 3 * docker::CALL.as_secs()
        + PULL.deadline.as_secs()
        + SILENCE.as_secs(),
);

/// Evidence: the image is in the engine's store.
///
/// Nobody else can make one; who has one can hand it on.
/// ```compile_fail,E0451
/// # use weaviate_provisioner::container::Image;
/// fn forge(evidence: Image) -> Image { Image { ..evidence } }
/// ```
/// ```
/// # use weaviate_provisioner::container::Image;
/// fn hand_on(evidence: Image) -> Image { evidence }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// As configured.
    reference: String,
    /// The engine's own id: what the container is made from, so that a moved tag changes nothing in between.
    id: String,
    /// `sha256:…` of the registry, where the engine knows it.
    digest: Option<String>,
}

impl Image {
    pub fn reference(&self) -> &str {
        &self.reference
    }
    pub fn id(&self) -> &str {
        &self.id
    }
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    #[cfg(test)]
    pub(super) fn for_tests(reference: &str, id: &str) -> Self {
        Self { reference: reference.to_owned(), id: id.trim().to_owned(), digest: None }
    }
}

/// Has the image ready: what is there is used, then the file, then the registry.
pub async fn ready_image(host: &Host) -> Result<Image, ContainerError> {
    let reference = &host.settings.weaviate.image;
    let engine = docker::connect(host).await?;
    if let Some(image) = find(&engine, reference).await? {
        tracing::info!(image = image.id, "{reference} is there already");
        return Ok(image);
    }
    let image = if let Some(path) = &host.settings.weaviate.image_file {
        host.status.say(Step::Image, format!("loads {}", path.display()));
        let names = load(host, &engine, path).await?;
        find_loaded(&engine, reference, path, &names).await?
    } else {
        let note = |error: &ContainerError| host.status.say(Step::Image, format!("tries again: {error}"));
        retry(PULL, note, || pull(host, &engine, reference)).await?;
        find(&engine, reference).await?.ok_or_else(|| ContainerError::Pull {
            image: reference.clone(),
            message: "it is not there after the pull".to_owned(),
            again: true,
        })?
    };
    tracing::info!(image = image.id, "{reference} is ready");
    Ok(image)
}

/// What [`ready_image`] would do: for the command `plan`. Nothing is changed.
pub async fn plan_image(host: &Host) -> Result<String, ContainerError> {
    let weaviate = &host.settings.weaviate;
    let engine = docker::connect(host).await?;
    Ok(match (find(&engine, &weaviate.image).await?, &weaviate.image_file) {
        (Some(_), _) => format!("{} is there already", weaviate.image),
        (None, Some(path)) => format!("loads {} from {}", weaviate.image, path.display()),
        (None, None) => format!("pulls {}", weaviate.image),
    })
}

/// `(repository, digest)` of `repository[:tag]@sha256:…`.
fn pinned(reference: &str) -> Option<(&str, &str)> {
    reference.split_once('@')
}

async fn find(engine: &Docker, reference: &str) -> Result<Option<Image>, ContainerError> {
    let found = docker::call("look for the image", engine.inspect_image(reference)).await;
    docker::absent(found)?.map(|found| check(reference, found)).transpose()
}

/// What the engine found under a digest must have it.
fn check(reference: &str, found: ImageInspect) -> Result<Image, ContainerError> {
    let digests: Vec<String> = found
        .repo_digests
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| name.split_once('@').map(|(_, digest)| digest.to_owned()))
        .collect();
    let id = found.id.unwrap_or_default();
    let digest = match pinned(reference) {
        // An image from a file has no digest of a registry; its id is the digest of its configuration.
        Some((_, wanted)) if digests.iter().any(|digest| digest == wanted) || id == wanted => {
            Some(wanted.to_owned())
        }
        Some(_) => {
            let found = digests.first().cloned().unwrap_or(id);
            return Err(ContainerError::Digest { image: reference.to_owned(), found });
        }
        None => digests.into_iter().next(),
    };
    Ok(Image { reference: reference.to_owned(), id, digest })
}

/// An image by digest in a file: the file's only image is taken, if it has that digest.
async fn find_loaded(
    engine: &Docker,
    reference: &str,
    path: &Path,
    names: &[String],
) -> Result<Image, ContainerError> {
    if let Some(image) = find(engine, reference).await? {
        return Ok(image);
    }
    let absent = || ContainerError::NotInFile { path: path.to_owned(), image: reference.to_owned() };
    let (Some(_), [name]) = (pinned(reference), names) else { return Err(absent()) };
    let found = docker::call("look for the image", engine.inspect_image(name)).await;
    check(reference, docker::absent(found)?.ok_or_else(absent)?)
}

/// Streams the file to the engine; returns the names that it says it loaded.
async fn load(host: &Host, engine: &Docker, path: &Path) -> Result<Vec<String>, ContainerError> {
    let unreadable = |source| ContainerError::ImageFile { path: path.to_owned(), source };
    let refused = |message: String| ContainerError::Load { path: path.to_owned(), message };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let status = host.status.clone();
    let bytes = tokio_util::io::ReaderStream::with_capacity(file, 1 << 20).inspect(move |_| status.alive());
    let options = ImportImageOptionsBuilder::new().quiet(false).build();
    let mut answers = std::pin::pin!(engine.import_image_stream(options, bytes, None));
    let mut names = Vec::new();
    loop {
        let next = tokio::time::timeout(SILENCE, answers.next()).await;
        let answer = match next {
            Ok(None) => return Ok(names),
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(error))) => return Err(refused(error.to_string())),
            Err(_) => {
                return Err(ContainerError::Slow { operation: "load the image file", deadline: SILENCE });
            }
        };
        if let Some(error) = answer.error_detail {
            return Err(refused(error.message.unwrap_or_default()));
        }
        // "Loaded image: name:tag" or "Loaded image ID: sha256:…" (docker/image/tarexport).
        let line = answer.stream.unwrap_or_default();
        let name = line.trim().strip_prefix("Loaded image").and_then(|rest| rest.split_once(": "));
        names.extend(name.map(|(_, name)| name.to_owned()));
        host.status.alive();
    }
}

pub(super) async fn pull(host: &Host, engine: &Docker, reference: &str) -> Result<(), ContainerError> {
    host.status.say(Step::Image, format!("pulls {reference}"));
    // The tag stays in the reference: the engine takes "latest" only where there is none.
    let named = if pinned(reference).is_some() || has_tag(reference) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    };
    let options = CreateImageOptionsBuilder::new().from_image(&named).build();
    let mut answers = std::pin::pin!(engine.create_image(Some(options), None, None));
    let mut layers = std::collections::BTreeMap::new();
    loop {
        let Ok(next) = tokio::time::timeout(SILENCE, answers.next()).await else {
            return Err(ContainerError::Slow { operation: "pull the image", deadline: SILENCE });
        };
        let failed = |message: String| {
            let again = !is_final(&message);
            ContainerError::Pull { image: reference.to_owned(), message, again }
        };
        let answer = match next {
            None => return Ok(()),
            Some(Ok(answer)) => answer,
            Some(Err(bollard::errors::Error::DockerResponseServerError { message, .. })) => {
                return Err(failed(message));
            }
            Some(Err(error)) => return Err(failed(error.to_string())),
        };
        if let Some(error) = answer.error_detail {
            return Err(failed(error.message.unwrap_or_default()));
        }
        if let (Some(layer), Some(progress)) = (answer.id, answer.progress_detail)
            && let Some(current) = progress.current
        {
            layers.insert(layer, current);
            let moved: i64 = layers.values().sum();
            host.status.count(Step::Image, format!("pulls {reference}: {} MiB", moved >> 20));
        }
        host.status.alive();
    }
}

/// A colon after the last slash: before it, it is a port.
fn has_tag(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|name| name.contains(':'))
}

/// Answers of a registry that a retry does not change (distribution specification, error codes).
fn is_final(message: &str) -> bool {
    let message = message.to_lowercase();
    super::error::wants_login(&message)
        || [
            "manifest unknown",
            "not found",
            "access denied",
            "unauthorized",
            "denied:",
            "invalid reference",
            "name unknown",
            "no matching manifest",
        ]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_told_from_a_port() {
        for (reference, expected) in
            [("a:1", true), ("r:5000/a", false), ("r:5000/a:1", true), ("a", false), ("a/b/c", false)]
        {
            assert_eq!(has_tag(reference), expected, "{reference}");
        }
    }

    #[test]
    fn a_digest_is_held_to() {
        let found = |digest: &str| ImageInspect {
            id: Some("sha256:id".to_owned()),
            repo_digests: Some(vec![format!("r/a@{digest}")]),
            ..ImageInspect::default()
        };
        let image = check("r/a@sha256:one", found("sha256:one")).expect("the same");
        assert_eq!(image.digest(), Some("sha256:one"));
        let error = check("r/a@sha256:one", found("sha256:two")).expect_err("another");
        assert_eq!(error.to_string(), "the image r/a@sha256:one has the digest sha256:two");
        assert_eq!(check("r/a:1", found("sha256:two")).expect("by tag").digest(), Some("sha256:two"));
    }

    #[test]
    fn what_a_registry_will_not_change_its_mind_about() {
        for (message, expected) in [
            ("manifest for r/a:2 not found: manifest unknown: x", true),
            ("pull access denied for a, repository does not exist", true),
            ("Get http://r/v2/: dial tcp: connection refused", false),
            ("received unexpected HTTP status: 503 Service Unavailable", false),
            ("toomanyrequests: rate limit", false),
            (
                "Head https://1.dkr.ecr.eu-central-1.amazonaws.com/v2/weaviate/manifests/1: no basic auth credentials",
                true,
            ),
        ] {
            assert_eq!(is_final(message), expected, "{message}");
        }
    }
}
