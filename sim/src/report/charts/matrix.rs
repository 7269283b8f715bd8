//! Transfers between nodes as a table: rows gave, columns received, and the deeper a cell's colour
//! the more units. It reads without its colours.

use crate::recording::{Moved, Recording};
use crate::report::html::{Text, head, row, short, table};
use crate::report::numbers::count;
use crate::report::places::Places;

/// Rows and columns shown.
pub const ACROSS: usize = 10;

/// The most units in one cell, which has the deepest colour.
pub fn deepest(recording: &Recording) -> u64 {
    recording.transfers.iter().flatten().map(|moved| moved.units).max().unwrap_or(0)
}

pub fn transfers(recording: &Recording, places: &Places, deepest: u64) -> String {
    if recording.transfers.iter().flatten().all(|moved| moved.transfers == 0 && moved.units == 0) {
        return "<p class=\"more\">No rights moved.</p>".to_owned();
    }
    let shown = busiest(recording, places.count());
    let names: Vec<String> = shown.iter().map(|to| Text(&short(places.name(*to), 18)).to_string()).collect();
    let mut columns = vec!["From \\ to"];
    columns.extend(names.iter().map(String::as_str));
    columns.push("Gave");
    let line = |from: &usize| {
        let cells = shown.iter().map(|to| cell(moved(recording, *from, *to), *from == *to, deepest));
        let gave = sum((0..places.count()).map(|to| moved(recording, *from, to)));
        row(places.name(*from), cells.chain([format!("<b>{}</b>", count(gave.units))]))
    };
    let all = sum(recording.transfers.iter().flatten().copied());
    let received = |to: &usize| sum((0..places.count()).map(|from| moved(recording, from, *to))).units;
    let foot = shown.iter().map(|to| count(received(to))).chain([count(all.units)]);
    let matrix = table(
        "Transfers",
        &head(&columns),
        &shown.iter().map(line).collect::<String>(),
        &row("Received", foot),
    );
    let more = match places.count().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" These {} moved most, of the {more} more only the sums are shown.", shown.len()),
    };
    format!(
        "<div class=\"matrix\">{matrix}</div><p class=\"more\">Units, and in how many transfers.{more}</p>"
    )
}

/// A cell: units, and in how many transfers.
fn cell(moved: Moved, own: bool, deepest: u64) -> String {
    if own && moved.units == 0 {
        return "<i class=\"own\">·</i>".to_owned();
    }
    let depth = moved.units as f64 / deepest.max(1) as f64;
    let times = count(moved.transfers);
    let small = if moved.transfers == 0 { String::new() } else { format!("<small>in {times}</small>") };
    format!(
        "<span class=\"heat\" style=\"--heat:{:.2}\">{}{small}</span>",
        depth.min(1.0) * 0.6,
        count(moved.units)
    )
}

fn moved(recording: &Recording, from: usize, to: usize) -> Moved {
    recording.transfers.get(from).and_then(|row| row.get(to)).copied().unwrap_or_default()
}

fn sum(all: impl Iterator<Item = Moved>) -> Moved {
    all.fold(Moved::default(), |a, b| Moved {
        transfers: a.transfers + b.transfers,
        units: a.units + b.units,
    })
}

/// Those that gave or received most, in the order of the file.
fn busiest(recording: &Recording, nodes: usize) -> Vec<usize> {
    let part = |node: usize| {
        let all = (0..nodes).flat_map(|other| [moved(recording, node, other), moved(recording, other, node)]);
        std::cmp::Reverse(sum(all).units)
    };
    let mut busiest: Vec<usize> = (0..nodes).collect();
    busiest.sort_by_key(|node| part(*node));
    busiest.truncate(ACROSS);
    busiest.sort_unstable();
    busiest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Node;

    fn gave(nodes: usize, gave: &[(usize, usize, u64)]) -> Recording {
        let mut transfers = vec![vec![Moved::default(); nodes]; nodes];
        for (from, to, units) in gave {
            transfers[*from][*to] = Moved { transfers: 1, units: *units };
        }
        let node = |n: usize| Node { name: format!("n{n}"), region: format!("r{n}") };
        Recording { nodes: (0..nodes).map(node).collect(), transfers, ..Recording::default() }
    }

    #[test]
    fn rows_gave_and_columns_received() {
        let recording = gave(3, &[(0, 1, 1_500), (2, 1, 30)]);
        let matrix = transfers(&recording, &Places::of(&recording), deepest(&recording));
        assert!(matrix.contains("--heat:0.60\">1,500<small>in 1</small>"), "{matrix}");
        assert!(matrix.contains("--heat:0.01\">30"), "{matrix}");
        let foot = matrix.split("Received").last().expect("it has a foot");
        assert!(foot.contains("<td>0</td><td>1,530</td><td>0</td><td>1,530</td>"), "{foot}");
    }

    #[test]
    fn many_nodes_are_limited_to_those_that_moved_most() {
        let recording = gave(64, &[(63, 5, 9)]);
        let matrix = transfers(&recording, &Places::of(&recording), deepest(&recording));
        assert!(matrix.contains("r63") && matrix.contains("r5") && matrix.contains("of the 54 more"));
    }

    #[test]
    fn no_transfers_are_said_in_words() {
        for nodes in [0, 1, 3] {
            let recording = gave(nodes, &[]);
            assert!(transfers(&recording, &Places::of(&recording), 0).contains("No rights moved"));
        }
    }
}
