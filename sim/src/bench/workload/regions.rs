//! Regions, how far they are apart, and how demand spreads over them.

use crate::dice::Dice;
use crate::scenario::sites::{SITES, round_trip};
use crate::time::Span;

/// The regions of synthetic courses: near ones, far ones and one in between.
pub const FIVE: [&str; 5] = ["virginia", "ireland", "frankfurt", "tokyo", "sydney"];

/// Mean round trip between two AWS regions in milliseconds; none when a name is not known.
pub fn rtt(a: &str, b: &str) -> Option<u64> {
    let place = |name: &str| SITES.iter().position(|known| *known == name);
    Some(round_trip(place(a)?, place(b)?))
}

/// One-way delays between these regions, as a course has them.
pub fn delays(names: &[&str]) -> Vec<Span> {
    let half = |a: &str, b: &str| Span(rtt(a, b).expect("a region of the table") * 500);
    names.iter().flat_map(|a| names.iter().map(move |b| half(a, b))).collect()
}

/// Zipf with exponent 1.2, in millionths of the first.
const ZIPF: [u64; 8] = [1_000_000, 435_275, 267_581, 189_465, 144_956, 116_473, 96_803, 82_469];

/// An item's demand by region. Items of a course differ mildly: each weight by up to a quarter.
#[derive(Clone, Debug)]
pub struct Shares {
    /// By rank.
    weights: Vec<u64>,
    /// The region of each rank, busiest first.
    order: Vec<usize>,
}

impl Shares {
    pub fn draw(dice: &mut Dice, order: &[usize]) -> Shares {
        let weights = ZIPF.iter().take(order.len()).map(|weight| weight * dice.between(750, 1_250)).collect();
        Shares { weights, order: order.to_vec() }
    }

    /// Where a buyer asks. When demand has shifted, each region has the weight of the rank before
    /// its own, and the first that of the last.
    pub fn node(&self, dice: &mut Dice, shifted: bool) -> usize {
        let mut rest = dice.below(self.weights.iter().sum());
        let rank = self.weights.iter().position(|weight| {
            let is_it = rest < *weight;
            rest = rest.saturating_sub(*weight);
            is_it
        });
        let rank = rank.unwrap_or(0) + usize::from(shifted);
        self.order[rank % self.order.len()]
    }
}

/// The numbers below `count` in an order of chance.
pub fn shuffled(dice: &mut Dice, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, dice.place(last + 1));
    }
    order
}

/// At least 0 and less than 1.
pub fn fraction(dice: &mut Dice) -> f64 {
    dice.below(1 << 53) as f64 / (1u64 << 53) as f64
}
