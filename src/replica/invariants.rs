//! The whole-state check: every invariant that one replica can check by itself, recomputed.
//!
//! Used by `GET /v1/check`, by `stockade verify`, by the tests and by the simulator.

use std::collections::BTreeMap;

use super::Replica;
use super::state::{Item, totals};
use super::stats::{Sizes, Stats};
use crate::limits::MAX_REPLICAS;
use crate::types::{CheckReport, ReservationState, Seq, Sku, Units, Violation};
use crate::wire::{Key, codec};

impl Replica {
    /// Recomputes every invariant over the whole state.
    pub fn check(&self) -> CheckReport {
        let mut violations = Vec::new();
        let held = self.held_by_reservations(&mut violations);
        for (sku, item) in &self.state.items {
            self.check_item(sku, item, held.get(sku).copied().unwrap_or_default(), &mut violations);
        }
        self.check_logs(&mut violations);
        self.check_notes(&mut violations);
        for (id, nodes) in &self.doubly_sold {
            let detail = format!("reservation {id} was sold by each of {nodes:?}");
            violations.push(violation("one_owner", None, detail));
        }
        CheckReport {
            node: self.name().clone(),
            items: self.state.items.values().filter(|item| item.policy().is_some()).count() as u64,
            books_digest: self.books_digest(),
            violations,
        }
    }

    fn held_by_reservations(&self, violations: &mut Vec<Violation>) -> BTreeMap<&Sku, Units> {
        let mut held: BTreeMap<&Sku, Units> = BTreeMap::new();
        let live = self.state.reservations.iter().filter(|r| r.state == ReservationState::Held);
        for line in live.flat_map(|r| &r.lines) {
            let sum = held.entry(&line.sku).or_default();
            match sum.plus(line.quantity) {
                Ok(more) => *sum = more,
                Err(e) => violations.push(violation("held_fits", Some(&line.sku), e.to_string())),
            }
        }
        held
    }

    fn check_item(&self, sku: &Sku, item: &Item, held: Units, violations: &mut Vec<Violation>) {
        for (replica, row) in &item.rows {
            if let Err(e) = row.validate() {
                let detail = format!("the row of {}: {e}", self.state.name_of(*replica));
                violations.push(violation("row_balances", Some(sku), detail));
            }
        }
        if item.rows.len() > MAX_REPLICAS {
            violations.push(violation("bounded", Some(sku), format!("{} rows", item.rows.len())));
        }
        let own = item.rows.get(&self.state.me());
        let by_row = own.and_then(|row| row.balances().ok()).map_or(Units::ZERO, |b| b.held);
        if by_row != held {
            let detail = format!("the row holds {by_row}, the reservations {held}");
            violations.push(violation("held_is_reserved", Some(sku), detail));
        }
        let (sums, balanced) = totals(item);
        if !balanced && !item.is_late() {
            violations.push(violation("conservation", Some(sku), format!("{sums:?}")));
        }
        for (giver, row) in item.rows.iter().filter(|(giver, _)| **giver != self.state.me()) {
            let sent = row.sent_to(self.state.me());
            let credited = own.map_or(Units::ZERO, |own| own.credited_from(*giver));
            if sent != credited {
                let detail = format!("{} sent {sent}, taken in {credited}", self.state.name_of(*giver));
                violations.push(violation("credited_at_once", Some(sku), detail));
            }
        }
    }

    /// Each key stands once in its log, where its newest version is; the own log has no gap.
    fn check_logs(&self, violations: &mut Vec<Violation>) {
        for (origin, log) in &self.state.logs {
            let mut newest = Seq::ZERO;
            for (seq, key) in log.keys_after(Seq::ZERO) {
                newest = seq;
                let here = self.state.entry(*origin, key).map_or(Seq::ZERO, |entry| entry.seq);
                if here != seq {
                    let detail =
                        format!("{}: {key:?} is at {here}, indexed at {seq}", self.state.name_of(*origin));
                    violations.push(violation("log_index", sku_of(key), detail));
                }
            }
            if *origin == self.state.me() && newest != log.watermark {
                let detail = format!("the own log ends at {newest}, its watermark is {}", log.watermark);
                violations.push(violation("own_log_complete", None, detail));
            }
        }
    }

    /// What another member decides about is not decided here, and that member exists.
    fn check_notes(&self, violations: &mut Vec<Violation>) {
        for note in self.state.notes.iter() {
            let is_other = note.at != self.state.me() && self.state.roster.contains_key(&note.at);
            if !is_other || self.state.reservations.find(&note.id).is_some() {
                let detail = format!("{} was sent to {}, and is here", note.id, self.state.name_of(note.at));
                violations.push(violation("placed_elsewhere", None, detail));
            }
        }
    }

    /// Over all item rows in order of sku and replica: equal on nodes that know the same rows.
    fn books_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (sku, item) in &self.state.items {
            for origin in item.rows.keys() {
                if let Some(entry) = self.state.entry(*origin, &Key::Item(sku.clone())) {
                    hasher.update(&codec::encode(&entry));
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// How large the volatile tables are.
    pub fn sizes(&self) -> Sizes {
        let rows = self.state.items.values().map(|item| item.rows.len());
        Sizes {
            rows_of_one: rows.max().unwrap_or(0),
            placing: self.placing.len(),
            shortages: self.shortages.len(),
            refusals: self.refusals.len(),
            doubly_sold: self.doubly_sold.len(),
            pass_bytes_to_one: self.links.most_in_flight(),
            ..self.jobs.sizes()
        }
    }

    pub(super) fn measure(&self, stats: &mut Stats) {
        let lags = self.state.others().map(|member| self.links.lag(member.replica, &self.state));
        stats.sync_lag = lags.max().unwrap_or(0);
        stats.draining = u64::from(self.is_draining());
        stats.marks_unconfirmed = self.state.ceilings.len() as u64;
        stats.items = self.state.items.len() as u64;
        stats.reservations_held = self.state.reservations.held() as u64;
        stats.reservations_remembered = self.state.reservations.len() as u64;
        stats.requests_remembered = self.state.requests.len() as u64;
        stats.remembered_bytes = self.state.remembered_bytes();
        stats.jobs_waiting = self.jobs.len() as u64;
        stats.links_up = self.links.count_up() as u64;
        stats.horizon_ms = self.state.horizon().0;
    }
}

fn sku_of(key: &Key) -> Option<&Sku> {
    match key {
        Key::Item(sku) | Key::Setting(sku) => Some(sku),
        _ => None,
    }
}

fn violation(invariant: &str, sku: Option<&Sku>, detail: String) -> Violation {
    Violation { invariant: invariant.into(), sku: sku.cloned(), detail }
}
