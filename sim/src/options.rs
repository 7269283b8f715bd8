//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::Output;
use crate::commands::scenario::Asked;
use crate::scenario::{Lapse, Overrides};

#[derive(Debug, Parser)]
#[command(name = "stockade-sim", about = "Drives Stockade's replicas through faults, from a seed")]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one seed, or a scenario.
    Run(Run),
    /// Run many seeds; exit code 1 when one fails.
    Sweep {
        /// A count, or a range `A..B`.
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

#[derive(Debug, Args)]
pub struct Run {
    /// A scenario's file; sim/scenarios/README.md tells how to write one.
    #[arg(value_name = "SCENARIO.toml", required_unless_present = "seed")]
    pub file: Option<PathBuf>,
    /// What decides all chance.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print every event.
    #[arg(long)]
    pub trace: bool,
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
    /// How the end is told.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

impl Run {
    /// The scenario that is to be run, or the seed of a world.
    ///
    /// # Errors
    /// With the seed.
    pub fn scenario(&self) -> Result<Asked, u64> {
        let Some(file) = &self.file else { return Err(self.seed.unwrap_or(0)) };
        let over = Overrides {
            seed: self.seed,
            demand: self.more.demand.clone(),
            from: self.more.from.clone(),
            duration: self.more.duration,
        };
        Ok(Asked {
            file: file.clone(),
            compare: self.more.compare.clone(),
            over,
            output: self.more.output,
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
}
