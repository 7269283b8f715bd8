//! Where orders come from: shares of regions that drift.

use std::str::FromStr;

use super::calendar::{DAY_SECONDS, Second};
use super::chance::{Chance, Stream, Weighted};
use crate::types::Region;

/// Most regions of a trace.
pub const MOST_REGIONS: usize = 16;
const MOST_SHARE: u64 = 1_000_000;
/// Shares are drawn anew so often, and change evenly in between.
const DRIFT_DAYS: u64 = 91;

/// `NAME` or `NAME=SHARE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionShare {
    pub name: Region,
    pub share: u64,
}

impl FromStr for RegionShare {
    type Err = String;

    fn from_str(text: &str) -> Result<RegionShare, String> {
        let (name, share) = text.split_once('=').unwrap_or((text, "1"));
        let name = Region::new(name).map_err(|e| format!("region {name:?} {e}"))?;
        match share.parse() {
            Ok(share @ 1..=MOST_SHARE) => Ok(RegionShare { name, share }),
            _ => Err(format!("{share:?} is no share; write NAME=SHARE with a share from 1 to {MOST_SHARE}")),
        }
    }
}

/// Shares over time.
#[derive(Debug)]
pub struct Regions {
    start: Second,
    /// For each day the shares.
    days: Vec<Weighted>,
    /// The region with the largest share; the first of equals.
    home: usize,
}

impl Regions {
    /// `drift` in percent: how far a share may go from what it is, up or down.
    pub fn new(seed: u64, regions: &[RegionShare], start: Second, days: u32, drift: u64) -> Regions {
        let mut chance = Chance::new(seed, Stream::Regions);
        let turns = u64::from(days) / DRIFT_DAYS + 2;
        // Factors in thousandths, by turn and region.
        let factors: Vec<Vec<u64>> = (0..turns)
            .map(|_| regions.iter().map(|_| chance.between(1_000 - 10 * drift, 1_000 + 10 * drift)).collect())
            .collect();
        let of_day = |day: u64| {
            let (turn, along) = ((day / DRIFT_DAYS) as usize, day % DRIFT_DAYS);
            let share = |(index, region): (usize, &RegionShare)| {
                let (from, to) = (factors[turn][index], factors[turn + 1][index]);
                let factor = from * (DRIFT_DAYS - along) + to * along;
                (region.share * factor).max(1)
            };
            Weighted::new(regions.iter().enumerate().map(share))
        };
        let days = (0..u64::from(days)).map(of_day).collect();
        let home = (0..regions.len()).rev().max_by_key(|index| regions[*index].share).unwrap_or(0);
        Regions { start, days, home }
    }

    pub fn pick(&self, at: Second, chance: &mut Chance) -> usize {
        let day = usize::try_from((at - self.start) / DAY_SECONDS).unwrap_or(0);
        self.days[day.min(self.days.len() - 1)].pick(chance)
    }

    pub fn is_home(&self, region: usize) -> bool {
        region == self.home
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> RegionShare {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_shares_are_read() {
        assert_eq!(share("eu"), RegionShare { name: Region::new("eu").unwrap(), share: 1 });
        assert_eq!(share("eu=93").share, 93);
        for (text, expected) in [("EU=1", "region"), ("eu=0", "share"), ("eu=", "share"), ("eu=x", "share")] {
            assert!(text.parse::<RegionShare>().unwrap_err().contains(expected), "{text}");
        }
    }

    #[test]
    fn shares_are_kept_over_all_and_drift_in_between() {
        let regions = Regions::new(5, &[share("us=6"), share("eu=3"), share("ap=3")], 0, 730, 60);
        let mut chance = Chance::new(5, Stream::Orders);
        let mut shares = Vec::new();
        for quarter in 0..8 {
            let at = |n: i64| (quarter * 91 + n % 91) * DAY_SECONDS;
            let us = (0..9_100).filter(|n| regions.pick(at(*n), &mut chance) == 0).count();
            shares.push(us * 100 / 9_100);
        }
        let mean = shares.iter().sum::<usize>() / 8;
        assert!((40..60).contains(&mean), "{shares:?}");
        assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() >= 10, "{shares:?}");
        assert!(regions.is_home(0) && !regions.is_home(1));
    }
}
