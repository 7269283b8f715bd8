//! What a node of a baseline has in its books: its units, its waiting buyers, and what it knows of
//! the others. It sells at once what is here, and leaves to a [`super::Rule`] what to ask for and
//! what to give.
//!
//! A row says what a node has, what it sold, and what it has given to the receiver since the
//! beginning, so a row that is lost is made good by the next one and no unit is lost with it.

use std::collections::{BTreeMap, BTreeSet};

use stockade::types::Verdict;

use super::super::{Act, Course, Order, Want};
use crate::time::{Span, Time};

/// Rows that nothing else carried leave at multiples of this: as soon as those of the replica that
/// ships, so that no policy knows less of the others than it does.
const GOSSIP: Span = Span::millis(20);

/// A buyer who waits for an answer.
#[derive(Debug)]
pub struct Waiting {
    pub number: usize,
    pub wants: Vec<Want>,
    pub until: Time,
}

/// Units of an item at a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Balance {
    pub free: u64,
    /// Since the beginning.
    pub sold: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    item: usize,
    balance: Balance,
    /// To the receiver, since the beginning.
    given: u64,
}

/// A request for units, or its answer, with news of the sender.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub rows: Vec<Row>,
    /// Item and units.
    pub ask: Option<(usize, u64)>,
    /// The item whose request this answers, whatever came of it.
    pub answers: Option<usize>,
}

impl Message {
    /// Four bytes a number.
    pub fn bytes(&self) -> usize {
        4 + self.rows.len() * 16 + self.ask.map_or(0, |_| 8) + self.answers.map_or(0, |_| 4)
    }
}

#[derive(Debug)]
pub struct Desk {
    pub me: usize,
    /// First come, first served.
    pub waiting: Vec<Waiting>,
    /// Whom each item was asked of and no answer has come.
    pub asking: BTreeMap<usize, usize>,
    /// Of each item, everywhere in the beginning.
    stock: Vec<u64>,
    /// By node and item: its own as they are, the others' as last heard.
    balances: Vec<Vec<Balance>>,
    /// By node and item, since the beginning.
    given: Vec<Vec<u64>>,
    taken: Vec<Vec<u64>>,
    up: Vec<bool>,
    /// Items whose rows are no longer those of the beginning.
    changed: BTreeSet<usize>,
    /// By node: items whose rows it has not been sent.
    untold: Vec<BTreeSet<usize>>,
    gossip_at: Option<Time>,
}

impl Desk {
    pub fn new(course: &Course, me: usize) -> Desk {
        let nodes = course.nodes();
        let none = vec![vec![0; course.items()]; nodes];
        let of =
            |node: usize| course.stock.iter().map(move |at| Balance { free: at[node], sold: 0 }).collect();
        Desk {
            me,
            waiting: Vec::new(),
            asking: BTreeMap::new(),
            stock: course.stock.iter().map(|at| at.iter().sum()).collect(),
            balances: (0..nodes).map(of).collect(),
            given: none.clone(),
            taken: none,
            up: vec![false; nodes],
            changed: BTreeSet::new(),
            untold: vec![BTreeSet::new(); nodes],
            gossip_at: None,
        }
    }

    pub fn items(&self) -> usize {
        self.stock.len()
    }

    pub fn free(&self, item: usize) -> u64 {
        self.balances[self.me][item].free
    }

    /// What this node knows that one to have, and to have sold.
    pub fn known(&self, node: usize, item: usize) -> Balance {
        self.balances[node][item]
    }

    /// So much of an equal share of the stock of the beginning, and at least one unit.
    pub fn part_of_share(&self, item: usize, percent: u64) -> u64 {
        let share = self.stock[item] / self.up.len() as u64;
        (share * percent / 100).max(1)
    }

    /// Nodes that can be reached.
    pub fn peers(&self) -> impl Iterator<Item = usize> {
        (0..self.up.len()).filter(|&node| self.up[node])
    }

    /// The reachable node known to have the most, if it has any; the first among equals.
    pub fn richest(&self, item: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let has = |node: usize| self.known(node, item).free;
        let richest =
            self.peers().filter(|&node| may(node)).max_by_key(|&node| (has(node), usize::MAX - node));
        richest.filter(|&node| has(node) > 0)
    }

    /// Units that the waiting buyers want beyond what is here, by item.
    pub fn missing(&self) -> BTreeMap<usize, u64> {
        let mut wanted = BTreeMap::new();
        for want in self.waiting.iter().flat_map(|waiting| &waiting.wants) {
            *wanted.entry(want.item).or_insert(0) += want.units;
        }
        wanted.iter_mut().for_each(|(&item, units)| *units = units.saturating_sub(self.free(item)));
        wanted.retain(|_, units| *units > 0);
        wanted
    }

    pub fn comes(&mut self, now: Time, number: usize, order: &Order) {
        let until = now.after(order.patience);
        self.waiting.push(Waiting { number, wants: order.wants.clone(), until });
    }

    /// Everyone whose lines are all here is served, in order of arrival.
    pub fn serve<M>(&mut self, now: Time, acts: &mut Vec<Act<M>>) {
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.wants.iter().any(|want| self.free(want.item) < want.units) {
                self.waiting.push(waiting);
                continue;
            }
            for want in &waiting.wants {
                let balance = &mut self.balances[self.me][want.item];
                balance.free -= want.units;
                balance.sold += want.units;
                self.change(now, want.item);
            }
            acts.push(Act::Serve { order: waiting.number, by: self.me });
        }
    }

    /// Those whose patience is over go.
    pub fn refuse<M>(&mut self, now: Time, acts: &mut Vec<Act<M>>) {
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.until > now {
                self.waiting.push(waiting);
                continue;
            }
            acts.push(Act::Refuse { order: waiting.number, verdict: self.verdict(&waiting.wants) });
        }
    }

    /// Sold out only when everything there ever was is known to be sold.
    fn verdict(&self, wants: &[Want]) -> Verdict {
        let sold = |item: usize| self.balances.iter().map(|of| of[item].sold).sum::<u64>();
        if wants.iter().any(|want| sold(want.item) == self.stock[want.item]) {
            return Verdict::SoldOut;
        }
        let mut short = wants.iter().filter(|want| self.free(want.item) < want.units);
        if short.all(|want| self.richest(want.item, |_| true).is_some()) {
            Verdict::Elsewhere
        } else {
            Verdict::Unknown
        }
    }

    pub fn first_to_go(&self) -> Option<Time> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// Units leave for another; the next message to it brings them.
    pub fn give<M>(&mut self, now: Time, to: usize, item: usize, units: u64, acts: &mut Vec<Act<M>>) {
        let units = units.min(self.free(item));
        if units > 0 {
            self.balances[self.me][item].free -= units;
            self.given[to][item] += units;
            self.change(now, item);
            acts.push(Act::Moved { item, to, units });
        }
    }

    pub fn hear(&mut self, now: Time, from: usize, message: &Message) {
        for row in &message.rows {
            self.balances[from][row.item] = row.balance;
            let taken = &mut self.taken[from][row.item];
            let came = row.given.saturating_sub(*taken);
            *taken += came;
            if came > 0 {
                self.balances[self.me][row.item].free += came;
                self.change(now, row.item);
            }
        }
        if let Some(item) = message.answers.filter(|item| self.asking.get(item) == Some(&from)) {
            self.asking.remove(&item);
        }
    }

    fn change(&mut self, now: Time, item: usize) {
        self.changed.insert(item);
        self.untold.iter_mut().for_each(|untold| _ = untold.insert(item));
        self.gossip_soon(now);
    }

    fn gossip_soon(&mut self, now: Time) {
        self.gossip_at.get_or_insert(Time((now.0 / GOSSIP.0 + 1) * GOSSIP.0));
    }

    /// What was on its way when a link went down may be lost: all is told again when it comes up.
    pub fn link(&mut self, now: Time, to: usize, up: bool) {
        self.up[to] = up;
        if !up {
            self.asking.retain(|_, donor| *donor != to);
        } else if !self.changed.is_empty() {
            self.untold[to] = self.changed.clone();
            self.gossip_soon(now);
        }
    }

    /// Sends it, with all that the receiver has not been told. What cannot be sent is told later.
    pub fn send(&mut self, to: usize, mut message: Message, acts: &mut Vec<Act<Message>>) {
        if !self.up[to] {
            return;
        }
        for item in std::mem::take(&mut self.untold[to]) {
            let (balance, given) = (self.balances[self.me][item], self.given[to][item]);
            message.rows.push(Row { item, balance, given });
        }
        acts.push(Act::Send { to, message });
    }

    pub fn gossip_at(&self) -> Option<Time> {
        self.gossip_at
    }

    /// Tells everyone what is new, when it is time.
    pub fn gossip(&mut self, now: Time, acts: &mut Vec<Act<Message>>) {
        if self.gossip_at.is_none_or(|at| at > now) {
            return;
        }
        self.gossip_at = None;
        for to in self.peers().collect::<Vec<_>>() {
            if !self.untold[to].is_empty() {
                self.send(to, Message::default(), acts);
            }
        }
    }

    pub fn die(&mut self) {
        self.waiting.clear();
        self.balances[self.me].fill(Balance::default());
        self.gossip_at = None;
    }
}
