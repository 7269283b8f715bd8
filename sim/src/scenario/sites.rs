//! How far nodes are from each other: round trips by pair, by default, or between cloud sites.

use toml::Spanned;

use super::check::{Names, number};
use super::file::File;
use super::problem::Findings;
use crate::network::Line;
use crate::time::Span;

/// Sites of the table `aws`.
pub const SITES: [&str; 8] =
    ["virginia", "oregon", "ireland", "frankfurt", "tokyo", "singapore", "sydney", "sao-paulo"];

/// Round trips between regions of Amazon Web Services in milliseconds, means as its customers
/// measure them, rounded; above the diagonal.
const ROUND_TRIPS: [[u64; 8]; 8] = [
    [0, 87, 81, 89, 145, 217, 230, 120],
    [0, 0, 137, 160, 89, 161, 162, 183],
    [0, 0, 0, 20, 212, 239, 310, 191],
    [0, 0, 0, 0, 237, 326, 324, 195],
    [0, 0, 0, 0, 0, 74, 104, 257],
    [0, 0, 0, 0, 0, 0, 175, 328],
    [0, 0, 0, 0, 0, 0, 0, 323],
    [0, 0, 0, 0, 0, 0, 0, 0],
];
/// Mean round trip between two sites in milliseconds, by their places in [`SITES`].
pub fn round_trip(a: usize, b: usize) -> u64 {
    ROUND_TRIPS[a.min(b)][a.max(b)]
}

/// Two nodes at one site.
const SAME_SITE_MS: f64 = 1.0;
const DEFAULT_MS: f64 = 80.0;
const LONGEST_MS: f64 = 2_000.0;

/// The line from each node to each.
pub fn lines(raw: &File, names: &Names, findings: &mut Findings<'_>) -> Vec<Vec<Line>> {
    let entry = &raw.rtt;
    let default = number(findings, "rtt.default_ms", entry.default_ms.as_ref(), DEFAULT_MS, 0.1..=LONGEST_MS);
    let jitter = number(findings, "rtt.jitter", entry.jitter.as_ref(), 0.1, 0.0..=10.0);
    let loss = number(findings, "rtt.loss", entry.loss.as_ref(), 0.0, 0.0..=0.5);
    let places = places(raw, names, findings);
    let count = names.nodes.len();
    let mut trips = vec![vec![default; count]; count];
    for (a, row) in trips.iter_mut().enumerate() {
        for (b, ms) in row.iter_mut().enumerate() {
            if let (Some(a), Some(b)) = (places[a], places[b]) {
                let far = round_trip(a, b);
                *ms = if a == b { SAME_SITE_MS } else { far as f64 };
            }
        }
    }
    for pair in &entry.pairs {
        let ((a, b, ms), place) = (pair.get_ref(), pair.span());
        let good = (0.1..=LONGEST_MS).contains(ms);
        findings.must(good, place.clone(), "rtt.pairs", format!("{ms} ms must be 0.1 to {LONGEST_MS}"));
        let a = names.find(findings, place.clone(), "rtt.pairs", a);
        let b = names.find(findings, place.clone(), "rtt.pairs", b);
        if let (Some(a), Some(b)) = (a, b) {
            findings.must(a != b, place, "rtt.pairs", "names one node twice");
            (trips[a][b], trips[b][a]) = (*ms, *ms);
        }
    }
    let line = |ms: &f64| {
        let delay = ms.clamp(0.1, LONGEST_MS) * 500.0;
        let jitter = Span((delay * jitter.clamp(0.0, 10.0)) as u64);
        Line { delay: Span(delay as u64), jitter, loss: (loss.clamp(0.0, 0.5) * 1e6) as u64, slow: 1_000 }
    };
    trips.iter().map(|row| row.iter().map(line).collect()).collect()
}

/// Each node's site in the table, if the file has one.
fn places(raw: &File, names: &Names, findings: &mut Findings<'_>) -> Vec<Option<usize>> {
    let mut places = vec![None; names.nodes.len()];
    let table = raw.rtt.table.as_ref();
    if let Some(table) = table {
        let known = table.get_ref() == "aws";
        let what = format!("there is no table `{}`; write table = \"aws\"", table.get_ref());
        findings.must(known, table.span(), "rtt.table", what);
    }
    for entry in &raw.region {
        let site = entry.site.as_ref().unwrap_or(&entry.name);
        let place = SITES.iter().position(|known| known == site.get_ref());
        let sites = SITES.join(", ");
        match (&entry.site, table) {
            (Some(site), None) => {
                findings.add(site.span(), "region.site", "means nothing without [rtt] table = \"aws\"");
            }
            (_, Some(_)) if place.is_none() => {
                let what = format!("`{}` is no site of the table; there are {sites}", site.get_ref());
                findings.add(Spanned::span(site), "region.site", what);
            }
            (_, Some(_)) => {
                if let Some(node) = names.node(entry.name.get_ref()) {
                    places[node] = places[node].or(place);
                }
            }
            (None, None) => {}
        }
    }
    places
}
