//! How much: baskets, quantities in case sizes with a wholesale tail, and what comes back.
//!
//! The curves are rounded from the trace that [`super`] names.

use super::calendar::{DAY_SECONDS, Second};
use super::chance::{Chance, Curve};
use super::items::Pack;
use crate::types::reservation::MAX_LINES;

/// Lines of an order.
const BASKETS: Curve = Curve(&[
    (0, 1),
    (87_000, 1),
    (87_001, 2),
    (130_000, 3),
    (250_000, 6),
    (500_000, 15),
    (750_000, 28),
    (900_000, 49),
    (950_000, 70),
    (975_000, 100),
    (990_000, 177),
    (999_000, 466),
    (1_000_000, 577),
]);
/// The median of [`BASKETS`].
pub const MEDIAN_BASKET: u64 = 15;

/// Lines of a return.
const RETURN_LINES: Curve = Curve(&[
    (0, 1),
    (580_000, 1),
    (580_001, 2),
    (740_000, 3),
    (900_000, 5),
    (950_000, 8),
    (990_000, 22),
    (1_000_000, 60),
]);
/// Seconds until a return.
const RETURN_DELAY: Curve = Curve(&[
    (0, 60),
    (90_000, 3_600),
    (120_000, 86_400),
    (500_000, 9 * 86_400),
    (800_000, 30 * 86_400),
    (950_000, 90 * 86_400),
    (1_000_000, 200 * 86_400),
]);
/// Millionths of returned lines that come back whole.
const RETURNED_WHOLE: u64 = 360_000;

/// What a household takes: mostly one or two.
const PIECES: [(u64, u64); 9] =
    [(1, 560), (2, 240), (3, 85), (4, 60), (6, 22), (5, 18), (8, 8), (10, 5), (7, 2)];
/// What comes in cases.
const CASES: [(u64, u64); 16] = [
    (12, 290),
    (6, 190),
    (24, 145),
    (10, 95),
    (4, 80),
    (8, 62),
    (3, 55),
    (2, 40),
    (48, 40),
    (25, 24),
    (20, 22),
    (36, 28),
    (16, 18),
    (5, 30),
    (9, 10),
    (18, 10),
];
/// What a wholesaler takes: in the end, orders of thousands.
const WHOLESALE: Curve = Curve(&[
    (0, 48),
    (350_000, 96),
    (600_000, 150),
    (800_000, 288),
    (930_000, 600),
    (980_000, 1_440),
    (997_000, 4_800),
    (1_000_000, 19_200),
]);

/// Who buys; it decides over all lines of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buyer {
    Household,
    Shop,
    Wholesaler,
}

impl Buyer {
    /// Large baskets are those of households; wholesalers come with few lines, and from abroad.
    pub fn draw(lines: usize, is_home: bool, chance: &mut Chance) -> Buyer {
        let (wholesalers, shops) = match (lines, is_home) {
            (0..=1, true) => (300, 350),
            (2..=4, true) => (140, 520),
            (5..=10, true) => (35, 800),
            (11..=40, true) => (10, 770),
            (41..=80, true) => (5, 700),
            (_, true) => (0, 120),
            (0..=4, false) => (330, 550),
            (_, false) => (145, 800),
        };
        match chance.below(1_000) {
            drawn if drawn < wholesalers => Buyer::Wholesaler,
            drawn if drawn < wholesalers + shops => Buyer::Shop,
            _ => Buyer::Household,
        }
    }

    /// Units of one line.
    pub fn quantity(self, pack: Pack, chance: &mut Chance) -> u64 {
        // Thousandths of lines that are wholesale, and by the case.
        let (wholesale, cases) = match (self, pack) {
            (Buyer::Household, Pack::Dear) => (0, 20),
            (Buyer::Household, Pack::Common) => (0, 90),
            (Buyer::Household, Pack::Cheap) => (4, 400),
            (Buyer::Shop, Pack::Dear) => (2, 520),
            (Buyer::Shop, Pack::Common) => (5, 900),
            (Buyer::Shop, Pack::Cheap) => (200, 790),
            (Buyer::Wholesaler, Pack::Dear) => (150, 650),
            (Buyer::Wholesaler, Pack::Common) => (450, 500),
            (Buyer::Wholesaler, Pack::Cheap) => (900, 100),
        };
        match chance.below(1_000) {
            drawn if drawn < wholesale => rounded(WHOLESALE.draw(chance), chance),
            drawn if drawn < wholesale + cases => one_of(&CASES, chance),
            _ => one_of(&PIECES, chance),
        }
    }
}

/// Lines of an order; `median` is that of all orders.
pub fn basket(median: u64, chance: &mut Chance) -> usize {
    let lines = (BASKETS.draw(chance) * median / MEDIAN_BASKET).max(1);
    usize::try_from(lines).map_or(MAX_LINES, |lines| lines.min(MAX_LINES))
}

/// Lines of a return from an order that has `lines`.
pub fn returned_lines(lines: usize, chance: &mut Chance) -> usize {
    usize::try_from(RETURN_LINES.draw(chance)).map_or(lines, |drawn| drawn.min(lines))
}

/// How long after its order a return comes.
pub fn return_delay(chance: &mut Chance) -> Second {
    let seconds = RETURN_DELAY.draw(chance);
    Second::try_from(seconds).unwrap_or(DAY_SECONDS)
}

/// How many of `sold` units come back.
pub fn returned_units(sold: u64, chance: &mut Chance) -> u64 {
    let comes_back_whole = chance.happens(RETURNED_WHOLE);
    let part = chance.between(1, sold);
    if comes_back_whole { sold } else { part }
}

/// Large quantities are multiples of 12, 25 or 100.
fn rounded(units: u64, chance: &mut Chance) -> u64 {
    let multiple = [12, 12, 25, 100][chance.index(4)];
    (units / multiple).max(1) * multiple
}

fn one_of(table: &[(u64, u64)], chance: &mut Chance) -> u64 {
    let mut at = chance.below(table.iter().map(|(_, weight)| weight).sum());
    for (units, weight) in table {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return *units,
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demand::chance::Stream;

    #[test]
    fn baskets_follow_the_median_and_never_exceed_an_order() {
        let mut chance = Chance::new(2, Stream::Orders);
        let mut median = |wanted| {
            let mut lines: Vec<usize> = (0..4_001).map(|_| basket(wanted, &mut chance)).collect();
            lines.sort_unstable();
            assert!(lines[0] >= 1 && lines[4_000] <= MAX_LINES);
            lines[2_000]
        };
        assert!((14..=16).contains(&median(15)));
        assert!((95..=105).contains(&median(100)));
        assert_eq!(median(1), 1);
    }

    #[test]
    fn no_more_comes_back_than_was_sold() {
        let mut chance = Chance::new(2, Stream::Returns);
        for sold in (1..2_000).chain([1; 100]) {
            assert!((1..=sold).contains(&returned_units(sold, &mut chance)));
            assert!((1..=sold as usize).contains(&returned_lines(sold as usize, &mut chance)));
        }
    }
}
