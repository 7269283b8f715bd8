//! What the search came to, for people, for programs and for the documentation.
#![allow(clippy::disallowed_methods, reason = "the table is written to a file")]

use std::fmt::Write;
use std::io;
use std::path::Path;

use super::search::{Hunt, overall};

const BEGIN: &str = "<!-- planted: begin -->";
const END: &str = "<!-- planted: end -->";

/// A hunt's numbers, as they are shown.
struct Shown {
    seed: String,
    median: String,
    worst: String,
    by: String,
    at: String,
}

impl Shown {
    fn of(hunt: &Hunt) -> Shown {
        let number = |n: Option<u64>| n.map_or("-".to_string(), |n| n.to_string());
        let first = hunt.finds.first();
        let by = match (&hunt.unclean, first) {
            (Some((seed, _)), _) => format!("seed {seed} fails without"),
            (None, _) if hunt.missed => "MISSED".to_string(),
            (None, first) => first.map_or(String::new(), |find| find.property.clone()),
        };
        Shown {
            seed: number(first.map(|find| find.seed)),
            median: number(hunt.median()),
            worst: number(hunt.worst()),
            by,
            at: first.map_or("-".into(), |find| format!("{:.1} s", find.at.0 as f64 / 1e6)),
        }
    }
}

/// How it went with all of them, in one line.
fn summary(hunts: &[Hunt]) -> String {
    let found = hunts.iter().filter(|hunt| hunt.is_good()).count();
    let worst = hunts.iter().filter_map(Hunt::worst).max().unwrap_or(0);
    let median = overall(hunts).unwrap_or(0);
    format!(
        "{found} of {} bugs found; seeds needed: {median} in the median, {worst} at the worst",
        hunts.len()
    )
}

/// At most 80 columns wide.
pub fn text(hunts: &[Hunt]) -> String {
    let mut text =
        format!("{:28}{:>6}{:>8}{:>7}  {:16}{:>9}\n", "bug", "seed", "median", "worst", "caught by", "at");
    for hunt in hunts {
        let Shown { seed, median, worst, by, at } = Shown::of(hunt);
        let _ = writeln!(text, "{:28}{seed:>6}{median:>8}{worst:>7}  {by:16}{at:>9}", hunt.bug.slug());
    }
    text + &summary(hunts)
}

pub fn json(hunts: &[Hunt]) -> String {
    let bugs: Vec<serde_json::Value> = hunts
        .iter()
        .map(|hunt| {
            let finds: Vec<serde_json::Value> = hunt
                .finds
                .iter()
                .map(|find| {
                    serde_json::json!({
                        "seed": find.seed,
                        "seeds_needed": find.needed,
                        "property": find.property,
                        "virtual_ms": find.at.0 / 1_000,
                    })
                })
                .collect();
            serde_json::json!({
                "bug": hunt.bug.slug(),
                "wrong": hunt.bug.wrong(),
                "found": hunt.is_good(),
                "median": hunt.median(),
                "worst": hunt.worst(),
                "finds": finds,
                "fails_without": hunt.unclean.as_ref().map(|(seed, _)| seed),
            })
        })
        .collect();
    serde_json::json!({ "median": overall(hunts), "bugs": bugs }).to_string()
}

fn markdown(hunts: &[Hunt]) -> String {
    let mut text = format!(
        "{}.\n\n| bug | what is wrong | first seed | median | worst | caught by | at |\n\
         |---|---|--:|--:|--:|---|--:|\n",
        summary(hunts)
    );
    for hunt in hunts {
        let Shown { seed, median, worst, by, at } = Shown::of(hunt);
        let (slug, wrong) = (hunt.bug.slug(), hunt.bug.wrong());
        let _ = writeln!(text, "| `{slug}` | {wrong} | {seed} | {median} | {worst} | {by} | {at} |");
    }
    text
}

/// Puts the table between the two markers of a file; makes the file if there is none.
///
/// # Errors
/// When the file cannot be read or written, or has no markers.
pub fn write(file: &Path, hunts: &[Hunt]) -> io::Result<()> {
    let old = match std::fs::read_to_string(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => blank(),
        other => other?,
    };
    let new = between(&old, &markdown(hunts));
    let no_markers = || io::Error::other(format!("it has no `{BEGIN}` before an `{END}`"));
    std::fs::write(file, new.ok_or_else(no_markers)?)
}

fn blank() -> String {
    format!(
        "# The simulator\n\n## Planted bugs\n\nKnown bugs, switched on one at a time, and the seeds that it \
         took to find each. Written by\n`cargo run --release -p stockade-sim -- planted --write \
         docs/internals/simulator.md`.\n\n{BEGIN}\n{END}\n"
    )
}

fn between(old: &str, table: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use stockade::planted::Bug;

    use super::*;
    use crate::commands::planted::search::Find;
    use crate::time::Time;

    fn hunts() -> Vec<Hunt> {
        let find = |seed, needed| Find { seed, needed, property: "Changes".into(), at: Time(1_500_000) };
        let found =
            Hunt { bug: Bug::OneTooMany, finds: vec![find(2, 3), find(9, 7)], missed: false, unclean: None };
        let missed = Hunt { bug: Bug::BasketLeak, finds: Vec::new(), missed: true, unclean: None };
        vec![found, missed]
    }

    #[test]
    fn a_table_fits_a_terminal_and_says_what_was_missed() {
        let text = text(&hunts());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("MISSED") && text.contains("1 of 2 bugs found"), "{text}");
    }

    #[test]
    fn what_stands_around_the_markers_stays() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = between(&old, &markdown(&hunts())).unwrap();
        assert!(new.starts_with(&format!("a\n{BEGIN}\n1 of 2")) && new.ends_with(&format!("{END}\nb\n")));
        assert!(!new.contains("old") && new.contains("| `one-too-many` |"));
        assert_eq!(between("no markers", ""), None);
        assert!(between(&blank(), "").is_some());
    }
}
