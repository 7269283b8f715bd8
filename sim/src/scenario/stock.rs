//! The file's items: their settings, and how many units lie where at the beginning.

use std::collections::BTreeMap;
use std::ops::Range;

use stockade::types::{Policy, Quota, Sku, Units};

use super::check::{Names, part};
use super::file::{self, File, ItemEntry, ItemsEntry, QuotaEntry, Spread, Stock};
use super::problem::Findings;
use super::script::{Item, Order, deal};
use crate::workload;

/// Most units of one item, and of what is said about it.
pub const MOST_UNITS: u64 = 1_000_000_000_000;

/// Every item. Orders that ask for more of one than an order may are cut to that: a storefront
/// lets nobody put more into a basket.
pub fn items(
    raw: &File,
    names: &Names,
    skus: &[Sku],
    orders: &mut [Order],
    findings: &mut Findings<'_>,
) -> Vec<Item> {
    let none = ItemsEntry::default();
    let all = raw.items.as_ref().map_or(&none, |items| items.get_ref());
    let place = raw.items.as_ref().map_or(0..0, toml::Spanned::span);
    let share = all.cover.unwrap_or(0.0);
    findings.must((0.0..=1_000.0).contains(&share), place.clone(), "items.cover", "must be 0 to 1000");
    let both = all.cover.is_some() && all.stock.is_some();
    findings.must(!both, place.clone(), "items", "has both stock and cover; keep one");
    let common =
        policy(names, all.max_per_order, all.rebalance, all.quotas.as_ref(), (&place, "items"), findings);
    let mut made = Vec::new();
    for (number, sku) in skus.iter().enumerate() {
        let policy = match raw.item.get(number) {
            None => common.clone(),
            Some(entry) => merged(names, entry, &common, findings),
        };
        made.push(Item { sku: sku.clone(), policy, stock: vec![0; names.nodes.len()] });
    }
    for wish in orders.iter_mut().flat_map(|order| &mut order.sales) {
        let most = made[wish.item].policy.max_per_order.map_or(u64::MAX, |units| units.0);
        wish.units = wish.units.min(most.max(1));
    }
    let asked = asked(skus.len(), names, orders);
    for (number, item) in made.iter_mut().enumerate() {
        item.stock = stocked(raw, all, number, names, &asked[number], &place, findings);
    }
    made
}

/// Units that buyers will ask of each item, by node.
fn asked(items: usize, names: &Names, orders: &[Order]) -> Vec<Vec<u64>> {
    let mut asked = vec![vec![0u64; names.nodes.len()]; items];
    for order in orders {
        let node = names.regions[order.region].node;
        order.sales.iter().for_each(|wish| asked[wish.item][node] += wish.units);
    }
    asked
}

fn stocked(
    raw: &File,
    all: &ItemsEntry,
    number: usize,
    names: &Names,
    asked: &[u64],
    place: &Range<usize>,
    findings: &mut Findings<'_>,
) -> Vec<u64> {
    let entry = raw.item.get(number);
    let at = entry.map_or(place.clone(), |entry| entry.sku.span());
    let total = match entry.and_then(|entry| entry.stock.as_ref()) {
        Some(Stock::By(table)) => return by_region(table, names, at, findings),
        Some(Stock::Total(units)) => *units,
        None => match (all.stock, all.cover) {
            (Some(units), _) => units,
            (None, Some(cover)) => (asked.iter().sum::<u64>() as f64 * cover.clamp(0.0, 1_000.0)) as u64,
            (None, None) => {
                findings.add(
                    at.clone(),
                    "stock",
                    "is missing; write stock = 100 here, or cover = 0.95 in [items]",
                );
                0
            }
        },
    };
    findings.must(total <= MOST_UNITS, at.clone(), "stock", format!("must be {MOST_UNITS} at most"));
    let spread = entry.and_then(|entry| entry.spread.as_ref()).or(all.spread.as_ref());
    deal(total.min(MOST_UNITS), &weights(spread, names, asked, at, findings))
}

fn by_region(
    table: &BTreeMap<String, u64>,
    names: &Names,
    at: Range<usize>,
    findings: &mut Findings<'_>,
) -> Vec<u64> {
    let mut stock = vec![0; names.nodes.len()];
    for (name, units) in table {
        findings.must(*units <= MOST_UNITS, at.clone(), "stock", format!("must be {MOST_UNITS} at most"));
        if let Some(node) = names.find(findings, at.clone(), "item.stock", name) {
            stock[node] += (*units).min(MOST_UNITS);
        }
    }
    stock
}

fn weights(
    spread: Option<&Spread>,
    names: &Names,
    asked: &[u64],
    at: Range<usize>,
    findings: &mut Findings<'_>,
) -> Vec<f64> {
    let mut weights = vec![0.0; names.nodes.len()];
    match spread {
        None => return names.populations(),
        Some(Spread::Named(name)) => match (name.as_str(), names.node(name)) {
            ("population", _) => return names.populations(),
            ("demand", _) => return asked.iter().map(|units| *units as f64).collect(),
            ("equal", _) => weights.fill(1.0),
            (_, Some(node)) => weights[node] = 1.0,
            _ => findings.add(at, "spread", format!("`{name}` is not population, demand, equal or a region")),
        },
        Some(Spread::Shares(shares)) => {
            for (name, share) in shares {
                if let Some(node) = names.find(findings, at.clone(), "spread", name) {
                    weights[node] += part(*share, name, at.clone(), "spread", findings);
                }
            }
        }
    }
    weights
}

/// What an `[[item]]` sets, and the rest as `[items]` has it.
fn merged(names: &Names, entry: &ItemEntry, common: &Policy, findings: &mut Findings<'_>) -> Policy {
    let place = entry.sku.span();
    let of_item = (&place, "item");
    let own = policy(names, entry.max_per_order, entry.rebalance, entry.quotas.as_ref(), of_item, findings);
    Policy {
        max_per_order: own.max_per_order.or(common.max_per_order),
        rebalance: if entry.rebalance.is_some() { own.rebalance } else { common.rebalance },
        quotas: if entry.quotas.is_some() { own.quotas } else { common.quotas.clone() },
        ..Policy::default()
    }
}

pub fn policy(
    names: &Names,
    max_per_order: Option<u64>,
    rebalance: Option<file::Rebalance>,
    quotas: Option<&BTreeMap<String, QuotaEntry>>,
    (place, key): (&Range<usize>, &str),
    findings: &mut Findings<'_>,
) -> Policy {
    let mut policy = Policy::default();
    findings.must(max_per_order != Some(0), place.clone(), key, "max_per_order must be 1 or more");
    policy.max_per_order = max_per_order.map(Units);
    if rebalance == Some(file::Rebalance::Manual) {
        policy.rebalance = stockade::types::Rebalance::Manual;
    }
    for (name, entry) in quotas.into_iter().flatten() {
        let Some(node) = names.find(findings, place.clone(), key, name) else { continue };
        let good = entry.min.zip(entry.max).is_none_or(|(min, max)| min <= max);
        findings.must(good, place.clone(), key, format!("the quota of {name} has min above max"));
        let sane = [entry.weight, entry.min, entry.max, entry.pinned];
        let sane = sane.into_iter().flatten().all(|number| number <= MOST_UNITS);
        findings.must(sane, place.clone(), key, {
            format!("the quota of {name}: weight, min, max and pinned must be {MOST_UNITS} at most")
        });
        let (min, max, pinned) = (entry.min.map(Units), entry.max.map(Units), entry.pinned.map(Units));
        let before =
            policy.quotas.insert(workload::node(node), Quota { weight: entry.weight, min, max, pinned });
        let what = format!("{name} and another region share a node; write its quota once");
        findings.must(before.is_none(), place.clone(), key, what);
    }
    policy
}
