//! Plays a course for a contender in virtual time: delivers what nodes say, cuts and mends their
//! links, asks for buyers, and notes what comes of it.
//!
//! Nothing but the course decides: what is due at one moment comes in the order in which it was
//! planned, and buyers lose patience last.

mod due;
mod links;
#[cfg(test)]
mod tests;

use stockade::types::Verdict;

use self::due::{Agenda, Event};
use self::links::{Links, Parcel};
use super::measure::{Ending, Flows, OrderOutcome, Outcome};
use super::{Act, Contender, Course, Order};
use crate::time::Time;

/// Ticks of one node at one moment; more means that it turns in circles.
const MOST_TICKS: u32 = 10_000;

/// Lets everything happen up to the course's end.
///
/// # Panics
/// When the contender sells what is not there, or answers a buyer twice: no number that comes of
/// such a run means anything.
pub fn play<C: Contender>(course: &Course, contender: &mut C) -> Outcome {
    let mut arena = Arena::new(course);
    arena.plan_course();
    while let Some((now, event)) = arena.agenda.next(course.end) {
        arena.now = now;
        arena.outcome.events += 1;
        arena.happen(event, contender);
    }
    arena.finish(contender)
}

struct Arena<'a, M> {
    course: &'a Course,
    now: Time,
    agenda: Agenda<M>,
    links: Links,
    nodes: Vec<Node>,
    outcome: Outcome,
    flows: Flows,
    /// Units of each item that were served, in time or late.
    sold: Vec<u64>,
    /// Units of all items that were served in time.
    sold_in_time: u64,
    stages: Vec<Stage>,
    acts: Vec<Act<M>>,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotAsked,
    Waits,
    /// Its buyer has gone, and its node does not know.
    GaveUp,
    Answered,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    dead: bool,
    /// The tick that is on its way.
    tick_at: Option<Time>,
    /// The moment of the last tick, and how many came at it.
    last_tick: (Time, u32),
}

impl<'a, M: Clone> Arena<'a, M> {
    fn new(course: &'a Course) -> Arena<'a, M> {
        let orders = vec![OrderOutcome::NOT_ASKED; course.orders.len()];
        Arena {
            course,
            now: Time::ZERO,
            agenda: Agenda::default(),
            links: Links::new(course.nodes()),
            nodes: vec![Node::default(); course.nodes()],
            outcome: Outcome { orders, ..Outcome::default() },
            flows: Flows::default(),
            sold: vec![0; course.items()],
            sold_in_time: 0,
            stages: vec![Stage::NotAsked; course.orders.len()],
            acts: Vec::new(),
        }
    }

    /// Cuts before links, so that a link whose path is cut from the beginning stays down; the
    /// orders one by one, each with the one before, so that the agenda stays short.
    fn plan_course(&mut self) {
        let course = self.course;
        for (place, cut) in course.cuts.iter().enumerate().filter(|(_, cut)| cut.from < cut.until) {
            self.agenda.plan(cut.from, Event::CutBegins(place));
            self.agenda.plan(cut.until, Event::CutEnds(place));
        }
        for death in &course.deaths {
            self.agenda.plan(death.at, Event::Dies(death.node));
        }
        let pairs = (0..course.nodes()).flat_map(|a| (a + 1..course.nodes()).map(move |b| (a, b)));
        pairs.for_each(|(a, b)| self.agenda.plan(Time::ZERO, Event::Connect { a, b }));
        self.plan_order(0);
    }

    fn plan_order(&mut self, number: usize) {
        if let Some(order) = self.course.orders.get(number) {
            self.agenda.plan(order.at, Event::Order(number));
        }
    }

    fn happen<C: Contender<Message = M>>(&mut self, event: Event<M>, contender: &mut C) {
        match event {
            Event::Order(number) => self.order(number, contender),
            Event::Message(parcel) => self.message(parcel, contender),
            Event::Tick { at } => self.tick(at, contender),
            Event::Patience(number) if self.stages[number] == Stage::Waits => self.late(number, contender),
            Event::Patience(_) => {}
            Event::CutBegins(place) => {
                let cut = self.course.cuts[place];
                self.links.block(cut.a, cut.b);
                let noticed = self.now.after(links::NOTICED_AFTER).min(cut.until);
                self.agenda.plan(noticed, Event::Disconnect { a: cut.a, b: cut.b });
            }
            Event::CutEnds(place) => {
                let cut = self.course.cuts[place];
                self.links.unblock(self.now, cut.a, cut.b);
                let round_trip = self.course.delay(cut.a, cut.b).0 + self.course.delay(cut.b, cut.a).0;
                let up = Time(self.now.0 + round_trip);
                self.agenda.plan(up, Event::Connect { a: cut.a, b: cut.b });
            }
            Event::Connect { a, b } => {
                if self.links.connect(a, b) {
                    self.tell_link(a, b, true, contender);
                    self.tell_link(b, a, true, contender);
                }
            }
            Event::Disconnect { a, b } => {
                if self.links.disconnect(a, b) {
                    self.tell_link(a, b, false, contender);
                    self.tell_link(b, a, false, contender);
                }
            }
            Event::Dies(node) => self.dies(node, contender),
        }
    }

    fn order<C: Contender<Message = M>>(&mut self, number: usize, contender: &mut C) {
        self.plan_order(number + 1);
        let order: &Order = &self.course.orders[number];
        if self.nodes[order.node].dead {
            return;
        }
        self.stages[number] = Stage::Waits;
        contender.order(self.now, number, order, &mut self.acts);
        self.carry_out(order.node, contender);
        if self.stages[number] == Stage::Waits {
            if order.patience.0 == 0 {
                self.late(number, contender);
            } else {
                self.agenda.plan_last(self.now.after(order.patience), Event::Patience(number));
            }
        }
    }

    fn message<C: Contender<Message = M>>(&mut self, parcel: Parcel<M>, contender: &mut C) {
        if self.links.arrives(&parcel) {
            let Parcel { from, to, message, .. } = parcel;
            contender.message(self.now, to, from, message, &mut self.acts);
            self.carry_out(to, contender);
        }
    }

    fn tick<C: Contender<Message = M>>(&mut self, at: usize, contender: &mut C) {
        let node = &mut self.nodes[at];
        if node.dead || node.tick_at != Some(self.now) {
            return;
        }
        node.tick_at = None;
        if contender.next_tick(at).is_none_or(|due| due > self.now) {
            return self.plan_tick(at, contender);
        }
        let before = if node.last_tick.0 == self.now { node.last_tick.1 } else { 0 };
        assert!(before < MOST_TICKS, "{}: node {at} turns in circles at {}", contender.name(), self.now);
        node.last_tick = (self.now, before + 1);
        contender.tick(self.now, at, &mut self.acts);
        self.carry_out(at, contender);
    }

    fn plan_tick<C: Contender<Message = M>>(&mut self, at: usize, contender: &C) {
        let Some(due) = contender.next_tick(at) else { return };
        let due = due.max(self.now);
        let node = &mut self.nodes[at];
        if !node.dead && node.tick_at.is_none_or(|planned| due < planned) {
            node.tick_at = Some(due);
            self.agenda.plan(due, Event::Tick { at });
        }
    }

    fn tell_link<C: Contender<Message = M>>(&mut self, at: usize, to: usize, up: bool, contender: &mut C) {
        if !self.nodes[at].dead {
            contender.link(self.now, at, to, up, &mut self.acts);
            self.carry_out(at, contender);
        }
    }

    fn dies<C: Contender<Message = M>>(&mut self, node: usize, contender: &mut C) {
        if std::mem::replace(&mut self.nodes[node].dead, true) {
            return;
        }
        contender.dies(node);
        for other in (0..self.course.nodes()).filter(|other| *other != node) {
            self.links.block(node, other);
            let noticed = self.now.after(links::NOTICED_AFTER);
            self.agenda.plan(noticed, Event::Disconnect { a: node, b: other });
        }
    }

    /// Does what node `at` decided in the step that has just been.
    fn carry_out<C: Contender<Message = M>>(&mut self, at: usize, contender: &mut C) {
        let mut acts = std::mem::take(&mut self.acts);
        for act in acts.drain(..) {
            match act {
                Act::Send { to, message } => self.send(at, to, message, contender),
                Act::Serve { order, by } => self.served(order, by),
                Act::Refuse { order, verdict } => self.refused(order, verdict, contender),
                Act::Moved { item, to, units } => {
                    self.outcome.transfers += 1;
                    self.outcome.units_moved += units;
                    let backward = self.flows.moved(self.now, item, at, to, units);
                    self.outcome.units_returned += backward.returned;
                    self.outcome.units_to_and_fro += backward.to_and_fro;
                }
            }
        }
        self.acts = acts;
        self.plan_tick(at, contender);
    }

    fn send<C: Contender<Message = M>>(&mut self, from: usize, to: usize, message: M, contender: &C) {
        if !self.links.is_up(from, to) {
            return;
        }
        self.outcome.messages += 1;
        self.outcome.bytes += contender.bytes(&message) as u64;
        if let Some(parcel) = self.links.take(from, to, message) {
            self.agenda.plan(self.now.after(self.course.delay(from, to)), Event::Message(parcel));
        }
    }

    fn served(&mut self, number: usize, by: usize) {
        let order = &self.course.orders[number];
        for want in &order.wants {
            self.sold[want.item] += want.units;
            let stock: u64 = self.course.stock[want.item].iter().sum();
            let sold = self.sold[want.item];
            assert!(sold <= stock, "seed {}: oversold: {sold} of {stock}, {want:?}", self.course.seed);
        }
        if self.answered(number, Ending::Served { by }) == Stage::Waits {
            self.sold_in_time += order.wants.iter().map(|want| want.units).sum::<u64>();
        }
    }

    fn refused<C: Contender>(&mut self, number: usize, verdict: Verdict, contender: &C) {
        if self.answered(number, Ending::Refused(verdict)) == Stage::GaveUp {
            return;
        }
        let order = &self.course.orders[number];
        let is_unsold =
            |item: usize| self.course.stock[item].iter().sum::<u64>() > self.books(item, contender);
        let all_unsold = order.wants.iter().all(|want| is_unsold(want.item));
        self.outcome.orders[number].wrong = verdict == Verdict::SoldOut && all_unsold;
        self.outcome.orders[number].avoidable = self.is_avoidable(order, contender);
    }

    /// Units of the item that are sold: by the nodes' own books, or as buyers were told.
    fn books<C: Contender>(&self, item: usize, contender: &C) -> u64 {
        contender.sold(item).unwrap_or(self.sold[item])
    }

    /// Notes an answer, and gives the order's stage before it.
    fn answered(&mut self, number: usize, ending: Ending) -> Stage {
        let before = std::mem::replace(&mut self.stages[number], Stage::Answered);
        assert!(
            matches!(before, Stage::Waits | Stage::GaveUp),
            "order {number} is answered while {before:?}"
        );
        if before == Stage::Waits {
            self.end(number, ending);
        }
        before
    }

    fn end(&mut self, number: usize, ending: Ending) {
        let waited = self.now.since(self.course.orders[number].at);
        self.outcome.orders[number] = OrderOutcome { ending, waited, ..OrderOutcome::NOT_ASKED };
    }

    /// No answer in time.
    fn late<C: Contender>(&mut self, number: usize, contender: &C) {
        self.stages[number] = Stage::GaveUp;
        self.end(number, Ending::Late);
        self.outcome.orders[number].avoidable = self.is_avoidable(&self.course.orders[number], contender);
    }

    /// Whether all that was wanted was free, line by line, at the nodes that could have been asked in
    /// time: the node itself, and those within a round trip whose paths were whole since the buyer
    /// came. Units that were on their way count for nobody.
    fn is_avoidable<C: Contender>(&self, order: &Order, contender: &C) -> bool {
        let (at, course) = (order.node, self.course);
        let is_near = |node: usize| {
            let round_trip = course.delay(at, node).0 + course.delay(node, at).0;
            round_trip <= order.patience.0
                && !self.nodes[node].dead
                && self.links.whole_since(order.at, at, node)
        };
        if self.nodes[at].dead {
            return false;
        }
        let near: Vec<usize> = (0..course.nodes()).filter(|&node| node == at || is_near(node)).collect();
        let free = |item| near.iter().map(|&node| contender.free(node, item)).sum::<u64>();
        order.wants.iter().all(|want| free(want.item) >= want.units)
    }

    fn finish<C: Contender>(mut self, contender: &C) -> Outcome {
        self.now = self.course.end;
        for number in 0..self.stages.len() {
            if self.stages[number] == Stage::Waits {
                self.late(number, contender);
            }
        }
        let sold: u64 = (0..self.course.items()).map(|item| self.books(item, contender)).sum();
        self.outcome.units_sold_late = sold.saturating_sub(self.sold_in_time);
        let nodes = 0..self.course.nodes();
        let lost = |node: &usize| {
            self.nodes[*node].dead
                || nodes.clone().all(|other| other == *node || !self.links.passes(*node, other))
        };
        let free = |node| (0..self.course.items()).map(move |item| contender.free(node, item)).sum::<u64>();
        self.outcome.units_stranded =
            if self.course.nodes() > 1 { nodes.clone().filter(lost).map(free).sum() } else { 0 };
        self.outcome
    }
}
