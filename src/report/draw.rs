//! The timeline as text for a terminal and as SVG for a page: pure rendering.

use std::fmt::Write as _;

use super::timeline::{Entry, How};

/// The last moment that any entry knows of; at least one millisecond, so that nothing divides by zero.
fn end(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.end_ms.unwrap_or(entry.start_ms)).max().unwrap_or(0).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "a boot of 2^52 ms does not end")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

const fn word(status: Option<How>) -> &'static str {
    match status {
        Some(how) => how.word(),
        None => "running",
    }
}

/// One line a step: name, start, length, and a bar on a common scale.
pub fn text(entries: &[Entry]) -> String {
    const WIDTH: u64 = 48;
    let whole = end(entries);
    let mut out =
        format!("{:<10} {:>8} {:>8}  {:<8} 0 s {:>44.1} s\n", "step", "start", "took", "", seconds(whole));
    for Entry { name, start_ms, end_ms, status } in entries {
        let stop = end_ms.unwrap_or(whole);
        let from = (start_ms * WIDTH / whole).min(WIDTH - 1);
        let to = (stop * WIDTH).div_ceil(whole).max(from + 1);
        let bar: String = (0..WIDTH).map(|i| if (from..to).contains(&i) { '█' } else { '·' }).collect();
        let _ = writeln!(
            out,
            "{:<10} {:>6.2} s {:>6.2} s  {:<8} {bar}",
            name.name(),
            seconds(*start_ms),
            seconds(stop.saturating_sub(*start_ms)),
            word(*status),
        );
    }
    out
}

/// The same as a picture that needs no style sheet and no script.
pub fn svg(entries: &[Entry]) -> String {
    const LEFT: u64 = 110;
    const WIDTH: u64 = 720;
    const ROW: u64 = 24;
    let whole = end(entries);
    let rows = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let (width, height) = (LEFT + WIDTH + 110, rows * ROW + 64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Timeline of a boot: {:.1} s</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        seconds(whole)
    );
    for mark in 0..=4_u64 {
        let x = LEFT + WIDTH * mark / 4;
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"28\" x2=\"{x}\" y2=\"{}\" stroke=\"#d0d7de\"/><text x=\"{x}\" y=\"20\" text-anchor=\"middle\" fill=\"#57606a\">{:.1} s</text>",
            height - 24,
            seconds(whole * mark / 4)
        );
    }
    for (row, Entry { name, start_ms, end_ms, status }) in (0_u64..).zip(entries) {
        let stop = end_ms.unwrap_or(whole);
        let (x, y) = (LEFT + WIDTH * start_ms / whole, 36 + row * ROW);
        let length = (WIDTH * stop.saturating_sub(*start_ms) / whole).max(2);
        let colour = match status {
            Some(How::Done) => "#2da44e",
            Some(How::Reused) => "#54aeff",
            Some(How::Skipped) => "#afb8c1",
            Some(How::Failed) => "#cf222e",
            None => "#bf8700",
        };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#24292f\">{}</text>\
             <rect x=\"{x}\" y=\"{y}\" width=\"{length}\" height=\"16\" rx=\"3\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"#57606a\">{:.2} s{}</text>",
            LEFT - 8,
            y + 13,
            name.name(),
            x + length + 6,
            y + 13,
            seconds(stop.saturating_sub(*start_ms)),
            if matches!(status, Some(How::Done)) { String::new() } else { format!(" ({})", word(*status)) },
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::timeline::Step;
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |name, start_ms, end_ms, status| Entry { name, start_ms, end_ms, status };
        vec![
            entry(Step::Identify, 0, Some(50), Some(How::Done)),
            entry(Step::Claim, 50, Some(8050), Some(How::Done)),
            entry(Step::Stage, 60, Some(61), Some(How::Reused)),
            entry(Step::Start, 8050, None, None),
        ]
    }

    #[test]
    fn bars_lie_on_one_scale() {
        let text = text(&entries());
        let bars: Vec<usize> =
            text.lines().skip(1).map(|line| line.chars().filter(|c| *c == '█').count()).collect();
        assert_eq!(bars, [1, 48, 1, 1], "{text}");
        assert!(text.contains("claim        0.05 s   8.00 s  done"), "{text}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(text(&[]).lines().count(), 1);
        assert!(svg(&[]).ends_with("</svg>\n"));
    }

    #[test]
    fn the_picture_holds_every_step() {
        let svg = svg(&entries());
        for step in ["identify", "claim", "stage", "start"] {
            assert!(svg.contains(&format!(">{step}</text>")), "{step}");
        }
        assert!(svg.contains("(running)") && svg.contains("(reused)"), "{svg}");
    }
}
