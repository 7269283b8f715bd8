//! Policies of others, as far as they are known, to be measured beside ours.
//!
//! Each is short, and as good as what it stands for: all sell at once what is here, keep a buyer
//! as long as they may, and give back no answer of `sold_out` that they cannot prove. Those that
//! move rights share a [`Desk`] and differ in a [`Rule`]. What they know of each other rides on
//! every message and on gossip, which counts among their messages and bytes.

pub mod antidote;
pub mod central_home;
pub mod days_of_cover;
mod desk;
pub mod halving;
pub mod indigo;
pub mod static_split;

use desk::{Desk, Message};

use super::{Act, Contender, Course, Order, Want};
use crate::time::Time;

/// Units that a node asks another for.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    donor: usize,
    item: usize,
    units: u64,
}

/// What tells one policy of moving rights from another. Each node has its own.
pub trait Rule {
    fn name(&self) -> &'static str;

    /// What to ask for, after everything that happens at the node and when it wakes. `came` is what
    /// a buyer wants who has just come, and may have been served.
    fn asks(&mut self, now: Time, desk: &Desk, came: &[Want]) -> Vec<Ask>;

    /// How many units to give to one who asks for so many.
    fn gives(&self, desk: &Desk, item: usize, units: u64) -> u64;

    /// When it wants to be asked again though nothing happens.
    fn wakes(&self, desk: &Desk) -> Option<Time>;
}

/// Nodes that move rights by a rule.
pub struct Traders<R> {
    nodes: Vec<(Desk, R)>,
}

impl<R: Rule> Traders<R> {
    fn new(course: &Course, rule: impl Fn() -> R) -> Traders<R> {
        Traders { nodes: (0..course.nodes()).map(|node| (Desk::new(course, node), rule())).collect() }
    }

    /// After everything that happens: sells, asks, and lets go whose patience is over.
    fn settle(&mut self, now: Time, at: usize, came: &[Want], acts: &mut Vec<Act<Message>>) {
        let (desk, rule) = &mut self.nodes[at];
        desk.serve(now, acts);
        for Ask { donor, item, units } in rule.asks(now, desk, came) {
            desk.asking.insert(item, donor);
            desk.send(donor, Message { ask: Some((item, units)), ..Message::default() }, acts);
        }
        desk.refuse(now, acts);
    }
}

impl<R: Rule> Contender for Traders<R> {
    type Message = Message;

    fn name(&self) -> &'static str {
        self.nodes[0].1.name()
    }

    fn link(&mut self, now: Time, at: usize, to: usize, up: bool, acts: &mut Vec<Act<Message>>) {
        self.nodes[at].0.link(now, to, up);
        self.settle(now, at, &[], acts);
    }

    fn order(&mut self, now: Time, number: usize, order: &Order, acts: &mut Vec<Act<Message>>) {
        self.nodes[order.node].0.comes(now, number, order);
        self.settle(now, order.node, &order.wants, acts);
    }

    fn message(&mut self, now: Time, at: usize, from: usize, message: Message, acts: &mut Vec<Act<Message>>) {
        let (desk, rule) = &mut self.nodes[at];
        desk.hear(now, from, &message);
        desk.serve(now, acts);
        if let Some((item, units)) = message.ask {
            desk.give(now, from, item, rule.gives(desk, item, units), acts);
            desk.send(from, Message { answers: Some(item), ..Message::default() }, acts);
        }
        self.settle(now, at, &[], acts);
    }

    fn tick(&mut self, now: Time, at: usize, acts: &mut Vec<Act<Message>>) {
        self.settle(now, at, &[], acts);
        self.nodes[at].0.gossip(now, acts);
    }

    fn next_tick(&self, at: usize) -> Option<Time> {
        let (desk, rule) = &self.nodes[at];
        [desk.gossip_at(), desk.first_to_go(), rule.wakes(desk)].into_iter().flatten().min()
    }

    fn bytes(&self, message: &Message) -> usize {
        message.bytes()
    }

    fn free(&self, at: usize, item: usize) -> u64 {
        self.nodes[at].0.free(item)
    }

    fn dies(&mut self, at: usize) {
        self.nodes[at].0.die();
    }
}

#[cfg(test)]
mod tests;
