//! `benchmarks.md` and its pictures.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::growth::Picture;
use crate::machine;
use crate::summary::{Row, Summary, Written};

const HEAD: &str = "# Benchmarks

Written by `make bench`; do not edit. `docs/performance.md` says what the rows are, how they are \
measured and what the cost model counts. Only ratios are worth comparing: both sides of one alternate, or \
run one after the other, on the same cores.
";

/// Cores busy with others, from which on it is said.
const NOTEWORTHY: f64 = 0.1;

/// Writes the file and the pictures below `folder`.
pub(crate) fn write(
    folder: &Path,
    command: &str,
    busy_with_others: f64,
    summary: &Summary,
    pictures: &[Picture],
) -> io::Result<()> {
    let images = folder.join("images");
    std::fs::create_dir_all(&images)?;
    let mut text = HEAD.replace("`make bench`", &format!("`make {command}`"));
    text += "\n## Machine\n\n| | |\n|---|---|\n";
    for (name, value) in machine::facts() {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    if busy_with_others > NOTEWORTHY {
        let _ = writeln!(
            text,
            "\nOthers kept {busy_with_others:.1} cores busy meanwhile: ratios move by a tenth or more, and \
             threads on the wall say nothing."
        );
    }
    text += "\n## Figures\n\n| row | ours | ratio | target | | masks by | against |\n|---|---|---|---|---|---|---|\n";
    summary.0.iter().for_each(|Written { row, .. }| line(&mut text, row));
    if !pictures.is_empty() {
        text += "\n## Growth\n\nSums of 21 bits. Dashed: the cost model by the rates of its primitives in the same run; for bytes, the budget.\n";
    }
    for picture in pictures {
        std::fs::write(images.join(&picture.file), &picture.svg)?;
        let _ = writeln!(text, "\n![{}](images/{})", picture.caption, picture.file);
    }
    std::fs::write(folder.join("benchmarks.md"), text)
}

fn line(text: &mut String, row: &Row) {
    let Row { name, value, unit, peer, ratio, backend, .. } = row;
    let sign = if row.higher_is_better { "≥" } else { "≤" };
    let target = row.target.map_or(String::new(), |target| format!("{sign} {target}"));
    let met = row.met().map_or("", |met| if met { "met" } else { "**missed**" });
    let (value, unit) = readable(*value, unit);
    let ratio = if *ratio >= 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.3}") };
    let _ = writeln!(
        text,
        "| `{name}` | {value} {unit} | {ratio} | {target} | {met} | {backend} | {peer} |"
    );
}

fn readable(value: f64, unit: &str) -> (String, &str) {
    match unit {
        "bytes" => (format!("{value:.0}"), unit),
        "s" if value < 1.0 => (format!("{:.2}", value * 1e3), "ms"),
        _ => (format!("{value:.2}"), unit),
    }
}
