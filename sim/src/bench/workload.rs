//! Courses drawn from a seed: regions, stock, buyers and faults.

mod faults;
mod regions;

pub use self::faults::Faults;
pub use self::regions::rtt;
use self::regions::{FIVE, Shares};
use super::{Course, Order, Want};
use crate::dice::{Dice, Stream};
use crate::time::{Span, Time};

/// When and where buyers come, and what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// At a constant rate over [`LONG`], a unit each.
    Steady,
    /// As `Steady`, but half way each region takes the demand of the next busier one, and the
    /// busiest that of the quietest: rights lie where they were wanted until then.
    Shifting,
    /// One item, all within [`SHORT`].
    Flash,
    /// As `Steady`, but 2 or 3 items at once, 1 to 3 units of each.
    Baskets,
}

/// Buyers come for so long, but for a flash sale. With 100 units an item sells one each 6 s, with
/// 10,000 one each 60 ms.
pub const LONG: Span = Span::seconds(600);
/// A flash sale.
pub const SHORT: Span = Span::seconds(20);
/// What is under way at the end of the last buyer's patience may end in this.
const MARGIN: Span = Span::seconds(10);
/// Orders of a run, about: items are as many as it takes.
const ORDERS: u64 = 1_000;
/// Units of a basket on average: 2.5 lines of 2.
const BASKET: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    pub seed: u64,
    pub shape: Shape,
    /// Stock by expected demand.
    pub ratio: f64,
    /// Stock of each item, over all regions.
    pub units: u64,
    pub patience: Span,
    pub faults: Faults,
}

impl Spec {
    /// Five regions with an equal part of the stock each, and demand that is not: Zipf with
    /// exponent 1.2 over the regions in an order drawn from the seed.
    pub fn course(&self) -> Course {
        let mut dice = Dice::new(self.seed, Stream::Course);
        let shares: Vec<Shares> = {
            let order = regions::shuffled(&mut dice, FIVE.len());
            (0..self.items()).map(|_| Shares::draw(&mut dice, &order)).collect()
        };
        let orders = self.orders(&mut dice, &shares);
        let lasts = self.lasts();
        let (cuts, deaths) = self.faults.draw(&mut dice, FIVE.len(), lasts);
        Course {
            seed: self.seed,
            regions: FIVE.iter().map(ToString::to_string).collect(),
            delays: regions::delays(&FIVE),
            stock: split(self.items(), self.units, FIVE.len()),
            orders,
            cuts,
            deaths,
            end: Time::ZERO.after(lasts).after(self.patience).after(MARGIN),
        }
    }

    pub fn lasts(&self) -> Span {
        if self.shape == Shape::Flash { SHORT } else { LONG }
    }

    pub fn items(&self) -> usize {
        let items = match self.shape {
            Shape::Flash => 1,
            Shape::Steady | Shape::Shifting => (ORDERS / self.units.max(1)).max(1),
            // A basket has up to three different items.
            Shape::Baskets => (ORDERS * BASKET / self.units.max(1)).max(3),
        };
        usize::try_from(items).unwrap_or(usize::MAX)
    }

    /// Poisson arrivals; each is for an item drawn evenly, so that each item's are Poisson too.
    fn orders(&self, dice: &mut Dice, shares: &[Shares]) -> Vec<Order> {
        let units = self.items() as f64 * self.units as f64 / self.ratio;
        let expected = units / if self.shape == Shape::Baskets { BASKET as f64 } else { 1.0 };
        let lasts = self.lasts().0 as f64;
        let mut orders = Vec::new();
        let mut at = 0.0;
        loop {
            at += -(lasts / expected) * (1.0 - regions::fraction(dice)).ln();
            if at >= lasts {
                return orders;
            }
            let wants = self.wants(dice, shares.len());
            let shifted = self.shape == Shape::Shifting && at >= lasts / 2.0;
            let node = shares[wants[0].item].node(dice, shifted);
            orders.push(Order { at: Time(at as u64), node, wants, patience: self.patience });
        }
    }

    fn wants(&self, dice: &mut Dice, items: usize) -> Vec<Want> {
        if self.shape != Shape::Baskets {
            return vec![Want { item: dice.place(items), units: 1 }];
        }
        let lines = dice.between(2, 3);
        let mut wants: Vec<Want> = Vec::new();
        while (wants.len() as u64) < lines {
            let item = dice.place(items);
            if wants.iter().all(|want| want.item != item) {
                wants.push(Want { item, units: dice.between(1, 3) });
            }
        }
        wants
    }
}

/// Equal parts; what is left over goes round, from item to item.
fn split(items: usize, units: u64, nodes: usize) -> Vec<Vec<u64>> {
    let each = units / nodes as u64;
    let left = units % nodes as u64;
    let mut next = 0;
    let of_item = |_| {
        let mut parts = vec![each; nodes];
        for _ in 0..left {
            parts[next % nodes] += 1;
            next += 1;
        }
        parts
    };
    (0..items).map(of_item).collect()
}
