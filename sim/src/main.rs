//! The simulator: the replica that ships, driven through faults from a seed, and an oracle that
//! watches. See `sim/README.md`.
#![forbid(unsafe_code)]

mod bench;
mod canaries;
mod checks;
mod claims;
mod commands;
mod coverage;
mod demands;
mod dice;
mod disk;
mod faults;
mod ghost;
mod host;
mod marks;
mod network;
mod noting;
mod options;
mod oracle;
mod phases;
mod plan;
mod recording;
mod replay;
mod report;
mod run;
mod scenario;
mod schedule;
mod tally;
mod time;
mod trace;
mod watch;
mod watching;
mod words;
mod workload;
mod world;
mod wounds;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match options::Options::parse().command {
        options::Command::Run(asked) => match asked.scenario() {
            Some(asked) => commands::scenario::run(&asked),
            None => commands::run::run(&asked.replay, asked.trace, asked.output),
        },
        options::Command::Shrink { replay, seeds } => commands::shrink::shrink(&replay, seeds),
        options::Command::Sweep { seeds, output } => commands::sweep::sweep(&seeds, output),
        options::Command::Planted(planted) => commands::planted::planted(&planted),
        options::Command::Coverage { seeds, output } => commands::coverage::coverage(&seeds, output),
        options::Command::Bench(asked) => commands::bench::bench(&asked),
        options::Command::Meta { seeds } => commands::meta::meta(&seeds),
    }
}
