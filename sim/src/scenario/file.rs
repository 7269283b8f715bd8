//! A scenario as its file has it. `sim/scenarios/README.md` is the reference of these keys, and
//! `sim/scenarios/scenario.schema.json` its schema; a test holds both to what is here.
//!
//! What one key alone can get wrong is refused here; what keys say of each other is for
//! [`check`](super::check).

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::lapse::Lapse;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub title: String,
    #[serde(default)]
    pub about: String,
    #[serde(default = "one")]
    pub seed: u64,
    pub duration: Option<Spanned<Lapse>>,
    pub compress: Option<Spanned<u64>>,
    pub warm_up: Option<Spanned<Lapse>>,
    #[serde(default)]
    pub region: Vec<RegionEntry>,
    #[serde(default)]
    pub rtt: RttEntry,
    #[serde(default)]
    pub item: Vec<ItemEntry>,
    pub items: Option<Spanned<ItemsEntry>>,
    #[serde(default)]
    pub demand: DemandEntry,
    #[serde(default)]
    pub buyers: BuyersEntry,
    #[serde(default)]
    pub event: Vec<Spanned<EventEntry>>,
}

impl File {
    pub fn warm_up(&self) -> Lapse {
        self.warm_up.as_ref().map_or(Lapse(0), |warm_up| *warm_up.get_ref())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionEntry {
    pub name: Spanned<String>,
    pub node: Option<Spanned<String>>,
    pub site: Option<Spanned<String>>,
    pub population: Option<Spanned<f64>>,
    pub utc_offset: Option<Spanned<f64>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RttEntry {
    pub table: Option<Spanned<String>>,
    pub default_ms: Option<Spanned<f64>>,
    pub jitter: Option<Spanned<f64>>,
    pub loss: Option<Spanned<f64>>,
    #[serde(default)]
    pub pairs: Vec<Spanned<(String, String, f64)>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected units, or a table of units by region such as { eu = 60, us = 40 }")]
pub enum Stock {
    Total(u64),
    By(BTreeMap<String, u64>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"population\", \"demand\", \"equal\", a region, or shares such as { eu = 3, us = 1 }"
)]
pub enum Spread {
    Named(String),
    Shares(BTreeMap<String, f64>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rebalance {
    #[default]
    Auto,
    Manual,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaEntry {
    pub weight: Option<u64>,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub pinned: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemEntry {
    pub sku: Spanned<String>,
    pub stock: Option<Stock>,
    pub spread: Option<Spread>,
    pub popularity: Option<f64>,
    pub max_per_order: Option<u64>,
    pub rebalance: Option<Rebalance>,
    pub quotas: Option<BTreeMap<String, QuotaEntry>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsEntry {
    pub count: Option<u64>,
    pub stock: Option<u64>,
    pub cover: Option<f64>,
    pub spread: Option<Spread>,
    pub max_per_order: Option<u64>,
    pub rebalance: Option<Rebalance>,
    pub quotas: Option<BTreeMap<String, QuotaEntry>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandEntry {
    pub trace: Option<Spanned<String>>,
    pub from: Option<Spanned<String>>,
    pub until: Option<Spanned<String>>,
    #[serde(default)]
    pub regions: BTreeMap<String, String>,
    pub generate: Option<GenerateEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"flat\", \"shop\" or 24 numbers, one for each hour")]
pub enum Day {
    Named(String),
    Hours(Vec<f64>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateEntry {
    pub orders_per_hour: Spanned<f64>,
    pub day: Option<Spanned<Day>>,
    pub begins_at: Option<Spanned<f64>>,
    pub zipf: Option<Spanned<f64>>,
    pub basket: Option<Spanned<f64>>,
    pub quantity: Option<Spanned<f64>>,
    pub tastes: Option<Spanned<f64>>,
    pub drift: Option<Lapse>,
    #[serde(default)]
    pub peak: Vec<PeakEntry>,
    #[serde(default)]
    pub drop: Vec<DropEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeakEntry {
    pub at: Spanned<Lapse>,
    #[serde(rename = "for")]
    pub lasts: Lapse,
    pub times: Spanned<f64>,
    #[serde(default)]
    pub regions: Vec<Spanned<String>>,
    #[serde(default)]
    pub skus: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropEntry {
    pub at: Spanned<Lapse>,
    pub over: Lapse,
    pub orders: u64,
    pub sku: Spanned<String>,
    #[serde(default = "one")]
    pub quantity: u64,
    #[serde(default)]
    pub regions: BTreeMap<String, f64>,
}

/// When a storefront tries another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailOver {
    Never,
    /// When the node gives no answer, or takes no work.
    #[default]
    Silence,
    /// Also when it refuses without proof that all is sold out.
    Refusal,
}

/// What a buyer does of whose basket a line is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnShort {
    #[default]
    Leave,
    /// Takes the other lines.
    Rest,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuyersEntry {
    pub pay: Option<Spanned<Lapse>>,
    pub ttl: Option<Spanned<Lapse>>,
    pub abandon: Option<Spanned<f64>>,
    pub wait_ms: Option<Spanned<u64>>,
    pub answer_ms: Option<Spanned<u64>>,
    pub fail_over: Option<FailOver>,
    pub on_short: Option<OnShort>,
    pub retry_share: Option<Spanned<f64>>,
    pub retry_after: Option<Lapse>,
    pub retries: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestockEntry {
    pub sku: String,
    pub region: String,
    pub quantity: Option<u64>,
    pub share: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetEntry {
    pub sku: String,
    pub max_per_order: Option<u64>,
    pub rebalance: Option<Rebalance>,
    #[serde(default)]
    pub quotas: BTreeMap<String, QuotaEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferEntry {
    pub sku: String,
    pub from: String,
    pub to: String,
    pub quantity: u64,
}

/// Something happens: `at`, one thing, and what goes with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventEntry {
    pub at: Lapse,
    pub label: Option<String>,
    #[serde(rename = "for")]
    pub lasts: Option<Lapse>,
    pub every: Option<Lapse>,
    pub one_way: Option<bool>,
    pub factor: Option<f64>,
    pub cut: Option<(String, String)>,
    pub isolate: Option<String>,
    pub flap: Option<(String, String)>,
    pub slow: Option<(String, String)>,
    pub crash: Option<String>,
    pub lose: Option<String>,
    pub drain: Option<String>,
    pub restock: Option<RestockEntry>,
    pub set: Option<SetEntry>,
    pub transfer: Option<TransferEntry>,
}

fn one() -> u64 {
    1
}
