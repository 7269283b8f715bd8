//! The commands, one a file.

pub mod bench;
pub mod coverage;
pub mod meta;
mod parallel;
pub mod planted;
mod progress;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod sweep;
pub mod table;

use std::io::Write;

/// Prints a line; whoever reads may have seen enough.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// How the end of a command is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}
