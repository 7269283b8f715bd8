//! `sweep`: many worlds.

use std::num::NonZero;
use std::process::ExitCode;

use serde::Serialize;

use super::parallel::{Go, for_each};
use super::progress::Progress;
use super::table::{self, Cell};
use super::{Output, say};
use crate::checks::Violation;
use crate::coverage::Kind;
use crate::options::Seeds;
use crate::plan::Plan;
use crate::run::live;
use crate::tally::{ENOUGH_SEEDS, Planned, Tally};
use crate::time::Time;
use crate::trace::Detail;

/// What a sweep came to.
#[derive(Debug, Serialize)]
struct Report {
    first_seed: u64,
    seeds: u64,
    failed: u64,
    failures: Vec<Failure>,
    /// Floors that were missed: without them "no failure" says little.
    complaints: Vec<String>,
    virtual_hours: f64,
    seconds: f64,
    events: u64,
    median_events: u64,
    median_requests: u64,
    events_per_second: f64,
    events_per_second_and_core: f64,
    requests: u64,
    answers: u64,
    reservations: u64,
    requests_by_kind: Vec<Named>,
    faults: Vec<Named>,
    refusals: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    at: f64,
    property: String,
    detail: String,
    replay: String,
    shrink: String,
}

#[derive(Debug, Serialize)]
struct Named {
    name: &'static str,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<u64>,
}

pub fn sweep(seeds: &Seeds, output: Output) -> ExitCode {
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    let mut progress = Progress::new(seeds);
    let work = |seed| {
        let plan = Plan::draw(seed);
        (Planned::of(&plan), live(plan, Detail::Hash))
    };
    for_each(seeds, work, |seed, (planned, outcome)| {
        tally.add(&planned, &outcome);
        progress.add(outcome.counts.events, outcome.violation.is_some());
        if let Some((at, violation)) = outcome.violation {
            let failure = Failure::of(seed, at, violation);
            eprintln!("seed {seed} fails at {at}: {}: {}", failure.property, failure.detail);
            eprintln!("  {}\n  {}", failure.replay, failure.shrink);
            failures.push(failure);
        }
        Go::On
    });
    let report = Report::of(seeds, &tally, failures, progress.seconds());
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&report).expect("a report has no odd keys")),
        Output::Table => report.print(),
    }
    let sound = report.failed == 0 && report.complaints.is_empty();
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Failure {
    fn of(seed: u64, at: Time, violation: Violation) -> Failure {
        let command = |rest: &str| format!("cargo run --release -p stockade-sim -- {rest}");
        Failure {
            seed,
            at: at.0 as f64 / 1e6,
            property: format!("{:?}", violation.property),
            detail: violation.detail,
            replay: command(&format!("run --seed {seed} --trace")),
            shrink: command(&format!("shrink --seed {seed}")),
        }
    }
}

impl Report {
    fn of(seeds: &Seeds, tally: &Tally, failures: Vec<Failure>, seconds: f64) -> Report {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let counts = &tally.counts;
        let rate = (counts.events as f64 / seconds).round();
        let named = |name, count| Named { name, count, seeds: None };
        let of_kind = |kind: &Kind| named(kind.name(), tally.coverage.requests[*kind as usize]);
        let fault = |(name, count, seeds)| Named { name, count, seeds: Some(seeds) };
        Report {
            first_seed: seeds.first,
            seeds: seeds.count(),
            failed: tally.failed,
            failures,
            complaints: if tally.seeds < ENOUGH_SEEDS { Vec::new() } else { tally.complaints() },
            virtual_hours: (counts.virtual_us as f64 / 3.6e8).round() / 10.0,
            seconds: (seconds * 10.0).round() / 10.0,
            events: counts.events,
            median_events: tally.median_events(),
            median_requests: tally.median_requests(),
            events_per_second: rate,
            events_per_second_and_core: (rate / cores as f64).round(),
            requests: counts.requests,
            answers: counts.answers,
            reservations: tally.coverage.reservations,
            requests_by_kind: Kind::ALL.iter().map(of_kind).collect(),
            faults: tally.struck().into_iter().map(fault).collect(),
            refusals: vec![
                named("sold_out", counts.sold_out),
                named("elsewhere", counts.elsewhere),
                named("unknown", counts.unknown),
            ],
        }
    }

    fn print(&self) {
        let Report { seeds, failed, virtual_hours, seconds, events, requests, answers, .. } = self;
        say(&format!("{seeds} seeds, {failed} failed, {virtual_hours} virtual hours in {seconds} s"));
        say(&format!(
            "{events} events, {} in the median seed; {} a second, {} a core",
            self.median_events, self.events_per_second, self.events_per_second_and_core
        ));
        say(&format!(
            "{requests} requests, {} in the median seed; {answers} answers; {} reservations",
            self.median_requests, self.reservations
        ));
        for (title, list) in
            [("request", &self.requests_by_kind), ("fault", &self.faults), ("refused line", &self.refusals)]
        {
            say("");
            let with_seeds = list.iter().any(|named| named.seeds.is_some());
            let mut head = vec![Cell::Text(title.into()), Cell::Text("count".into())];
            head.extend(with_seeds.then(|| Cell::Text("seeds with it".into())));
            let row = |named: &Named| {
                let mut row = vec![Cell::Text(named.name.into()), Cell::Number(named.count)];
                row.extend(named.seeds.map(Cell::Number));
                row
            };
            table::print(&head, &list.iter().map(row).collect::<Vec<_>>());
        }
        for failure in &self.failures {
            say(&format!("\nseed {} fails: {}", failure.seed, failure.property));
            say(&format!("  {}\n  {}", failure.replay, failure.shrink));
        }
        self.complaints.iter().for_each(|complaint| say(&format!("\n{complaint}")));
    }
}
