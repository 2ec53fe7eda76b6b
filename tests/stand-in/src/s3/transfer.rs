//! Chunks as blocking streams, for the threads that pack and unpack them: one GET, or one upload in
//! parts of 16 MiB as minio-go makes them.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use reqwest::Method;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{S3Client, S3Error, between};
use crate::backup::backend::Sink;

const PART: usize = 16 << 20;

/// Opens the object; call it, and read, on a thread that may block.
pub fn reader(client: &Arc<S3Client>, bucket: &str, key: &str) -> io::Result<Box<dyn Read + Send>> {
    let sent = Handle::current().block_on(client.send(Method::GET, bucket, key, &[], Bytes::new()));
    let stream = sent.map_err(io::Error::other)?.bytes_stream().map_err(io::Error::other);
    Ok(Box::new(SyncIoBridge::new(StreamReader::new(Box::pin(stream)))))
}

/// An object being written; nothing is there before `finish`.
#[derive(Debug)]
pub struct Upload {
    client: Arc<S3Client>,
    bucket: String,
    key: String,
    buffer: Vec<u8>,
    id: Option<String>,
    etags: Vec<String>,
}

impl Upload {
    pub fn new(client: &Arc<S3Client>, bucket: &str, key: &str) -> Self {
        Self {
            client: Arc::clone(client),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            buffer: Vec::new(),
            id: None,
            etags: Vec::new(),
        }
    }

    async fn upload_part(&mut self) -> Result<(), S3Error> {
        let part = Bytes::from(std::mem::take(&mut self.buffer));
        let (bucket, key) = (&self.bucket, &self.key);
        let id = if let Some(id) = &self.id {
            id.clone()
        } else {
            let made = self.client.send(Method::POST, bucket, key, &[("uploads", "")], Bytes::new()).await?;
            let text = made.text().await?;
            between(&text, "UploadId").next().unwrap_or_default().to_owned()
        };
        let number = (self.etags.len() + 1).to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", id.as_str())];
        let answer = self.client.send(Method::PUT, bucket, key, &query, part).await?;
        let etag = answer.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        self.etags.push(etag.to_owned());
        self.id = Some(id);
        Ok(())
    }

    async fn complete(mut self) -> Result<(), S3Error> {
        if self.id.is_none() {
            return self.client.put(&self.bucket, &self.key, self.buffer.into()).await;
        }
        if !self.buffer.is_empty() {
            self.upload_part().await?;
        }
        let part = |(n, etag): (u32, &String)| {
            format!("<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>")
        };
        let parts = (1..).zip(&self.etags).map(part).collect::<Vec<_>>().concat();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let id = self.id.unwrap_or_default();
        let query = [("uploadId", id.as_str())];
        self.client.send(Method::POST, &self.bucket, &self.key, &query, body.into()).await.map(drop)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART {
            Handle::current().block_on(self.upload_part()).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Upload {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Handle::current().block_on(self.complete()).map_err(io::Error::other)
    }
}
