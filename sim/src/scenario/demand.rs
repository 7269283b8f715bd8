//! Demand that is made up: orders by region and hour, popular items and local tastes, peaks and
//! hot drops. All is drawn from the seed.

use super::lapse::Lapse;
use super::script::{Order, Region, Wish};
use crate::dice::{Dice, Stream};

const HOUR: f64 = 3_600e6;

/// Orders of an ordinary shop by hour of the day; 1 on average.
pub const SHOP_DAY: [f64; 24] = [
    0.35, 0.2, 0.15, 0.1, 0.1, 0.2, 0.4, 0.8, 1.2, 1.45, 1.55, 1.55, 1.6, 1.5, 1.4, 1.3, 1.25, 1.3, 1.45,
    1.65, 1.75, 1.5, 0.95, 0.3,
];

#[derive(Clone, Debug)]
pub struct Generator {
    pub orders_per_hour: f64,
    pub day: [f64; 24],
    /// Hour of the day at the beginning.
    pub begins_at: f64,
    /// Each item's popularity, in the order of the script's items.
    pub popularity: Vec<f64>,
    /// Mean lines of an order, and mean units of a line.
    pub basket: f64,
    pub quantity: f64,
    /// The part of the demand that follows a region's own ranking of items.
    pub tastes: f64,
    /// How often those rankings change.
    pub drift: Option<Lapse>,
    pub peaks: Vec<Peak>,
    pub drops: Vec<Drop>,
}

#[derive(Clone, Debug)]
pub struct Peak {
    pub from: Lapse,
    pub to: Lapse,
    pub times: f64,
    /// Everywhere when empty.
    pub regions: Vec<usize>,
    /// What the orders beyond the usual are for; anything when empty.
    pub items: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Drop {
    pub at: Lapse,
    pub over: Lapse,
    pub orders: u64,
    pub wish: Wish,
    /// By region.
    pub shares: Vec<f64>,
}

impl Generator {
    /// Every order before `end`, in order of time.
    pub fn orders(&self, seed: u64, end: Lapse, regions: &[Region]) -> Vec<Order> {
        let mut dice = Dice::new(seed, Stream::Demand);
        let shelf = Shelf::new(self, seed);
        let mut orders = Vec::new();
        for (number, region) in regions.iter().enumerate() {
            let usual = self.orders_per_hour * region.share;
            self.stream(&mut dice, &shelf, (number, region), usual, (Lapse(0), end), &[], &mut orders);
            for peak in self.peaks.iter().filter(|peak| peak.is_in(number)) {
                let (extra, span) = (usual * (peak.times - 1.0), (peak.from, peak.to.min(end)));
                self.stream(&mut dice, &shelf, (number, region), extra, span, &peak.items, &mut orders);
            }
        }
        self.drops.iter().for_each(|drop| drop.orders(&mut dice, end, &mut orders));
        orders.sort_by_key(|order| order.at);
        orders
    }

    /// About how many orders are drawn, of which the quieter hours keep a part: those of every
    /// peak, however they overlap, and of every drop.
    pub fn at_most(&self, end: Lapse, regions: &[Region]) -> f64 {
        let hours = |from: Lapse, to: Lapse| to.min(end).0.saturating_sub(from.0) as f64 / HOUR;
        // A part that is no number makes no orders, and does not hide the others.
        let busiest = |per_hour: f64, hours: f64| (per_hour * self.busiest() * hours).max(0.0);
        let mut all = self.drops.iter().map(|drop| drop.orders as f64).sum::<f64>();
        for (number, region) in regions.iter().enumerate() {
            let usual = self.orders_per_hour * region.share;
            all += busiest(usual, hours(Lapse(0), end));
            for peak in self.peaks.iter().filter(|peak| peak.is_in(number)) {
                all += busiest(usual * (peak.times - 1.0), hours(peak.from, peak.to));
            }
        }
        all
    }

    /// How many times the usual orders the busiest hour has.
    fn busiest(&self) -> f64 {
        self.day.iter().copied().fold(0.0, f64::max)
    }

    /// Orders as they come in by chance: gaps at the rate of the busiest hour, of which the
    /// quieter hours keep a part.
    #[allow(clippy::too_many_arguments, reason = "one stream of one region, told whole")]
    fn stream(
        &self,
        dice: &mut Dice,
        shelf: &Shelf,
        (number, region): (usize, &Region),
        per_hour: f64,
        (from, to): (Lapse, Lapse),
        only: &[usize],
        orders: &mut Vec<Order>,
    ) {
        let busiest = self.busiest();
        // No number is what a file has that is refused for it.
        if per_hour * busiest <= 0.0 || (per_hour * busiest).is_nan() {
            return;
        }
        let gap = HOUR / (per_hour * busiest);
        let mut at = from.0 as f64;
        loop {
            at += -gap * (1.0 - fraction(dice)).ln();
            if at >= to.0 as f64 {
                return;
            }
            let hour = (at / HOUR + self.begins_at + region.offset).rem_euclid(24.0);
            if fraction(dice) * busiest >= self.day[(hour as usize).min(23)] {
                continue;
            }
            let at = Lapse(at as u64);
            let sales = shelf.basket(self, dice, number, at, only);
            orders.push(Order { at, region: number, sales, returns: Vec::new() });
        }
    }
}

impl Peak {
    fn is_in(&self, region: usize) -> bool {
        self.regions.is_empty() || self.regions.contains(&region)
    }
}

impl Drop {
    fn orders(&self, dice: &mut Dice, end: Lapse, orders: &mut Vec<Order>) {
        let sums = sums(&self.shares);
        for _ in 0..self.orders {
            let at = Lapse(self.at.0 + dice.below(self.over.0.max(1)));
            let region = pick(&sums, fraction(dice));
            if at < end {
                orders.push(Order { at, region, sales: vec![self.wish], returns: Vec::new() });
            }
        }
    }
}

/// What buyers choose from.
struct Shelf {
    seed: u64,
    sums: Vec<f64>,
    drift: Option<Lapse>,
}

impl Shelf {
    fn new(generator: &Generator, seed: u64) -> Shelf {
        Shelf { seed, sums: sums(&generator.popularity), drift: generator.drift }
    }

    fn basket(&self, of: &Generator, dice: &mut Dice, region: usize, at: Lapse, only: &[usize]) -> Vec<Wish> {
        let lines = geometric(dice, of.basket).min(self.sums.len() as u64).min(500);
        let mut basket: Vec<Wish> = Vec::new();
        for _ in 0..lines {
            let units = geometric(dice, of.quantity);
            let item = match only {
                [] if fraction(dice) < of.tastes => self.local(dice, region, at),
                [] => pick(&self.sums, fraction(dice)),
                only => only[dice.place(only.len())],
            };
            match basket.iter_mut().find(|wish| wish.item == item) {
                Some(wish) => wish.units += units,
                None => basket.push(Wish { item, units }),
            }
        }
        basket
    }

    /// By the region's own ranking: the same popularities, given to other items.
    fn local(&self, dice: &mut Dice, region: usize, at: Lapse) -> usize {
        let epoch = self.drift.map_or(0, |drift| at.0 / drift.0.max(1));
        let own = self.seed ^ (region as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ epoch.rotate_left(32);
        let shift = Dice::new(own, Stream::Demand).place(self.sums.len());
        (pick(&self.sums, fraction(dice)) + shift) % self.sums.len()
    }
}

/// From 0 to before 1.
pub fn fraction(dice: &mut Dice) -> f64 {
    dice.below(1 << 53) as f64 / (1u64 << 53) as f64
}

/// 1 and more, `mean` on average, fewer the more they are.
fn geometric(dice: &mut Dice, mean: f64) -> u64 {
    if mean <= 1.0 {
        return 1;
    }
    let again = 1.0 - 1.0 / mean;
    1 + ((1.0 - fraction(dice)).ln() / again.ln()) as u64
}

fn sums(weights: &[f64]) -> Vec<f64> {
    let add = |sum: &mut f64, weight: &f64| {
        *sum += weight;
        Some(*sum)
    };
    weights.iter().scan(0.0, add).collect()
}

/// The place at which so great a part of all weights is reached.
fn pick(sums: &[f64], part: f64) -> usize {
    let all = sums.last().copied().unwrap_or(0.0);
    sums.partition_point(|sum| *sum <= part * all).min(sums.len().saturating_sub(1))
}

/// Popularity by rank, falling with this exponent.
pub fn zipf(count: usize, exponent: f64) -> Vec<f64> {
    (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator() -> Generator {
        Generator {
            orders_per_hour: 600.0,
            day: [1.0; 24],
            begins_at: 0.0,
            popularity: zipf(100, 1.0),
            basket: 2.0,
            quantity: 1.5,
            tastes: 0.0,
            drift: None,
            peaks: Vec::new(),
            drops: Vec::new(),
        }
    }

    fn regions() -> [Region; 2] {
        let region = |node, share| Region { name: format!("r{node}"), node, share, offset: 0.0 };
        [region(0, 0.75), region(1, 0.25)]
    }

    fn near(found: f64, wanted: f64) -> bool {
        (found / wanted - 1.0).abs() < 0.08
    }

    #[test]
    fn orders_come_at_the_rate_in_the_shares_and_sizes_asked_for() {
        let day = Lapse::minutes(24 * 60);
        let orders = generator().orders(1, day, &regions());
        assert!(near(orders.len() as f64, 14_400.0) && orders.is_sorted_by_key(|order| order.at));
        let first = orders.iter().filter(|order| order.region == 0).count();
        assert!(near(first as f64, 10_800.0));
        let lines: Vec<&Wish> = orders.iter().flat_map(|order| &order.sales).collect();
        let units: u64 = lines.iter().map(|wish| wish.units).sum();
        assert!(near(units as f64, 14_400.0 * 2.0 * 1.5), "{units}");
        let best = lines.iter().filter(|wish| wish.item == 0).count() as f64 / lines.len() as f64;
        assert!((0.15..0.22).contains(&best), "{best}");
        assert_eq!(orders, generator().orders(1, day, &regions()));
    }

    #[test]
    fn days_peaks_and_drops_shape_it() {
        let hour = |n: u64| Lapse::minutes(60 * n);
        let count = |orders: &[Order], from: Lapse, to: Lapse| {
            orders.iter().filter(|order| order.at >= from && order.at < to).count() as f64
        };
        let shop = Generator { day: SHOP_DAY, ..generator() };
        let orders = shop.orders(2, hour(24), &regions());
        assert!(count(&orders, hour(3), hour(5)) * 5.0 < count(&orders, hour(12), hour(14)));
        let peak = Peak { from: hour(2), to: hour(4), times: 5.0, regions: vec![1], items: vec![7] };
        let drop = Drop {
            at: hour(10),
            over: Lapse::seconds(20),
            orders: 500,
            wish: Wish { item: 3, units: 1 },
            shares: vec![0.0, 1.0],
        };
        let busy = Generator { peaks: vec![peak], drops: vec![drop], ..generator() };
        let orders = busy.orders(2, hour(24), &regions());
        assert!(near(busy.at_most(hour(24), &regions()), orders.len() as f64), "{}", orders.len());
        let usual = count(&orders, hour(5), hour(7));
        assert!(near(count(&orders, hour(2), hour(4)), usual * 2.0));
        assert!(count(&orders, hour(10), Lapse(hour(10).0 + 20_000_000)) >= 500.0);
    }

    #[test]
    fn tastes_differ_by_region_and_drift() {
        let local = Generator { tastes: 1.0, drift: Some(Lapse::minutes(60)), ..generator() };
        let orders = local.orders(3, Lapse::minutes(120), &regions());
        let favourite = |region: usize, late: bool| {
            let mut units = vec![0; 100];
            let half = Lapse::minutes(60);
            let mine = orders.iter().filter(|order| order.region == region && (order.at >= half) == late);
            mine.flat_map(|order| &order.sales).for_each(|wish| units[wish.item] += wish.units);
            (0..100).max_by_key(|item| units[*item]).unwrap()
        };
        assert_ne!(favourite(0, false), favourite(1, false));
        assert_ne!(favourite(0, false), favourite(0, true));
    }

    #[test]
    fn the_shops_day_is_one_on_average() {
        assert!((SHOP_DAY.iter().sum::<f64>() / 24.0 - 1.0).abs() < 0.005);
    }
}
