//! The dial between selling on through a cut and losing little with a lost node.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::units::{MAX_QUANTITY, Units};

/// How many units of an item a node may take that no other node has been told of. When the node is
/// lost, no more than that is in suspense; cut off, it sells no more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Autonomy {
    /// All that it has a right to.
    #[default]
    #[n(0)]
    All,
    /// So many, 1 to [`MAX_QUANTITY`].
    #[n(1)]
    Units(#[n(0)] Units),
    /// So many hundredths of what is on hand of the item everywhere, 1 to 100, and one unit at least.
    #[n(2)]
    Percent(#[n(0)] u8),
}

impl Autonomy {
    /// As a number of units; `None`: without bound. `on_hand` is only asked for when it matters.
    pub fn units(self, on_hand: impl FnOnce() -> Units) -> Option<Units> {
        match self {
            Autonomy::All => None,
            Autonomy::Units(units) => Some(units),
            Autonomy::Percent(percent) => {
                let share = u128::from(on_hand().0) * u128::from(percent) / 100;
                Some(Units(u64::try_from(share).unwrap_or(u64::MAX).max(1)))
            }
        }
    }
}

/// A text or number that is no [`Autonomy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be all, a number of units from 1 to 1000000000, or a percentage from 1% to 100%")]
pub struct InvalidAutonomy;

impl TryFrom<u64> for Autonomy {
    type Error = InvalidAutonomy;

    fn try_from(units: u64) -> Result<Self, InvalidAutonomy> {
        match units {
            1..=MAX_QUANTITY => Ok(Autonomy::Units(Units(units))),
            _ => Err(InvalidAutonomy),
        }
    }
}

impl FromStr for Autonomy {
    type Err = InvalidAutonomy;

    fn from_str(text: &str) -> Result<Self, InvalidAutonomy> {
        if text == "all" {
            return Ok(Autonomy::All);
        }
        let (number, is_percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidAutonomy);
        }
        let number: u64 = number.parse().map_err(|_| InvalidAutonomy)?;
        match u8::try_from(number) {
            Ok(percent @ 1..=100) if is_percent => Ok(Autonomy::Percent(percent)),
            _ if is_percent => Err(InvalidAutonomy),
            _ => Autonomy::try_from(number),
        }
    }
}

impl fmt::Display for Autonomy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Autonomy::All => f.pad("all"),
            Autonomy::Units(units) => f.pad(&units.to_string()),
            Autonomy::Percent(percent) => f.pad(&format!("{percent}%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_back_as_it_is_written() {
        for text in ["all", "1", "250", "1000000000", "1%", "100%"] {
            assert_eq!(text.parse::<Autonomy>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            "0%",
            "101%",
            "300%",
            "%",
            "1 %",
            "ALL",
            "1000000001",
            "99999999999999999999",
        ] {
            assert_eq!(text.parse::<Autonomy>(), Err(InvalidAutonomy), "{text}");
        }
    }

    #[test]
    fn a_percentage_is_of_what_is_on_hand_and_never_nothing() {
        let units = |text: &str, on_hand| text.parse::<Autonomy>().unwrap().units(|| Units(on_hand));
        assert_eq!(units("1%", 1_000), Some(Units(10)));
        assert_eq!(units("1%", 99), Some(Units(1)));
        assert_eq!(units("100%", u64::MAX), Some(Units(u64::MAX)));
        assert_eq!(units("7", 0), Some(Units(7)));
        assert_eq!(units("all", 5), None);
    }
}
