//! The top of a report: whether the run held, what it came to in a few sentences (the terminal says
//! the same ones), and the key figures as tiles.

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

/// What a manager wants to know, first of all.
pub struct Sentences {
    lead: String,
    rest: String,
}

impl Sentences {
    /// As HTML, what was sold in bold.
    pub fn html(&self) -> String {
        format!("<b>{}</b> {}", Text(&self.lead), Text(&self.rest))
    }

    pub fn plain(&self) -> String {
        format!("{} {}", self.lead, self.rest)
    }
}

/// The run in a few sentences.
pub fn sentences(recording: &Recording, figures: &Figures, places: &Places) -> Sentences {
    let totals = &figures.totals;
    if totals.orders == 0 {
        return Sentences { lead: "No orders came.".into(), rest: held(recording).into() };
    }
    let lead = format!(
        "{} of the units that buyers wanted were sold, in {} of {}.",
        share(totals.units_served, figures.wanted),
        count(totals.orders_served),
        of(totals.orders, "order", "orders")
    );
    let mut rest = Vec::new();
    if totals.abandoned > 0 {
        rest.push(format!("{} were reserved and never paid for.", of(totals.abandoned, "unit", "units")));
    }
    rest.push(refusals(figures));
    if let Some((p99, node)) = figures.slowest {
        let within = format!("99 of 100 answers came within {}", millis(p99));
        rest.push(match places.count() {
            1 => format!("{within}."),
            _ => format!("{within} in the slowest {}, {}.", places.word(), places.name(node)),
        });
    }
    rest.push(held(recording).into());
    Sentences { lead, rest: rest.join(" ").trim_end().to_owned() }
}

fn refusals(figures: &Figures) -> String {
    let totals = &figures.totals;
    if figures.refused == 0 {
        return "No unit was refused.".to_owned();
    }
    let why = [
        (totals.sold_out, "were sold out everywhere"),
        (totals.elsewhere, "were more than was left or not handed over by other nodes (elsewhere)"),
        (totals.unknown, "could not be found, with a node out of reach or units on their way (unknown)"),
        (totals.unanswered, "went unanswered"),
    ];
    let told: Vec<(u64, &str)> = why.into_iter().filter(|(units, _)| *units > 0).collect();
    let parts: Vec<String> = match told.as_slice() {
        [(2.., why)] => vec![format!("all {why}")],
        [(_, why)] => vec![format!("it {}", why.replacen("were", "was", 1))],
        several => several.iter().map(|(units, why)| format!("{} {why}", count(*units))).collect(),
    };
    let avoidable = match totals.avoidable {
        0 => "None of these was avoidable: no node within a buyer's reach had the units free.".to_owned(),
        units => {
            let which = match units {
                1 => "1 of these was".to_owned(),
                all if all == figures.refused => "All of these were".to_owned(),
                some => format!("{} of these were", count(some)),
            };
            format!("{which} avoidable: nodes within the buyer's reach had the units free.")
        }
    };
    let refused = of(figures.refused, "unit was not sold", "units were not sold");
    format!("{refused} to those who asked: {}. {avoidable}", listed(&parts))
}

fn held(recording: &Recording) -> &'static str {
    if recording.violation.is_some() { "" } else { "No unit was sold twice or lost: every check held." }
}

/// The key figures, large.
pub fn tiles(figures: &Figures, places: &Places) -> String {
    let totals = &figures.totals;
    let slowest = figures.slowest.map_or_else(
        || ("–".to_owned(), "no answers".to_owned()),
        |(p99, node)| (millis(p99), format!("p99 in {}", super::html::short(places.name(node), 24))),
    );
    let refused = format!("{} of {} wanted", share(figures.refused, figures.wanted), count(figures.wanted));
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
                count(figures.wanted),
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
        sentences(&recording, &Figures::of(&recording), &Places::of(&recording)).plain()
    }

    #[test]
    fn the_sentence_tells_what_was_refused_and_why() {
        let totals = Totals { orders: 1_200, orders_served: 1_100, units_served: 1_395, ..Totals::default() };
        let text = told(Totals { sold_out: 90, elsewhere: 12, unanswered: 3, avoidable: 12, ..totals });
        assert_eq!(
            text,
            "93% of the units that buyers wanted were sold, in 1,100 of 1,200 orders. 105 units were not sold to those \
             who asked: 90 were sold out everywhere, 12 were more than was left or not handed over by other nodes (elsewhere) and 3 went \
             unanswered. 12 of these were avoidable: nodes within the buyer's reach had the units free. 99 of 100 \
             answers came within 310 ms in the slowest region, eu. No unit was sold twice or lost: every check held."
        );
        assert!(told(totals).contains("No unit was refused."));
        let only = told(Totals { sold_out: 90, avoidable: 90, ..totals });
        assert!(
            only.contains("who asked: all were sold out everywhere. All of these were avoidable:"),
            "{only}"
        );
        let unpaid = told(Totals { abandoned: 40, ..totals });
        assert!(
            unpaid.contains("100% of the units") && unpaid.contains("40 units were reserved and never paid")
        );
        assert_eq!(
            told(Totals::default()),
            "No orders came. No unit was sold twice or lost: every check held."
        );
    }

    #[test]
    fn a_violation_is_told_and_escaped() {
        let recording = Recording { violation: Some("a < b".into()), ..Recording::default() };
        assert!(violation(&recording, "").contains("violation.</b> a &lt; b"));
        let told = sentences(&recording, &Figures::of(&recording), &Places::of(&recording));
        assert!(!told.plain().contains("held"));
        assert_eq!(violation(&Recording::default(), ""), "");
    }
}
