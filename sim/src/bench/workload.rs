//! Courses drawn from a seed: regions, stock, buyers and faults.

mod faults;
pub(super) mod regions;

pub use self::faults::Faults;
#[cfg(test)]
use self::regions::rtt;
use self::regions::{FIVE, Shares};
use super::{Course, Order, Want};
use crate::dice::{Dice, Stream};
#[cfg(test)]
use crate::scenario::sites::SITES;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: Shape, units: u64, faults: Faults) -> Spec {
        Spec { seed: 3, shape, ratio: 0.5, units, patience: Span::seconds(1), faults }
    }

    fn by_node(orders: &[Order]) -> Vec<usize> {
        let mut counts = vec![0; FIVE.len()];
        orders.iter().for_each(|order| counts[order.node] += 1);
        counts
    }

    #[test]
    fn a_seed_gives_one_course_and_another_seed_another() {
        let orders = |seed| Spec { seed, ..spec(Shape::Baskets, 100, Faults::Flapping) }.course();
        let (one, again, other) = (orders(1), orders(1), orders(2));
        assert_eq!((&one.orders, &one.cuts), (&again.orders, &again.cuts));
        assert_ne!(one.orders, other.orders);
    }

    #[test]
    fn stock_is_the_ratio_of_demand_and_every_node_has_a_part() {
        for (units, items) in [(5, 200), (103, 9), (10_000, 1)] {
            let course = spec(Shape::Steady, units, Faults::Connected).course();
            assert_eq!(course.items(), items);
            assert!(course.stock.iter().all(|nodes| nodes.iter().sum::<u64>() == units));
            assert!(course.stock.iter().flatten().all(|part| part.abs_diff(units / 5) <= 1));
            let (expected, asked) = (2.0 * (items as u64 * units) as f64, course.orders.len() as f64);
            assert!((asked - expected).abs() < 4.0 * expected.sqrt(), "{asked} of {expected}");
            assert!(course.orders.is_sorted_by_key(|order| order.at));
            assert!(course.orders.iter().all(|order| order.at < Time::ZERO.after(LONG)));
        }
        let left_over = spec(Shape::Steady, 103, Faults::Connected).course().stock;
        let of_node = |node: usize| left_over.iter().map(|nodes| nodes[node]).sum::<u64>();
        assert!((0..5).all(|node| of_node(node).abs_diff(of_node(0)) <= 1), "what is left over goes round");
    }

    #[test]
    fn demand_is_uneven_and_shifts_half_way() {
        let steady = by_node(&spec(Shape::Steady, 10_000, Faults::Connected).course().orders);
        let (most, all) = (steady.iter().max().unwrap() * 1_000, steady.iter().sum::<usize>());
        assert!((400..600).contains(&(most / all)), "Zipf gives the first {} of 1000", most / all);
        let shifting = spec(Shape::Shifting, 10_000, Faults::Connected).course();
        let half = shifting.orders.partition_point(|order| order.at < Time(LONG.0 / 2));
        let (before, after) = (by_node(&shifting.orders[..half]), by_node(&shifting.orders[half..]));
        let busiest = |counts: &[usize]| (0..5).max_by_key(|node| counts[*node]).unwrap();
        assert_ne!(busiest(&before), busiest(&after));
        let lost = busiest(&before);
        assert!(after[lost] * 4 < before[lost], "the busiest is the quietest: {before:?} {after:?}");
    }

    #[test]
    fn baskets_have_different_items_and_a_flash_sale_is_over_soon() {
        let baskets = spec(Shape::Baskets, 100, Faults::Connected).course();
        for order in &baskets.orders {
            let mut items: Vec<usize> = order.wants.iter().map(|want| want.item).collect();
            items.sort_unstable();
            items.dedup();
            assert!((2..=3).contains(&items.len()) && items.len() == order.wants.len());
            assert!(order.wants.iter().all(|want| (1..=3).contains(&want.units)));
        }
        let flash = spec(Shape::Flash, 10_000, Faults::Connected).course();
        assert_eq!(flash.items(), 1);
        assert!(flash.orders.last().unwrap().at < Time::ZERO.after(SHORT));
        assert_eq!(flash.end, Time::ZERO.after(SHORT).after(Span::seconds(11)));
    }

    #[test]
    fn each_pair_is_cut_for_its_part_of_the_time_and_never_twice_at_once() {
        let cut_share = |faults| {
            let (mut cut_time, mut runs) = (0, 0u64);
            for seed in 0..40 {
                let course = Spec { seed, ..spec(Shape::Steady, 100, faults) }.course();
                for (at, cut) in course.cuts.iter().enumerate() {
                    assert!(cut.from < cut.until && cut.a < cut.b);
                    let is_pair = |c: &&crate::bench::Cut| (c.a, c.b) == (cut.a, cut.b);
                    assert!(course.cuts[at + 1..].iter().find(is_pair).is_none_or(|c| c.from > cut.until));
                    cut_time += cut.until.0.min(LONG.0) - cut.from.0;
                }
                runs += 1;
            }
            cut_time as f64 / (runs * 10 * LONG.0) as f64
        };
        let partitioned = cut_share(Faults::Partitioned30);
        assert!((0.28..0.32).contains(&partitioned), "{partitioned}");
        let flapping = cut_share(Faults::Flapping);
        assert!((0.31..0.36).contains(&flapping), "{flapping}");
        assert!(cut_share(Faults::Connected) == 0.0);
        let dead = spec(Shape::Steady, 100, Faults::RegionDead).course();
        assert_eq!(dead.deaths.iter().map(|death| death.at.0).collect::<Vec<_>>(), [LONG.0 / 3]);
    }

    #[test]
    fn round_trips_are_the_same_both_ways_and_known_by_name() {
        assert_eq!((rtt("virginia", "oregon"), rtt("sydney", "sao-paulo")), (Some(87), Some(323)));
        assert_eq!((rtt("sao-paulo", "sao-paulo"), rtt("virginia", "mars")), (Some(0), None));
        for (a, b) in SITES.iter().flat_map(|a| SITES.iter().map(move |b| (a, b))) {
            assert_eq!(rtt(a, b), rtt(b, a));
            assert_eq!(rtt(a, b) == Some(0), a == b);
        }
        let course = spec(Shape::Steady, 5, Faults::Connected).course();
        assert_eq!(course.delay(0, 1), Span(40_500), "half of 81 ms");
    }
}
