//! What the oracle keeps about one host besides its books: what its page shows, which holds are due,
//! when it decided what is not durable yet, and a replica built from its records alone.

use std::collections::VecDeque;

use stockade::limits::Limits;
use stockade::replica::{Replica, Stats};
use stockade::types::Timestamp;
use stockade::wire::Batch;

use crate::checks::expiry::Due;
use crate::checks::pages::Page;
use crate::coverage::{Coverage, Kind};
use crate::marks::Mark;
use crate::time::{Span, Time};

#[derive(Debug, Default)]
pub struct Watch {
    pub page: Page,
    pub due: Due,
    /// Starts so far.
    pub life: u64,
    /// Ledger time at the last of them.
    pub started: Timestamp,
    pub is_ready: bool,
    pub is_draining: bool,
    /// When a request of each kind was last answered.
    pub answered: [Option<Time>; Kind::ALL.len()],
    /// Steps whose records are not durable: when, and how many records.
    undurable: VecDeque<(Time, usize)>,
    /// Every durable record since the beginning of the world, applied in order. It never starts.
    rebuilt: Option<Replica>,
}

impl Watch {
    pub fn recorded(&mut self, now: Time, records: usize) {
        if records > 0 {
            self.undurable.push_back((now, records));
        }
    }

    pub fn synced(&mut self, batch: &Batch) {
        self.page.synced(batch);
        let mut rest = batch.records.len();
        while let Some((_, records)) = self.undurable.front_mut()
            && rest > 0
        {
            let part = rest.min(*records);
            (rest, *records) = (rest - part, *records - part);
            if *records == 0 {
                self.undurable.pop_front();
            }
        }
        if let Some(rebuilt) = &mut self.rebuilt {
            batch.records.iter().for_each(|record| rebuilt.restore(record));
        }
    }

    pub fn died(&mut self) {
        self.undurable.clear();
        self.is_ready = false;
    }

    /// The host read its disk; its ledger time goes on from `clock`.
    pub fn booted(&mut self, replica: &Replica, clock: Timestamp) {
        self.page = Page::default();
        self.life += 1;
        self.started = clock;
        let genesis = replica.genesis();
        self.rebuilt.get_or_insert_with(|| Replica::new(genesis.clone(), Limits::default()));
    }

    /// What follows from all that was ever durable.
    pub fn rebuilt(&self) -> Option<&Replica> {
        self.rebuilt.as_ref()
    }

    /// The last moment at which what the disk has was all there was.
    pub fn durable_at(&self, now: Time) -> Time {
        self.undurable.front().map_or(now, |(time, _)| time.before(Span(1)))
    }
}

/// Marks what only a replica knows, when its life ends.
pub fn note_life(stats: &Stats, coverage: &mut Coverage) {
    let counted = [
        (stats.waits_served, Mark::WaitServed),
        (stats.waits_timed_out, Mark::WaitTimedOut),
        (stats.waits_in_vain, Mark::WaitInVain),
        (stats.asks_crossed, Mark::BasketsCrossed),
        (stats.entries_early, Mark::EarlyEntry),
        (stats.passes_unclaimed, Mark::PassUnclaimed),
        (stats.placed_unknown, Mark::PlacedUnknown),
        (stats.started_unheard, Mark::StartedUnheard),
    ];
    for (count, mark) in counted {
        coverage.marks[mark as usize] += count;
    }
}
