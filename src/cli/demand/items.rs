//! What is wanted: popularity that falls with the rank, items that come and go, and favourites
//! of regions.

use super::calendar::{DAY_SECONDS, Second};
use super::chance::{Chance, MILLION, POINT, Stream, Weighted, log2, mix, power_of_half};

/// Popularity halves every so many thousandths of the items, besides falling with the rank:
/// real catalogues have a tail that hardly sells.
const HALVED_EVERY: u64 = 190;
/// Millionths of the items that are new within the time, and that end within it.
const NEW: u64 = 210_000;
const ENDING: u64 = 290_000;
/// An item that begins or ends gains or loses its popularity over so long, or a quarter of a
/// shorter time.
const RAMP: Second = 28 * DAY_SECONDS;
/// Draws for one line before it takes the next item that is for sale.
const TRIES: usize = 32;
/// Millionths of the lines from other regions than the largest that want a favourite there.
const FAVOURITES: u64 = 120_000;
/// Half of a region's favourites change so often.
const FASHION: Second = 56 * DAY_SECONDS;

/// How an item is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// By the piece.
    Dear,
    Common,
    /// By the case.
    Cheap,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    begins: Second,
    ends: Second,
    pack: Pack,
}

/// All items but the hot one, by rank.
#[derive(Debug)]
pub struct Items {
    seed: u64,
    ramp: Second,
    ranks: Weighted,
    lives: Vec<Life>,
}

impl Items {
    /// `skew` in thousandths: the exponent with which popularity falls at the head.
    pub fn new(seed: u64, count: u32, skew: u64, start: Second, days: u32) -> Items {
        let mut chance = Chance::new(seed, Stream::Items);
        let span = Second::from(days) * DAY_SECONDS;
        let ramp = RAMP.min(span / 4);
        let life = |rank: u32| {
            let (mut begins, mut ends) = (Second::MIN / 2, Second::MAX / 2);
            let (new, ending) = (chance.happens(NEW), chance.happens(ENDING));
            let (first, last) = (moment(start, span, &mut chance), moment(start, span, &mut chance));
            let pack = match chance.below(100) {
                0..40 => Pack::Dear,
                40..90 => Pack::Common,
                _ => Pack::Cheap,
            };
            // The first item stays, so that there is always one for sale.
            if rank > 0 && new {
                begins = first;
            }
            if rank > 0 && ending && (!new || first + 2 * ramp < last) {
                ends = last;
            }
            Life { begins, ends, pack }
        };
        let lives = (0..count).map(life).collect();
        Items {
            seed,
            ramp,
            ranks: Weighted::new((0..count).map(|rank| popularity(rank, count, skew))),
            lives,
        }
    }

    pub fn len(&self) -> usize {
        self.lives.len()
    }

    pub fn pack(&self, item: usize) -> Pack {
        self.lives[item].pack
    }

    /// An item that a buyer wants now; `abroad` names the region unless it is the largest.
    pub fn pick(&self, at: Second, abroad: Option<usize>, chance: &mut Chance) -> usize {
        let mut item = 0;
        for _ in 0..TRIES {
            let rank = self.ranks.pick(chance);
            item = match abroad {
                Some(region) if chance.happens(FAVOURITES) => self.favourite(region, rank, at),
                _ => rank,
            };
            if chance.happens(self.lives[item].vigour(at, self.ramp)) {
                return item;
            }
        }
        let next = (0..self.len()).map(|step| (item + step) % self.len());
        next.into_iter().find(|item| self.lives[*item].vigour(at, self.ramp) > 0).unwrap_or(0)
    }

    /// The item that has this rank in a region. Every other rank follows the fashion.
    fn favourite(&self, region: usize, rank: usize, at: Second) -> usize {
        let fashion = if rank.is_multiple_of(2) { at / FASHION } else { 0 };
        let place = mix([self.seed, region as u64, rank as u64, fashion.unsigned_abs()]);
        usize::try_from(place % self.len() as u64).expect("less than the items")
    }
}

impl Life {
    /// How much of its popularity an item has, in millionths.
    fn vigour(self, at: Second, span: Second) -> u64 {
        let ramp = |since: Second| u64::try_from(since.clamp(0, span)).expect("not negative");
        let least = ramp(at.saturating_sub(self.begins)).min(ramp(self.ends.saturating_sub(at)));
        least * MILLION / ramp(span)
    }
}

fn moment(start: Second, span: Second, chance: &mut Chance) -> Second {
    start + super::calendar::within(span, chance)
}

/// At most 2^32, so that a million items have a sum.
fn popularity(rank: u32, count: u32, skew: u64) -> u64 {
    let halvings = (u64::from(rank) << POINT) * 1_000 / (u64::from(count) * HALVED_EVERY);
    let fall = log2(u64::from(rank) + 1) * skew / 1_000;
    power_of_half(halvings + fall).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ranks_are_wanted_most_and_the_tail_hardly() {
        let weights: Vec<u64> = (0..1_000).map(|rank| popularity(rank, 1_000, 500)).collect();
        assert!(weights.is_sorted_by(|a, b| a >= b));
        assert!(weights[0] > 10 * weights[100] && weights[100] > 10 * weights[999]);
    }

    #[test]
    fn items_are_sold_only_while_they_live() {
        let items = Items::new(9, 200, 400, 0, 365);
        let mut chance = Chance::new(9, Stream::Orders);
        for n in 0..20_000 {
            let at = n * 365 * DAY_SECONDS / 20_000;
            let item = items.pick(at, (n % 2 == 0).then_some(1), &mut chance);
            let life = items.lives[item];
            assert!(life.begins < at && at < life.ends, "{life:?} at {at}");
        }
        let newcomers = items.lives.iter().filter(|life| life.begins > 0).count();
        assert!((15..60).contains(&newcomers), "{newcomers}");
    }

    #[test]
    fn half_of_a_regions_favourites_change_with_the_fashion() {
        let items = Items::new(9, 1_000, 400, 0, 365);
        let favourites =
            |region, at| (0..100).map(|rank| items.favourite(region, rank, at)).collect::<Vec<_>>();
        let (now, later) = (favourites(1, 0), favourites(1, 3 * FASHION));
        let same = now.iter().zip(&later).filter(|(a, b)| a == b).count();
        assert!((50..60).contains(&same), "{same}");
        assert_ne!(now, favourites(2, 0));
    }
}
