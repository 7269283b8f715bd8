//! Buyers: each comes at its time, has its basket reserved at the nearest node that answers, pays
//! after a while and has it confirmed there, or leaves.

use std::rc::Rc;

use stockade::replica::Token;
use stockade::types::{
    Answer, Caller, Command, Line, Millis, Movement, Outcome, Put, Refusal, Request, ReservationId,
    Shortfall, Units, Verdict,
};

use super::demand::fraction;
use super::file::{FailOver, OnShort};
use super::lapse::Lapse;
use super::recorder::End;
use super::script::Wish;
use super::shop::{Shop, Task, Waiter};
use crate::time::{Span, Time};
use crate::world::World;

/// From a storefront to the node beside it.
const BESIDE: Span = Span(500);
/// A hold without a word to another node takes no longer than the disk takes twice.
pub const SYNC: Span = Span(500);
/// A storefront asks again whether an order is confirmed after this, so many times.
const CONFIRM_AGAIN: Span = Span::seconds(2);
const CONFIRM_TRIES: u32 = 150;
/// Nobody takes longer to pay than so many times the mean.
pub const LONGEST_PAY: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reserving,
    /// Comes back after a refusal.
    Away,
    Paying,
    Confirming,
}

#[derive(Debug)]
pub struct Buyer {
    /// The node beside its storefront, and the one that it is dealing with.
    home: usize,
    node: usize,
    tried: Vec<usize>,
    wishes: Vec<Wish>,
    id: ReservationId,
    phase: Phase,
    /// When it came.
    came: Time,
    /// When it began to wait for an answer.
    since: Time,
    token: Option<Token>,
    retries: u64,
    confirms: u32,
    local: bool,
    /// It came after the warm-up.
    counts: bool,
}

impl Buyer {
    fn units(&self) -> u64 {
        self.wishes.iter().map(|wish| wish.units).sum()
    }
}

impl Shop {
    /// The order's buyer comes.
    pub(super) fn arrives(&mut self, world: &mut World, number: usize) {
        let script = self.script.clone();
        let order = &script.orders[number];
        let home = script.regions[order.region].node;
        let counts = order.at >= script.warm_up;
        for wish in &order.returns {
            self.bring_back(world, home, *wish, counts);
        }
        if order.sales.is_empty() {
            return;
        }
        let least =
            |wish: &Wish| Wish { units: wish.units.min(self.most[wish.item].unwrap_or(u64::MAX)), ..*wish };
        let wishes: Vec<Wish> = order.sales.iter().map(least).collect();
        if counts {
            self.recorder.borrow_mut().asked(world.now, home, &wishes);
        }
        let buyer = Buyer {
            home,
            node: home,
            tried: Vec::new(),
            wishes,
            id: ReservationId::new("none").expect("a valid id"),
            phase: Phase::Reserving,
            came: world.now,
            since: world.now,
            token: None,
            retries: script.buyers.retries,
            confirms: 0,
            local: false,
            counts,
        };
        self.buyers.insert(number, buyer);
        self.reserve(world, number);
    }

    /// A return is an errand: it is repeated until it is taken.
    fn bring_back(&mut self, world: &mut World, node: usize, wish: Wish, counts: bool) {
        let sku = self.script.items[wish.item].sku.clone();
        let movement = Movement { sku, quantity: Units(wish.units), reason: None, reference: None };
        let returned = if counts { wish.units } else { 0 };
        self.new_errand(world, Some(node), Command::Return(movement), Caller::Storefront, returned, None);
    }

    fn hop(&self, home: usize, node: usize) -> Span {
        if home == node { BESIDE } else { Span(BESIDE.0 + self.script.lines[home][node].delay.0) }
    }

    /// Asks the node that the buyer is dealing with, under a new id: whatever became of an earlier
    /// attempt was not paid and expires.
    fn reserve(&mut self, world: &mut World, number: usize) {
        let serial = self.number();
        let id = ReservationId::new(&format!("o{number}-{serial}")).expect("a valid id");
        let (script, ttl) = (self.script.clone(), self.span(self.script.buyers.ttl));
        let Some(buyer) = self.buyers.get_mut(&number) else { return };
        buyer.id = id.clone();
        buyer.phase = Phase::Reserving;
        buyer.tried.push(buyer.node);
        let line =
            |wish: &Wish| Line { sku: script.items[wish.item].sku.clone(), quantity: Units(wish.units) };
        let put = Put {
            id,
            lines: buyer.wishes.iter().map(line).collect(),
            ttl: Millis(ttl.0 / 1_000),
            wait: script.buyers.wait,
            if_match: None,
            retry: false,
            minted: false,
        };
        self.ask(world, number, Command::Put(put));
    }

    fn confirm(&mut self, world: &mut World, number: usize) {
        let wait = self.script.buyers.wait;
        let Some(buyer) = self.buyers.get_mut(&number) else { return };
        buyer.phase = Phase::Confirming;
        buyer.confirms += 1;
        let command = Command::Confirm { id: buyer.id.clone(), if_match: None, wait };
        self.ask(world, number, command);
    }

    fn ask(&mut self, world: &mut World, number: usize, command: Command) {
        let Some(buyer) = self.buyers.get(&number) else { return };
        let (node, delay) = (buyer.node, self.hop(buyer.home, buyer.node));
        let request = Rc::new(Request { command, key: None, caller: Caller::Storefront });
        let token = self.send(world, node, delay, request, Waiter::Buyer { order: number });
        if let Some(buyer) = self.buyers.get_mut(&number) {
            buyer.token = Some(token);
        }
        let patience = Span::millis(self.script.buyers.answer.0);
        self.plan(world, world.now.after(patience), Task::GiveUp { order: number, token });
    }

    /// The buyer does what it had in mind for now.
    pub(super) fn goes_on(&mut self, world: &mut World, number: usize) {
        let Some(buyer) = self.buyers.get_mut(&number) else { return };
        match buyer.phase {
            Phase::Paying | Phase::Confirming => self.confirm(world, number),
            Phase::Away | Phase::Reserving => {
                buyer.tried.clear();
                buyer.node = buyer.home;
                buyer.since = world.now;
                self.reserve(world, number);
            }
        }
    }

    /// An answer to the buyer's request left `host`.
    pub(super) fn told(
        &mut self,
        world: &mut World,
        number: usize,
        host: usize,
        arrived: Time,
        outcome: &Outcome,
    ) {
        let Some(buyer) = self.buyers.get_mut(&number) else { return };
        buyer.token = None;
        let reserving = buyer.phase == Phase::Reserving;
        match outcome {
            Ok(Answer::Reservation(_)) if reserving => {
                buyer.local = host == buyer.home && world.now.since(arrived).0 <= 2 * SYNC.0;
                self.waited(world, number);
                self.held(world, number);
            }
            Ok(_) => {
                let end = End::Served { failed_over: buyer.node != buyer.home, local: buyer.local };
                let units = buyer.units();
                self.over(number, units, end);
            }
            Err(Refusal::InsufficientStock(short) | Refusal::Expired(short)) => {
                self.refused(world, number, short);
            }
            Err(
                Refusal::ReservationNotFound
                | Refusal::AlreadyCancelled
                | Refusal::MaxPerOrder { .. }
                | Refusal::UnknownSku { .. },
            ) => {
                let units = buyer.units();
                self.over(number, units, End::Refused(Verdict::Unknown));
            }
            // The node takes no work now.
            Err(_) => self.turned_away(world, number),
        }
    }

    /// No answer came to the buyer's request, and none will.
    pub(super) fn silent(&mut self, world: &mut World, number: usize, token: Token) {
        if self.buyers.get(&number).is_some_and(|buyer| buyer.token == Some(token)) {
            self.turned_away(world, number);
        }
    }

    fn waited(&mut self, world: &World, number: usize) {
        let Some(buyer) = self.buyers.get(&number) else { return };
        if buyer.counts {
            let wait = Span(world.now.since(buyer.since).0 + self.hop(buyer.home, buyer.node).0);
            self.recorder.borrow_mut().waited(buyer.home, wait);
        }
    }

    fn held(&mut self, world: &mut World, number: usize) {
        let Some(buyer) = self.buyers.get_mut(&number) else { return };
        buyer.phase = Phase::Paying;
        let units = buyer.units();
        if fraction(&mut self.dice) < self.script.buyers.abandon {
            return self.over(number, units, End::Abandoned);
        }
        let mean = self.script.buyers.pay.0;
        let drawn = (-(1.0 - fraction(&mut self.dice)).ln() * mean as f64) as u64;
        let pay = self.span(Lapse(drawn.min(LONGEST_PAY * mean)));
        self.plan(world, world.now.after(pay), Task::Buyer { order: number });
    }

    /// The node gives no answer or takes no work.
    fn turned_away(&mut self, world: &mut World, number: usize) {
        let Some(buyer) = self.buyers.get(&number) else { return };
        if buyer.phase == Phase::Confirming {
            if buyer.confirms < CONFIRM_TRIES {
                let again = world.now.after(CONFIRM_AGAIN);
                return self.plan(world, again, Task::Buyer { order: number });
            }
        } else if self.script.buyers.fail_over != FailOver::Never && self.tries_next(world, number) {
            return;
        }
        let Some(buyer) = self.buyers.get(&number) else { return };
        let units = buyer.units();
        self.over(number, units, End::Unanswered);
    }

    /// The storefront turns to the nearest node that it has not tried and can reach.
    fn tries_next(&mut self, world: &mut World, number: usize) -> bool {
        let Some(buyer) = self.buyers.get_mut(&number) else { return false };
        let home = buyer.home;
        let open = |node: &&usize| !buyer.tried.contains(*node) && !world.network.is_cut(home, **node);
        let Some(next) = self.near[home].iter().find(open).copied() else { return false };
        buyer.node = next;
        self.reserve(world, number);
        true
    }

    fn refused(&mut self, world: &mut World, number: usize, short: &[Shortfall]) {
        let Some(buyer) = self.buyers.get(&number) else { return };
        let verdict = short.iter().map(|short| short.verdict).max_by_key(|verdict| strength(*verdict));
        let verdict = verdict.unwrap_or(Verdict::Unknown);
        let reserving = buyer.phase == Phase::Reserving;
        let unproved = verdict != Verdict::SoldOut && reserving;
        if unproved && self.script.buyers.fail_over == FailOver::Refusal && self.tries_next(world, number) {
            return;
        }
        if reserving {
            self.waited(world, number);
            if unproved && self.comes_back(world, number) {
                return;
            }
            if self.script.buyers.on_short == OnShort::Rest {
                return self.takes_the_rest(world, number, short);
            }
        }
        let Some(buyer) = self.buyers.get(&number) else { return };
        let units = buyer.units();
        if buyer.counts && buyer.wishes.iter().all(|wish| self.is_there(world, buyer.home, wish)) {
            self.recorder.borrow_mut().avoidable(units);
        }
        self.over(number, units, End::Refused(verdict));
    }

    /// Some who were refused without proof try again later.
    fn comes_back(&mut self, world: &mut World, number: usize) -> bool {
        let Some(buyer) = self.buyers.get_mut(&number) else { return false };
        if buyer.retries == 0 || fraction(&mut self.dice) >= self.script.buyers.retry_share {
            return false;
        }
        buyer.retries -= 1;
        buyer.phase = Phase::Away;
        let later = world.now.after(self.span(self.script.buyers.retry_after));
        self.plan(world, later, Task::Buyer { order: number });
        true
    }

    /// The buyer does without the lines that are short.
    fn takes_the_rest(&mut self, world: &mut World, number: usize, short: &[Shortfall]) {
        let script = self.script.clone();
        let Some(mut buyer) = self.buyers.remove(&number) else { return };
        for line in short {
            let of_line = |wish: &Wish| script.items[wish.item].sku == line.sku;
            let Some(place) = buyer.wishes.iter().position(of_line) else { continue };
            let wish = buyer.wishes.remove(place);
            if buyer.counts {
                let mut recorder = self.recorder.borrow_mut();
                recorder.ended(buyer.came, buyer.home, wish.units, End::Refused(line.verdict));
                if self.is_there(world, buyer.home, &wish) {
                    recorder.avoidable(wish.units);
                }
            }
        }
        if buyer.wishes.is_empty() {
            return;
        }
        buyer.since = world.now;
        buyer.tried.clear();
        self.buyers.insert(number, buyer);
        self.reserve(world, number);
    }

    /// By the oracle's books, nodes that `home` can reach have that many units free now.
    fn is_there(&self, world: &World, home: usize, wish: &Wish) -> bool {
        let sku = &self.script.items[wish.item].sku;
        let reached = |node: &usize| {
            let up = world.hosts[*node].process.is_some();
            up && (*node == home || !world.network.is_cut(home, *node))
        };
        let free = |node: usize| {
            world.oracle.books[node].memory.rows.get(sku).map_or(0, |row| row.available().max(0))
        };
        let sum: i128 = (0..self.script.nodes.len()).filter(reached).map(free).sum();
        sum >= i128::from(wish.units)
    }

    /// So it ended.
    fn over(&mut self, number: usize, units: u64, end: End) {
        let Some(buyer) = self.buyers.remove(&number) else { return };
        if let Some(token) = buyer.token {
            self.forget(token);
        }
        if buyer.counts {
            self.recorder.borrow_mut().ended(buyer.came, buyer.home, units, end);
        }
    }

    /// The run is over: who still waits was not answered.
    pub(super) fn close(&mut self) {
        for number in self.buyers.keys().copied().collect::<Vec<_>>() {
            let units = self.buyers.get(&number).map_or(0, Buyer::units);
            self.over(number, units, End::Unanswered);
        }
    }
}

fn strength(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::SoldOut => 0,
        Verdict::Elsewhere => 1,
        Verdict::Unknown => 2,
    }
}
