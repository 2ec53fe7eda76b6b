//! The drawings of the boot against its code: the same arrows, none more and none less.
//!
//! ```text
//! src/boot/mod.rs ──what each step is given──▶ needs ──without what follows from others──▶ arrows ──┐
//! README.md, src/boot/mod.rs ──lines from box to box──▶ arrows ─────────────────────────────────────┴─▶ equal
//! ```
//! In a drawing `┼` is a crossing: the two lines do not meet. Every other joint joins.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Step;

const BOOT: &str = include_str!("../boot/mod.rs");
const README: &str = include_str!("../../README.md");

/// From what to what.
type Arrows = BTreeSet<(String, String)>;
/// Variables, and the steps whose evidence they hold.
type Holds = BTreeMap<String, BTreeSet<String>>;

/// What each step of the boot is given, read from its source.
fn needs_in_the_code() -> BTreeMap<String, BTreeSet<String>> {
    let body =
        BOOT.split("pub async fn boot").nth(1).and_then(|rest| rest.split_once('{')).expect("the boot").1;
    let code: String = body.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut holds = Holds::from([("me".to_owned(), BTreeSet::from(["identify".to_owned()]))]);
    let mut needs = BTreeMap::new();
    walk(&code, &mut holds, &mut needs);
    // The boot begins with the identity, whether or not a step is given it.
    for given in needs.values_mut().filter(|given: &&mut BTreeSet<String>| given.is_empty()) {
        given.insert("identify".to_owned());
    }
    needs
}

/// Reads statements; returns what the last one's value holds.
fn walk(code: &str, holds: &mut Holds, needs: &mut BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut last = BTreeSet::new();
    for statement in split(code, ';') {
        let statement = statement.trim();
        let (pattern, value) = match statement.strip_prefix("let ").and_then(|rest| rest.split_once(" = ")) {
            Some((pattern, value)) => (pattern, value.trim()),
            None => ("", statement),
        };
        if let Some(joined) = value.strip_prefix("try_join!(") {
            let inner = joined.rsplit_once(')').expect("a call that ends").0;
            for (name, value) in split(pattern.trim_matches(['(', ')']), ',').iter().zip(split(inner, ',')) {
                holds.insert(name.trim().to_owned(), held(&value, holds));
            }
            continue;
        }
        last = match value.strip_prefix("async {") {
            Some(block) => walk(block.rsplit_once('}').unwrap_or((block, "")).0, &mut holds.clone(), needs),
            None => expression(value, holds, needs),
        };
        holds.insert(pattern.to_owned(), last.clone());
    }
    last
}

/// A value that is a step, or that is made of others.
fn expression(
    value: &str,
    holds: &Holds,
    needs: &mut BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let Some((_, call)) = value.split_once("t.step(Step::") else { return held(value, holds) };
    let (variant, given) = call.split_once(',').expect("a step and its work");
    let step = Step::ALL.into_iter().find(|step| format!("{step:?}") == variant).expect("a step");
    needs.insert(step.name().to_owned(), held(given, holds));
    BTreeSet::from([step.name().to_owned()])
}

/// The steps behind all variables that stand in the text; a name before `::` is a module.
fn held(text: &str, holds: &Holds) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.char_indices().filter(|(at, c)| is_name(*c) && !text[..*at].ends_with(is_name)) {
        let name: String = text[at..].chars().take_while(|c| is_name(*c)).collect();
        let after = &text[at + name.len()..];
        if !after.starts_with("::") && !text[..at].ends_with(['.', ':']) {
            found.extend(holds.get(&name).into_iter().flatten().cloned());
        }
    }
    found
}

/// Splits where no bracket is open.
fn split(code: &str, at: char) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in code.chars() {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        if c == at && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Only arrows that do not follow from two others.
fn reduced(needs: &BTreeMap<String, BTreeSet<String>>) -> Arrows {
    fn before(step: &str, needs: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
        let direct = needs.get(step).into_iter().flatten();
        direct.flat_map(|need| std::iter::once(need.clone()).chain(before(need, needs))).collect()
    }
    let mut arrows = Arrows::new();
    for (step, given) in needs {
        let implied: BTreeSet<String> = given.iter().flat_map(|need| before(need, needs)).collect();
        arrows.extend(given.difference(&implied).map(|need| (need.clone(), step.clone())));
    }
    arrows
}

type Place = (usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    North,
    East,
    South,
    West,
}

use Side::{East, North, South, West};

impl Side {
    const fn opposite(self) -> Self {
        match self {
            North => South,
            East => West,
            South => North,
            West => East,
        }
    }
}

/// Where a character's lines leave it; those of one list meet.
fn lines_of(c: char) -> &'static [&'static [Side]] {
    match c {
        '─' => &[&[East, West]],
        '│' => &[&[North, South]],
        '┌' => &[&[East, South]],
        '┐' => &[&[West, South]],
        '└' => &[&[North, East]],
        '┘' => &[&[North, West]],
        '├' => &[&[North, South, East]],
        '┤' => &[&[North, South, West]],
        '┬' => &[&[West, East, South]],
        '┴' => &[&[West, East, North]],
        '┼' => &[&[North, South], &[East, West]],
        '▶' => &[&[West]],
        '◀' => &[&[East]],
        '▼' => &[&[North]],
        '▲' => &[&[South]],
        _ => &[],
    }
}

/// Where an arrow's head points.
const fn head_of(c: char) -> Option<Side> {
    match c {
        '▶' => Some(East),
        '◀' => Some(West),
        '▼' => Some(South),
        '▲' => Some(North),
        _ => None,
    }
}

struct Drawing {
    cells: Vec<Vec<char>>,
}

impl Drawing {
    fn new(text: &str) -> Self {
        Self { cells: text.lines().map(|line| line.chars().collect()).collect() }
    }

    fn at(&self, (row, column): Place) -> char {
        self.cells.get(row).and_then(|line| line.get(column)).copied().unwrap_or(' ')
    }

    fn beside((row, column): Place, side: Side) -> Option<Place> {
        Some(match side {
            North => (row.checked_sub(1)?, column),
            South => (row + 1, column),
            West => (row, column.checked_sub(1)?),
            East => (row, column + 1),
        })
    }

    /// The box that is met on this side, over at most one blank: its whole name.
    fn box_on(&self, place: Place, side: Side) -> Option<String> {
        let near = Self::beside(place, side)?;
        let met = if self.at(near) == ' ' { Self::beside(near, side)? } else { near };
        let part = |place: Place| self.at(place).is_alphabetic();
        if !part(met) {
            return None;
        }
        let (row, mut first) = met;
        // One blank may stand in a name, two end it.
        while first > 0 && (part((row, first - 1)) || first > 1 && part((row, first - 2))) {
            first -= 1;
        }
        let rest: Vec<char> = self.cells[row][first..].to_vec();
        let ends = |at: usize| {
            let goes_on = rest[at] == ' ' && rest.get(at + 1).is_some_and(|c| c.is_alphabetic());
            !(rest[at].is_alphabetic() || goes_on)
        };
        let end = (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len());
        Some(rest[..end].iter().collect::<String>().trim().replace(' ', "-"))
    }

    /// Every arrow: from each box at a line's plain end to each box at one of its heads.
    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        let mut seen: BTreeSet<(Place, usize)> = BTreeSet::new();
        for (row, line) in self.cells.iter().enumerate() {
            for (column, c) in line.iter().enumerate() {
                for strand in 0..lines_of(*c).len() {
                    if !seen.contains(&((row, column), strand)) {
                        let (from, to) = self.follow((row, column), strand, &mut seen);
                        assert!(!from.is_empty() && !to.is_empty(), "a line from {from:?} to {to:?}");
                        arrows.extend(from.iter().flat_map(|f| to.iter().map(|t| (f.clone(), t.clone()))));
                    }
                }
            }
        }
        arrows
    }

    /// All that one line connects.
    fn follow(
        &self,
        start: Place,
        strand: usize,
        seen: &mut BTreeSet<(Place, usize)>,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut from, mut to, mut todo) = (BTreeSet::new(), BTreeSet::new(), vec![(start, strand)]);
        while let Some((place, strand)) = todo.pop() {
            if !seen.insert((place, strand)) {
                continue;
            }
            if let Some(side) = head_of(self.at(place)) {
                to.insert(self.box_on(place, side).unwrap_or_else(|| panic!("{place:?} points at nothing")));
            }
            for side in lines_of(self.at(place))[strand] {
                let next = Self::beside(place, *side).expect("a line does not leave the drawing");
                let meets = |sides: &&[Side]| sides.contains(&side.opposite());
                if let Some(strand) = lines_of(self.at(next)).iter().position(meets) {
                    todo.push((next, strand));
                } else {
                    let end = self.box_on(place, *side);
                    from.insert(end.unwrap_or_else(|| panic!("a line ends at {place:?} in nothing")));
                }
            }
        }
        (from, to)
    }
}

fn drawing(text: &str) -> Drawing {
    let block = text.split("```").find(|block| block.contains("identify ─")).expect("a drawing");
    let lines: Vec<String> = block.lines().skip(1).map(|line| line.replace("//!", "   ")).collect();
    Drawing::new(&lines.join("\n"))
}

#[test]
fn the_drawings_have_the_arrows_of_the_code() {
    let code = reduced(&needs_in_the_code());
    for (name, text) in [("README.md", README), ("src/boot/mod.rs", BOOT)] {
        let drawn = drawing(text).arrows();
        let missing: Vec<_> = code.difference(&drawn).collect();
        let invented: Vec<_> = drawn.difference(&code).collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "{name} lacks {missing:?} and invents {invented:?}"
        );
    }
}

#[test]
fn the_code_is_read_whole() {
    let needs = needs_in_the_code();
    let outside = [Step::Close, Step::Identify, Step::Signal];
    for step in Step::ALL.into_iter().filter(|step| !outside.contains(step)) {
        assert!(needs.contains_key(step.name()), "{} was not found in src/boot/mod.rs", step.name());
    }
    let start: Vec<&str> = needs["start"].iter().map(String::as_str).collect();
    assert_eq!(start, ["fetch", "identify", "image", "place", "prepare"]);
}

#[test]
fn lines_are_followed_and_crossings_are_not_joints() {
    let text =
        [" one ─┬─▶ two", "      └──┐", " three ──┼─▶ take over", "         ▼", "        four ◀─ five"];
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let expected =
        [arrow("five", "four"), arrow("one", "four"), arrow("one", "two"), arrow("three", "take-over")];
    assert_eq!(Drawing::new(&text.join("\n")).arrows(), Arrows::from(expected));
}
