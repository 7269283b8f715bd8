//! `stockade demand`: a trace of orders made up from a seed, for `stockade replay`.
//!
//! It is made up in the shape of a real one: a year of a British gift shop that sells to
//! households, shops and wholesalers in many countries, by invoice and line (Chen, D.: Online
//! Retail II, UCI Machine Learning Repository 2012, doi:10.24432/C5CG6D, CC BY 4.0). The tables
//! of `calendar` and `quantities` are rounded figures of that year; `tests` holds what was
//! measured of it, and the bounds within which a trace made up here must lie.
//!
//! The same seed and options give the same rows, on any machine: all draws are of integers.
//! `--describe` measures any trace the same way.

mod calendar;
mod chance;
mod file;
mod items;
mod orders;
mod quantities;
mod regions;
mod summary;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use jiff::civil::Date;

use super::replay::progress::Progress;
use super::replay::trace::{Trace, Window};
use super::terminal::{note, say};
use super::{Ending, Output};
use chance::MILLION;
use file::{Names, Sink, TraceFile};
use orders::{Orders, Plan};
use regions::{MOST_REGIONS, RegionShare};
use summary::{Counting, Summary};

const EXAMPLE: &str = "\
Examples:
  stockade demand --seed 1 --out orders.csv.gz
  stockade demand --seed 7 --orders 2000 --items 50 --regions us=5,eu=3,ap=2 \\
    --days 7 --basket 3 --hot-drop 500 --out drop.csv
  stockade demand --describe orders.csv.gz -o json

The file is what `stockade replay` reads: ts,region,sku,qty,order, sorted by
time; a qty below 0 is a return. The same seed and options give the same rows
on any machine (gzip may pack them otherwise in another release).

Orders come by day more than by night, hardly on Saturdays, most before
Christmas. Few items sell most, new ones come, old ones go, and regions other
than the largest have favourites of their own, half of which change every
eight weeks. Most baskets are small and some are huge; quantities are pieces,
cases, or wholesale. Returns (order C..) follow their sale by minutes to
months, in its region, and never exceed it. The hot drop is --hot-drop orders
(H..) of one unit of HOT-DROP within 20 seconds at 17:00 UTC, three fifths
into the time; without it, all other rows are the same.

The summary goes to standard output, or to standard error when the trace is
written to standard output.";

const USAGE: &str = "\
stockade demand --seed <N> [OPTIONS]
       stockade demand --describe <FILE> [--output <OUTPUT>]";

/// Make up a trace of orders from a seed, or describe a trace
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct DemandArgs {
    /// What decides all draws: 0 to 18446744073709551615
    #[arg(long, value_name = "N", required_unless_present = "describe")]
    seed: Option<u64>,
    /// Where the trace goes, gzipped if the name ends in .gz; a file that is there is replaced [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Orders that buy, besides the hot drop: 1 to 10000000
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    orders: u64,
    /// Items, besides the hot one: 1 to 1000000
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    items: u32,
    /// Regions and the shares in which orders come from them, 16 at most; without =SHARE, 1
    #[arg(long, value_name = "NAME[=SHARE],..", value_delimiter = ',', default_value = "us=93,eu=5,ap=2")]
    regions: Vec<RegionShare>,
    /// How far a region's share goes up and down over the months, in percent: 0 to 90
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=90))]
    drift: u64,
    /// The first day, in UTC
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2025-01-01")]
    start: Date,
    /// How many days the orders come over: 1 to 3650
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// The exponent with which popularity falls over the ranks: 0 (alike) to 3
    #[arg(long, value_name = "EXPONENT", default_value = "0.25", value_parser = thousandths)]
    skew: u64,
    /// Median lines of an order: 1 to 500
    #[arg(long, value_name = "LINES", default_value_t = quantities::MEDIAN_BASKET, value_parser = clap::value_parser!(u64).range(1..=500))]
    basket: u64,
    /// Returns for each hundred orders: 0 to 100
    #[arg(long, value_name = "PERCENT", default_value_t = 22, value_parser = clap::value_parser!(u64).range(0..=100))]
    returns: u64,
    /// Orders of the hot drop, 1 to 1000000, or none [default: a tenth of --orders]
    #[arg(long, value_name = "UNITS|none", value_parser = hot_drop)]
    hot_drop: Option<u64>,
    /// Only describe this trace, made up or real
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "seed", "out", "orders", "items", "regions", "drift", "start", "days", "skew", "basket", "returns", "hot_drop",
    ])]
    describe: Option<PathBuf>,
    /// How to write the summary
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Orders between two looks at the clock.
const TICK_EVERY: u64 = 4_096;

/// Makes up or describes a trace.
///
/// # Errors
/// When a file cannot be read or written, or options do not go together.
pub fn run(args: DemandArgs) -> anyhow::Result<Ending> {
    if let Some(file) = &args.describe {
        say(written(&describe(file)?, args.output)?)?;
        return Ok(Ending::Good);
    }
    let plan = plan(&args)?;
    let sink = Sink::open(args.out.as_deref())?;
    let made = make(plan, sink)?;
    match (made, &args.out) {
        (Ok(summary), Some(_)) => say(written(&summary, args.output)?)?,
        (Ok(summary), None) => note(written(&summary, args.output)?),
        // Who reads has read enough.
        (Err(error), None) if error.kind() == io::ErrorKind::BrokenPipe => {}
        (Err(error), out) => {
            let out = out.as_ref().map_or("standard output".into(), |out| out.display().to_string());
            return Err(error).with_context(|| format!("cannot write {out}"));
        }
    }
    Ok(Ending::Good)
}

fn plan(args: &DemandArgs) -> anyhow::Result<Plan> {
    ensure!(args.regions.len() <= MOST_REGIONS, "--regions: a trace has at most {MOST_REGIONS} regions");
    for (index, region) in args.regions.iter().enumerate() {
        let is_first = args.regions[..index].iter().all(|other| other.name != region.name);
        ensure!(is_first, "--regions: {} is named twice; name each region once", region.name);
    }
    Ok(Plan {
        seed: args.seed.context("--seed is missing")?,
        orders: args.orders,
        items: args.items,
        regions: args.regions.clone(),
        start: args.start,
        days: args.days,
        skew: args.skew,
        drift: args.drift,
        basket: args.basket,
        returns: args.returns * MILLION / 100,
        hot_drop: args.hot_drop.unwrap_or(args.orders / 10),
    })
}

fn hot_drop(text: &str) -> Result<u64, String> {
    match text.parse() {
        _ if text == "none" => Ok(0),
        Ok(units @ 1..=1_000_000) => Ok(units),
        _ => Err("write 1 to 1000000, or none".to_owned()),
    }
}

/// A decimal from 0 to 3 with at most three places, in thousandths.
fn thousandths(text: &str) -> Result<u64, String> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = match digits(whole) && whole.len() == 1 && digits(places) && places.len() <= 3 {
        true => format!("{whole}{places:0<3}").parse().unwrap_or(u64::MAX),
        false => u64::MAX,
    };
    (value <= 3_000).then_some(value).ok_or_else(|| "write a number from 0 to 3, such as 0.35".to_owned())
}

/// Draws the trace into `sink`, counting on the way.
fn make(plan: Plan, sink: Sink) -> anyhow::Result<Result<Summary, io::Error>> {
    let mut progress = Progress::new(usize::try_from(plan.orders + plan.hot_drop).unwrap_or(usize::MAX));
    let regions: Vec<String> = plan.regions.iter().map(|region| region.name.to_string()).collect();
    let mut orders = Orders::new(plan)?;
    let skus = orders.names().to_vec();
    let names = Names { skus: &skus, regions: &regions };
    let mut counting = Counting::default();
    let write = || {
        let mut file = TraceFile::begin(sink)?;
        for (place, order) in (1u64..).zip(&mut orders) {
            file.add(&order, names)?;
            counting.add(&order);
            if !order.sales.is_empty() {
                progress.advance();
            }
            if place.is_multiple_of(TICK_EVERY) {
                progress.tick();
            }
        }
        file.finish()?.close()
    };
    let written = write();
    progress.finish();
    Ok(written.map(|()| counting.finish(names)))
}

fn describe(file: &Path) -> anyhow::Result<Summary> {
    let trace = Trace::load(file, Window::default())?;
    let mut counting = Counting::default();
    trace.orders.iter().for_each(|order| counting.add(order));
    Ok(counting.finish(Names { skus: &trace.skus, regions: &trace.regions }))
}

fn written(summary: &Summary, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Json => serde_json::to_string(summary)?,
        Output::Table => summary.text().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests;
