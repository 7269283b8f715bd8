//! All units at one node, the home; the others send each order there and wait for the answer.
//!
//! The home is the weighted median: where the sum of all buyers' round trips is least. It is
//! allowed to know from the course how many come where. A buyer who waits no longer than a round
//! trip is refused at once, as is one whose node is cut off. When an answer is lost to a cut, the buyer's
//! node tells the home to take the units back as soon as the link is up again.

use std::collections::BTreeMap;

use stockade::types::Verdict;

use super::super::{Act, Contender, Course, Order, Want};
use crate::time::{Span, Time};

#[derive(Clone, Debug)]
pub enum Message {
    Forward {
        number: usize,
        wants: Vec<Want>,
    },
    Answer {
        number: usize,
        refused: Option<Verdict>,
    },
    /// The buyer did not hear of it.
    TakeBack {
        number: usize,
    },
    TakenBack {
        number: usize,
    },
}

pub struct CentralHome {
    home: usize,
    /// At the home, by item.
    free: Vec<u64>,
    sold: Vec<u64>,
    /// What the home sold to the others' buyers.
    sent: BTreeMap<usize, Vec<Want>>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    /// There and back.
    away: Span,
    linked: bool,
    /// Its buyers who wait, and until when.
    waiting: BTreeMap<usize, Time>,
    /// Orders that the home may have sold and nobody got.
    unheard: Vec<usize>,
}

pub fn new(course: &Course) -> CentralHome {
    let away = |a: usize, b: usize| Span(course.delay(a, b).0 + course.delay(b, a).0);
    let trips = |home: usize| course.orders.iter().map(|order| u128::from(away(order.node, home).0)).sum();
    let home = (0..course.nodes()).min_by_key(|&home| -> u128 { trips(home) }).expect("a course has nodes");
    let node =
        |at| Node { away: away(at, home), linked: false, waiting: BTreeMap::new(), unheard: Vec::new() };
    CentralHome {
        home,
        free: course.stock.iter().map(|at| at.iter().sum()).collect(),
        sold: vec![0; course.items()],
        sent: BTreeMap::new(),
        nodes: (0..course.nodes()).map(node).collect(),
    }
}

impl CentralHome {
    /// Sells at the home, or says why not: nobody but the home has units.
    fn sell(&mut self, wants: &[Want]) -> Option<Verdict> {
        if wants.iter().any(|want| self.free[want.item] == 0) {
            return Some(Verdict::SoldOut);
        }
        if wants.iter().any(|want| self.free[want.item] < want.units) {
            return Some(Verdict::Unknown);
        }
        for want in wants {
            self.free[want.item] -= want.units;
            self.sold[want.item] += want.units;
        }
        None
    }

    fn tell(&self, order: usize, refused: Option<Verdict>) -> Act<Message> {
        match refused {
            None => Act::Serve { order, by: self.home },
            Some(verdict) => Act::Refuse { order, verdict },
        }
    }

    fn take_back(&mut self, number: usize) {
        for want in self.sent.remove(&number).unwrap_or_default() {
            self.free[want.item] += want.units;
            self.sold[want.item] -= want.units;
        }
    }

    fn give_up(&mut self, at: usize, due: impl Fn(Time) -> bool, acts: &mut Vec<Act<Message>>) {
        let node = &mut self.nodes[at];
        let gone: Vec<usize> =
            node.waiting.iter().filter(|(_, until)| due(**until)).map(|(at, _)| *at).collect();
        for order in gone {
            node.waiting.remove(&order);
            node.unheard.push(order);
            acts.push(Act::Refuse { order, verdict: Verdict::Unknown });
        }
    }
}

impl Contender for CentralHome {
    type Message = Message;

    fn name(&self) -> &'static str {
        "one central home"
    }

    fn link(&mut self, _: Time, at: usize, to: usize, up: bool, acts: &mut Vec<Act<Message>>) {
        if to == self.home {
            self.nodes[at].linked = up;
            if !up {
                return self.give_up(at, |_| true, acts);
            }
            for &number in &self.nodes[at].unheard {
                acts.push(Act::Send { to, message: Message::TakeBack { number } });
            }
        }
    }

    fn order(&mut self, now: Time, number: usize, order: &Order, acts: &mut Vec<Act<Message>>) {
        let node = &mut self.nodes[order.node];
        acts.push(if order.node == self.home {
            let refused = self.sell(&order.wants);
            self.tell(number, refused)
        } else if !node.linked || node.away >= order.patience {
            self.tell(number, Some(Verdict::Unknown))
        } else {
            node.waiting.insert(number, now.after(order.patience));
            let message = Message::Forward { number, wants: order.wants.clone() };
            Act::Send { to: self.home, message }
        });
    }

    fn message(&mut self, _: Time, at: usize, from: usize, message: Message, acts: &mut Vec<Act<Message>>) {
        match message {
            Message::Forward { number, wants } => {
                let refused = self.sell(&wants);
                if refused.is_none() {
                    self.sent.insert(number, wants);
                }
                acts.push(Act::Send { to: from, message: Message::Answer { number, refused } });
            }
            Message::TakeBack { number } => {
                self.take_back(number);
                acts.push(Act::Send { to: from, message: Message::TakenBack { number } });
            }
            Message::TakenBack { number } => self.nodes[at].unheard.retain(|unheard| *unheard != number),
            Message::Answer { number, refused } => {
                if self.nodes[at].waiting.remove(&number).is_some() {
                    acts.push(self.tell(number, refused));
                }
            }
        }
    }

    fn tick(&mut self, now: Time, at: usize, acts: &mut Vec<Act<Message>>) {
        self.give_up(at, |until| until <= now, acts);
    }

    fn next_tick(&self, at: usize) -> Option<Time> {
        self.nodes[at].waiting.values().min().copied()
    }

    fn bytes(&self, message: &Message) -> usize {
        match message {
            Message::Forward { wants, .. } => 8 + 8 * wants.len(),
            Message::Answer { .. } => 9,
            Message::TakeBack { .. } | Message::TakenBack { .. } => 8,
        }
    }

    fn free(&self, at: usize, item: usize) -> u64 {
        if at == self.home { self.free[item] } else { 0 }
    }

    fn dies(&mut self, at: usize) {
        self.nodes[at].waiting.clear();
        if at == self.home {
            self.free.fill(0);
        }
    }

    fn sold(&self, item: usize) -> Option<u64> {
        Some(self.sold[item])
    }
}
