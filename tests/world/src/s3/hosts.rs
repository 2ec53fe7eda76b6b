//! Path style and virtual-host style, told apart by the `Host` header.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// `<bucket>.s3.world`; every other host, and every address, is path style.
pub const DOMAIN: &str = "s3.world";

/// The bucket that a `Host` header names, if it names one.
pub(super) fn bucket_of(host: &str) -> Option<&str> {
    let host = host.split_once(':').map_or(host, |(name, _)| name);
    host.strip_suffix(DOMAIN)?.strip_suffix('.').filter(|bucket| !bucket.is_empty())
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let domain = VirtualHost::new(DOMAIN);
        Ok(match bucket_of(host) {
            Some(bucket) => domain.with_bucket(bucket),
            None => domain,
        })
    }
}
