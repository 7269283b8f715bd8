//! `run`: one world, looked at closely.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Output, say};
use crate::plan::{Plan, Transport};
use crate::replay::{Replay, Toggle};
use crate::run::{Outcome, live_through};
use crate::schedule::{Fault, Schedule};
use crate::trace::Detail;
use crate::world::Counts;

/// Columns of a terminal.
const WIDTH: usize = 80;

pub fn run(replay: &Replay, trace: bool, output: Output) -> ExitCode {
    let (plan, schedule) = replay.world();
    let is_json = output == Output::Json;
    if !is_json {
        about(&plan).iter().for_each(|line| say(line));
        say(&format!("{} strikes:", schedule.0.len()));
        schedule.0.iter().for_each(|strike| say(&format!("  {strike}")));
    }
    let detail = if trace && !is_json { Detail::Print } else { Detail::Hash };
    let outcome = live_through(plan.clone(), schedule.clone(), detail);
    if is_json {
        say(&format!("{:#}", in_json(replay, &plan, &schedule, &outcome)));
    } else {
        told(&outcome).iter().for_each(|line| say(line));
    }
    if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a world is like.
pub fn about(plan: &Plan) -> Vec<String> {
    let delay = plan.delay.0 / 1_000;
    let transport = match plan.transport {
        Transport::Streams => format!("streams, about {delay} ms"),
        Transport::Datagrams { loss, duplicates, replays, reorders } => format!(
            "datagrams, about {delay} ms; of 1000 {loss} lost, {duplicates} twice, {replays} old, {reorders} late"
        ),
    };
    let toggles = Toggle::HARMLESS.iter().filter(|toggle| toggle.is_on(plan));
    let toggles: Vec<String> = toggles.map(|toggle| toggle.word()).collect();
    let faults: Vec<String> = plan.faults.iter().map(|fault| fault.name().into()).collect();
    let mut lines = vec![
        format!(
            "seed {}: {} hosts, {} items, {} clients, {} s of faults",
            plan.seed,
            plan.hosts,
            plan.items,
            plan.clients,
            plan.chaos.0 / 1_000_000
        ),
        transport,
    ];
    lines.extend(wrapped("on", &toggles));
    lines.extend(wrapped("faults", &faults));
    if !plan.barrier {
        lines.push("without the output barrier".into());
    }
    lines
}

/// What came of it.
fn told(outcome: &Outcome) -> Vec<String> {
    let counts = &outcome.counts;
    let mut lines = wrapped("counted", &numbers(counts).map(|(name, n)| format!("{n} {name}")));
    let struck: Vec<String> = struck(counts).map(|(fault, n)| format!("{n} {}", fault.name())).collect();
    lines.extend(wrapped("struck", &struck));
    lines.push(format!("trace {:016x}", outcome.hash));
    if let Some((time, violation)) = &outcome.violation {
        lines.push(format!("fails at {time}: {violation}"));
    }
    lines
}

fn numbers(counts: &Counts) -> [(&'static str, u64); 14] {
    [
        ("events", counts.events),
        ("requests", counts.requests),
        ("answers", counts.answers),
        ("crashes", counts.crashes),
        ("cuts", counts.cuts),
        ("deeds", counts.deeds),
        ("ambushes", counts.sprung),
        ("starts refused", counts.refused_starts),
        ("old disks noticed", counts.noticed),
        ("lines sold out", counts.sold_out),
        ("elsewhere", counts.elsewhere),
        ("unknown", counts.unknown),
        ("units sold at the end", counts.sold),
        ("virtual ms", counts.virtual_us / 1_000),
    ]
}

fn struck(counts: &Counts) -> impl Iterator<Item = (Fault, u64)> {
    Fault::ALL.iter().copied().zip(counts.struck).filter(|(_, n)| *n > 0)
}

/// A list under a name, in lines that fit a terminal.
fn wrapped(name: &str, words: &[String]) -> Vec<String> {
    let mut lines = vec![format!("{name}:")];
    for (n, word) in words.iter().enumerate() {
        let comma = if n + 1 < words.len() { "," } else { "" };
        let last = lines.last_mut().expect("it begins with one");
        if last.len() + word.len() + 2 > WIDTH {
            lines.push(format!("  {word}{comma}"));
        } else {
            last.push_str(&format!(" {word}{comma}"));
        }
    }
    lines
}

fn in_json(replay: &Replay, plan: &Plan, schedule: &Schedule, outcome: &Outcome) -> Value {
    let strikes = schedule.0.iter().map(|strike| {
        json!({
            "number": strike.number,
            "at_us": strike.at.0,
            "fault": strike.fault.name(),
            "host": strike.host,
            "peer": strike.peer,
            "span_ms": strike.span.0 / 1_000,
            "deed": strike.deed,
        })
    });
    let counts: serde_json::Map<String, Value> =
        numbers(&outcome.counts).into_iter().map(|(name, n)| (name.replace(' ', "_"), n.into())).collect();
    let struck: serde_json::Map<String, Value> =
        struck(&outcome.counts).map(|(fault, n)| (fault.name().into(), n.into())).collect();
    let on = Toggle::HARMLESS.iter().filter(|toggle| toggle.is_on(plan));
    json!({
        "seed": replay.seed(),
        "replay": replay.to_string(),
        "hosts": plan.hosts,
        "items": plan.items,
        "clients": plan.clients,
        "chaos_seconds": plan.chaos.0 / 1_000_000,
        "on": on.map(|toggle| toggle.word()).collect::<Vec<_>>(),
        "faults": plan.faults.iter().map(|fault| fault.name()).collect::<Vec<_>>(),
        "strikes": strikes.collect::<Vec<_>>(),
        "counts": counts,
        "struck": struck,
        "trace": format!("{:016x}", outcome.hash),
        "violation": outcome.violation.as_ref().map(|(time, violation)| json!({
            "at_us": time.0,
            "property": format!("{:?}", violation.property),
            "detail": violation.detail,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Coverage;

    #[test]
    fn every_line_fits_a_terminal() {
        for seed in 0..30 {
            let (plan, schedule) = Replay::of(seed).world();
            let strikes = schedule.0.iter().map(|strike| format!("  {strike}"));
            let counts = Counts { struck: [1_000; Fault::ALL.len()], ..Counts::default() };
            let outcome = Outcome { violation: None, counts, coverage: Coverage::default(), hash: 1 };
            for line in about(&plan).into_iter().chain(strikes).chain(told(&outcome)) {
                assert!(line.len() <= WIDTH, "{line}");
            }
        }
    }
}
