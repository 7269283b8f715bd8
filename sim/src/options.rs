//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::grid::{Corner, Faults, Ratio, Shape};
use crate::bench::policy::Policy;
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
    /// Put policies of moving rights to the same buyers, and measure them against the optimum.
    Bench(Bench),
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

const BENCH: &str = "\
Examples:
  stockade-sim bench --headline            is the default policy good enough?
  stockade-sim bench --shape flash --patience 0 --policy stockade --policy half
  stockade-sim bench --report bench.html -o json > bench.json

Every policy gets the same buyers, stock, round trips and faults, drawn from the
seed; five regions, one node each, an equal part of the stock at each, and
demand that is not (Zipf 1.2). Options that choose may be given more than once;
without them all of the grid runs: steady demand for items of 100 units with
every stock, patience and fault, other workloads around the middle.

The optimum knows all buyers beforehand, but its units travel like messages; for
orders of several items, where that is not known, it is one counter without
geography. `avoidable`: refused while the node and those that could have been
asked within the buyer's patience had, together, all that was wanted. `local`:
served at once by the node asked. `moves`: units moved for each unit sold.
`back`: units back within 10 s where they came from, in percent of those sold;
no bound, as one that was fetched for a buyer who did not take it may go back.
`fro`: units given to a node, back and there again, each way within 10 s, for
100 sales. Figures are medians over the seeds, but wrong verdicts, overselling
and what says so are of the worst seed; JSON has least and most of everything.

The exit code is 1 when --headline finds a bound missed, 2 when nothing was run.";

/// What `bench` is to do.
#[derive(Debug, Args)]
#[command(after_help = BENCH, after_long_help = BENCH)]
pub struct Bench {
    /// Only the points by which the default policy is judged, with at least 20 seeds, and the table
    /// of what it has to reach.
    #[arg(long, conflicts_with_all = ["shapes", "units", "ratios", "patience", "faults", "trace", "drop"])]
    pub headline: bool,
    /// Only this policy.
    #[arg(long = "policy", value_enum, value_name = "NAME")]
    pub policies: Vec<Policy>,
    /// Only demand of this shape.
    #[arg(long = "shape", value_enum, value_name = "SHAPE")]
    pub shapes: Vec<Shape>,
    /// Only items with so many units: 5, 100 or 10000 [flash: 1000].
    #[arg(long, value_name = "N")]
    pub units: Vec<u64>,
    /// Only this stock, by demand.
    #[arg(long = "ratio", value_enum, value_name = "STOCK")]
    pub ratios: Vec<Ratio>,
    /// Only buyers who wait so many ms: 0, 300 or 1000.
    #[arg(long, value_name = "MS")]
    pub patience: Vec<u64>,
    /// Only with these faults.
    #[arg(long, value_enum, value_name = "FAULTS")]
    pub faults: Vec<Faults>,
    /// Seeds of each point: a count, or a range `A..B` [default: 5; --headline: 20].
    #[arg(long, value_name = "N|A..B")]
    pub seeds: Option<Seeds>,
    /// Recorded orders for the shape `trace`: a CSV with the columns ts,region,sku,qty,order, gzipped
    /// or not.
    #[arg(long, value_name = "ORDERS.csv")]
    pub trace: Option<PathBuf>,
    /// Recorded orders for the shape `drop`, of which the last hour is played.
    #[arg(long, value_name = "ORDERS.csv")]
    pub drop: Option<PathBuf>,
    /// How the end is told.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Write a page with charts there.
    #[arg(long, value_name = "OUT.html")]
    pub report: Option<PathBuf>,
}

impl Bench {
    /// The part of the grid that was asked for.
    pub fn corner(&self) -> Corner {
        Corner {
            shapes: self.shapes.clone(),
            units: self.units.clone(),
            ratios: self.ratios.clone(),
            faults: self.faults.clone(),
            patience_ms: self.patience.clone(),
        }
    }
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
