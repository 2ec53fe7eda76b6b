//! Secrets that the world makes up for one case, and the search for them in every place where they must not be.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::cloud::Cloud;

/// Shorter texts are no secrets but a case's own words, and would be found by chance.
const SHORTEST: usize = 16;

/// What must not be found, with a name that can be printed.
#[derive(Debug, Default)]
pub struct Planted {
    secrets: Mutex<Vec<(String, String)>>,
    found: Mutex<BTreeSet<String>>,
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
    ///
    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn know(&self, name: &str, value: &str) {
        let mut secrets = self.secrets.lock().expect("secrets are planted without panics");
        if !value.is_empty() && !secrets.iter().any(|(_, known)| known == value) {
            secrets.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The keys and tokens that the cloud has vended so far: the role's credentials are secrets too.
    pub fn know_vended(&self, cloud: &Cloud) {
        for value in cloud.confidential().iter().filter(|value| value.len() >= SHORTEST) {
            self.know("a credential or value that the cloud gave out", value);
        }
    }

    /// Looks for every secret in what lies at `place`.
    ///
    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn search(&self, place: &str, bytes: &[u8]) {
        for (name, value) in self.secrets.lock().expect("secrets are planted without panics").iter() {
            if contains(bytes, value.as_bytes()) {
                self.found
                    .lock()
                    .expect("finds are noted without panics")
                    .insert(format!("secret: {name} lies in {place}"));
            }
        }
    }

    /// One sentence per secret and place.
    ///
    /// # Panics
    /// When another thread panicked while it wrote.
    pub fn found(&self) -> Vec<String> {
        self.found.lock().expect("finds are noted without panics").iter().cloned().collect()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
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
}
