//! The types that a value of the configuration can have. Each says what it expects.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value as Toml;

/// A checked value.
pub trait Value: Sized {
    /// What a right value looks like: "a duration such as \"90s\"".
    const EXPECTED: &'static str;
    /// The value, or what is wrong with it, to be read after the key's name.
    fn read(value: &Toml) -> Result<Self, String>;
}

fn wrong<T: Value>(value: &Toml) -> String {
    format!("is {}, not {}", shown(value), T::EXPECTED)
}

fn shown(value: &Toml) -> String {
    match value {
        Toml::String(text) => format!("{text:?}"),
        Toml::Integer(number) => number.to_string(),
        Toml::Boolean(flag) => flag.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}

fn text<T: Value>(value: &Toml) -> Result<&str, String> {
    value.as_str().ok_or_else(|| wrong::<T>(value))
}

impl Value for String {
    const EXPECTED: &'static str = "a text";
    fn read(value: &Toml) -> Result<Self, String> {
        let text = text::<Self>(value)?;
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";
    fn read(value: &Toml) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| wrong::<Self>(value))
    }
}

impl Value for u32 {
    const EXPECTED: &'static str = "a whole number from 0 up";
    fn read(value: &Toml) -> Result<Self, String> {
        value.as_integer().and_then(|n| Self::try_from(n).ok()).ok_or_else(|| wrong::<Self>(value))
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "an absolute path";
    fn read(value: &Toml) -> Result<Self, String> {
        let path = Self::from(text::<Self>(value)?);
        if path.is_absolute() { Ok(path) } else { Err(wrong::<Self>(value)) }
    }
}

impl Value for Ipv4Addr {
    const EXPECTED: &'static str = "an IPv4 address such as \"10.0.2.15\"";
    fn read(value: &Toml) -> Result<Self, String> {
        text::<Self>(value)?.parse().map_err(|_| wrong::<Self>(value))
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration such as \"90s\" or \"10m\"";
    fn read(value: &Toml) -> Result<Self, String> {
        let duration: jiff::SignedDuration =
            text::<Self>(value)?.parse().map_err(|_| wrong::<Self>(value))?;
        match Self::try_from(duration) {
            Ok(duration) if !duration.is_zero() => Ok(duration),
            _ => Err(wrong::<Self>(value)),
        }
    }
}

impl<T: Value> Value for Vec<T> {
    const EXPECTED: &'static str = "a list";
    fn read(value: &Toml) -> Result<Self, String> {
        let list =
            value.as_array().ok_or_else(|| format!("is {}, not a list of {}s", shown(value), T::EXPECTED))?;
        list.iter()
            .enumerate()
            .map(|(i, item)| T::read(item).map_err(|what| format!("item {}: {what}", i + 1)))
            .collect()
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    const EXPECTED: &'static str = "a table";
    fn read(value: &Toml) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| wrong::<Self>(value))?;
        table
            .iter()
            .map(|(key, item)| Ok((key.clone(), T::read(item).map_err(|what| format!("{key}: {what}"))?)))
            .collect()
    }
}

/// A name of ours: it becomes part of tags, keys in S3 and host names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Name {
    const EXPECTED: &'static str = "a name of a-z, 0-9 and -, at most 63 long, such as \"weaviate-0\"";
    fn read(value: &Toml) -> Result<Self, String> {
        let text = text::<Self>(value)?;
        // The label rules of RFC 1123: the node's name is also its host name (CLUSTER_HOSTNAME).
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = !text.starts_with('-') && !text.ends_with('-');
        if letters && ends && (1..=63).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong::<Self>(value))
        }
    }
}

/// A path inside a bucket, without slashes at its ends; empty for the bucket's root, as in the seeds' layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(pub String);

impl Value for Prefix {
    const EXPECTED: &'static str = "a path such as \"prod/weaviate\", or empty";
    fn read(value: &Toml) -> Result<Self, String> {
        let text = text::<Self>(value)?.trim_matches('/');
        let parts = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if text.is_empty() || parts { Ok(Self(text.to_owned())) } else { Err(wrong::<Self>(value)) }
    }
}

/// Where a secret lies: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretReference {
    /// Secrets Manager: `sm:NAME` or `sm:NAME#KEY` for one key of a JSON secret.
    SecretsManager { name: String, key: Option<String> },
    /// SSM Parameter Store: `ssm:/PATH`.
    Parameter { name: String },
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager { name, key: None } => write!(f, "sm:{name}"),
            Self::SecretsManager { name, key: Some(key) } => write!(f, "sm:{name}#{key}"),
            Self::Parameter { name } => write!(f, "ssm:{name}"),
        }
    }
}

impl Value for SecretReference {
    const EXPECTED: &'static str = "a reference to a secret: \"sm:NAME\", \"sm:NAME#KEY\" or \"ssm:/NAME\"";
    fn read(value: &Toml) -> Result<Self, String> {
        // A wrong value may be the secret itself, written here by mistake: it is not repeated.
        let wrong = || format!("is not {}", Self::EXPECTED);
        let text = value.as_str().ok_or_else(wrong)?;
        match text.split_once(':') {
            Some(("sm", rest)) if !rest.is_empty() => {
                let (name, key) = match rest.split_once('#') {
                    Some((name, key)) if !name.is_empty() && !key.is_empty() => (name, Some(key.to_owned())),
                    Some(_) => return Err(wrong()),
                    None => (rest, None),
                };
                Ok(Self::SecretsManager { name: name.to_owned(), key })
            }
            Some(("ssm", name)) if !name.is_empty() => Ok(Self::Parameter { name: name.to_owned() }),
            _ => Err(wrong()),
        }
    }
}

/// A number of bytes, written `"512MiB"` or `"2GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `rate` of a section: bytes a second. One below is no transfer any more: a part of 8 MiB takes as many seconds.
    pub fn rate(section: &mut super::Section<'_>) -> Option<u64> {
        let rate: Option<Self> = section.optional("rate");
        if rate.is_some_and(|Self(rate)| rate < 1 << 20) {
            section.problem("rate", "is less than \"1MiB\" a second");
        }
        rate.map(|Self(rate)| rate)
    }
}

impl Value for ByteSize {
    const EXPECTED: &'static str = "a size such as \"512MiB\" or \"2GiB\"";
    fn read(value: &Toml) -> Result<Self, String> {
        let text = text::<Self>(value)?;
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor: u64 = match unit.trim() {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong::<Self>(value)),
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| wrong::<Self>(value))
    }
}

/// An IPv4 network, written `"10.0.2.0/24"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub network: Ipv4Addr,
    pub prefix: u8,
}

impl Cidr {
    /// The network's address number `n`: 1 is the gateway of an EC2 subnet.
    pub fn nth(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network).wrapping_add(n))
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        u32::from(address) & mask == u32::from(self.network) & mask
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl std::str::FromStr for Cidr {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (network, prefix) = text.split_once('/').ok_or(())?;
        let cidr =
            Self { network: network.parse().map_err(|_| ())?, prefix: prefix.parse().map_err(|_| ())? };
        let mask = u32::MAX.checked_shl(32 - u32::from(cidr.prefix.min(32))).unwrap_or(0);
        if cidr.prefix <= 32 && u32::from(cidr.network) & !mask == 0 { Ok(cidr) } else { Err(()) }
    }
}

impl Value for Cidr {
    const EXPECTED: &'static str = "an IPv4 network such as \"172.30.254.0/24\"";
    fn read(value: &Toml) -> Result<Self, String> {
        text::<Self>(value)?.parse().map_err(|()| wrong::<Self>(value))
    }
}
