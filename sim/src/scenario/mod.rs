//! Scenarios: what a partition, a lost region, other quotas or a launch would do to a shop. A file
//! that a person wrote is run in the simulator's world, with the replica that ships and under the
//! oracle, and comes to a [`Recording`](crate::recording::Recording).
//!
//! `check` reads a file into a `Script`, `stage` builds its world, `shop` plays its buyers and
//! operators in it, `recorder` keeps the numbers. Looking at them is left to the commands and the
//! report.

mod buyers;
#[cfg(test)]
mod buyers_tests;
mod check;
#[cfg(test)]
mod check_tests;
mod demand;
mod demand_check;
mod events_check;
mod file;
mod lapse;
mod operators;
mod problem;
mod recorder;
mod script;
#[cfg(test)]
mod shipped_tests;
mod shop;
pub mod sites;
mod stage;
mod stock;
pub mod trace;

pub use check::{Overrides, load};
pub use lapse::Lapse;
pub use problem::Problems;
pub use script::Script;
pub use stage::run;
