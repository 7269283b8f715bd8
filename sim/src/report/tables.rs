//! The tables of a report: nodes over the whole time, and the books at the end.

use super::charts::area::VERDICTS;
use super::figures::by_node;
use super::html::{Text, head, row, short, table};
use super::numbers::{count, finite, millis, of, percent};
use super::places::Places;
use crate::recording::{ItemBooks, Latency, NodeBucket, Recording};

/// Rows of the table of nodes; the others are summed in one.
const NODES: usize = 24;
/// Rows of the books.
const ITEMS: usize = 20;

/// What came to each node and what became of it.
pub fn nodes(recording: &Recording, places: &Places) -> String {
    let sums = by_node(recording);
    let shown = places.shown(NODES);
    let line = |node: &usize| row(places.name(*node), cells(&sums[*node], recording.latency.get(*node)));
    let mut rows: String = shown.iter().map(line).collect();
    let total = |nodes: &mut dyn Iterator<Item = usize>| {
        let mut total = NodeBucket::default();
        nodes.for_each(|node| total.then(&sums[node]));
        total
    };
    let others = sums.len() - shown.len();
    if others > 0 {
        let rest = total(&mut (0..sums.len()).filter(|node| !shown.contains(node)));
        rows += &row(&format!("and {others} more"), cells(&rest, None));
    }
    let heading = if places.word() == "region" { "Region" } else { "Node" };
    let mut columns = vec![heading, "Asked", "Served", "Served %"];
    columns.extend([
        "Sold out",
        "Elsewhere",
        "Unknown",
        "Un\u{AD}answered",
        "Failed over",
        "Local",
        "p50",
        "p90",
        "p99",
    ]);
    let foot = match sums.len() {
        0 | 1 => String::new(),
        _ => row("All", cells(&total(&mut (0..sums.len())), None)),
    };
    table("Sales by region", &head(&columns), &rows, &foot)
}

fn cells(sum: &NodeBucket, latency: Option<&Latency>) -> Vec<String> {
    let mut cells =
        vec![count(sum.asked), count(sum.served), super::numbers::share(sum.served, sum.wanted())];
    cells.extend(VERDICTS.map(|(_, _, units)| count(units(sum))));
    cells.push(count(sum.failed_over));
    match latency.filter(|latency| latency.answers > 0) {
        Some(l) => {
            cells.push(percent(finite(l.local_share).clamp(0.0, 1.0)));
            cells.extend([l.p50, l.p90, l.p99].map(millis));
        }
        None => cells.extend(["–"; 4].map(String::from)),
    }
    cells
}

/// The books at the end, and whether they add up.
pub fn books(recording: &Recording) -> String {
    let listed = recording.books.iter().take(ITEMS);
    let rows: String = listed.clone().map(|item| row(&short(&item.sku, 40), amounts(item))).collect();
    let mut sum = ItemBooks::default();
    listed.clone().for_each(|item| add(&mut sum, item));
    let columns = [
        "Item",
        "Asked",
        "Received",
        "Returned",
        "Retired",
        "Sold",
        "Held",
        "Available",
        "In flight",
        "Adds up",
    ];
    let shown = listed.len();
    let foot = if shown > 1 { row("Sum of these", amounts(&sum)) } else { String::new() };
    let table = if shown == 0 {
        "<p class=\"more\">There were no items.</p>".to_owned()
    } else {
        table("Books", &head(&columns), &rows, &foot)
    };
    let more = recording.more_items.saturating_add((recording.books.len() - shown) as u64);
    let more = match more {
        0 => String::new(),
        1 => "One item with less demand is not listed. ".to_owned(),
        more => format!("{} items with less demand are not listed. ", count(more)),
    };
    let odd: Vec<&ItemBooks> = recording.books.iter().filter(|item| off(item) != 0).collect();
    let word = match odd.as_slice() {
        [] if recording.books.is_empty() => String::new(),
        [] => "Received + returned = retired + sold + held + available + in flight, for each item listed."
            .to_owned(),
        [first, ..] => {
            let items = of(odd.len() as u64, "item does", "items do");
            let (sku, by) = (Text(&first.sku), super::numbers::signed(off(first)));
            format!("<b class=\"bad\">{items} not add up</b>, first {sku} ({by} units).")
        }
    };
    format!("{table}<p class=\"more\">{more}{word}</p>")
}

/// Units too many (or, negative, missing) on the right of the books' equation.
fn off(item: &ItemBooks) -> i128 {
    let sum = |parts: &[u64]| parts.iter().map(|part| i128::from(*part)).sum::<i128>();
    sum(&[item.retired, item.sold, item.held, item.available, item.in_flight])
        - sum(&[item.received, item.returned])
}

fn amounts(item: &ItemBooks) -> Vec<String> {
    let amounts = [item.asked, item.received, item.returned, item.retired, item.sold, item.held];
    let mut cells: Vec<String> =
        amounts.into_iter().chain([item.available, item.in_flight]).map(count).collect();
    cells.push(match off(item) {
        0 => "<span class=\"good\">✓ yes</span>".to_owned(),
        by => format!("<b class=\"bad\">✗ {}</b>", super::numbers::signed(by)),
    });
    cells
}

fn add(sum: &mut ItemBooks, item: &ItemBooks) {
    sum.asked += item.asked;
    sum.received += item.received;
    sum.returned += item.returned;
    sum.retired += item.retired;
    sum.sold += item.sold;
    sum.held += item.held;
    sum.available += item.available;
    sum.in_flight += item.in_flight;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tee() -> ItemBooks {
        ItemBooks { sku: "TEE".into(), received: 10, sold: 6, held: 1, available: 3, ..ItemBooks::default() }
    }

    #[test]
    fn books_that_do_not_add_up_are_told() {
        let mut recording = Recording { books: vec![tee()], ..Recording::default() };
        assert!(books(&recording).contains("✓ yes"));
        recording.books[0].in_flight = 2;
        let told = books(&recording);
        assert!(
            told.contains("✗ +2") && told.contains("1 item does not add up</b>, first TEE (+2 units)"),
            "{told}"
        );
        recording.books[0].received = 99;
        assert!(books(&recording).contains("✗ −87"));
    }

    #[test]
    fn items_that_are_not_listed_are_counted() {
        let mut recording = Recording { books: vec![tee(); 45], more_items: 1_200, ..Recording::default() };
        assert!(books(&recording).contains("1,225 items with less demand"));
        recording.books.clear();
        recording.more_items = 0;
        assert!(books(&recording).contains("no items"));
    }
}
