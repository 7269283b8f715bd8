//! How many units are received before the load: an exact share of what the trace sells.

use std::str::FromStr;

/// A decimal share, exact: 0.95 of 60 units is 57, never 58.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    numerator: u64,
    denominator: u64,
}

/// Digits behind the point, at most; and the largest share.
const MAX_DECIMALS: usize = 6;
const MAX_WHOLE: u64 = 1_000;

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let form = || {
            format!("write a share from 0 to {MAX_WHOLE} with at most {MAX_DECIMALS} decimals, such as 0.95")
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(decimals) || decimals.len() > MAX_DECIMALS {
            return Err(form());
        }
        let denominator = 10u64.pow(u32::try_from(decimals.len()).map_err(|_| form())?);
        let whole: u64 = whole.parse().map_err(|_| form())?;
        let decimals: u64 = if decimals.is_empty() { 0 } else { decimals.parse().map_err(|_| form())? };
        if whole > MAX_WHOLE {
            return Err(form());
        }
        Ok(Share { numerator: whole * denominator + decimals, denominator })
    }
}

impl Share {
    /// This share of `units`, rounded up.
    pub fn of(self, units: u64) -> u64 {
        let share = (u128::from(units) * u128::from(self.numerator)).div_ceil(u128::from(self.denominator));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn shares_are_exact_and_rounded_up() {
        assert_eq!(share("0.95").of(60), 57);
        assert_eq!(share("0.95").of(61), 58);
        assert_eq!(share("0.5").of(1), 1);
        assert_eq!(share("1.0").of(9_979), 9_979);
        assert_eq!(share("2").of(7), 14);
        assert_eq!(share("0").of(7), 0);
        for units in 0..2_000 {
            assert_eq!(share("0.95").of(units), (units * 95).div_ceil(100));
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for bad in ["", "-1", "1e3", ".5", "0.1234567", "1001", "x", "0.9.5", "+1"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}
