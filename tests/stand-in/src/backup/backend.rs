//! Where backups live: a directory, or a bucket through the stand-in's own S3 client.
//!
//! A [`Place`] is a backend with the `Bucket` and `Path` of one request applied.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::s3::transfer::{self, Upload};
use crate::s3::{S3Client, S3Error};

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Failed(String),
}

#[derive(Clone, Debug)]
pub enum Place {
    Filesystem { root: PathBuf },
    S3 { client: Arc<S3Client>, bucket: String, prefix: String },
}

/// A chunk being written; dropping it without `finish` leaves it incomplete.
pub trait Sink: Write + Send {
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Place {
    /// `s3://bucket/prefix/id`, or the directory.
    pub fn home(&self, id: &str) -> String {
        match self {
            Self::Filesystem { root } => root.join(id).display().to_string(),
            Self::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{}", join(prefix, id)),
        }
    }

    pub async fn get(&self, key: &str) -> Result<Vec<u8>, BackendError> {
        match self {
            Self::Filesystem { root } => read_file(&root.join(key)),
            Self::S3 { client, bucket, prefix } => {
                let key = join(prefix, key);
                client.get(bucket, &key).await.map_err(|error| match error {
                    S3Error::NoSuchKey => BackendError::NotFound(format!(
                        "get object contents from {bucket}:{key} not found {key}: The specified key does not exist."
                    )),
                    other @ (S3Error::Refused(_) | S3Error::Transport(_)) => BackendError::Failed(format!("get object contents from {bucket}:{key} {key}: {other}")),
                })
            }
        }
    }

    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), BackendError> {
        match self {
            Self::Filesystem { root } => write_file(&root.join(key), &bytes)
                .map_err(|error| BackendError::Failed(format!("write file '{key}': {error}"))),
            Self::S3 { client, bucket, prefix } => {
                let key = join(prefix, key);
                let put = client.put(bucket, &key, bytes.into()).await;
                put.map_err(|error| BackendError::Failed(format!("put object: {bucket}:{key}: {error}")))
            }
        }
    }

    /// The folders that may be backups.
    pub async fn ids(&self) -> Result<Vec<String>, BackendError> {
        match self {
            Self::Filesystem { root } => {
                let entries = std::fs::read_dir(root).map_err(|e| BackendError::Failed(e.to_string()))?;
                let dirs = entries.flatten().filter(|entry| entry.path().is_dir());
                Ok(dirs.filter_map(|entry| entry.file_name().into_string().ok()).collect())
            }
            Self::S3 { client, bucket, prefix } => client
                .folders(bucket, prefix)
                .await
                .map_err(|error| BackendError::Failed(format!("list objects: {error}"))),
        }
    }

    /// A chunk as a blocking stream; call it from a thread that may block.
    pub fn reader(&self, key: &str) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Filesystem { root } => {
                Ok(Box::new(io::BufReader::new(std::fs::File::open(root.join(key))?)))
            }
            Self::S3 { client, bucket, prefix } => transfer::reader(client, bucket, &join(prefix, key)),
        }
    }

    pub fn writer(&self, key: &str) -> io::Result<Box<dyn Sink>> {
        match self {
            Self::Filesystem { root } => {
                let path = root.join(key);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                Ok(Box::new(FileSink(io::BufWriter::new(std::fs::File::create(path)?))))
            }
            Self::S3 { client, bucket, prefix } => {
                Ok(Box::new(Upload::new(client, bucket, &join(prefix, key))))
            }
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
}

fn read_file(path: &Path) -> Result<Vec<u8>, BackendError> {
    std::fs::read(path).map_err(|error| {
        let shown = path.display();
        if error.kind() == io::ErrorKind::NotFound {
            BackendError::NotFound(format!(
                "get object path could not find {shown}: stat {shown}: no such file or directory"
            ))
        } else {
            BackendError::Failed(format!("get object open file {shown}: {error}"))
        }
    })
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    crate::store::catalog::write_atomically(path, bytes)
}

struct FileSink(io::BufWriter<std::fs::File>);

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for FileSink {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}
