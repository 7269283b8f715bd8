//! What the commands read from a node: the parts of its answers that they use.

use serde::{Deserialize, Serialize};

use super::client::{BaseUrl, Client};

/// The answer to `GET /v1/check`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Check {
    pub node: String,
    pub items: u64,
    pub books_digest: String,
    pub violations: Vec<Violation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Violation {
    pub invariant: String,
    pub sku: Option<String>,
    pub detail: String,
}

/// An item's books.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Item {
    pub sku: String,
    pub balanced: bool,
    pub totals: Totals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Totals {
    pub received: u64,
    pub returned: u64,
    pub sold: u64,
    pub held: u64,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

/// The answer of `GET /readyz`, 200 or 503.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    #[serde(default)]
    pub reasons: Vec<serde_json::Value>,
}

/// The answer to `GET /v1/availability`, in the order asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct Availability {
    pub items: Vec<AvailableItem>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AvailableItem {
    pub everywhere: u64,
    pub status: String,
}

impl AvailableItem {
    /// The node has heard of the item.
    pub fn is_known(&self) -> bool {
        self.status != "no_such_item"
    }
}

/// A counter without labels worth telling apart: summed over them.
const TRANSFERS: &str = "stockade_transfers_total";
const PAGE: usize = 500;
/// Most pages that one listing follows.
const MAX_PAGES: usize = 100_000;

/// # Errors
/// When the node does not answer as it should.
pub async fn check(client: &Client, admin: &BaseUrl) -> anyhow::Result<Check> {
    client.read(admin, "/v1/check").await
}

/// All items of a node.
///
/// # Errors
/// When the node does not answer as it should.
pub async fn items(client: &Client, admin: &BaseUrl) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut path = format!("/v1/items?limit={PAGE}");
    for _ in 0..MAX_PAGES {
        let page: Page = client.read(admin, &path).await?;
        items.extend(page.items);
        let Some(next) = page.next else { return Ok(items) };
        path = format!("/v1/items?limit={PAGE}&cursor={}", percent_encoded(&next));
    }
    anyhow::bail!("{admin}/v1/items has no end")
}

/// Moves of rights that the node has made since it started; `None`: it does not say.
pub async fn transfers(client: &Client, admin: &BaseUrl) -> Option<u64> {
    let answer = client.send(&super::client::Call::get(admin, "/metrics")).await.ok()?;
    if answer.status != 200 {
        return None;
    }
    counter(std::str::from_utf8(&answer.body).ok()?, TRANSFERS)
}

/// The sum of a counter over its labels, in Prometheus' text format.
fn counter(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let rest = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once('}')?.1,
            None => rest,
        };
        rest.strip_prefix(' ')?.split_whitespace().next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(value).reduce(u64::saturating_add)
}

/// A cursor is opaque: nothing is assumed about its characters.
pub fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let encode = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels_and_not_mixed_up_with_others() {
        let text = "# HELP stockade_transfers_total x\n# TYPE stockade_transfers_total counter\n\
                    stockade_transfers_total{cause=\"a } b\"} 1\n";
        assert_eq!(
            counter(text, TRANSFERS),
            None,
            "a brace in a label is not understood, and nothing is guessed"
        );
        let text = "stockade_transfers_total{cause=\"buyer\"} 3\nstockade_transfers_total{cause=\"balance\"} 4\n\
                    stockade_transfers_total_units 90\nother 7\n";
        assert_eq!(counter(text, TRANSFERS), Some(7));
        assert_eq!(counter("stockade_transfers_total 5 1700000000\n", TRANSFERS), Some(5));
        assert_eq!(counter("", TRANSFERS), None);
    }

    #[test]
    fn cursors_are_escaped() {
        assert_eq!(percent_encoded("a:b/ä"), "a%3Ab%2F%C3%A4");
    }
}
