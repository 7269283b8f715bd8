//! What a command does to the own books: decided on the state as it is, changing nothing.
//!
//! Refusals are checked in this order: version, state of the reservation, item known, most an
//! order, stock. A short order lists every short line, because the caller may fetch what is
//! missing from peers and decide again.

use std::collections::BTreeMap;

use super::draft::{Draft, too_many};
use super::state::State;
use crate::planted::{self, Bug};
use crate::types::{
    Cell, Claimed, Durability, Line, Millis, Movement, Policy, Put, Refusal, Reservation, ReservationId,
    ReservationState, Sell, Sku, Timestamp, Transfer, Units,
};
use crate::wire::{Body, Cause, Genesis, Key, Setting};

/// Why a command cannot be done on the own books as they are.
#[derive(Debug, PartialEq, Eq)]
pub enum No {
    Refused(Refusal),
    /// Not all of `wanted` is here; fetching rights may help. `expired`: the refusal, if it
    /// comes to that, is that the reservation expired.
    Short {
        wanted: Vec<Line>,
        expired: bool,
    },
    /// The reservation is not of this replica.
    NotMine,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> No {
        No::Refused(refusal)
    }
}

/// What a reservation command comes to: the change, if there is anything to change, and whether
/// something new is there.
#[derive(Debug)]
pub struct Yes<'a> {
    pub draft: Option<Draft<'a>>,
    pub reservation: Reservation,
    pub created: bool,
}

impl<'a> Yes<'a> {
    fn changed(mut draft: Draft<'a>, reservation: Reservation, created: bool) -> Yes<'a> {
        draft.reservation = Some(reservation.clone());
        Yes { draft: Some(draft), reservation, created }
    }

    fn as_it_is(reservation: &Reservation) -> Yes<'a> {
        Yes { draft: None, reservation: reservation.clone(), created: false }
    }
}

type Decision<'a> = Result<Yes<'a>, No>;

impl State {
    /// Holds all lines or none.
    pub fn decide_put(&self, now: Timestamp, put: &Put) -> Decision<'_> {
        let known = self.reservations.find(&put.id);
        check_version(known, put.if_match)?;
        match known {
            None => self.hold(now, put, None),
            Some(old) => match old.state {
                ReservationState::Held if same_lines(&old.lines, &put.lines) => Ok(Yes::as_it_is(old)),
                ReservationState::Held => self.replace(now, put, old),
                ReservationState::Confirmed if same_lines(&old.lines, &put.lines) => Ok(Yes::as_it_is(old)),
                ReservationState::Confirmed => Err(Refusal::AlreadyConfirmed.into()),
                ReservationState::Cancelled => Err(Refusal::AlreadyCancelled.into()),
                ReservationState::Expired => self.hold(now, put, Some(old)),
            },
        }
    }

    fn hold(&self, now: Timestamp, put: &Put, old: Option<&Reservation>) -> Decision<'_> {
        self.check_lines(&put.lines)?;
        self.check_stock(&put.lines, false)?;
        let mut draft = Draft::new(self, now, Cause::Reserve);
        for line in &put.lines {
            draft.raise(&line.sku, Cell::Taken, line.quantity).map_err(too_many("lines"))?;
        }
        let mut reservation = self.fresh(now, &put.id, &put.lines, old);
        reservation.deadline = now.after(put.ttl);
        Ok(Yes::changed(draft, reservation, old.is_none()))
    }

    /// The lines change in place: what the reservation holds already is no obstacle.
    fn replace(&self, now: Timestamp, put: &Put, old: &Reservation) -> Decision<'_> {
        self.check_lines(&put.lines)?;
        let (before, after) = (by_sku(&old.lines), by_sku(&put.lines));
        let more: Vec<Line> = put.lines.iter().filter_map(|line| excess(line, &before)).collect();
        let less: Vec<Line> = old.lines.iter().filter_map(|line| excess(line, &after)).collect();
        self.check_stock(&more, false)?;
        let mut draft = Draft::new(self, now, Cause::Replace);
        for line in &more {
            draft.raise(&line.sku, Cell::Taken, line.quantity).map_err(too_many("lines"))?;
        }
        for line in &less {
            draft.raise(&line.sku, Cell::Released, line.quantity).map_err(too_many("lines"))?;
        }
        let mut reservation = old.clone();
        reservation.lines.clone_from(&put.lines);
        reservation.version += u64::from(!planted::is_on(Bug::ReplaceSameVersion));
        reservation.deadline = now.after(put.ttl);
        Ok(Yes::changed(draft, reservation, false))
    }

    /// Held to confirmed; an expired one is taken and sold in one record if it still can be.
    pub fn decide_confirm(&self, now: Timestamp, id: &ReservationId, if_match: Option<u64>) -> Decision<'_> {
        let old = self.reservations.find(id).ok_or(No::NotMine)?;
        check_version(Some(old), if_match)?;
        let again = match old.state {
            ReservationState::Held => false,
            ReservationState::Expired => !planted::is_on(Bug::ConfirmAfterExpiry),
            ReservationState::Confirmed => return Ok(Yes::as_it_is(old)),
            ReservationState::Cancelled => return Err(Refusal::AlreadyCancelled.into()),
        };
        if again {
            self.check_stock(&old.lines, true)?;
        }
        let mut draft = Draft::new(self, now, Cause::Confirm);
        for line in &old.lines {
            if again {
                draft.raise(&line.sku, Cell::Taken, line.quantity).map_err(too_many("lines"))?;
            }
            draft.raise(&line.sku, Cell::Sold, line.quantity).map_err(too_many("lines"))?;
        }
        Ok(Yes::changed(draft, ended(old, now, ReservationState::Confirmed), false))
    }

    pub fn decide_cancel(&self, now: Timestamp, id: &ReservationId) -> Decision<'_> {
        let old = self.reservations.find(id).ok_or(No::NotMine)?;
        match old.state {
            ReservationState::Held => self.release(now, old, Cause::Cancel, ReservationState::Cancelled),
            ReservationState::Confirmed => Err(Refusal::AlreadyConfirmed.into()),
            ReservationState::Cancelled => Ok(Yes::as_it_is(old)),
            ReservationState::Expired => {
                let reservation = Reservation { state: ReservationState::Cancelled, ..old.clone() };
                Ok(Yes::changed(Draft::new(self, now, Cause::Cancel), reservation, false))
            }
        }
    }

    /// Lets an overdue reservation's units go.
    pub fn decide_expire(&self, now: Timestamp, old: &Reservation) -> Decision<'_> {
        self.release(now, old, Cause::Expire, ReservationState::Expired)
    }

    fn release(
        &self,
        now: Timestamp,
        old: &Reservation,
        cause: Cause,
        end: ReservationState,
    ) -> Decision<'_> {
        let mut draft = Draft::new(self, now, cause);
        for (place, line) in old.lines.iter().enumerate() {
            let quantity = match end {
                _ if planted::is_on(Bug::WrongQuantityReleased) => Units(1),
                _ if planted::is_on(Bug::BasketLeak) && place > 0 => Units::ZERO,
                ReservationState::Cancelled if planted::is_on(Bug::CancelKeepsUnits) => Units::ZERO,
                _ => line.quantity,
            };
            draft.raise(&line.sku, Cell::Released, quantity).map_err(too_many("lines"))?;
        }
        Ok(Yes::changed(draft, ended(old, now, end), false))
    }

    pub fn decide_extend(&self, now: Timestamp, id: &ReservationId, ttl: Millis) -> Decision<'_> {
        let old = self.reservations.find(id).ok_or(No::NotMine)?;
        match old.state {
            ReservationState::Held => {
                let reservation = Reservation { deadline: now.after(ttl), ..old.clone() };
                Ok(Yes::changed(Draft::new(self, now, Cause::Extend), reservation, false))
            }
            ReservationState::Confirmed => Err(Refusal::AlreadyConfirmed.into()),
            ReservationState::Cancelled => Err(Refusal::AlreadyCancelled.into()),
            ReservationState::Expired => Err(Refusal::Expired(Vec::new()).into()),
        }
    }

    /// Reserve and confirm in one record. Repeats under the same id are harmless; a held
    /// reservation of that id becomes the sale.
    pub fn decide_sell(&self, now: Timestamp, sell: &Sell) -> Decision<'_> {
        let known = self.reservations.find(&sell.id);
        let held = match known.map(|old| (old.state, old)) {
            None | Some((ReservationState::Expired, _)) => BTreeMap::new(),
            Some((ReservationState::Held, _)) if planted::is_on(Bug::SellsHeldAnew) => BTreeMap::new(),
            Some((ReservationState::Held, old)) => by_sku(&old.lines),
            Some((ReservationState::Confirmed, old)) if same_lines(&old.lines, &sell.lines) => {
                return Ok(Yes::as_it_is(old));
            }
            Some((ReservationState::Confirmed, _)) => return Err(Refusal::AlreadyConfirmed.into()),
            Some((ReservationState::Cancelled, _)) => return Err(Refusal::AlreadyCancelled.into()),
        };
        self.check_lines(&sell.lines)?;
        let more: Vec<Line> = sell.lines.iter().filter_map(|line| excess(line, &held)).collect();
        self.check_stock(&more, false)?;
        let mut draft = Draft::new(self, now, Cause::Sell);
        draft.reference.clone_from(&sell.reference);
        for line in &more {
            draft.raise(&line.sku, Cell::Taken, line.quantity).map_err(too_many("lines"))?;
        }
        for line in &sell.lines {
            draft.raise(&line.sku, Cell::Sold, line.quantity).map_err(too_many("lines"))?;
        }
        let after = by_sku(&sell.lines);
        for (sku, quantity) in held {
            let kept = after.get(&sku).copied().unwrap_or(Units::ZERO);
            draft.raise(&sku, Cell::Released, quantity.excess_over(kept)).map_err(too_many("lines"))?;
        }
        let fresh = self.fresh(now, &sell.id, &sell.lines, known);
        let reservation = Reservation { deadline: now, ..ended(&fresh, now, ReservationState::Confirmed) };
        Ok(Yes::changed(draft, reservation, known.is_none()))
    }

    fn fresh(
        &self,
        now: Timestamp,
        id: &ReservationId,
        lines: &[Line],
        old: Option<&Reservation>,
    ) -> Reservation {
        Reservation {
            id: id.clone(),
            home: self.me(),
            caller: 0,
            version: old.map_or(1, |old| old.version + 1),
            lines: lines.to_vec(),
            created_at: old.map_or(now, |old| old.created_at),
            deadline: now,
            state: ReservationState::Held,
            durability: Durability::Local,
            ended_at: Timestamp::ZERO,
        }
    }

    fn check_lines(&self, lines: &[Line]) -> Result<(), No> {
        for (place, line) in (0u32..).zip(lines) {
            let policy = self.items.get(&line.sku).and_then(|item| item.policy());
            let Some(policy) = policy else {
                return Err(Refusal::UnknownSku { sku: line.sku.clone(), line: Some(place) }.into());
            };
            if let Some(max) = policy.max_per_order
                && line.quantity > max
            {
                return Err(Refusal::MaxPerOrder { sku: line.sku.clone(), line: place, max }.into());
            }
        }
        Ok(())
    }

    fn check_stock(&self, lines: &[Line], expired: bool) -> Result<(), No> {
        let short = |line: &Line| match planted::is_on(Bug::OneTooMany) {
            true => self.available_here(&line.sku).0 + 1 < line.quantity.0,
            false => self.available_here(&line.sku) < line.quantity,
        };
        if planted::is_on(Bug::BasketByOneLine) && !lines.iter().all(short) {
            return Ok(());
        }
        if lines.iter().any(short) { Err(No::Short { wanted: lines.to_vec(), expired }) } else { Ok(()) }
    }

    fn check_sku(&self, sku: &Sku) -> Result<(), No> {
        match self.items.get(sku).and_then(|item| item.policy()) {
            Some(_) => Ok(()),
            None => Err(Refusal::UnknownSku { sku: sku.clone(), line: None }.into()),
        }
    }

    /// Units come in: a delivery, or back from a buyer.
    pub fn decide_arrival(&self, now: Timestamp, movement: &Movement, cause: Cause) -> Result<Draft<'_>, No> {
        self.check_sku(&movement.sku)?;
        let cell = if cause == Cause::Return { Cell::Returned } else { Cell::Received };
        let mut draft = Draft::new(self, now, cause);
        draft.reference.clone_from(&movement.reference);
        draft.reason.clone_from(&movement.reason);
        self.check_inflow(&movement.sku, movement.quantity)?;
        draft.raise(&movement.sku, cell, movement.quantity).map_err(too_many("quantity"))?;
        Ok(draft)
    }

    /// The inflow must fit, not only the cell: a row that does not add up is a broken one.
    pub(super) fn check_inflow(&self, sku: &Sku, quantity: Units) -> Result<(), Refusal> {
        let Some(row) = self.own_row(sku) else { return Ok(()) };
        let inflow = row.balances().map_or(Units::ZERO, |b| b.inflow);
        inflow.plus(quantity).map(|_| ()).map_err(too_many("quantity"))
    }

    /// Units leave unsold.
    pub fn decide_write_off(&self, now: Timestamp, movement: &Movement) -> Result<Draft<'_>, No> {
        self.check_sku(&movement.sku)?;
        self.check_limit(&movement.sku, movement.quantity)?;
        let free = self.rights_here(&movement.sku);
        if free < movement.quantity && !planted::is_on(Bug::WriteOffOverdraws) {
            return Err(Refusal::NotFreeHere { free }.into());
        }
        let mut draft = Draft::new(self, now, Cause::WriteOff);
        draft.reference.clone_from(&movement.reference);
        draft.reason.clone_from(&movement.reason);
        for cell in [Cell::Taken, Cell::Retired] {
            draft.raise(&movement.sku, cell, movement.quantity).map_err(too_many("quantity"))?;
        }
        Ok(draft)
    }

    /// An admin's transfer, at its giver: all or nothing.
    pub fn decide_transfer(&self, now: Timestamp, transfer: &Transfer) -> Result<Draft<'_>, No> {
        self.check_sku(&transfer.sku)?;
        let to = self.member_named(&transfer.to);
        let to = to.ok_or(Refusal::UnknownNode { field: "to".into(), node: transfer.to.clone() })?;
        if to.replica == self.me() {
            let message = "must be another node than from".to_string();
            return Err(Refusal::Invalid { field: "to".into(), message }.into());
        }
        let free = self.rights_here(&transfer.sku);
        if free < transfer.quantity && !planted::is_on(Bug::TransferOverdraws) {
            return Err(Refusal::NotFreeHere { free }.into());
        }
        let mut draft = Draft::new(self, now, Cause::Transfer);
        draft.reference.clone_from(&transfer.reference);
        draft
            .raise(&transfer.sku, Cell::Sent(to.replica), transfer.quantity)
            .map_err(too_many("quantity"))?;
        Ok(draft)
    }

    /// What an admin sets, also when it is so already by what is known here: it may have been
    /// changed elsewhere, and the last writer counts. The flag: the item is new.
    pub fn decide_set_item(&self, now: Timestamp, sku: &Sku, policy: &Policy) -> (Draft<'_>, bool) {
        let is_new = self.policy(sku).is_none();
        let mut draft = Draft::new(self, now, Cause::SetItem);
        self.write_setting(&mut draft, now, sku, policy);
        (draft, is_new)
    }

    pub(super) fn write_setting(&self, draft: &mut Draft<'_>, now: Timestamp, sku: &Sku, policy: &Policy) {
        // Hybrid time: after every setting known here, however far behind the own clock is.
        let current = self.items.get(sku).and_then(|item| item.setting.as_ref());
        let after_known = current.map_or(Timestamp::ZERO, |(time, _, _)| time.after(Millis(1)));
        let time = if planted::is_on(Bug::WallClockOrder) { now } else { now.max(after_known) };
        let setting = Setting { time, policy: policy.clone() };
        draft.write(Key::Setting(sku.clone()), Body::Setting(setting));
    }

    /// A reservation as it is answered.
    pub fn claimed(&self, reservation: Reservation, created: bool) -> Claimed {
        let Genesis { name, region, .. } = &self.genesis;
        Claimed { reservation, created, node: name.clone(), region: region.clone() }
    }
}

fn check_version(known: Option<&Reservation>, wanted: Option<u64>) -> Result<(), No> {
    let current = known.map_or(0, |reservation| reservation.version);
    match wanted {
        Some(version) if version != current => Err(Refusal::VersionMismatch { current }.into()),
        _ => Ok(()),
    }
}

fn ended(old: &Reservation, now: Timestamp, state: ReservationState) -> Reservation {
    Reservation { state, ended_at: now, ..old.clone() }
}

fn by_sku(lines: &[Line]) -> BTreeMap<Sku, Units> {
    lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect()
}

fn same_lines(a: &[Line], b: &[Line]) -> bool {
    by_sku(a) == by_sku(b)
}

/// By how much a line exceeds what is there of its item already.
fn excess(line: &Line, there: &BTreeMap<Sku, Units>) -> Option<Line> {
    let had = there.get(&line.sku).copied().unwrap_or(Units::ZERO);
    let quantity = line.quantity.excess_over(had);
    if quantity.is_zero() { None } else { Some(Line { sku: line.sku.clone(), quantity }) }
}
