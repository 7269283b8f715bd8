//! The top of a report: whether the run held, what it came to in a sentence, and the key figures as
//! tiles.

use super::figures::Figures;
use super::html::Text;
use super::numbers::{bytes, count, listed, millis, of, percent, share, tick};
use super::places::Places;
use crate::recording::Recording;

/// What did not hold, in red; nothing otherwise.
pub fn violation(recording: &Recording, which: &str) -> String {
    recording.violation.as_ref().map_or_else(String::new, |violation| {
        format!(
            "<div class=\"violation\" role=\"alert\"><b>The oracle found a violation{which}.</b> {} \
             <span>Do not plan by these numbers: report the seed and the scenario.</span></div>\n",
            Text(violation)
        )
    })
}

/// The run in a few sentences.
pub fn sentence(recording: &Recording, figures: &Figures, places: &Places) -> String {
    let totals = &figures.totals;
    if totals.orders == 0 {
        return format!("No orders came.{}", held(recording));
    }
    let mut out = format!(
        "<b>{} of the units that buyers wanted were sold, in {} of {}.</b> ",
        share(totals.units_served, figures.wanted),
        count(totals.orders_served),
        of(totals.orders, "order", "orders")
    );
    if totals.abandoned > 0 {
        out += &format!("{} were reserved and never paid for. ", of(totals.abandoned, "unit", "units"));
    }
    out += &refusals(figures);
    if let Some((p99, node)) = figures.slowest {
        let name = Text(places.name(node)).to_string();
        out += &match places.count() {
            1 => format!(" 99 of 100 answers came within {}.", millis(p99)),
            _ => format!(
                " 99 of 100 answers came within {} in the slowest {}, {name}.",
                millis(p99),
                places.word()
            ),
        };
    }
    out + &held(recording)
}

fn refusals(figures: &Figures) -> String {
    let totals = &figures.totals;
    if figures.refused == 0 {
        return "No unit was refused.".to_owned();
    }
    let why = [
        (totals.sold_out, "were sold out everywhere"),
        (totals.elsewhere, "lay elsewhere"),
        (totals.unknown, "were unknown, with nodes out of reach or units on their way"),
        (totals.unanswered, "went without an answer"),
    ];
    let parts: Vec<String> = why
        .iter()
        .filter(|(units, _)| *units > 0)
        .map(|(units, why)| format!("{} {why}", count(*units)))
        .collect();
    let avoidable = match totals.avoidable {
        0 => "None could have been avoided: no node within a buyer's reach had them free.".to_owned(),
        units => format!(
            "{} could have been avoided: a node within the buyer's reach had them free.",
            count(units)
        ),
    };
    let refused = of(figures.refused, "unit was not sold", "units were not sold");
    format!("{refused} to those who asked: {}. {avoidable}", listed(&parts))
}

fn held(recording: &Recording) -> String {
    if recording.violation.is_some() { String::new() } else { " Every check of the oracle held.".to_owned() }
}

/// The key figures, large.
pub fn tiles(figures: &Figures, places: &Places) -> String {
    let totals = &figures.totals;
    let slowest = figures.slowest.map_or_else(
        || ("–".to_owned(), "no answers".to_owned()),
        |(p99, node)| (millis(p99), format!("p99 in {}", super::html::short(places.name(node), 24))),
    );
    let refused = format!("{} of {} wanted", share(figures.refused, figures.wanted), tick(figures.wanted));
    let each = match totals.orders {
        0 => bytes(totals.bytes),
        orders => {
            format!(
                "{} in all, {} messages an order",
                bytes(totals.bytes),
                count((totals.messages + orders / 2) / orders)
            )
        }
    };
    let tiles = [
        (
            "Units sold",
            share(totals.units_served, figures.wanted),
            format!(
                "{} of {} wanted; {} of {} orders",
                count(totals.units_served),
                tick(figures.wanted),
                count(totals.orders_served),
                count(totals.orders)
            ),
        ),
        ("Units refused", tick(figures.refused), refused),
        ("Avoidable", tick(totals.avoidable), avoidable(figures)),
        ("Slowest answers", slowest.0, slowest.1),
        (
            "Units moved",
            tick(totals.units_moved),
            format!("in {}", of(totals.transfers, "transfer", "transfers")),
        ),
        ("Messages", tick(totals.messages), each),
    ];
    let tile = |(name, figure, note): &(&str, String, String)| {
        format!("<div><dt>{name}</dt><dd>{figure}</dd><dd class=\"note\">{}</dd></div>\n", Text(note))
    };
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

fn avoidable(figures: &Figures) -> String {
    match figures.refused {
        0 => "nothing was refused".to_owned(),
        refused => {
            format!("{} of the units refused", percent(figures.totals.avoidable as f64 / refused as f64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Latency, Node, Totals};

    fn told(totals: Totals) -> String {
        let node = |name: &str| Node { name: name.into(), region: name.into() };
        let latency = Latency { answers: 1, p99: 310.0, ..Latency::default() };
        let recording = Recording {
            nodes: vec![node("eu"), node("us")],
            latency: vec![latency],
            totals,
            ..Recording::default()
        };
        sentence(&recording, &Figures::of(&recording), &Places::of(&recording))
    }

    #[test]
    fn the_sentence_tells_what_was_refused_and_why() {
        let totals = Totals { orders: 1_200, orders_served: 1_100, units_served: 1_395, ..Totals::default() };
        let text = told(Totals { sold_out: 90, elsewhere: 12, unanswered: 3, avoidable: 12, ..totals });
        assert_eq!(
            text,
            "<b>93% of the units that buyers wanted were sold, in 1,100 of 1,200 orders.</b> 105 units were not sold to those who asked: 90 were \
             sold out everywhere, 12 lay elsewhere and 3 went without an answer. 12 could have been avoided: a node \
             within the buyer's reach had them free. 99 of 100 answers came within 310 ms in the slowest region, eu. \
             Every check of the oracle held."
        );
        assert!(told(totals).contains("No unit was refused."));
        let unpaid = told(Totals { abandoned: 40, ..totals });
        assert!(
            unpaid.contains("<b>100% of the units")
                && unpaid.contains("40 units were reserved and never paid")
        );
        assert_eq!(told(Totals::default()), "No orders came. Every check of the oracle held.");
    }

    #[test]
    fn a_violation_is_told_and_escaped() {
        let recording = Recording { violation: Some("a < b".into()), ..Recording::default() };
        assert!(violation(&recording, "").contains("violation.</b> a &lt; b"));
        assert!(!sentence(&recording, &Figures::of(&recording), &Places::of(&recording)).contains("held"));
        assert_eq!(violation(&Recording::default(), ""), "");
    }
}
