//! Spans of time as people write them: `90s`, `1h30m`, `7d`.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A span of the scenario's own time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lapse(pub u64);

/// Longest span: a hundred years.
const LONGEST: u64 = 100 * 365 * 86_400 * 1_000_000;

const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

impl Lapse {
    pub const fn seconds(seconds: u64) -> Lapse {
        Lapse(seconds * 1_000_000)
    }

    pub const fn minutes(minutes: u64) -> Lapse {
        Lapse::seconds(minutes * 60)
    }

    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// # Errors
    /// In words, when the text is no span.
    pub fn parse(text: &str) -> Result<Lapse, String> {
        if text.trim_start().starts_with('-') {
            return Err(format!("`{text}` is negative; times count from the scenario's beginning"));
        }
        let form = || format!("`{text}` is no time; write for example \"30s\", \"1h30m\" or \"7d\"");
        let mut rest = text.trim();
        let mut sum = 0u64;
        if rest.is_empty() {
            return Err(form());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
            let number: u64 = rest[..digits].parse().map_err(|_| form())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
            let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(form)?;
            rest = rest[letters..].trim_start();
            let part = number.checked_mul(unit.1).and_then(|part| sum.checked_add(part));
            sum = part.filter(|sum| *sum <= LONGEST).ok_or_else(|| format!("`{text}` is too long"))?;
        }
        Ok(Lapse(sum))
    }
}

impl std::fmt::Display for Lapse {
    /// The two largest units: `2d 3h`, `1m 30s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        let mut parts = Vec::new();
        for (name, micros) in UNITS[..5].iter().rev() {
            if rest >= *micros && parts.len() < 2 {
                parts.push(format!("{}{name}", rest / micros));
                rest %= micros;
            }
        }
        f.pad(&if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") })
    }
}

impl<'de> Deserialize<'de> for Lapse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lapse, D::Error> {
        let text = String::deserialize(deserializer)?;
        Lapse::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_units() {
        assert_eq!(Lapse::parse("90s"), Ok(Lapse(90_000_000)));
        assert_eq!(Lapse::parse("1h30m"), Ok(Lapse::minutes(90)));
        assert_eq!(Lapse::parse("1h 30m"), Ok(Lapse::minutes(90)));
        assert_eq!(Lapse::parse("250ms"), Ok(Lapse(250_000)));
        assert!(Lapse::parse("-5m").unwrap_err().contains("negative"));
        for bad in ["", "5", "m", "5 m", "1.5h", "5x", "99999999999w", "1hm"] {
            assert!(Lapse::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_are_shown_by_their_two_largest_units() {
        assert_eq!(Lapse::parse("49h5m").unwrap().to_string(), "2d 1h");
        assert_eq!(Lapse::seconds(90).to_string(), "1m 30s");
        assert_eq!(Lapse(0).to_string(), "0s");
    }
}
