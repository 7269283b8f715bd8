//! Who acts in a scenario's world: its [buyers](super::buyers) and its
//! [operators](super::operators), and what they wait for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use stockade::replica::Token;
use stockade::types::{Command, IdempotencyKey, Reply, Request};
use stockade::wire::{Message, Record};

use super::buyers::Buyer;
use super::lapse::Lapse;
use super::operators::Errand;
use super::recorder::Recorder;
use super::script::Script;
use crate::checks::Checked;
use crate::dice::{Dice, Stream};
use crate::host::Open;
use crate::time::{Span, Time};
use crate::world::{Actor, Event, World};

/// [`Event::Act`] with this: the run is over.
pub const CLOSE: u64 = u64::MAX;

/// What someone has in mind for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The next order of the demand.
    Order,
    /// The buyer's patience for this request is over.
    GiveUp {
        order: usize,
        token: Token,
    },
    /// The buyer of an order goes on: asks again, pays, or asks whether it was paid.
    Buyer {
        order: usize,
    },
    /// An event begins, goes on, or ends.
    Begin {
        event: usize,
    },
    Flap {
        event: usize,
    },
    End {
        event: usize,
    },
    /// An errand is sent, once more.
    Errand {
        errand: u64,
    },
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    Buyer { order: usize },
    Errand { errand: u64 },
}

#[derive(Debug)]
pub struct Shop {
    pub(super) script: Rc<Script>,
    pub(super) recorder: Rc<RefCell<Recorder>>,
    pub(super) dice: Dice,
    /// When the warm-up began.
    start: Time,
    /// The order that comes next.
    pub(super) next: usize,
    pub(super) buyers: BTreeMap<usize, Buyer>,
    pub(super) errands: BTreeMap<u64, Errand>,
    /// Other nodes from each, the nearest first.
    pub(super) near: Vec<Vec<usize>>,
    /// Most units of each item in one basket, as last set.
    pub(super) most: Vec<Option<u64>>,
    waiting: BTreeMap<Token, Waiter>,
    agenda: BTreeMap<u64, Task>,
    numbers: u64,
}

impl Shop {
    /// Everybody goes about it from now on.
    pub fn open(script: Rc<Script>, recorder: Rc<RefCell<Recorder>>, world: &mut World) -> Shop {
        let near = |node: usize| {
            let mut others: Vec<usize> = (0..script.nodes.len()).filter(|other| *other != node).collect();
            others.sort_by_key(|other| script.lines[node][*other].delay);
            others
        };
        let mut shop = Shop {
            dice: Dice::new(script.seed, Stream::Buyers),
            start: world.now,
            next: 0,
            buyers: BTreeMap::new(),
            errands: BTreeMap::new(),
            near: (0..script.nodes.len()).map(near).collect(),
            most: script.items.iter().map(|item| item.policy.max_per_order.map(|most| most.0)).collect(),
            waiting: BTreeMap::new(),
            agenda: BTreeMap::new(),
            numbers: 0,
            script: script.clone(),
            recorder,
        };
        for (event, planned) in script.events.iter().enumerate() {
            shop.plan(world, shop.time(planned.at), Task::Begin { event });
        }
        shop.plan_next_order(world);
        shop
    }

    /// The world's time at a time of the scenario.
    pub(super) fn time(&self, at: Lapse) -> Time {
        self.start.after(Span(at.0 / self.script.compress))
    }

    /// The world's span for a span of the scenario.
    pub(super) fn span(&self, lapse: Lapse) -> Span {
        Span(lapse.0 / self.script.compress)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn plan(&mut self, world: &mut World, at: Time, task: Task) {
        let what = self.number();
        self.agenda.insert(what, task);
        world.push(at.max(world.now), Event::Act { what });
    }

    pub(super) fn plan_next_order(&mut self, world: &mut World) {
        if let Some(order) = self.script.orders.get(self.next) {
            let at = self.time(order.at);
            self.plan(world, at, Task::Order);
        }
    }

    /// A request goes to a node and arrives after `delay`.
    pub(super) fn send(
        &mut self,
        world: &mut World,
        node: usize,
        delay: Span,
        request: Rc<Request>,
        waiter: Waiter,
    ) -> Token {
        let token = world.token();
        self.waiting.insert(token, waiter);
        let open = Open { request, arrived: world.now, client: None, altered: false };
        world.push_in(delay, Event::Request { node, token, open });
        token
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&mut self, token: Token) {
        self.waiting.remove(&token);
    }

    /// The buyer's patience is over, if it still waits for this.
    fn gives_up(&mut self, world: &mut World, order: usize, token: Token) {
        if self.waiting.remove(&token).is_some() {
            self.silent(world, order, token);
        }
    }

    /// A host dies. The world cannot tell of it who acts in it just now.
    pub(super) fn fell(&mut self, world: &mut World, host: usize) -> Checked {
        let open: Vec<Token> = match &world.hosts[host].process {
            Some(process) => process.open.keys().copied().collect(),
            None => Vec::new(),
        };
        world.fall(host)?;
        self.recorder.borrow_mut().fell(host, &world.oracle);
        open.into_iter().for_each(|token| self.hung_up(world, token));
        Ok(())
    }
}

/// A request under a key that no other has.
pub fn keyed(command: Command, caller: stockade::types::Caller, number: u64) -> Rc<Request> {
    let key = IdempotencyKey { scope: "POST /scenario".into(), key: format!("k{number}") };
    Rc::new(Request { command, key: Some(key), caller })
}

impl Actor for Shop {
    fn act(&mut self, world: &mut World, what: u64) -> Checked {
        match self.agenda.remove(&what) {
            Some(Task::Order) => {
                let order = self.next;
                self.next += 1;
                self.arrives(world, order);
                self.plan_next_order(world);
            }
            Some(Task::GiveUp { order, token }) => self.gives_up(world, order, token),
            Some(Task::Buyer { order }) => self.goes_on(world, order),
            Some(Task::Begin { event }) => return self.begin(world, event),
            Some(Task::Flap { event }) => self.flap(world, event),
            Some(Task::End { event }) => self.end(world, event),
            Some(Task::Errand { errand }) => self.run_errand(world, errand),
            None if what == CLOSE => self.close(),
            None => {}
        }
        Ok(())
    }

    fn answered(&mut self, world: &mut World, host: usize, token: Token, open: &Open, reply: &Reply) {
        match self.waiting.remove(&token) {
            Some(Waiter::Buyer { order }) => self.told(world, order, host, open.arrived, &reply.outcome),
            Some(Waiter::Errand { errand }) => self.errand_answered(world, errand, &reply.outcome),
            None => {}
        }
    }

    fn hung_up(&mut self, world: &mut World, token: Token) {
        match self.waiting.remove(&token) {
            Some(Waiter::Buyer { order }) => self.silent(world, order, token),
            Some(Waiter::Errand { errand }) => self.errand_failed(world, errand),
            None => {}
        }
    }

    fn recorded(&mut self, now: Time, host: usize, records: &[Record]) {
        self.recorder.borrow_mut().recorded(now, host, records);
    }

    fn sent(&mut self, now: Time, _from: usize, _to: usize, _message: &Message, bytes: usize) {
        self.recorder.borrow_mut().sent(now, bytes);
    }
}
