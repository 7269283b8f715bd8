//! Where the world lets the oracle look: each hook is one call in the world's own code.

use stockade::replica::Output;
use stockade::wire::Message;

use crate::checks::{Checked, sizes};
use crate::coverage::{Kind, Mishap, Stage};
use crate::faults::Fault;
use crate::marks::Mark;
use crate::time::Span;
use crate::watch::note_life;
use crate::world::World;

/// A request was just answered when its answer left so lately.
const JUST: Span = Span::millis(50);

impl World {
    /// A host made a step.
    pub(crate) fn watch_step(&mut self, host: usize) -> Checked {
        let clock = &self.hosts[host].clock;
        let (now, awake) = (clock.now(self.now), clock.now(self.hosts[host].paused_until));
        self.oracle.watches[host].due.check(host, now, awake)?;
        self.oracle.found.take().map_or(Ok(()), Err)
    }

    /// A host read its disk.
    pub(crate) fn watch_boot(&mut self, host: usize) -> Checked {
        let (clock, from) = (self.hosts[host].ledger_time(self.now), self.hosts[host].disk.start());
        let Some(process) = &self.hosts[host].process else { return Ok(()) };
        self.oracle.booted(host, &process.replica, clock, from)
    }

    /// An output leaves a host, besides messages and replies.
    pub(crate) fn watch_output(&mut self, host: usize, output: Output) {
        let now = self.hosts[host].ledger_time(self.now);
        let watch = &mut self.oracle.watches[host];
        match output {
            Output::View(view) => watch.page.viewed(view),
            Output::Heard(heard) => watch.page.heard(heard),
            Output::Ready => {
                watch.is_ready = true;
                watch.due.ready(Some(now));
            }
            Output::RolledBack(_) => watch.due.ready(None),
            _ => {}
        }
    }

    /// All that may leave a host has left.
    pub(crate) fn watch_page(&mut self, host: usize) -> Checked {
        if !self.plan.barrier {
            // Every page is ahead of its disk then; what else is found is what the canary is for.
            return Ok(());
        }
        let clock = &self.hosts[host].clock;
        let books = &self.oracle.books[host];
        let page = &mut self.oracle.watches[host].page;
        page.check(host, &books.durable)?;
        let (skus, as_of) = page.sold_out(clock.now(self.now));
        if skus.is_empty() {
            return Ok(());
        }
        self.oracle.coverage.hit(Mark::PageSoldOut);
        self.oracle.check_pages(host, &skus, clock.when(as_of).min(self.now), self.now)
    }

    pub(crate) fn watch_message(&mut self, from: usize, to: usize, message: &Message) {
        let clock = self.hosts[to].ledger_time(self.now);
        self.oracle.message_heard(from, to, message, clock);
    }

    /// The network took a message and will bring so many copies.
    pub(crate) fn note_copies(&mut self, from: usize, to: usize, copies: usize) {
        let mishap = match copies {
            0 if self.network.is_cut(from, to) => Mishap::MessageStalled,
            0 => Mishap::MessageLost,
            1 => return,
            _ => Mishap::MessageRepeated,
        };
        self.oracle.coverage.mishap(mishap);
    }

    pub(crate) fn note_fault(&mut self, fault: Fault, host: usize) {
        let coverage = &mut self.oracle.coverage;
        coverage.struck(fault);
        let Some(process) = &self.hosts[host].process else { return };
        for open in process.open.values() {
            coverage.met(fault, Kind::of(&open.request.command), Stage::Open);
        }
        for open in process.replica.waiting().filter_map(|token| process.open.get(&token)) {
            coverage.met(fault, Kind::of(&open.request.command), Stage::Waiting);
        }
        for kind in Kind::ALL {
            let answered = self.oracle.watches[host].answered[*kind as usize];
            if answered.is_some_and(|answered| self.now.since(answered) <= JUST) {
                coverage.met(fault, *kind, Stage::Answered);
            }
        }
    }

    /// A process is about to end, by a crash or at the end of a clean stop.
    pub(crate) fn note_crash(&mut self, host: usize, kept: bool) {
        let (disk, watch) = (&self.hosts[host].disk, &self.oracle.watches[host]);
        let Some(process) = &self.hosts[host].process else { return };
        let coverage = &mut self.oracle.coverage;
        note_life(&process.replica.stats(), coverage);
        coverage.hit(match (disk.is_idle(), kept) {
            (true, _) => Mark::CrashIdle,
            (false, true) => Mark::BatchKept,
            (false, false) => Mark::BatchLost,
        });
        coverage.hit_if(disk.is_writing_checkpoint(), Mark::CrashInCheckpoint);
        coverage.hit_if(!watch.is_ready, Mark::CrashUnproven);
    }

    /// The world ends.
    pub(crate) fn note_end(&mut self) {
        for process in self.hosts.iter().filter_map(|host| host.process.as_ref()) {
            note_life(&process.replica.stats(), &mut self.oracle.coverage);
        }
    }

    pub(crate) fn check_sizes(&self, host: usize) -> Checked {
        let (limits, process) = (&self.hosts[host].limits, &self.hosts[host].process);
        let Some(process) = process else { return Ok(()) };
        sizes::check(host, &process.replica.sizes(), &process.replica.stats(), limits)
    }
}
