//! How many requests should be in the air: more, for as long as more of them bring more.
//!
//! ```text
//! measured at N ─▶ half as many more ─▶ measured ─┬ brought more ─▶ the same from there
//!       ▲                                         └ did not ─▶ back to N, and a rest ─┐
//!       └─────────────────────────────────────────────────────────────────────────────┘
//! the store is overrun ─▶ half as many, and a rest
//! the disk, or who hashes, is what they wait for ─▶ back to N, and a rest
//! ```
//!
//! One number fits no two nodes. One connection to S3 carries some 85 MB/s and answers small objects within 10 to 30 ms
//! (S3's guide, "Performance design patterns": one request for each 85–90 MB/s of the network's bandwidth that is
//! wanted); the instances of the c8gd family have lines of 2 to 50 Gbit/s.

/// Of a level, the first tick still has the bytes of the one before.
const SETTLES: u32 = 1;
/// Ticks whose mean is a level's rate.
const MEASURED: u32 = 2;
const LEVEL: u32 = SETTLES + MEASURED;
/// Ticks until more are tried again: what was the bottleneck may be gone.
const RESTS: u32 = 60;
/// Of the gain that the new connections would bring if nothing else were in the way, this part must be seen: 1 of 5.
/// Below that two measurements of one level differ by as much.
const GAIN: u128 = 5;

/// What one tick has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    pub bytes: u64,
    /// As many requests were in the air as are allowed.
    pub busy: bool,
    /// The store has said that there are too many.
    pub refused: bool,
    /// What came waited for its turn on the disk: more of them would only hold more memory.
    pub disk: bool,
}

/// A level, and what it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    connections: usize,
    /// Bytes of one tick.
    rate: u64,
}

#[derive(Debug)]
pub struct Climb {
    most: usize,
    now: usize,
    /// Where we came from, while it is tried whether more bring more.
    from: Option<Level>,
    ticks: u32,
    bytes: u64,
    rests: u32,
}

impl Climb {
    /// `most` is at least 1.
    pub const fn new(first: usize, most: usize) -> Self {
        let now = if first < most { first } else { most };
        Self { most, now, from: None, ticks: 0, bytes: 0, rests: 0 }
    }

    pub const fn connections(&self) -> usize {
        self.now
    }

    /// Takes in what the last tick has seen, and returns how many are allowed from now on.
    pub fn tick(&mut self, tick: Tick) -> usize {
        if tick.refused {
            self.settle((self.now / 2).max(1));
        } else if tick.disk {
            self.settle(self.from.map_or(self.now, |before| before.connections));
        } else if !tick.busy {
            // There was not enough to ask for: it says nothing about what more of them would bring.
            self.measure_anew();
        } else if self.rests > 0 {
            self.rests -= 1;
        } else {
            self.measure(tick.bytes);
        }
        self.now
    }

    fn measure(&mut self, bytes: u64) {
        self.ticks += 1;
        if self.ticks <= SETTLES {
            return;
        }
        self.bytes += bytes;
        if self.ticks < LEVEL {
            return;
        }
        let here = Level { connections: self.now, rate: self.bytes / u64::from(MEASURED) };
        match self.from {
            Some(before) if !brought_more(before, here) => self.settle(before.connections),
            _ if self.now == self.most => self.settle(self.most),
            _ => {
                self.from = Some(here);
                self.now = (self.now + (self.now / 2).max(1)).min(self.most);
                self.measure_anew();
            }
        }
    }

    const fn settle(&mut self, connections: usize) {
        self.now = connections;
        self.from = None;
        self.rests = RESTS;
        self.measure_anew();
    }

    const fn measure_anew(&mut self) {
        self.ticks = 0;
        self.bytes = 0;
    }
}

/// `here` has more connections than `before`.
fn brought_more(before: Level, here: Level) -> bool {
    let gain = u128::from(here.rate.saturating_sub(before.rate));
    let added = (here.connections - before.connections) as u128;
    // gain / rate ≥ added / connections / GAIN
    gain > 0 && gain * GAIN * before.connections as u128 >= u128::from(before.rate) * added
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn busy(bytes: u64) -> Tick {
        Tick { bytes, busy: true, refused: false, disk: false }
    }

    /// One level, as it is measured: all its ticks alike.
    fn level(climb: &mut Climb, bytes: u64) -> usize {
        for _ in 0..LEVEL {
            climb.tick(busy(bytes));
        }
        climb.connections()
    }

    #[test]
    fn more_are_kept_for_as_long_as_they_bring_more() {
        // Rates of one level after the other, and the connections that follow each.
        type Row = (&'static str, &'static [(u64, usize)]);
        let rows: [Row; 6] = [
            ("each brings its own", &[(160, 24), (240, 36), (360, 54), (540, 64), (640, 64)]),
            ("the line is full", &[(160, 24), (160, 16)]),
            ("full on the way", &[(160, 24), (200, 36), (200, 24)]),
            ("a fifth of what was hoped for", &[(160, 24), (176, 36)]),
            ("and less", &[(160, 24), (175, 16)]),
            ("nothing comes", &[(0, 24), (0, 16)]),
        ];
        for (name, row) in rows {
            let mut climb = Climb::new(16, 64);
            for (at, (rate, expected)) in row.iter().enumerate() {
                assert_eq!(level(&mut climb, *rate), *expected, "{name}, level {at}");
            }
        }
    }

    #[test]
    fn the_first_tick_of_a_level_is_the_one_before_s() {
        let mut climb = Climb::new(16, 64);
        assert_eq!(level(&mut climb, 160), 24);
        climb.tick(busy(1000));
        climb.tick(busy(160));
        assert_eq!(climb.tick(busy(160)), 16);
    }

    #[test]
    fn what_did_not_help_is_tried_again_after_a_rest() {
        let mut climb = Climb::new(16, 64);
        level(&mut climb, 160);
        assert_eq!(level(&mut climb, 160), 16);
        for _ in 0..RESTS {
            assert_eq!(climb.tick(busy(160)), 16);
        }
        assert_eq!(level(&mut climb, 160), 24, "once more");
    }

    #[test]
    fn a_store_that_is_overrun_is_asked_less() {
        let refused = Tick { refused: true, ..busy(100) };
        let mut climb = Climb::new(16, 64);
        assert_eq!([climb.tick(refused), climb.tick(refused)], [8, 4]);
        assert_eq!([1; 3].map(|_| climb.tick(refused)), [2, 1, 1], "and never not at all");
        assert_eq!(climb.tick(busy(100)), 1, "it rests first");
        // Even while more are tried.
        let mut climb = Climb::new(16, 64);
        level(&mut climb, 160);
        assert_eq!(climb.tick(refused), 12);
    }

    #[test]
    fn while_the_disk_is_what_they_wait_for_no_more_are_added() {
        let full = Tick { disk: true, ..busy(160) };
        let mut climb = Climb::new(16, 64);
        assert_eq!(climb.tick(full), 16);
        assert_eq!(level(&mut climb, 1000), 16, "it rests first");
        // Those that were tried are taken back.
        let mut climb = Climb::new(16, 64);
        level(&mut climb, 160);
        assert_eq!((climb.connections(), climb.tick(full)), (24, 16));
        // The ones that were kept stay.
        let mut climb = Climb::new(16, 64);
        for rate in [160, 240] {
            level(&mut climb, rate);
        }
        assert_eq!((climb.connections(), climb.tick(full)), (36, 24));
    }

    #[test]
    fn where_there_is_not_enough_to_ask_for_nothing_is_learnt() {
        let idle = Tick { busy: false, ..busy(50) };
        let mut climb = Climb::new(16, 64);
        for _ in 0..100 {
            assert_eq!(climb.tick(idle), 16);
        }
        climb.tick(busy(160));
        climb.tick(idle);
        climb.tick(busy(160));
        assert_eq!(climb.tick(busy(160)), 16, "a level is measured in one piece");
        assert_eq!(climb.tick(busy(160)), 24);
    }

    proptest! {
        /// A line, and what one connection carries, whatever they are, with noise of 3 %: near the best there is.
        #[test]
        fn it_finds_what_the_line_needs(
            line in 1_000_u64..100_000,
            each in 100_u64..10_000,
            most in 1_usize..=256,
            noise in proptest::collection::vec(0.97_f64..1.03, 200),
        ) {
            let best = line.min(each * most as u64);
            let mut climb = Climb::new(16, most);
            let mut rested = false;
            for noise in noise {
                let carried = line.min(each * climb.connections() as u64);
                #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "noise")]
                let bytes = (carried as f64 * noise) as u64;
                let now = climb.tick(busy(bytes));
                prop_assert!((1..=most).contains(&now));
                if climb.rests == RESTS {
                    rested = true;
                    // The last step of a half was not worth a fifth of itself: less than that lies between.
                    let carries = line.min(each * now as u64);
                    prop_assert!(carries * 100 >= best * 65, "{now} connections carry {carries} of {best}");
                }
            }
            prop_assert!(rested);
        }
    }
}
