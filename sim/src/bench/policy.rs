//! The policies that are compared, by the names the command line knows them by.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use super::baselines::{antidote, central_home, days_of_cover, halving, indigo, static_split};
use super::measure::Outcome;
use super::stockade::Stockade;
use super::{Course, arena};

/// How rights move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Policy {
    /// The replica that ships, with its defaults
    Stockade,
    /// Equal parts that never move
    Static,
    /// All rights at one node, which the others ask
    Central,
    /// The donor gives half of what it has; asked again after 5 s
    #[value(name = "half5")]
    Half5,
    /// The same, asked again after 0.5 s
    #[value(name = "half")]
    HalfHalf,
    /// Indigo's thresholds, scaled to the stock
    Indigo,
    /// AntidoteDB's manager, as its code behaves
    Antidote,
    /// Days of cover, made even now and then
    Cover,
}

impl Policy {
    pub const DEFAULT: Policy = Policy::Stockade;

    pub fn name(self) -> &'static str {
        match self {
            Policy::Stockade => "stockade",
            Policy::Static => "static",
            Policy::Central => "central",
            Policy::Half5 => "half5",
            Policy::HalfHalf => "half",
            Policy::Indigo => "indigo",
            Policy::Antidote => "antidote",
            Policy::Cover => "cover",
        }
    }

    /// Plays the course from beginning to end.
    pub fn play(self, course: &Course) -> Outcome {
        match self {
            Policy::Stockade => arena::play(course, &mut Stockade::new(course)),
            Policy::Static => arena::play(course, &mut static_split::new(course)),
            Policy::Central => arena::play(course, &mut central_home::new(course)),
            Policy::Half5 => arena::play(course, &mut halving::new(course, halving::COOL_DOWNS[0])),
            Policy::HalfHalf => arena::play(course, &mut halving::new(course, halving::COOL_DOWNS[1])),
            Policy::Indigo => arena::play(course, &mut indigo::new(course)),
            Policy::Antidote => arena::play(course, &mut antidote::new(course)),
            Policy::Cover => arena::play(course, &mut days_of_cover::new(course, days_of_cover::REVIEW)),
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::grid;

    #[test]
    fn names_are_those_of_the_command_line() {
        for policy in Policy::value_variants() {
            assert_eq!(grid::name(*policy), policy.name());
        }
    }
}
