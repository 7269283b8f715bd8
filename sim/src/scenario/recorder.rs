//! Keeps the numbers of a run, by node and span of time, and makes the [`Recording`] of them.

use std::collections::{BTreeMap, BTreeSet};

use stockade::types::{Cell, ReplicaId, Sku, Verdict};
use stockade::wire::Record;

use super::lapse::Lapse;
use super::script::{Deed, Script, Wish};
use crate::oracle::Oracle;
use crate::recording::{Band, Bucket, ItemBooks, Latency, Mark, Moved, Node, NodeBucket, Recording, Totals};
use crate::time::{Span, Time};
use crate::world::Counts;

/// About so many spans of time.
const BUCKETS: u64 = 200;
/// Items whose books are shown.
const SHOWN: usize = 50;
/// Spans that people reckon in, in seconds.
const ROUND: [u64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800,
];

/// How units of an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Served { failed_over: bool, local: bool },
    Refused(Verdict),
    Unanswered,
    Abandoned,
}

#[derive(Debug)]
pub struct Recorder {
    /// When the scenario's time began, its warm-up over.
    begin: Time,
    compress: u64,
    /// Of one span, in the scenario's time.
    bucket: Lapse,
    made: Recording,
    /// By node: microseconds from request to answer.
    waits: Vec<Vec<u64>>,
    /// By node: orders served, and those of them that needed no other node.
    served: Vec<(u64, u64)>,
    /// By item.
    asked: Vec<u64>,
    /// What was on the rows when last looked at: available and held.
    balances: BTreeMap<(usize, Sku), (i128, i128)>,
    sums: Vec<(i128, i128)>,
    changed: BTreeSet<(usize, Sku)>,
    members: Vec<ReplicaId>,
    /// Units that had been sent at the beginning.
    before: Vec<Vec<u64>>,
}

impl Recorder {
    pub fn new(script: &Script, members: Vec<ReplicaId>) -> Recorder {
        let nodes = script.nodes.len();
        let bucket = bucket(script.duration);
        let spans = script.duration.0.div_ceil(bucket.0);
        let empty = |n: u64| Bucket {
            from: Lapse(n * bucket.0).as_seconds(),
            nodes: vec![NodeBucket::default(); nodes],
        };
        let node = |(n, name): (usize, &String)| {
            let of = |region: &&super::script::Region| region.node == n;
            let regions: Vec<&str> =
                script.regions.iter().filter(of).map(|region| region.name.as_str()).collect();
            Node { name: name.clone(), region: regions.join(", ") }
        };
        let made = Recording {
            title: script.title.clone(),
            about: script.about.clone(),
            seed: script.seed,
            seconds: script.duration.as_seconds(),
            compress: script.compress,
            nodes: script.nodes.iter().enumerate().map(node).collect(),
            buckets: (0..spans).map(empty).collect(),
            bands: bands(script),
            marks: marks(script),
            transfers: vec![vec![Moved::default(); nodes]; nodes],
            ..Recording::default()
        };
        Recorder {
            begin: Time(u64::MAX),
            compress: script.compress,
            bucket,
            made,
            waits: vec![Vec::new(); nodes],
            served: vec![(0, 0); nodes],
            asked: vec![0; script.items.len()],
            balances: BTreeMap::new(),
            sums: vec![(0, 0); nodes],
            changed: BTreeSet::new(),
            members,
            before: vec![vec![0; nodes]; nodes],
        }
    }

    /// The scenario's time, its warm-up over, will begin then.
    pub fn opens(&mut self, begin: Time) {
        self.begin = begin;
    }

    pub fn bucket(&self) -> Lapse {
        self.bucket
    }

    fn place(&self, now: Time) -> usize {
        let since = now.since(self.begin).0 * self.compress;
        let place = usize::try_from(since / self.bucket.0).unwrap_or(usize::MAX);
        place.min(self.made.buckets.len() - 1)
    }

    fn at(&mut self, now: Time, node: usize) -> &mut NodeBucket {
        let place = self.place(now);
        &mut self.made.buckets[place].nodes[node]
    }

    /// An order came in.
    pub fn asked(&mut self, now: Time, node: usize, wishes: &[Wish]) {
        let units: u64 = wishes.iter().map(|wish| wish.units).sum();
        self.at(now, node).asked += units;
        self.made.totals.orders += 1;
        self.made.totals.units_asked += units;
        wishes.iter().for_each(|wish| self.asked[wish.item] += wish.units);
    }

    /// So many units of an order that came to `node` at `came` ended so.
    pub fn ended(&mut self, came: Time, node: usize, units: u64, end: End) {
        let bucket = self.at(came, node);
        match end {
            End::Served { failed_over, .. } => {
                bucket.served += units;
                bucket.failed_over += u64::from(failed_over);
            }
            End::Refused(Verdict::SoldOut) => bucket.sold_out += units,
            End::Refused(Verdict::Elsewhere) => bucket.elsewhere += units,
            End::Refused(Verdict::Unknown) => bucket.unknown += units,
            End::Unanswered => bucket.unanswered += units,
            End::Abandoned => {}
        }
        let totals = &mut self.made.totals;
        match end {
            End::Served { local, .. } => {
                totals.orders_served += 1;
                totals.units_served += units;
                self.served[node].0 += 1;
                self.served[node].1 += u64::from(local);
            }
            End::Refused(Verdict::SoldOut) => totals.sold_out += units,
            End::Refused(Verdict::Elsewhere) => totals.elsewhere += units,
            End::Refused(Verdict::Unknown) => totals.unknown += units,
            End::Unanswered => totals.unanswered += units,
            End::Abandoned => totals.abandoned += units,
        }
    }

    pub fn avoidable(&mut self, units: u64) {
        self.made.totals.avoidable += units;
    }

    pub fn returned(&mut self, units: u64) {
        self.made.totals.returned += units;
    }

    /// A buyer of `node` got an answer after so long.
    pub fn waited(&mut self, node: usize, wait: Span) {
        self.waits[node].push(wait.0);
    }

    pub fn mark(&mut self, now: Time, label: String) {
        let at = (now.since(self.begin).0 * self.compress) as f64 / 1e6;
        self.made.marks.push(Mark { at, label });
    }

    pub fn sent(&mut self, now: Time, bytes: usize) {
        if now >= self.begin {
            self.made.totals.messages += 1;
            self.made.totals.bytes += bytes as u64;
        }
    }

    /// A host wrote records.
    pub fn recorded(&mut self, now: Time, host: usize, records: &[Record]) {
        for record in records {
            let Record::Change(change) = record else { continue };
            for raise in &change.rows {
                self.changed.insert((host, raise.sku.clone()));
                for raised in &raise.cells {
                    if let Cell::Sent(to) = raised.new.cell
                        && now >= self.begin
                        && let Some(to) = self.members.iter().position(|member| *member == to)
                    {
                        self.made.transfers[host][to].transfers += 1;
                    }
                }
            }
        }
    }

    /// A host forgot what was not durable: all of its rows may have changed.
    pub fn fell(&mut self, host: usize, oracle: &Oracle) {
        self.changed.extend(oracle.books[host].memory.rows.keys().map(|sku| (host, sku.clone())));
    }

    /// The warm-up is over.
    pub fn begins(&mut self, oracle: &Oracle) {
        self.before = self.sent_units(oracle);
    }

    /// Notes balances as those at the end of the span that `now` ends.
    pub fn sample(&mut self, now: Time, oracle: &Oracle) {
        for (host, sku) in std::mem::take(&mut self.changed) {
            let row = oracle.books[host].memory.rows.get(&sku);
            let new = row.map_or((0, 0), |row| (row.available(), row.held()));
            let old = self.balances.insert((host, sku), new).unwrap_or_default();
            self.sums[host].0 += new.0 - old.0;
            self.sums[host].1 += new.1 - old.1;
        }
        let place = self.place(now.before(Span(1)));
        for (node, sum) in self.made.buckets[place].nodes.iter_mut().zip(&self.sums) {
            node.available = units(sum.0);
            node.held = units(sum.1);
        }
    }

    /// The recording, with the books as they are now.
    pub fn finish(&mut self, script: &Script, oracle: &Oracle, counts: &Counts) -> Recording {
        let sent = self.sent_units(oracle);
        let mut made = std::mem::take(&mut self.made);
        for (from, row) in made.transfers.iter_mut().enumerate() {
            for (to, moved) in row.iter_mut().enumerate() {
                moved.units = sent[from][to].saturating_sub(self.before[from][to]);
            }
        }
        let moves = || made.transfers.iter().flatten();
        let transfers = moves().map(|moved| moved.transfers).sum();
        let units_moved = moves().map(|moved| moved.units).sum();
        made.totals = Totals { transfers, units_moved, events: counts.events, ..made.totals };
        made.latency = self.waits.iter_mut().zip(&self.served).map(latency).collect();
        made.marks.sort_by(|a, b| a.at.total_cmp(&b.at));
        let mut places: Vec<usize> = (0..script.items.len()).collect();
        places.sort_by_key(|place| (std::cmp::Reverse(self.asked[*place]), *place));
        made.more_items = places.len().saturating_sub(SHOWN) as u64;
        let book = |place: &usize| books(&script.items[*place].sku, self.asked[*place], oracle);
        made.books = places.iter().take(SHOWN).map(book).collect();
        made
    }

    fn sent_units(&self, oracle: &Oracle) -> Vec<Vec<u64>> {
        let sum = |from: usize, to: &ReplicaId| {
            units(oracle.books[from].memory.rows.values().map(|row| row.sent_to(*to)).sum())
        };
        let row = |from| self.members.iter().map(|to| sum(from, to)).collect();
        (0..self.members.len()).map(row).collect()
    }
}

fn units(sum: i128) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

fn bucket(duration: Lapse) -> Lapse {
    let least = duration.0.div_ceil(BUCKETS);
    ROUND.iter().map(|seconds| Lapse::seconds(*seconds)).find(|span| span.0 >= least).unwrap_or(Lapse(least))
}

fn bands(script: &Script) -> Vec<Band> {
    let since = |at: Lapse| Lapse(at.0.saturating_sub(script.warm_up.0)).as_seconds();
    let lasting = |deed: &Deed| {
        matches!(
            deed,
            Deed::Cut { .. } | Deed::Flap { .. } | Deed::Slow { .. } | Deed::Down { .. } | Deed::Drain { .. }
        )
    };
    let band = |planned: &super::script::Planned| Band {
        from: since(planned.at),
        to: since(planned.end.unwrap_or(script.all()).min(script.all())),
        label: planned.label.clone(),
        nodes: planned.deed.nodes(),
    };
    script.events.iter().filter(|planned| lasting(&planned.deed)).map(band).collect()
}

fn marks(script: &Script) -> Vec<Mark> {
    let moment = |deed: &Deed| {
        matches!(deed, Deed::Drain { .. } | Deed::Restock { .. } | Deed::Set { .. } | Deed::Transfer { .. })
    };
    let mark = |planned: &super::script::Planned| Mark {
        at: Lapse(planned.at.0.saturating_sub(script.warm_up.0)).as_seconds(),
        label: planned.label.clone(),
    };
    script.events.iter().filter(|planned| moment(&planned.deed)).map(mark).collect()
}

fn latency((waits, (served, local)): (&mut Vec<u64>, &(u64, u64))) -> Latency {
    waits.sort_unstable();
    let at = |permille: usize| {
        let place = (waits.len() * permille / 1_000).min(waits.len().saturating_sub(1));
        waits.get(place).map_or(0.0, |micros| *micros as f64 / 1_000.0)
    };
    let local_share = if *served == 0 { 0.0 } else { *local as f64 / *served as f64 };
    Latency {
        answers: waits.len() as u64,
        p50: at(500),
        p90: at(900),
        p99: at(990),
        max: at(1_000),
        local_share,
    }
}

fn books(sku: &Sku, asked: u64, oracle: &Oracle) -> ItemBooks {
    let rows: Vec<_> = oracle.books.iter().filter_map(|books| books.memory.rows.get(sku)).collect();
    let cell = |cell: Cell| units(rows.iter().map(|row| row.of(cell)).sum());
    let available: i128 = rows.iter().map(|row| row.available()).sum();
    let free: i128 = rows.iter().map(|row| row.not_claimed()).sum();
    ItemBooks {
        sku: sku.to_string(),
        asked,
        received: cell(Cell::Received),
        returned: cell(Cell::Returned),
        retired: cell(Cell::Retired),
        sold: cell(Cell::Sold),
        held: units(rows.iter().map(|row| row.held()).sum()),
        available: units(available),
        in_flight: units(free - available),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_round_and_about_two_hundred() {
        assert_eq!(bucket(Lapse::seconds(60)), Lapse::seconds(1));
        assert_eq!(bucket(Lapse::minutes(60)), Lapse::seconds(30));
        assert_eq!(bucket(Lapse::minutes(7 * 24 * 60)), Lapse::seconds(3_600));
    }

    #[test]
    fn latencies_are_those_of_sorted_waits() {
        let mut waits: Vec<u64> = (1..=1_000).rev().map(|n| n * 1_000).collect();
        let found = latency((&mut waits, &(4, 3)));
        assert_eq!((found.answers, found.p50, found.p99, found.max), (1_000, 501.0, 991.0, 1_000.0));
        assert_eq!(found.local_share, 0.75);
        assert_eq!(latency((&mut Vec::new(), &(0, 0))).max, 0.0);
    }
}
