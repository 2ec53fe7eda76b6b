//! Text in roff: what all pages share.

use std::error::Error;
use std::io::Write;

use clap_mangen::roff::{Roff, bold, roman};

/// The day of `SOURCE_DATE_EPOCH`. Without it an empty argument, in the marks that keep its place: the arguments
/// behind it would move up.
pub fn date(epoch: Option<&str>) -> Result<String, Box<dyn Error>> {
    let Some(epoch) = epoch else { return Ok("\"\"".to_owned()) };
    let second = jiff::Timestamp::from_second(epoch.parse()?)?;
    Ok(second.strftime("%Y-%m-%d").to_string())
}

/// What a renderer writes, without the definitions that each of them begins with: a page has them once.
pub fn rendered(
    render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<String, Box<dyn Error>> {
    let mut bytes = Vec::new();
    render(&mut bytes)?;
    let defines = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let text = String::from_utf8(bytes)?;
    Ok(text.lines().filter(|line| !defines(line)).map(|line| line.to_owned() + "\n").collect())
}

/// The same of a part that was put together here.
pub fn of(part: &Roff) -> Result<String, Box<dyn Error>> {
    rendered(|w| part.to_writer(w))
}

/// What the parts of a page are put behind: a straight apostrophe, where the device has one.
pub const DEFINITIONS: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// The same with what stands between back-ticks in bold: roff would print them as opening quotation marks.
pub fn emboldened(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        for (index, part) in line.split('`').enumerate() {
            match index {
                0 => {}
                odd if odd % 2 == 1 => lines.push_str("\\fB"),
                _ => lines.push_str("\\fR"),
            }
            lines.push_str(part);
        }
        lines.push('\n');
    }
    lines
}

/// A section of entries: a term, and what it means.
pub fn entries<'a>(title: &str, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, meaning) in entries {
        roff.control("TP", []).text([bold(term)]).text([roman(meaning)]);
    }
    roff
}

/// A section of paragraphs.
pub fn paragraphs(title: &str, paragraphs: &[&str]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (index, paragraph) in paragraphs.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*paragraph)]);
    }
    roff
}

/// The section that leads to other pages: "name(8)", the name in bold.
pub fn see_also(others: &[String]) -> Roff {
    let mut line = Vec::new();
    for (index, other) in others.iter().enumerate() {
        let (name, section) = other.split_once('(').unwrap_or((other, ""));
        let comma = if index + 1 < others.len() { ", " } else { "" };
        line.extend([bold(name), roman(format!("({section}{comma}"))]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text(line);
    roff
}
