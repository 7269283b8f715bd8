//! How far a long command is.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the rate shown to people is in real time"
)]

use std::time::{Duration, Instant};

use crate::options::Seeds;

/// Tells on stderr how far it is, once a second.
#[derive(Debug)]
pub struct Progress {
    all: u64,
    done: u64,
    events: u64,
    failed: u64,
    started: Instant,
    told: Instant,
}

impl Progress {
    pub fn new(seeds: &Seeds) -> Progress {
        let now = Instant::now();
        Progress { all: seeds.count(), done: 0, events: 0, failed: 0, started: now, told: now }
    }

    /// Another seed was run.
    pub fn add(&mut self, events: u64, failed: bool) {
        self.events += events;
        self.failed += u64::from(failed);
        let failed = self.failed;
        self.tell(&format!("seeds, {failed} failed"));
    }

    /// Another run of a bench, in which nothing fails.
    pub fn add_run(&mut self, events: u64) {
        self.events += events;
        self.tell("runs");
    }

    fn tell(&mut self, what: &str) {
        self.done += 1;
        if self.told.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.told = Instant::now();
        let Progress { all, done, events, .. } = *self;
        let rate = events as f64 / self.seconds();
        let left = self.seconds() / done as f64 * (all - done) as f64;
        eprintln!("{done} of {all} {what}, {rate:.0} events/s, {left:.0} s left");
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
