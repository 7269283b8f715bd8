//! The simulator: the replica that ships, driven through faults from a seed, and an oracle that
//! watches. See `sim/README.md`.
#![forbid(unsafe_code)]

mod checks;
mod commands;
mod dice;
mod disk;
mod faults;
mod ghost;
mod host;
mod network;
mod options;
mod oracle;
mod phases;
mod plan;
mod recording;
#[allow(dead_code, unused_imports)] // until scenarios make recordings
mod report;
mod run;
mod time;
mod trace;
mod workload;
mod world;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match options::Options::parse().command {
        options::Command::Run { seed, trace } => commands::run::run(seed, trace),
        options::Command::Sweep { seeds, output } => commands::sweep::sweep(&seeds, output),
        options::Command::Meta { seeds } => commands::meta::meta(&seeds),
    }
}
