//! What the rows that are here prove about an item: for refusals, and for product pages.
//!
//! `sold_out` needs a *closed view*: every member's row, heard after the moment in question,
//! with no unit free in any, and for each pair no more credited than sent and nothing in
//! flight. Such rows are a consistent cut: no row in it rests on another that is not. Without
//! the pair test a unit that is cancelled at one node and moved to another between two
//! readings would hide from both.

use super::Replica;
use super::rebalance::Situation;
use crate::limits::FRESH;
use crate::planted::{self, Bug};
use crate::types::{ItemView, Line, NodeName, Refusal, ReplicaId, Shortfall, Sku, Timestamp, Units, Verdict};

/// What waiting for an item may bring.
#[derive(Clone, Copy, Debug)]
pub struct Prospect {
    /// What may be sold here now.
    pub here: Units,
    /// What there is a right to here.
    rights: Units,
    /// What linked members could spare, as far as it may come here.
    help: u64,
    /// Units are in flight to where they can be reached.
    coming: bool,
    /// Every linked member's row is at least as new as this.
    heard: Timestamp,
}

impl Prospect {
    /// Whether a buyer who came at `arrived` waits in vain: all who can be reached were heard
    /// since, and have too little.
    pub fn is_hopeless(&self, line: &Line, arrived: Timestamp) -> bool {
        self.heard >= arrived && !self.coming && line.quantity.0 > self.rights.0.saturating_add(self.help)
    }
}

/// What is in flight by the rows here.
struct Flights {
    /// The rows pair up, and nothing is in flight.
    none: bool,
    /// Something is on its way, or may be, to a member that can be reached.
    coming: bool,
}

impl Replica {
    /// When `member`'s row about `sku` was last known to be current.
    fn heard_of(&self, sku: &Sku, member: ReplicaId) -> Option<Timestamp> {
        self.shortages.heard(sku, member).max(self.links.heard(member))
    }

    pub(super) fn prospect(&self, now: Timestamp, sku: &Sku) -> Prospect {
        let situation = self.situation(now, sku);
        let mut prospect = Prospect {
            here: self.state.available_here(sku),
            rights: self.state.rights_here(sku),
            help: 0,
            coming: self.flights(sku).coming,
            heard: Timestamp(u64::MAX),
        };
        for holder in situation.others.iter().filter(|h| h.linked) {
            prospect.heard = prospect.heard.min(self.heard_of(sku, holder.replica).unwrap_or_default());
            prospect.help = prospect.help.saturating_add(holder.spare().0);
        }
        prospect.help = if situation.manual { 0 } else { prospect.help.min(situation.room().0) };
        prospect
    }

    /// The refusal of what is short among `wanted`, with a verdict a line.
    pub(super) fn shortfall_refusal(&mut self, now: Timestamp, wanted: &[Line], expired: bool) -> Refusal {
        let short = wanted.iter().filter(|line| self.is_short(line));
        let shortfalls: Vec<_> = short.map(|line| self.shortfall(now, line)).collect();
        for shortfall in &shortfalls {
            self.refusals.note(now, shortfall);
            match shortfall.verdict {
                Verdict::SoldOut => self.stats.refused_sold_out += 1,
                Verdict::Elsewhere => self.stats.refused_elsewhere += 1,
                Verdict::Unknown => self.stats.refused_unknown += 1,
            }
        }
        if expired { Refusal::Expired(shortfalls) } else { Refusal::InsufficientStock(shortfalls) }
    }

    /// What the rows here say about a short line; members not heard within [`FRESH`] are silent.
    fn shortfall(&self, now: Timestamp, line: &Line) -> Shortfall {
        let since = match planted::is_on(Bug::SoldOutOnStaleRows) {
            true => Timestamp::ZERO,
            false => now.before(FRESH),
        };
        let situation: Situation = self.situation(now, &line.sku);
        let here = self.state.rights_here(&line.sku);
        let (mut elsewhere, mut as_of) = (0u64, now);
        let mut unreachable: Vec<NodeName> = Vec::new();
        for holder in &situation.others {
            match self.heard_of(&line.sku, holder.replica).filter(|heard| *heard >= since) {
                Some(heard) => {
                    elsewhere = elsewhere.saturating_add(holder.available.0);
                    as_of = as_of.min(heard);
                }
                None => unreachable.push(self.state.name_of(holder.replica)),
            }
        }
        unreachable.sort();
        let nothing_in_flight = self.flights(&line.sku).none || planted::is_on(Bug::SoldOutInFlight);
        let all_heard = unreachable.is_empty() || planted::is_on(Bug::SoldOutUnheard);
        let verdict = if all_heard && nothing_in_flight && here.is_zero() && elsewhere == 0 {
            Verdict::SoldOut
        } else if elsewhere > 0 {
            Verdict::Elsewhere
        } else {
            Verdict::Unknown
        };
        Shortfall {
            sku: line.sku.clone(),
            requested: line.quantity,
            available_here: here,
            verdict,
            elsewhere: Units(elsewhere),
            unreachable,
            as_of,
        }
    }

    fn flights(&self, sku: &Sku) -> Flights {
        let mut flights = Flights { none: true, coming: false };
        let Some(item) = self.state.items.get(sku) else { return flights };
        for (from, to) in item.pairs() {
            if item.in_flight(from, to) != Some(Units::ZERO) {
                flights.none = false;
                flights.coming |= to == self.state.me() || self.links.is_up(to);
            }
        }
        flights
    }

    /// What product pages shall see of an item.
    pub(super) fn view(&self, sku: &Sku) -> Option<ItemView> {
        let item = self.state.items.get(sku)?;
        let policy = item.policy()?;
        let here = self.state.available_here(sku);
        let everywhere: u64 = item.rows.values().fold(0, |sum, row| sum.saturating_add(row.available().0));
        let closed = self.flights(sku).none;
        let low_stock = policy.low_stock;
        Some(ItemView { sku: sku.clone(), here, everywhere: Units(everywhere), low_stock, closed })
    }
}
