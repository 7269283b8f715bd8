//! `sweep`: many worlds.

use std::process::ExitCode;

use super::Output;
use super::parallel::{Go, for_each};
use super::progress::Progress;
use crate::options::Seeds;
use crate::plan::Plan;
use crate::run::live;
use crate::trace::Detail;
use crate::world::Counts;

pub fn sweep(seeds: &Seeds, output: Output) -> ExitCode {
    let mut total = Counts::default();
    let mut failed = 0u64;
    let mut events: Vec<u64> = Vec::new();
    let mut progress = Progress::new(seeds);
    let work = |seed| live(Plan::draw(seed), Detail::Hash);
    for_each(seeds, work, |seed, outcome| {
        total.add(&outcome.counts);
        events.push(outcome.counts.events);
        progress.add(outcome.counts.events, outcome.violation.is_some());
        if let Some((time, violation)) = outcome.violation {
            failed += 1;
            eprintln!("seed {seed} fails at {time}: {violation}");
            eprintln!("  cargo run --release -p stockade-sim -- run --seed {seed} --trace");
        }
        Go::On
    });
    events.sort_unstable();
    report(seeds, output, &total, failed, events[events.len() / 2], progress.seconds());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(seeds: &Seeds, output: Output, total: &Counts, failed: u64, median: u64, seconds: f64) {
    let count = seeds.count();
    let hours = total.virtual_us as f64 / 3.6e9;
    let rate = total.events as f64 / seconds;
    if output == Output::Json {
        println!(
            "{{\"seeds\":{count},\"failed\":{failed},\"events\":{},\"median_events\":{median},\
             \"requests\":{},\"answers\":{},\"crashes\":{},\"cuts\":{},\"sold_out\":{},\"elsewhere\":{},\
             \"unknown\":{},\"virtual_hours\":{hours:.1},\"seconds\":{seconds:.1},\"events_per_second\":{rate:.0}}}",
            total.events,
            total.requests,
            total.answers,
            total.crashes,
            total.cuts,
            total.sold_out,
            total.elsewhere,
            total.unknown,
        );
        return;
    }
    println!("{count} seeds, {failed} failed, {hours:.1} virtual hours in {seconds:.1} s");
    println!("{} events, {median} in the median seed, {rate:.0} a second", total.events);
    println!(
        "{} requests, {} answers, {} crashes, {} cuts",
        total.requests, total.answers, total.crashes, total.cuts
    );
    println!(
        "refused lines: {} sold out, {} elsewhere, {} unknown",
        total.sold_out, total.elsewhere, total.unknown
    );
}
