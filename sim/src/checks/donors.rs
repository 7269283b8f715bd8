//! Units that a buyer waits for are fetched in few parts: who has little is not asked when another,
//! no farther away, has all that is needed and far more than he. Looked at while all is calm, no
//! quota is set and one host sells, for then what a member has only shrinks.
//!
//! The policy ranks donors by what they have beyond their own target, and by a quarter of all that
//! they can spare, over the round trip. So at worst a member with [`FAR_MORE`] times the units ranks
//! behind another; with more than that it is asked first, and if it has all that is needed, alone.

use stockade::types::{Sku, Timestamp};

use super::{Checked, Property, ensure};
use crate::time::Span;

/// A unit beyond the target counts one and a quarter, any other a quarter.
const FAR_MORE: u64 = 5;

/// One member that is asked for units.
#[derive(Clone, Copy, Debug)]
pub struct Donor {
    pub need: u64,
    /// What it has: no more than whoever asks knows of.
    pub free: i128,
    pub round_trip: Span,
}

/// All who were asked at one time for one item.
#[derive(Debug, Default)]
pub struct Donors {
    plan: Option<(usize, Timestamp, Sku)>,
    asked: Vec<Donor>,
}

impl Donors {
    /// `from` decided at `stamp` to ask one more.
    ///
    /// # Errors
    /// When it need not have asked all of them.
    pub fn asked(&mut self, from: usize, stamp: Timestamp, sku: &Sku, donor: Donor) -> Checked {
        let plan = Some((from, stamp, sku.clone()));
        if self.plan != plan {
            (self.plan, self.asked) = (plan, Vec::new());
        }
        self.asked.push(donor);
        check(sku, &self.asked)
    }
}

fn check(sku: &Sku, asked: &[Donor]) -> Checked {
    let total: u64 = asked.iter().map(|donor| donor.need).sum();
    let suffices = |rich: &Donor, poor: &Donor| {
        rich.free >= i128::from(total) && rich.round_trip <= poor.round_trip && total > FAR_MORE * poor.need
    };
    let others = |place: usize| asked.iter().enumerate().filter(move |(other, _)| *other != place);
    let in_vain = |(place, poor): (usize, &Donor)| others(place).any(|(_, rich)| suffices(rich, poor));
    ensure(!asked.iter().enumerate().any(in_vain), Property::Donors, || {
        format!("{total} units of {sku} are asked of several, where one has them all: {asked:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(donors: &[(u64, i128, u64)]) -> Checked {
        let (mut all, sku) = (Donors::default(), Sku::new("TEE").unwrap());
        let mut each = donors.iter();
        each.try_for_each(|(need, free, ms)| {
            let donor = Donor { need: *need, free: *free, round_trip: Span::millis(*ms) };
            all.asked(0, Timestamp(1), &sku, donor)
        })
    }

    #[test]
    fn little_is_not_asked_of_one_when_another_has_all() {
        assert!(ask(&[(1, 1, 10), (9, 20, 10)]).is_err());
        assert!(ask(&[(9, 10, 5), (1, 1, 10)]).is_err());
        assert_eq!(ask(&[(10, 20, 10)]), Ok(()));
        assert_eq!(ask(&[(10, 10, 2), (1, 12, 3)]), Ok(()), "the nearest first, the rest of another");
        assert_eq!(ask(&[(1, 1, 5), (9, 20, 10)]), Ok(()), "who has little is nearer");
        assert_eq!(ask(&[(1, 1, 10), (9, 9, 10)]), Ok(()), "nobody has all");
        assert_eq!(ask(&[(2, 2, 10), (8, 20, 10)]), Ok(()), "all may be beyond its target");
    }

    #[test]
    fn what_is_asked_at_another_time_is_another_matter() {
        let (mut all, sku) = (Donors::default(), Sku::new("TEE").unwrap());
        let poor = Donor { need: 1, free: 1, round_trip: Span(5) };
        assert!(all.asked(0, Timestamp(1), &sku, poor).is_ok());
        assert!(all.asked(0, Timestamp(2), &sku, Donor { need: 9, free: 20, ..poor }).is_ok());
        assert!(all.asked(0, Timestamp(2), &sku, poor).is_err());
    }
}
