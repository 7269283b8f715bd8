//! Latency as buyers saw it: a bar for each node from its median over its 90th to its 99th
//! percentile, on a logarithmic axis.

use super::axis::{Millis, Time};
use super::{Size, TEXT, at_sizes, rect, text, width_of};
use crate::recording::{Latency, Recording};
use crate::report::html::short;
use crate::report::numbers::{self, millis};
use crate::report::places::Places;

/// Bars in one chart.
pub const BARS: usize = 16;

/// What the axis has to hold.
pub fn values(recording: &Recording) -> Vec<f64> {
    let answered = recording.latency.iter().filter(|latency| latency.answers > 0);
    answered.flat_map(|latency| [latency.p50, latency.p90, latency.p99]).collect()
}

/// The chart, on an axis that holds `values`: of this run alone, or of two.
pub fn latency(recording: &Recording, places: &Places, values: &[f64], sizes: &[Size]) -> String {
    if values.is_empty() {
        return "<p class=\"more\">Nobody was answered.</p>\n".to_owned();
    }
    let none = Latency::default();
    let shown = places.shown(BARS);
    at_sizes(sizes, &format!("Latency by {}", places.word()), |size| {
        let axis = Millis::over(values.iter().copied(), size);
        let (mut y, mut bars) = (4.0, String::new());
        for node in &shown {
            bars += &bar(&axis, places.name(*node), recording.latency.get(*node).unwrap_or(&none), y);
            y += ROW;
        }
        (y + Time::LABELS, axis.draw(0.0, y) + &bars)
    })
}

const ROW: f64 = TEXT + 32.0;

fn bar(axis: &Millis, name: &str, latency: &Latency, y: f64) -> String {
    let [p50, p90, p99] = [latency.p50, latency.p90, latency.p99].map(|p| axis.x(p));
    let words = match latency.answers {
        0 => "no answers".to_owned(),
        _ => format!("{} · {} · {}", millis(latency.p50), millis(latency.p90), millis(latency.p99)),
    };
    let room = (axis.right - axis.left - width_of(&words) - 8.0) / (super::CHARACTER + 0.8);
    let mut out = text(axis.left, y + TEXT, "name", &short(name, room.max(4.0) as usize));
    out += &text(axis.right, y + TEXT, "end", &words);
    if latency.answers > 0 {
        let top = y + TEXT + 7.0;
        out += &rect(p90, top + 3.0, p99 - p90, 6.0, "tail");
        out += &rect(p50, top, p90 - p50, 12.0, "most");
        out += &rect(p50 - 1.5, top - 2.0, 3.0, 16.0, "median");
        out += &rect(p99 - 1.0, top, 2.0, 12.0, "median");
    }
    out
}

/// What the parts of a bar mean.
pub fn key() -> &'static str {
    "<ul class=\"key\"><li><svg width=\"34\" height=\"16\" viewBox=\"0 0 34 16\" aria-hidden=\"true\">\
     <rect x=\"18\" y=\"5\" width=\"15\" height=\"6\" class=\"tail\"/><rect x=\"2\" y=\"2\" width=\"16\" height=\"12\" class=\"most\"/>\
     <rect x=\"1\" y=\"0\" width=\"3\" height=\"16\" class=\"median\"/><rect x=\"32\" y=\"2\" width=\"2\" height=\"12\" class=\"median\"/></svg> \
     half of all answers by the first edge, 90 of 100 by the end of the thick bar, 99 of 100 by the last edge</li></ul>\n"
}

/// The slowest answer of all.
pub fn longest(recording: &Recording) -> Option<f64> {
    let answered = recording.latency.iter().filter(|latency| latency.answers > 0);
    answered.map(|latency| numbers::finite(latency.max)).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Node;

    #[test]
    fn a_node_without_answers_has_no_bar() {
        let node = |name: &str| Node { name: name.into(), region: name.into() };
        let answered = Latency { answers: 5, p50: 1.0, p90: 20.0, p99: 400.0, max: 900.0, local_share: 1.0 };
        let recording = Recording {
            nodes: vec![node("a"), node("b"), node("c")],
            latency: vec![answered, Latency::default()],
            ..Recording::default()
        };
        let chart = latency(&recording, &Places::of(&recording), &values(&recording), &[Size::Full]);
        assert_eq!(chart.matches("class=\"most\"").count(), 1);
        assert_eq!(chart.matches("no answers").count(), 2, "nor one that is not listed");
        assert!(chart.contains("1.0 ms · 20 ms · 400 ms"));
        assert_eq!(longest(&recording), Some(900.0));
    }
}
