//! An item's books as a node answers them, and how they look in a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::short_time;
use super::show::{Column, Rows};
use crate::types;

/// The answer to `GET /v1/items/{sku}`.
#[derive(Clone, Debug, Deserialize)]
pub struct Books {
    pub sku: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub balanced: bool,
    pub totals: Totals,
    #[serde(default)]
    pub nodes: Vec<NodeBooks>,
    #[serde(default)]
    pub policy: Policy,
    /// Outer `None`: the node is of a release that does not tell.
    #[serde(default, deserialize_with = "told")]
    pub last_refusal: Option<Option<Refusal>>,
}

impl Books {
    /// Whether that time had come when these books were written.
    pub fn is_past(&self, text: &str) -> bool {
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let newest = self.nodes.iter().filter_map(|at| time(&at.as_of)).max();
        newest.zip(time(text)).is_some_and(|(newest, time)| time <= newest)
    }
}

/// A member that is there, also when it is null.
fn told<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Refusal>>, D::Error> {
    Option::<Refusal>::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Totals {
    pub received: u64,
    pub returned: u64,
    pub retired: u64,
    pub sold: u64,
    pub held: u64,
    pub available: u64,
    pub in_flight: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeBooks {
    pub node: String,
    pub region: String,
    pub received: u64,
    pub returned: u64,
    pub retired: u64,
    pub sold: u64,
    pub held: u64,
    pub available: u64,
    pub given: u64,
    pub sent: u64,
    pub taken: u64,
    /// `None`, of these two: nothing bounds it, or the node is of a release that does not tell.
    pub mark: Option<u64>,
    pub limit: Option<u64>,
    pub as_of: String,
}

impl NodeBooks {
    /// How many it may sell before others confirm more, if it has more than that.
    pub fn within_limit(&self) -> Option<u64> {
        let left = self.limit?.saturating_sub(self.taken);
        (left < self.available).then_some(left)
    }
}

/// What an admin has set; in the form in which it is set again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Policy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_stock: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_order: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, Quota>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autonomy: Option<Autonomy>,
}

/// How much a node may take that no other has been told of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Autonomy {
    Units(u64),
    Text(String),
}

impl From<types::Autonomy> for Autonomy {
    fn from(autonomy: types::Autonomy) -> Autonomy {
        match autonomy {
            types::Autonomy::Units(units) => Autonomy::Units(units.0),
            types::Autonomy::All | types::Autonomy::Percent(_) => Autonomy::Text(autonomy.to_string()),
        }
    }
}

impl Autonomy {
    pub fn words(&self) -> String {
        match self {
            Autonomy::Units(units) => units.to_string(),
            Autonomy::Text(text) => text.clone(),
        }
    }
}

/// What buyers are expected to ask for, node by node, until then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Launch {
    pub until: String,
    #[serde(default)]
    pub expected: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Quota {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<u64>,
}

/// The newest refused line of an item at a node.
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    #[serde(default)]
    pub at: String,
    #[serde(flatten)]
    pub short: Shortfall,
}

/// A line whose units are there, and may not all be sold yet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Capped {
    pub sku: String,
    pub requested: u64,
    pub available_here: u64,
    pub sellable: u64,
}

impl Capped {
    pub fn sentence(&self) -> String {
        let Capped { sku, requested, available_here, sellable } = self;
        format!("{sku}: {requested} wanted, {available_here} free there, {sellable} may be sold now")
    }
}

/// A line for which there was not enough.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shortfall {
    pub sku: String,
    pub requested: u64,
    pub available_here: u64,
    pub verdict: String,
    pub elsewhere: u64,
    pub unreachable: Vec<String>,
}

impl Shortfall {
    pub fn sentence(&self) -> String {
        format!("{}: {} wanted, {} free there; {}", self.sku, self.requested, self.available_here, self.why())
    }

    /// What the verdict means.
    pub fn why(&self) -> String {
        match self.verdict.as_str() {
            "sold_out" => "sold out: no node had a free unit".to_owned(),
            "elsewhere" => {
                format!("{} free at other nodes could not be brought there in time", self.elsewhere)
            }
            // Nobody is silent: mostly an order that is larger than what is left.
            _ if self.unreachable.is_empty() && self.available_here > 0 => {
                "not proved that no other node has more".to_owned()
            }
            _ if self.unreachable.is_empty() => {
                "it was not known whether there are more: units were on their way".to_owned()
            }
            _ => format!(
                "it was not known whether there are more: {} did not answer",
                self.unreachable.join(", ")
            ),
        }
    }
}

impl Books {
    pub fn at(&self, node: &str) -> Option<&NodeBooks> {
        self.nodes.iter().find(|books| books.node == node)
    }

    /// A line for each node, and one for their sum.
    pub fn rows(&self) -> Rows {
        let mut rows = Rows::new(&[
            Column::text("node"),
            Column::number("received"),
            Column::number("returned"),
            Column::number("retired"),
            Column::number("given"),
            Column::number("sent"),
            Column::number("sold"),
            Column::number("held"),
            Column::number("free"),
        ]);
        for n in &self.nodes {
            let counts = [n.received, n.returned, n.retired, n.given, n.sent, n.sold, n.held, n.available];
            rows.add([n.node.clone()].into_iter().chain(counts.map(|count| count.to_string())));
        }
        rows
    }

    /// What stands under the table.
    pub fn summary(&self) -> String {
        let t = &self.totals;
        let mut text =
            format!("all: {} free, {} held, {} in flight, {} sold", t.available, t.held, t.in_flight, t.sold);
        if !self.balanced {
            text += "\nthe books do not balance yet: not all rows have been heard";
        }
        let within = self.nodes.iter().filter_map(|at| Some((at, at.within_limit()?)));
        let within = within.map(|(at, left)| format!("{} {left} of {}", at.node, at.available));
        let within: Vec<String> = within.collect();
        if !within.is_empty() {
            text += &format!("\nfree within the limit (autonomy): {}", within.join(", "));
        }
        let set = self.policy.words();
        if !set.is_empty() {
            text += &format!("\nset: {}", set.join("; "));
        }
        text
    }

    /// Sku and name.
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} ({name})", self.sku),
            None => self.sku.clone(),
        }
    }
}

impl Policy {
    pub fn rebalance(&self) -> &str {
        self.rebalance.as_deref().unwrap_or("auto")
    }

    /// All that is set.
    pub fn words_with_name(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("name {name:?}"));
        let words: Vec<String> = name.into_iter().chain(self.words()).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join("; ") }
    }

    /// What is set, other than the name.
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.low_stock.map(|n| format!("low stock {n}")));
        words.extend(self.max_per_order.map(|n| format!("at most {n} an order")));
        if self.rebalance() != "auto" {
            words.push(format!("rebalance {}", self.rebalance()));
        }
        words.extend(self.quotas.iter().map(|(node, quota)| format!("quota of {node}: {}", quota.words())));
        words.extend(self.launch.iter().map(|launch| format!("launch {}", launch.words())));
        words.extend(self.autonomy.iter().map(|autonomy| format!("autonomy {}", autonomy.words())));
        words
    }
}

impl Launch {
    pub fn words(&self) -> String {
        let each = self.expected.iter().map(|(node, units)| format!("{node} {units}"));
        let each: Vec<String> = each.collect();
        format!("until {}: {}", short_time(&self.until), each.join(", "))
    }
}

impl Quota {
    pub fn is_empty(&self) -> bool {
        *self == Quota::default()
    }

    pub fn words(&self) -> String {
        let fields = [("weight", self.weight), ("min", self.min), ("max", self.max), ("pinned", self.pinned)];
        let words: Vec<String> =
            fields.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}"))).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    }
}

/// A page of any list.
#[derive(Debug, Deserialize)]
pub struct Page {
    pub items: Vec<Box<RawValue>>,
    pub next: Option<String>,
    /// Of a history over all nodes.
    #[serde(default)]
    pub missing_nodes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_may_be_there_be_null_or_not_be_told() {
        let read = |text: &str| serde_json::from_str::<Books>(text).unwrap().last_refusal;
        assert!(read(r#"{"sku":"A","totals":{}}"#).is_none());
        assert!(read(r#"{"sku":"A","totals":{},"last_refusal":null}"#).unwrap().is_none());
        let refusal = read(
            r#"{"sku":"A","totals":{},"last_refusal":{"at":"t","requested":2,"available_here":1,
                "verdict":"unknown","elsewhere":0,"unreachable":["eu-1"]}}"#,
        );
        let refusal = refusal.unwrap().unwrap();
        assert_eq!((refusal.at.as_str(), refusal.short.requested), ("t", 2));
        assert!(refusal.short.why().contains("eu-1"));
    }

    #[test]
    fn an_order_larger_than_what_is_left_is_no_fault() {
        let short = Shortfall {
            sku: "PEN".into(),
            requested: 10,
            available_here: 3,
            verdict: "unknown".into(),
            ..Shortfall::default()
        };
        assert_eq!(short.sentence(), "PEN: 10 wanted, 3 free there; not proved that no other node has more");
    }

    #[test]
    fn a_policy_is_sent_back_as_it_came() {
        let text = r#"{"name":"Mug","rebalance":"manual","quotas":{"eu-1":{"min":1}},"#.to_owned()
            + r#""launch":{"until":"2030-11-29T09:00:00.000Z","expected":{"eu-1":500,"us-1":300}},"#
            + r#""autonomy":"1%"}"#;
        let policy: Policy = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
        assert_eq!(
            policy.words_with_name(),
            "name \"Mug\"; rebalance manual; quota of eu-1: min 1; \
             launch until 2030-11-29 09:00:00: eu-1 500, us-1 300; autonomy 1%"
        );
        assert_eq!(Policy::default().words_with_name(), "nothing");
    }
}
