//! Operators and misfortune: the events of a scenario's file, and errands that are repeated until
//! a node takes them.

use std::rc::Rc;

use stockade::types::{Caller, Command, Movement, Outcome, Refusal, Request, Transfer, Units};

use super::script::{Deed, Planned, Wish};
use super::shop::{Shop, Task, Waiter, keyed};
use crate::checks::Checked;
use crate::time::{Span, Time};
use crate::workload;
use crate::world::{Event, World};

/// A request that nobody answered is sent again after this.
const AGAIN: Span = Span::seconds(1);

/// Something to be done at a node, or at any that is up.
#[derive(Debug)]
pub struct Errand {
    node: Option<usize>,
    request: Rc<Request>,
    /// Units that a buyer brings back by it, if they are counted.
    returned: u64,
    /// What an operator calls it.
    label: Option<String>,
}

impl Shop {
    pub(super) fn new_errand(
        &mut self,
        world: &mut World,
        node: Option<usize>,
        command: Command,
        caller: Caller,
        returned: u64,
        label: Option<String>,
    ) {
        let number = self.number();
        let request = keyed(command, caller, number);
        self.errands.insert(number, Errand { node, request, returned, label });
        self.run_errand(world, number);
    }

    pub(super) fn run_errand(&mut self, world: &mut World, number: u64) {
        let Some(errand) = self.errands.get(&number) else { return };
        let up = |node: &usize| world.hosts[*node].process.is_some();
        let node = errand.node.or_else(|| (0..self.script.nodes.len()).find(up)).unwrap_or(0);
        let request = errand.request.clone();
        self.send(world, node, Span::millis(1), request, Waiter::Errand { errand: number });
    }

    pub(super) fn errand_answered(&mut self, world: &mut World, number: u64, outcome: &Outcome) {
        match outcome {
            Ok(_) => {
                if let Some(errand) = self.errands.remove(&number) {
                    self.recorder.borrow_mut().returned(errand.returned);
                }
            }
            Err(
                Refusal::NotFreeHere { .. }
                | Refusal::UnknownNode { .. }
                | Refusal::UnknownSku { .. }
                | Refusal::Invalid { .. },
            ) => {
                if let Some(label) = self.errands.remove(&number).and_then(|errand| errand.label) {
                    self.recorder.borrow_mut().mark(world.now, format!("{label}: refused"));
                }
            }
            Err(_) => self.errand_failed(world, number),
        }
    }

    pub(super) fn errand_failed(&mut self, world: &mut World, number: u64) {
        self.plan(world, world.now.after(AGAIN), Task::Errand { errand: number });
    }

    /// An event of the file begins.
    pub(super) fn begin(&mut self, world: &mut World, event: usize) -> Checked {
        let script = self.script.clone();
        let planned = &script.events[event];
        let end = planned.end.map(|end| self.time(end));
        let label = &planned.label;
        match &planned.deed {
            Deed::Cut { ways } => cut(world, ways, end),
            Deed::Flap { .. } => self.flap(world, event),
            Deed::Slow { ways, factor } => set_pace(world, ways, *factor),
            Deed::Down { node } => {
                self.fell(world, *node)?;
            }
            Deed::Drain { node } => self.drain(world, *node, true, label),
            Deed::Restock { node, units } => {
                units.iter().for_each(|wish| self.restock(world, *node, *wish, label));
            }
            Deed::Set { items, policy } => {
                for place in items.clone() {
                    self.most[place] = policy.max_per_order.map(|most| most.0);
                    let sku = script.items[place].sku.clone();
                    let command = Command::SetItem { sku, policy: policy.clone() };
                    self.new_errand(world, None, command, Caller::Admin, 0, Some(label.clone()));
                }
            }
            Deed::Transfer { from, to, wish } => {
                let transfer = Transfer {
                    sku: script.items[wish.item].sku.clone(),
                    from: workload::node(*from),
                    to: workload::node(*to),
                    quantity: Units(wish.units),
                    reference: None,
                };
                let command = Command::Transfer(transfer);
                self.new_errand(world, Some(*from), command, Caller::Admin, 0, Some(label.clone()));
            }
        }
        if let (Some(end), Deed::Slow { .. } | Deed::Drain { .. } | Deed::Down { .. }) = (end, &planned.deed)
        {
            self.plan(world, end, Task::End { event });
        }
        Ok(())
    }

    /// A flapping link goes down once more, for the first half of its turn.
    pub(super) fn flap(&mut self, world: &mut World, event: usize) {
        let script = self.script.clone();
        let planned = &script.events[event];
        let (Deed::Flap { ways, every }, Some(end)) = (&planned.deed, planned.end) else { return };
        let (turn, end) = (self.span(*every), self.time(end));
        if world.now >= end {
            return;
        }
        cut(world, ways, Some(world.now.after(Span(turn.0 / 2)).min(end)));
        self.plan(world, world.now.after(turn), Task::Flap { event });
    }

    pub(super) fn end(&mut self, world: &mut World, event: usize) {
        let script = self.script.clone();
        match &script.events[event].deed {
            Deed::Slow { ways, .. } => set_pace(world, ways, 1_000),
            Deed::Drain { node } => self.drain(world, *node, false, &script.events[event].label),
            Deed::Down { node } if !self.is_down(world.now, *node) => {
                world.push(world.now, Event::Boot { host: *node });
            }
            _ => {}
        }
    }

    /// One crash may begin when another ends.
    fn is_down(&self, now: Time, node: usize) -> bool {
        let lasts = |planned: &Planned| {
            let is_down = matches!(planned.deed, Deed::Down { node: down } if down == node);
            let end = planned.end.is_none_or(|end| now < self.time(end));
            is_down && self.time(planned.at) <= now && end
        };
        self.script.events.iter().any(lasts)
    }

    fn drain(&mut self, world: &mut World, node: usize, draining: bool, label: &str) {
        let command = Command::SetDraining { node: workload::node(node), draining };
        self.new_errand(world, Some(node), command, Caller::Admin, 0, Some(label.to_owned()));
    }

    fn restock(&mut self, world: &mut World, node: usize, wish: Wish, label: &str) {
        let sku = self.script.items[wish.item].sku.clone();
        let movement = Movement { sku, quantity: Units(wish.units), reason: None, reference: None };
        self.new_errand(
            world,
            Some(node),
            Command::Receive(movement),
            Caller::Admin,
            0,
            Some(label.to_owned()),
        );
    }
}

/// From now on everything takes so many thousandths of its time there, and both ends notice.
fn set_pace(world: &mut World, ways: &[(usize, usize)], slow: u64) {
    for (from, to) in ways {
        world.network.set_pace(*from, *to, slow);
        for (host, peer) in [(*from, *to), (*to, *from)] {
            world.push(world.now, Event::Measured { host, peer });
        }
    }
}

fn cut(world: &mut World, ways: &[(usize, usize)], end: Option<Time>) {
    let Some(end) = end else { return };
    for (from, to) in ways {
        world.cut(*from, *to, end.since(world.now));
    }
}
