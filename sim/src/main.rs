//! The simulator: the replica that ships, driven through faults from a seed, and an oracle that
//! watches. See `sim/README.md`.
#![forbid(unsafe_code)]

mod checks;
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
mod run;
mod time;
mod trace;
mod workload;
mod world;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match options::Options::parse().command {
        options::Command::Run { seed, trace } => run::run(seed, trace),
        options::Command::Sweep { seeds, json } => run::sweep(&seeds, json),
        options::Command::Meta { seeds } => run::meta(&seeds),
    }
}
