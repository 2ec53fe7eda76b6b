//! Other names, ids and counts than the recorded ones: what was canned would not match them.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Ids of objects in the recordings; those of zeros stand for objects that are not there.
const RECORDED_IDS: [&str; 9] = [
    "021b74c8-d170-5db8-b6b8-707a3c6c120c",
    "1e966ceb-a159-5cf8-b876-852ef2d4fe7a",
    "15754941-9f84-5b66-867e-315ec9c7e441",
    "ff249c0e-a136-4952-b3c7-ff45893717ba",
    "e64ad50e-ba32-5b93-aef3-5ba34c07f4e5",
    "e1cf2b66-9ea9-53f5-a638-908137f427f0",
    "24af95cb-7a68-531a-89f4-5b5214b97261",
    "02aee693-db82-5cf1-bd4d-86599e56a4bc",
    "0244be51-ce38-5a35-958e-234776650775",
];

/// Plays this variation instead of a new one.
const SEED: &str = "STAND_IN_REPLAY_SEED";

/// Other names and counts than the recorded ones, put into the recording before it is played.
#[derive(Clone, Debug)]
pub struct Variation {
    names: Vec<(String, String)>,
    pub articles: u64,
    pub chunks: u64,
    pub real_backups: bool,
}

impl Variation {
    pub fn as_recorded() -> Self {
        Self { names: Vec::new(), articles: 3000, chunks: 100, real_backups: true }
    }

    pub fn random() -> Self {
        let seed = std::env::var(SEED).ok().map_or_else(rand::random, |text| text.parse().expect("a seed"));
        // Shown when the test fails: it can be played again.
        println!("{SEED}={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut word = |first: char| format!("{first}x{:05}", rng.random_range(0..100_000_u32));
        let mut names = Vec::new();
        for (old, new) in [("Article", 'R'), ("Chunk", 'P'), ("Empty", 'N')] {
            let new = word(new);
            // In small letters a class is an index; a bare "chunk" is the name of a file as well.
            for before in ["index ", "shard "] {
                names.push((
                    format!("{before}{}", old.to_lowercase()),
                    format!("{before}{}", new.to_lowercase()),
                ));
            }
            // Recording 06 asks for "Art*".
            names.push((format!("{}*", &old[..3]), format!("{}*", &new[..3])));
            names.push((old.to_owned(), new));
        }
        for (old, new) in [("alpha", 'q'), ("beta", 'w'), ("full-1", 'f'), ("incr-1", 'i'), ("st-1", 's')] {
            names.push((old.to_owned(), word(new)));
        }
        // Answers are in the order of ids: the first part, which decides it, stays.
        for id in RECORDED_IDS {
            names.push((id.to_owned(), format!("{}{:012x}", &id[..24], rng.random_range(0..1_u64 << 48))));
        }
        let articles = rng.random_range(2800..4000);
        Self { names, articles, chunks: rng.random_range(5..300), real_backups: false }
    }

    pub fn name(&self, recorded: &str) -> String {
        self.names.iter().fold(recorded.to_owned(), |text, (old, new)| text.replace(old.as_str(), new))
    }

    /// A recording with these names and counts.
    pub fn of(&self, text: &str) -> String {
        let counts = [(3000, self.articles), (3050, self.articles + 50), (100, self.chunks)];
        // A field of descriptors that has the name of a class in it.
        let field = format!("bigFiles{}", self.name("Chunk"));
        let mut text = self.name(text).replace(&field, "bigFilesChunk");
        let sum = self.articles + 2 * self.chunks;
        text = text.replace("\"objectCount\": 3200", &format!("\"objectCount\": #{sum}"));
        for (old, new) in counts {
            for word in ["count", "objectCount"] {
                for end in ["\n", ","] {
                    // The mark keeps what is new from being taken for another recorded count.
                    let (old, new) = (format!("\"{word}\": {old}{end}"), format!("\"{word}\": #{new}{end}"));
                    text = text.replace(&old, &new);
                }
            }
        }
        text.replace("ount\": #", "ount\": ")
    }
}

#[test]
fn a_new_count_is_not_taken_for_a_recorded_one() {
    let variation = Variation { articles: 3050, chunks: 3000, ..Variation::as_recorded() };
    let text = "\"count\": 3000,\n\"count\": 3050\n\"objectCount\": 100,\n\"objectCount\": 3200,";
    let expected = "\"count\": 3050,\n\"count\": 3100\n\"objectCount\": 3000,\n\"objectCount\": 9050,";
    assert_eq!(variation.of(text), expected);
}
