//! Secrets that the world makes up for one case, and the search for them in every place where they must not be:
//! as they are, in base64 at each of its three alignments, and in hexadecimal digits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::cloud::Cloud;
use crate::endpoint::hex;
use crate::judge::Rule;

/// Shorter texts are no secrets but a case's own words, and would be found by chance.
const SHORTEST: usize = 16;

/// What must not be found, with a name that can be printed.
#[derive(Debug, Default)]
pub struct Planted {
    needles: Mutex<Needles>,
    found: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Needles {
    known: BTreeSet<String>,
    /// By their first two bytes: one pass through a log finds all of them.
    by_start: BTreeMap<[u8; 2], Vec<Needle>>,
    starts: BTreeSet<u8>,
}

#[derive(Debug)]
struct Needle {
    name: String,
    form: &'static str,
    bytes: Vec<u8>,
}

fn random_key() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnopqrstuvwxyz23456789";
    (0..32).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}

impl Planted {
    /// A new secret; its value is returned for those who may know it.
    pub fn plant(&self, name: &str) -> String {
        let value = random_key();
        self.know(name, &value);
        value
    }

    /// A secret that somebody else made.
    pub fn know(&self, name: &str, value: &str) {
        let mut needles = self.needles();
        if value.is_empty() || !needles.known.insert(value.to_owned()) {
            return;
        }
        for (form, bytes) in forms(value) {
            let Some(start) = bytes.first_chunk::<2>().copied() else { continue };
            needles.starts.insert(start[0]);
            let needle = Needle { name: name.to_owned(), form, bytes };
            needles.by_start.entry(start).or_default().push(needle);
        }
    }

    /// The keys and tokens that the cloud has vended so far: the role's credentials are secrets too.
    pub fn know_vended(&self, cloud: &Cloud) {
        for value in cloud.confidential().iter().filter(|value| value.len() >= SHORTEST) {
            self.know("a credential or value that the cloud gave out", value);
        }
    }

    /// Looks for every secret in what lies at `place`.
    pub fn search(&self, place: &str, bytes: &[u8]) {
        let needles = self.needles();
        let mut first = [false; 256];
        for start in &needles.starts {
            first[usize::from(*start)] = true;
        }
        for (at, pair) in bytes.windows(2).enumerate() {
            if !first[usize::from(pair[0])] {
                continue;
            }
            for needle in needles.by_start.get(pair).into_iter().flatten() {
                if bytes[at..].starts_with(&needle.bytes) {
                    let Needle { name, form, bytes: _ } = needle;
                    self.find(format!("{}: {name} lies in {place}{form}", Rule::Secret));
                }
            }
        }
    }

    fn find(&self, sentence: String) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(sentence);
    }

    /// One sentence per secret, place and form.
    pub fn found(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn needles(&self) -> MutexGuard<'_, Needles> {
        self.needles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the value looks in what holds it.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("", value.as_bytes().to_vec())];
    if value.len() < SHORTEST {
        return forms;
    }
    let digits = hex(value.as_bytes());
    forms.push((" in hexadecimal digits", digits.to_uppercase().into_bytes()));
    forms.push((" in hexadecimal digits", digits.into_bytes()));
    for before in 0..3 {
        forms.push((" in base64", encoded_after(before, value)));
    }
    forms
}

/// The letters of base64 that depend on the value alone when this many bytes stand before it.
fn encoded_after(before: usize, value: &str) -> Vec<u8> {
    let whole = [&vec![0; before], value.as_bytes()].concat();
    let text = STANDARD_NO_PAD.encode(&whole);
    let shared = usize::from(whole.len() % 3 != 0);
    // Eight bits each before it, six in each letter.
    let first = (before * 8).div_ceil(6);
    text.as_bytes()[first..text.len() - shared].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_where_it_lies_and_nowhere_else() {
        let planted = Planted::default();
        let value = planted.plant("the admin key");
        planted.search("the log", b"nothing of interest");
        assert!(planted.found().is_empty());
        planted.search("argv of 17", format!("--key {value}").as_bytes());
        assert_eq!(planted.found(), ["secret: the admin key lies in argv of 17"]);
    }

    #[test]
    fn a_secret_is_found_in_each_form_wherever_it_begins() {
        let planted = Planted::default();
        let value = planted.plant("a key");
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", ":", "::"] {
                let text = STANDARD_NO_PAD.encode(format!("{before}{value}{after}"));
                planted.search(&format!("{before:?}, {after:?},"), text.as_bytes());
            }
        }
        assert_eq!(planted.found().len(), 15, "{:?}", planted.found());
        planted.search("lower", hex(value.as_bytes()).as_bytes());
        planted.search("upper", hex(value.as_bytes()).to_uppercase().as_bytes());
        assert_eq!(planted.found().len(), 17, "{:?}", planted.found());
        planted.search("half", &value.as_bytes()[1..]);
        assert_eq!(planted.found().len(), 17, "{:?}", planted.found());
    }
}
