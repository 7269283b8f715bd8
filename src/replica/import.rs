//! Imports: lines that name an item and perhaps bring a delivery of it.
//!
//! Each line is one change: the item's setting, the delivery and the line's own id under the
//! import's key, in one record. So a line that was applied is known to be, whatever happened
//! between, and the same file under the same key may be sent again from its beginning.

use std::collections::BTreeSet;

use super::Replica;
use super::commands::Attempt;
use super::draft::{Draft, too_many};
use super::effects::Effects;
use super::jobs::Job;
use super::requests::{import_id, line_fingerprint};
use super::state::State;
use crate::planted::{self, Bug};
use crate::types::{Answer, Applied, Cell, ImportLine, Policy, Refusal, Sku, Timestamp};
use crate::wire::{Body, Cause, Key, Remembered, Setting};

impl State {
    fn decide_import(&self, now: Timestamp, line: &ImportLine) -> Result<Draft<'_>, Refusal> {
        let mut draft = Draft::new(self, now, Cause::Import);
        let known = self.items.get(&line.sku).and_then(|item| item.policy());
        let is_named = line.name.is_none() || known.is_some_and(|policy| policy.name == line.name);
        if known.is_none() || !is_named {
            let name = line.name.clone();
            let policy = Policy { name, ..known.cloned().unwrap_or_default() };
            match known {
                Some(_) => self.write_setting(&mut draft, now, &line.sku, &policy),
                // Of the lowest time: what an admin has set elsewhere, and is not known here yet, wins.
                None => {
                    let setting = Setting { time: Timestamp::ZERO, policy };
                    draft.write(Key::Setting(line.sku.clone()), Body::Setting(setting));
                }
            }
        }
        if let Some(quantity) = line.quantity {
            self.check_inflow(&line.sku, quantity)?;
            draft.raise(&line.sku, Cell::Received, quantity).map_err(too_many("quantity"))?;
        }
        Ok(draft)
    }
}

impl Replica {
    pub(super) fn import(
        &mut self,
        now: Timestamp,
        job: &Job,
        key: Option<&str>,
        lines: &[ImportLine],
        out: &mut Effects,
    ) -> Attempt {
        // A line whose place is another line's tells that lines of its item were moved: the later
        // ones might be under new ids, and be applied again.
        let mut moved: BTreeSet<&Sku> = BTreeSet::new();
        let mut outcomes = Vec::new();
        for line in lines {
            let outcome = match moved.contains(&line.sku) {
                true => Err(Refusal::KeyReused),
                false => self.import_line(now, job, key, line, out),
            };
            if outcome == Err(Refusal::KeyReused) {
                moved.insert(&line.sku);
            }
            outcomes.push(outcome);
        }
        Attempt::Done(Ok(Answer::Imported(outcomes)))
    }

    fn import_line(
        &mut self,
        now: Timestamp,
        job: &Job,
        key: Option<&str>,
        line: &ImportLine,
        out: &mut Effects,
    ) -> Result<Applied, Refusal> {
        let fingerprint = line_fingerprint(line);
        let id = key.map(|key| import_id(job.request.caller, key, line));
        if let Some(known) = id.as_ref().and_then(|id| self.state.requests.find(id)) {
            return if known.fingerprint == fingerprint {
                Ok(Applied::Before)
            } else {
                Err(Refusal::KeyReused)
            };
        }
        let mut draft = self.state.decide_import(now, line)?;
        draft.actor = Some(job.actor());
        draft.reference = key.map(str::to_owned);
        let mut change = self.seal(draft);
        let outcome = Ok(Answer::Imported(Vec::new()));
        change.request = id.map(|id| Remembered { id, fingerprint, outcome, time: now });
        if planted::is_on(Bug::ImportLineTwice) {
            change.request.take().into_iter().for_each(|request| self.state.requests.put(request));
        }
        if !change.rows.is_empty() || !change.entries.is_empty() || change.request.is_some() {
            self.commit(now, change, out);
            if line.quantity.is_some() {
                self.note_arrival(now, &line.sku);
            }
        }
        self.stats.imported_lines += 1;
        Ok(Applied::Now)
    }
}
