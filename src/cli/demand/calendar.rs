//! When orders come: quiet nights, few on Saturdays, a rise to Christmas and a stop after it.
//!
//! The tables are rounded from the trace that [`super`] names: how its sale orders spread over
//! hours of the day (UTC), days of the week and weeks of the year.

use anyhow::{Context, ensure};
use jiff::civil::Date;

use super::chance::{Chance, Curve, Stream, Weighted};

/// A second, counted from 1970 in UTC.
pub type Second = i64;

pub const HOUR_SECONDS: Second = 3_600;
pub const DAY_SECONDS: Second = 86_400;

const HOURS: [u64; 24] = [
    1, 1, 1, 1, 2, 4, 22, 296, 960, 1792, 2338, 2864, 3017, 2745, 2272, 1654, 956, 471, 247, 99, 20, 8, 4, 2,
];
/// From Monday.
const WEEKDAYS: [u64; 7] = [317, 364, 345, 396, 288, 3, 262];
/// By the millionth of the year that has passed; 1,000 is a day like most.
const SEASON: Curve = Curve(&[
    (0, 60),
    (8_000, 150),
    (14_000, 650),
    (90_000, 800),
    (250_000, 1_000),
    (500_000, 1_020),
    (700_000, 950),
    (760_000, 1_450),
    (850_000, 1_450),
    (890_000, 1_900),
    (925_000, 1_900),
    (945_000, 1_400),
    (968_000, 1_150),
    (974_000, 150),
    (1_000_000, 60),
]);
/// How much one day differs from others of its kind, in thousandths.
const DAY_NOISE: (u64, u64) = (750, 1_250);

/// The moments of `orders` orders, in order, over `days` days from `start`.
///
/// # Errors
/// When a date is none that a trace can have.
pub fn moments(seed: u64, start: Date, days: u32, orders: u64) -> anyhow::Result<Vec<Second>> {
    let mut chance = Chance::new(seed, Stream::Calendar);
    let midnight = midnight(start)?;
    let mut weights = Vec::new();
    let mut date = start;
    for _ in 0..days {
        let noise = chance.between(DAY_NOISE.0, DAY_NOISE.1);
        weights.extend(HOURS.map(|weight| weight * day_weight(date) * noise));
        date = date.tomorrow().context("the trace would end after the last day there is")?;
    }
    let hours = Weighted::new(weights);
    let moment = |_| {
        let hour = i64::try_from(hours.pick(&mut chance)).expect("hours of at most ten years");
        midnight + hour * HOUR_SECONDS + within(HOUR_SECONDS, &mut chance)
    };
    let mut moments: Vec<Second> = (0..orders).map(moment).collect();
    moments.sort_unstable();
    Ok(moments)
}

/// A second of a span.
pub fn within(span: Second, chance: &mut Chance) -> Second {
    let span = u64::try_from(span).expect("spans are not negative");
    i64::try_from(chance.below(span)).expect("less than a span")
}

/// When `date` begins.
///
/// # Errors
/// When it is before 1970 or after 9000.
pub fn midnight(date: Date) -> anyhow::Result<Second> {
    ensure!((1970..=9000).contains(&date.year()), "write a date from 1970-01-01 to 9000-12-31");
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).context("no such day")?;
    Ok(zoned.timestamp().as_second())
}

fn day_weight(date: Date) -> u64 {
    let weekday = date.weekday().to_monday_zero_offset();
    let passed = u64::from(date.day_of_year().unsigned_abs()) - 1;
    let year = u64::from(date.days_in_year().unsigned_abs());
    WEEKDAYS[usize::from(weekday.unsigned_abs())] * SEASON.at(passed * 1_000_000 / year)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year() -> Vec<Second> {
        moments(3, jiff::civil::date(2025, 1, 1), 365, 20_000).unwrap()
    }

    #[test]
    fn moments_rise_within_the_days() {
        let all = year();
        let start = midnight(jiff::civil::date(2025, 1, 1)).unwrap();
        assert!(all.is_sorted());
        assert!(all[0] >= start && *all.last().unwrap() < start + 365 * DAY_SECONDS);
    }

    #[test]
    fn most_come_by_day_few_on_saturdays_and_more_before_christmas() {
        let all = year();
        let count = |which: &dyn Fn(Second) -> bool| all.iter().filter(|at| which(**at)).count();
        assert!(count(&|at| (8..17).contains(&(at % DAY_SECONDS / HOUR_SECONDS))) > 18_000);
        // 1970 began on a Thursday.
        assert!(count(&|at| (at / DAY_SECONDS + 3) % 7 == 5) < 100);
        let start = all[0] / DAY_SECONDS;
        let november = count(&|at| (305..335).contains(&(at / DAY_SECONDS - start)));
        let february = count(&|at| (32..62).contains(&(at / DAY_SECONDS - start)));
        assert!(november > 2 * february, "{november} {february}");
    }

    #[test]
    fn days_that_there_are_not_are_refused() {
        assert!(moments(1, jiff::civil::date(1969, 12, 31), 1, 1).is_err());
        assert!(moments(1, jiff::civil::date(9999, 12, 30), 10, 1).is_err());
    }
}
