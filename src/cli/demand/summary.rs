//! What a trace is like, in numbers: the same for a trace that was drawn and one that was read.
//!
//! Shares are fractions of 1. A quantile is the least value that so many do not exceed.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::calendar::{HOUR_SECONDS, Second};
use super::file::{Names, shown};
use crate::cli::replay::trace::{Order, TraceLine};
use crate::cli::table;

/// Ranks through which the exponent is fitted.
const FITTED_RANKS: usize = 1_000;
/// Only items that sell so many units say something about regions.
const SPLIT_FROM_UNITS: u64 = 100;
/// A window for rushes, in seconds.
const RUSH_SECONDS: Second = 10;

/// The numbers.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Orders that buy something.
    pub orders: u64,
    /// Lines that buy.
    pub lines: u64,
    /// Units bought.
    pub units: u64,
    /// Items bought at least once.
    pub items: u64,
    pub first: Option<String>,
    pub last: Option<String>,
    pub popularity: Popularity,
    pub churn: Churn,
    pub regions: Vec<RegionPart>,
    /// Of the items with 100 units and more, those of which the second region buys above a tenth.
    pub items_split: f64,
    /// Lines an order.
    pub baskets: Quantiles,
    /// Units a line.
    pub quantities: Quantiles,
    pub returns: Returns,
    pub hours: Option<Hours>,
    /// The ten seconds with most orders.
    pub rush: Option<Rush>,
}

#[derive(Debug, Serialize)]
pub struct Popularity {
    pub top_item: Option<String>,
    pub top_item_units: f64,
    pub top_1_percent_units: f64,
    pub top_10_percent_units: f64,
    pub top_1_percent_lines: f64,
    pub top_10_percent_lines: f64,
    /// Of the Zipf law that fits the lines of the first thousand ranks best.
    pub exponent: f64,
}

/// Items that are not sold all the time, of all items.
#[derive(Debug, Serialize)]
pub struct Churn {
    /// First sold after the first quarter of the time.
    pub new: f64,
    /// Last sold before the last quarter.
    pub gone: f64,
}

#[derive(Debug, Serialize)]
pub struct RegionPart {
    pub region: String,
    pub orders: f64,
    pub lines: f64,
    pub units: f64,
    /// Its share of the orders in each quarter of the time.
    pub orders_by_quarter: Option<[f64; 4]>,
}

#[derive(Debug, Serialize)]
pub struct Quantiles {
    pub p50: u64,
    pub p75: u64,
    pub p95: u64,
    pub p99: u64,
    pub max: u64,
}

/// Shares of what was bought and came back, by three counts.
#[derive(Debug, Serialize)]
pub struct Returns {
    /// Of all orders, those that bring something back.
    pub orders: f64,
    pub lines: f64,
    pub units: f64,
}

/// Orders an hour, over all hours from the first order to the last.
#[derive(Debug, Serialize)]
pub struct Hours {
    pub mean: f64,
    pub peak: u64,
    pub peak_at: String,
    pub peak_to_mean: f64,
}

#[derive(Debug, Serialize)]
pub struct Rush {
    pub orders: u64,
    pub at: String,
}

/// Counts orders as they come.
#[derive(Debug, Default)]
pub struct Counting {
    orders: u64,
    returning: u64,
    returned_lines: u64,
    returned_units: u64,
    baskets: Histogram,
    quantities: Histogram,
    items: Vec<ItemCount>,
    units_by_region: HashMap<(usize, usize), u64>,
    regions: Vec<RegionCount>,
    /// Moments of the orders that buy, if all have one.
    moments: Vec<(Second, usize)>,
    undated: u64,
}

#[derive(Clone, Debug, Default)]
struct ItemCount {
    lines: u64,
    units: u64,
    first: Option<Second>,
    last: Option<Second>,
}

#[derive(Clone, Debug, Default)]
struct RegionCount {
    orders: u64,
    lines: u64,
    units: u64,
}

impl Counting {
    pub fn add(&mut self, order: &Order) {
        if !order.returns.is_empty() {
            self.returning += 1;
            self.returned_lines += order.returns.len() as u64;
            self.returned_units += units(&order.returns);
        }
        if order.sales.is_empty() {
            return;
        }
        self.orders += 1;
        self.baskets.add(order.sales.len() as u64);
        match order.at {
            Some(at) => self.moments.push((at, order.region)),
            None => self.undated += 1,
        }
        let region = grown(&mut self.regions, order.region);
        region.orders += 1;
        region.lines += order.sales.len() as u64;
        region.units += units(&order.sales);
        for line in &order.sales {
            self.quantities.add(line.quantity);
            *self.units_by_region.entry((line.sku, order.region)).or_default() += line.quantity;
            let item = grown(&mut self.items, line.sku);
            item.lines += 1;
            item.units += line.quantity;
            item.first = item.first.or(order.at);
            item.last = order.at.or(item.last);
        }
    }

    pub fn finish(mut self, names: Names<'_>) -> Summary {
        if self.undated > 0 {
            self.moments.clear();
        }
        self.moments.sort_unstable();
        let span = self.moments.first().zip(self.moments.last()).map(|(first, last)| (first.0, last.0));
        let lines = self.quantities.count();
        let units: u64 = self.items.iter().map(|item| item.units).sum();
        Summary {
            orders: self.orders,
            lines,
            units,
            items: self.items.iter().filter(|item| item.lines > 0).count() as u64,
            first: span.map(|span| shown(span.0)),
            last: span.map(|span| shown(span.1)),
            popularity: self.popularity(names),
            churn: self.churn(span),
            regions: self.regions(names, span, lines, units),
            items_split: self.items_split(),
            baskets: self.baskets.quantiles(),
            quantities: self.quantities.quantiles(),
            returns: Returns {
                orders: share(self.returning, self.orders + self.returning),
                lines: share(self.returned_lines, lines + self.returned_lines),
                units: share(self.returned_units, units),
            },
            hours: self.hours(span),
            rush: self.rush(),
        }
    }

    fn popularity(&self, names: Names<'_>) -> Popularity {
        let by = |count: fn(&ItemCount) -> u64| {
            let mut counts: Vec<u64> = self.items.iter().map(count).filter(|count| *count > 0).collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            counts
        };
        let (units, lines) = (by(|item| item.units), by(|item| item.lines));
        let top = |counts: &[u64], part: usize| {
            let most = counts.len().div_ceil(part);
            share(counts[..most].iter().sum(), counts.iter().sum())
        };
        let first = self.items.iter().enumerate().max_by_key(|(_, item)| item.units);
        Popularity {
            top_item: first.map(|(sku, _)| names.skus[sku].clone()),
            top_item_units: share(units.first().copied().unwrap_or(0), units.iter().sum()),
            top_1_percent_units: top(&units, 100),
            top_10_percent_units: top(&units, 10),
            top_1_percent_lines: top(&lines, 100),
            top_10_percent_lines: top(&lines, 10),
            exponent: exponent(&lines[..lines.len().min(FITTED_RANKS)]),
        }
    }

    fn churn(&self, span: Option<(Second, Second)>) -> Churn {
        let sold = self.items.iter().filter(|item| item.lines > 0).count() as u64;
        let Some((first, last)) = span else { return Churn { new: 0.0, gone: 0.0 } };
        let quarter = (last - first) / 4;
        let new = self.items.iter().filter(|item| item.first.is_some_and(|at| at > first + quarter)).count();
        let gone = self.items.iter().filter(|item| item.last.is_some_and(|at| at < last - quarter)).count();
        Churn { new: share(new as u64, sold), gone: share(gone as u64, sold) }
    }

    fn regions(
        &self,
        names: Names<'_>,
        span: Option<(Second, Second)>,
        lines: u64,
        units: u64,
    ) -> Vec<RegionPart> {
        let quarters = span.map(|span| self.quarters(span));
        let part = |(index, region): (usize, &RegionCount)| RegionPart {
            region: names.regions[index].clone(),
            orders: share(region.orders, self.orders),
            lines: share(region.lines, lines),
            units: share(region.units, units),
            orders_by_quarter: quarters.as_ref().map(|quarters| {
                quarters
                    .each_ref()
                    .map(|counts| share(counts.get(index).copied().unwrap_or(0), counts.iter().sum()))
            }),
        };
        let mut parts: Vec<RegionPart> = self.regions.iter().enumerate().map(part).collect();
        parts.sort_by(|a, b| b.orders.total_cmp(&a.orders).then_with(|| a.region.cmp(&b.region)));
        parts
    }

    /// Orders by region in each quarter of the time.
    fn quarters(&self, (first, last): (Second, Second)) -> [Vec<u64>; 4] {
        let mut quarters: [Vec<u64>; 4] = Default::default();
        for (at, region) in &self.moments {
            let quarter = (at - first) * 4 / (last - first + 1);
            *grown(&mut quarters[usize::try_from(quarter).unwrap_or(0).min(3)], *region) += 1;
        }
        quarters
    }

    fn items_split(&self) -> f64 {
        let mut by_item: HashMap<usize, Vec<u64>> = HashMap::new();
        for ((sku, _), units) in &self.units_by_region {
            by_item.entry(*sku).or_default().push(*units);
        }
        let (mut large, mut split) = (0, 0);
        for mut parts in by_item.into_values() {
            parts.sort_unstable_by(|a, b| b.cmp(a));
            let all: u64 = parts.iter().sum();
            large += u64::from(all >= SPLIT_FROM_UNITS);
            split +=
                u64::from(all >= SPLIT_FROM_UNITS && parts.get(1).is_some_and(|second| second * 10 > all));
        }
        share(split, large)
    }

    fn hours(&self, span: Option<(Second, Second)>) -> Option<Hours> {
        let (first, last) = span?;
        let mut counts: BTreeMap<Second, u64> = BTreeMap::new();
        for (at, _) in &self.moments {
            *counts.entry(at.div_euclid(HOUR_SECONDS)).or_default() += 1;
        }
        let (hour, peak) = counts.iter().rev().max_by_key(|(_, count)| **count)?;
        let hours = last.div_euclid(HOUR_SECONDS) - first.div_euclid(HOUR_SECONDS) + 1;
        let mean = self.orders as f64 / hours as f64;
        Some(Hours {
            mean: rounded(mean),
            peak: *peak,
            peak_at: shown(hour * HOUR_SECONDS),
            peak_to_mean: rounded(*peak as f64 / mean),
        })
    }

    fn rush(&self) -> Option<Rush> {
        let (mut from, mut most) = (0, None);
        for (to, (at, _)) in self.moments.iter().enumerate() {
            while self.moments[from].0 <= at - RUSH_SECONDS {
                from += 1;
            }
            let orders = (to - from + 1) as u64;
            if most.is_none_or(|(count, _)| orders > count) {
                most = Some((orders, self.moments[from].0));
            }
        }
        most.map(|(orders, at)| Rush { orders, at: shown(at) })
    }
}

impl Summary {
    /// For people.
    pub fn text(&self) -> String {
        let mut rows = table(&["region", "orders", "lines", "units", "orders by quarter"]);
        for part in &self.regions {
            let quarters = part
                .orders_by_quarter
                .map_or_else(|| "-".to_owned(), |quarters| quarters.map(percent).join("  "));
            rows.add_row([
                part.region.clone(),
                percent(part.orders),
                percent(part.lines),
                percent(part.units),
                quarters,
            ]);
        }
        format!("{rows}\n{}\n", self.figures())
    }

    fn figures(&self) -> String {
        let Summary { popularity, churn, returns, .. } = self;
        let span = self.first.as_deref().zip(self.last.as_deref());
        let top = popularity.top_item.as_deref().unwrap_or("-");
        let hours = self.hours.as_ref().map_or_else(
            || "not known: orders without a time".to_owned(),
            |h| {
                format!(
                    "{} on average, {} at {}: {:.1} times as many",
                    h.mean, h.peak, h.peak_at, h.peak_to_mean
                )
            },
        );
        let rush = self.rush.as_ref().map_or_else(|| "-".to_owned(), |r| format!("{} at {}", r.orders, r.at));
        [
            format!("orders       {}, of {} lines and {} units", self.orders, self.lines, self.units),
            format!(
                "time         {}",
                span.map_or("not known".into(), |(from, to)| format!("{from} to {to}"))
            ),
            format!("items        {}; {} new, {} gone", self.items, percent(churn.new), percent(churn.gone)),
            format!("top item     {top}, {} of the units", percent(popularity.top_item_units)),
            format!(
                "top 1 %, 10 % {} and {} of the units; exponent {}",
                percent(popularity.top_1_percent_units),
                percent(popularity.top_10_percent_units),
                popularity.exponent
            ),
            format!("split        {} of items sell in a second region too", percent(self.items_split)),
            format!("lines/order  {}", self.baskets),
            format!("units/line   {}", self.quantities),
            format!(
                "returns      {} of orders, {} of lines, {} of units",
                percent(returns.orders),
                percent(returns.lines),
                percent(returns.units)
            ),
            format!("orders/hour  {hours}"),
            format!("orders/10 s  at most {rush}"),
        ]
        .join("\n")
    }
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Quantiles { p50, p75, p95, p99, max } = self;
        write!(f, "p50 {p50}, p75 {p75}, p95 {p95}, p99 {p99}, max {max}")
    }
}

/// How often each value came.
#[derive(Debug, Default)]
struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    fn add(&mut self, value: u64) {
        *self.0.entry(value).or_default() += 1;
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    fn quantiles(&self) -> Quantiles {
        let at = |percent: u64| {
            let mut left = (self.count() * percent).div_ceil(100);
            for (value, count) in &self.0 {
                match left.checked_sub(*count) {
                    Some(rest) if rest > 0 => left = rest,
                    _ => return *value,
                }
            }
            0
        };
        Quantiles { p50: at(50), p75: at(75), p95: at(95), p99: at(99), max: at(100) }
    }
}

/// The place, made if it is not there.
fn grown<T: Clone + Default>(all: &mut Vec<T>, place: usize) -> &mut T {
    if all.len() <= place {
        all.resize(place + 1, T::default());
    }
    &mut all[place]
}

fn units(lines: &[TraceLine]) -> u64 {
    lines.iter().map(|line| line.quantity).sum()
}

/// The slope, turned round, of the line of least squares through the logarithms of falling counts and ranks.
fn exponent(counts: &[u64]) -> f64 {
    let points = || counts.iter().enumerate().map(|(rank, n)| (((rank + 1) as f64).ln(), (*n as f64).ln()));
    let count = counts.len() as f64;
    let (x, y) = points().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / count, sum.1 + y / count));
    let (xy, xx) =
        points().fold((0.0, 0.0), |sum, p| (sum.0 + (p.0 - x) * (p.1 - y), sum.1 + (p.0 - x).powi(2)));
    if xx == 0.0 { 0.0 } else { (-xy / xx * 100.0).round() / 100.0 }
}

fn share(part: u64, of: u64) -> f64 {
    (part as f64 / of.max(1) as f64 * 10_000.0).round() / 10_000.0
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
