//! The trace itself: orders, the returns that come of them and the hot drop, in order of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::calendar::{self, DAY_SECONDS, HOUR_SECONDS, Second};
use super::chance::{Chance, MILLION, Stream, Weighted};
use super::items::Items;
use super::quantities::{self, Buyer};
use super::regions::{RegionShare, Regions};
use crate::cli::replay::trace::{Order, TraceLine};

/// The item of the hot drop.
pub const HOT_ITEM: &str = "HOT-DROP";
/// All orders of the hot drop come within so many seconds, most of them at once.
pub const HOT_SECONDS: Second = 20;
/// The hot drop begins at this hour of its day, in UTC.
const HOT_HOUR: Second = 17;
/// Draws for an item that is not in the basket yet.
const TRIES_FOR_ANOTHER: usize = 8;
/// A basket has at most this part of the items: with more, each line would be of all items.
const BASKET_OF_ITEMS: usize = 4;

/// All that a trace depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub orders: u64,
    pub items: u32,
    pub regions: Vec<RegionShare>,
    pub start: jiff::civil::Date,
    pub days: u32,
    /// Thousandths.
    pub skew: u64,
    /// Percent.
    pub drift: u64,
    /// Median lines of an order.
    pub basket: u64,
    /// Returns, in millionths of the orders.
    pub returns: u64,
    /// Units of the hot drop, each an order.
    pub hot_drop: u64,
}

/// Draws a trace order by order. What waits in it: a moment for each order still to come, and
/// the returns of those that have come.
#[derive(Debug)]
pub struct Orders {
    plan: Plan,
    items: Items,
    regions: Regions,
    names: Vec<String>,
    /// Still to come, latest first.
    moments: Vec<Second>,
    /// Still to come, latest first.
    hot: Vec<(Second, usize)>,
    ends: Second,
    chance: Chance,
    chance_of_returns: Chance,
    returns: BinaryHeap<Reverse<Return>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    sales: u64,
    returns: u64,
    hot: u64,
    promised: u64,
}

/// A return to come; the number keeps those of one second in the order of their sales.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Return {
    at: Second,
    number: u64,
    region: usize,
    lines: Vec<(usize, u64)>,
}

impl Orders {
    /// # Errors
    /// When the days are none that a trace can have.
    pub fn new(plan: Plan) -> anyhow::Result<Orders> {
        let start = calendar::midnight(plan.start)?;
        let mut moments = calendar::moments(plan.seed, plan.start, plan.days, plan.orders)?;
        moments.reverse();
        let items = Items::new(plan.seed, plan.items, plan.skew, start, plan.days);
        let regions = Regions::new(plan.seed, &plan.regions, start, plan.days, plan.drift);
        Ok(Orders {
            names: names(plan.seed, plan.items),
            hot: hot_drop(&plan, start),
            ends: start + Second::from(plan.days) * DAY_SECONDS,
            chance: Chance::new(plan.seed, Stream::Orders),
            chance_of_returns: Chance::new(plan.seed, Stream::Returns),
            returns: BinaryHeap::new(),
            counts: Counts::default(),
            items,
            regions,
            moments,
            plan,
        })
    }

    /// Names of items, by [`TraceLine::sku`].
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn sale(&mut self, at: Second) -> Order {
        let region = self.regions.pick(at, &mut self.chance);
        let is_home = self.regions.is_home(region);
        let abroad = (!is_home).then_some(region);
        let most = (self.items.len() / BASKET_OF_ITEMS).max(1);
        let wanted = quantities::basket(self.plan.basket, &mut self.chance).min(most);
        let buyer = Buyer::draw(wanted, is_home, &mut self.chance);
        let mut basket = BTreeSet::new();
        let mut sales = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            let tried = (0..TRIES_FOR_ANOTHER).map(|_| self.items.pick(at, abroad, &mut self.chance));
            let Some(sku) = tried.into_iter().find(|item| basket.insert(*item)) else { continue };
            let quantity = buyer.quantity(self.items.pack(sku), &mut self.chance);
            sales.push(TraceLine { sku, quantity });
        }
        self.promise_return(at, region, &sales);
        self.counts.sales += 1;
        Order { id: format!("{}", 100_000 + self.counts.sales), region, at: Some(at), sales, returns: vec![] }
    }

    /// Some of some orders come back, if there is time for it.
    fn promise_return(&mut self, at: Second, region: usize, sales: &[TraceLine]) {
        let chance = &mut self.chance_of_returns;
        if !chance.happens(self.plan.returns) {
            return;
        }
        let at = at + quantities::return_delay(chance);
        let mut lines = BTreeMap::new();
        for _ in 0..quantities::returned_lines(sales.len(), chance) {
            let line = sales[chance.index(sales.len())];
            lines.insert(line.sku, quantities::returned_units(line.quantity, chance));
        }
        self.counts.promised += 1;
        if at < self.ends {
            let lines = lines.into_iter().collect();
            self.returns.push(Reverse(Return { at, number: self.counts.promised, region, lines }));
        }
    }

    fn give_back(&mut self, due: Return) -> Order {
        self.counts.returns += 1;
        let line = |(sku, quantity)| TraceLine { sku, quantity };
        Order {
            id: format!("C{}", 100_000 + self.counts.returns),
            region: due.region,
            at: Some(due.at),
            sales: vec![],
            returns: due.lines.into_iter().map(line).collect(),
        }
    }

    fn hot_order(&mut self, at: Second, region: usize) -> Order {
        self.counts.hot += 1;
        let line = TraceLine { sku: self.items.len(), quantity: 1 };
        Order {
            id: format!("H{}", 100_000 + self.counts.hot),
            region,
            at: Some(at),
            sales: vec![line],
            returns: vec![],
        }
    }
}

impl Iterator for Orders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        let sale = self.moments.last().copied();
        let hot = self.hot.last().map(|(at, _)| *at);
        let back = self.returns.peek().map(|Reverse(due)| due.at);
        let first = [sale, hot, back].into_iter().flatten().min()?;
        if sale == Some(first) {
            self.moments.pop();
            Some(self.sale(first))
        } else if hot == Some(first) {
            let (at, region) = self.hot.pop()?;
            Some(self.hot_order(at, region))
        } else {
            let Reverse(due) = self.returns.pop()?;
            Some(self.give_back(due))
        }
    }
}

/// Moment and region of each order of the hot drop, latest first. Half of the buyers are
/// spread as ever, the other half over all regions alike.
fn hot_drop(plan: &Plan, start: Second) -> Vec<(Second, usize)> {
    let mut chance = Chance::new(plan.seed, Stream::HotDrop);
    let begins = start + Second::from(plan.days * 3 / 5) * DAY_SECONDS + HOT_HOUR * HOUR_SECONDS;
    let shares = Weighted::new(plan.regions.iter().map(|region| region.share));
    let order = |_| {
        let wait = (0..2).map(|_| calendar::within(HOT_SECONDS, &mut chance)).min().unwrap_or(0);
        let region = match chance.happens(MILLION / 2) {
            true => shares.pick(&mut chance),
            false => chance.index(plan.regions.len()),
        };
        (begins + wait, region)
    };
    let mut orders: Vec<_> = (0..plan.hot_drop).map(order).collect();
    orders.sort_by_key(|(at, _)| Reverse(*at));
    orders
}

/// A name for each rank, and the hot item's at the end. They do not tell the rank.
fn names(seed: u64, items: u32) -> Vec<String> {
    let mut numbers: Vec<u32> = (1..=items).collect();
    let mut chance = Chance::new(seed, Stream::Names);
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, chance.index(last + 1));
    }
    numbers.into_iter().map(|number| format!("SKU-{number:05}")).chain([HOT_ITEM.to_owned()]).collect()
}
