//! `run`: one world, looked at closely.

use std::process::ExitCode;

use super::say;
use crate::plan::Plan;
use crate::run::live;
use crate::trace::Detail;

pub fn run(seed: u64, trace: bool) -> ExitCode {
    let plan = Plan::draw(seed);
    let before = format!("{plan:#?}");
    let outcome = live(plan, if trace { Detail::Print } else { Detail::Hash });
    say(&format!("{before}\n{:#?}\ntrace {:016x}", outcome.counts, outcome.hash));
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some((time, violation)) => {
            say(&format!("at {time}: {violation}"));
            ExitCode::FAILURE
        }
    }
}
