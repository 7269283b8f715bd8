//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::Output;
use crate::commands::scenario::Asked;
use crate::replay::Replay;
use crate::scenario::{Lapse, Overrides};

#[derive(Debug, Parser)]
#[command(
    name = "stockade-sim",
    version,
    about = "Plays scenarios of a shop, and drives Stockade's replicas through faults from a seed"
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario; without a file, a world of faults drawn from --seed.
    Run(Run),
    /// Find the smallest world that fails as this seed does.
    Shrink {
        #[command(flatten)]
        replay: Replay,
        /// Take the first of these seeds that fails.
        #[arg(long = "in", value_name = "N|A..B")]
        seeds: Option<Seeds>,
    },
    /// Run many seeds; exit code 1 when one fails.
    Sweep {
        /// A count, or a range `A..B`.
        #[arg(long, value_name = "N|A..B")]
        seeds: Seeds,
        /// How the end is told.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Switch known bugs on, one at a time, and count the seeds that find each.
    Planted(Planted),
    /// Tell what many seeds went through; exit code 1 when something never was.
    ///
    /// A table of requests by kind that were open, waiting or just answered when a fault struck
    /// their node, and how often each rare path was taken.
    Coverage {
        /// A count, or a range `A..B`; about 4,000 are needed.
        #[arg(long, value_name = "N|A..B")]
        seeds: Seeds,
        /// How the end is told.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Run each seed twice and compare the traces byte for byte.
    Meta {
        /// A count, or a range `A..B`.
        #[arg(long, value_name = "N|A..B")]
        seeds: Seeds,
    },
}

#[derive(Debug, Args)]
pub struct Run {
    /// A scenario's file; sim/scenarios/README.md tells how to write one.
    #[arg(value_name = "SCENARIO.toml", conflicts_with_all = ["keep", "without", "hosts", "items", "clients", "chaos"])]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub replay: Replay,
    /// Print every event.
    #[arg(long)]
    pub trace: bool,
    /// How the end is told.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    #[command(flatten)]
    pub more: More,
}

/// What only a scenario takes.
#[derive(Debug, Args)]
#[group(requires = "file")]
pub struct More {
    /// A trace of orders in place of the scenario's demand.
    #[arg(long, value_name = "ORDERS.csv")]
    pub demand: Option<PathBuf>,
    /// Where in that trace to begin: a day, or a moment as 2010-11-15T09:00:00Z [default: its first
    /// day].
    #[arg(long, value_name = "TIME", requires = "demand")]
    pub from: Option<String>,
    /// Only so long, such as 30m or 2d.
    #[arg(long, value_name = "TIME", value_parser = Lapse::parse)]
    pub duration: Option<Lapse>,
    /// Write a page with charts there.
    #[arg(long, value_name = "OUT.html")]
    pub report: Option<PathBuf>,
    /// Run this scenario too, and put the two side by side.
    #[arg(long, value_name = "B.toml")]
    pub compare: Option<PathBuf>,
}

/// What `planted` is to do.
#[derive(Debug, clap::Args)]
pub struct Planted {
    /// Only this bug; may be given more than once.
    #[arg(long = "bug", value_name = "SLUG")]
    pub bugs: Vec<String>,
    /// Seeds in which each bug must be found.
    #[arg(long, value_name = "MAX", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// How often each bug is to be found: it is looked for again past each find.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub finds: u64,
    /// Name the bugs and run nothing.
    #[arg(long)]
    pub list: bool,
    /// Run that many seeds with no bug on: all must pass.
    #[arg(long, conflicts_with_all = ["bugs", "write", "list"])]
    pub none: bool,
    /// Put the table into this file, between its two markers.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bugs", "list"])]
    pub write: Option<std::path::PathBuf>,
    /// How the end is told.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

impl Run {
    /// The scenario that is to be run; `None`: a world from a seed is.
    pub fn scenario(&self) -> Option<Asked> {
        let file = self.file.as_ref()?;
        let over = Overrides {
            seed: self.replay.seed,
            demand: self.more.demand.clone(),
            from: self.more.from.clone(),
            duration: self.more.duration,
        };
        Some(Asked {
            file: file.clone(),
            compare: self.more.compare.clone(),
            over,
            output: self.output,
            report: self.more.report.clone(),
            trace: self.trace,
        })
    }
}

/// Seeds from `first` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    pub first: u64,
    pub end: u64,
}

impl Seeds {
    pub fn count(&self) -> u64 {
        self.end - self.first
    }
}

impl std::str::FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|e| format!("`{text}`: {e}"));
        let seeds = match text.split_once("..") {
            Some((first, end)) => Seeds { first: number(first)?, end: number(end)? },
            None => Seeds { first: 0, end: number(text)? },
        };
        if seeds.first < seeds.end { Ok(seeds) } else { Err("no seeds: give a count or A..B".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_count_or_a_range() {
        assert_eq!("5".parse(), Ok(Seeds { first: 0, end: 5 }));
        assert_eq!("7..9".parse(), Ok(Seeds { first: 7, end: 9 }));
        assert!("9..9".parse::<Seeds>().is_err() && "x".parse::<Seeds>().is_err());
    }

    #[test]
    fn bugs_are_looked_for_in_one_seed_at_least() {
        let planted = |seeds| Options::try_parse_from(["stockade-sim", "planted", "--seeds", seeds]);
        assert!(planted("1").is_ok() && planted("0").is_err());
    }
}
