//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::Output;
use crate::replay::Replay;

#[derive(Debug, Parser)]
#[command(name = "stockade-sim", about = "Drives Stockade's replicas through faults, from a seed")]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one seed.
    Run {
        #[command(flatten)]
        replay: Replay,
        /// Print every event.
        #[arg(long)]
        trace: bool,
        /// How the world is told.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
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
        #[arg(long, value_name = "N|A..B")]
        seeds: Seeds,
        /// How the end is told.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Run each seed twice and compare the traces byte for byte.
    Meta {
        #[arg(long, value_name = "N|A..B")]
        seeds: Seeds,
    },
}

/// What `planted` is to do.
#[derive(Debug, clap::Args)]
pub struct Planted {
    /// Only this bug; may be given more than once.
    #[arg(long = "bug", value_name = "SLUG")]
    pub bugs: Vec<String>,
    /// Seeds in which each bug must be found.
    #[arg(long, value_name = "MAX", default_value_t = 20_000)]
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
}
