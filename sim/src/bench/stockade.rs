//! The contender that counts: the replica that ships, one at each node, on disks that never fail.
//!
//! Records are durable at once, so what a step decides leaves in the same instant. Before time 0
//! all nodes are linked, the items are set, and each node gets its stock as an admin's delivery;
//! no buyer has come by then, so no node knows of any demand.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use stockade::limits::Limits;
use stockade::replica::{Barrier, Effects, Evidence, Input, Output, Replica, Token};
use stockade::types::{
    Answer, Caller, Cell, ClusterId, Command, Line, Millis, Movement, NodeName, Outcome, Policy, Refusal,
    Region, ReplicaId, Request, ReservationId, Sell, Sku, Timestamp, Units, Verdict,
};
use stockade::wire::{Genesis, Member, Message, Record, codec};
use uuid::Uuid;

use super::{Act, Contender, Course, Order};
use crate::time::{Span, Time};

/// Ledger time at time 0.
const BASE: Timestamp = Timestamp(1_700_000_000_000);
/// The nodes start so long before. Longer than they take to greet each other.
const WARM_UP: Millis = Millis(10_000);
/// Until every node knows the items that one was told of.
const SPREAD: Millis = Millis(1_000);
/// Bytes before each message in a link's stream, and the version byte that begins it.
const FRAME: usize = 4 + 1;
/// Tokens of the set-up's requests; those of orders are their numbers.
const SET_UP: Token = Token(u64::MAX);

/// All nodes of a cluster.
#[derive(Debug)]
pub struct Stockade {
    nodes: Vec<Node>,
    skus: Vec<Sku>,
    items: BTreeMap<Sku, usize>,
    names: BTreeMap<NodeName, usize>,
    replicas: BTreeMap<ReplicaId, usize>,
    /// Round trip by `from * nodes + to`.
    round_trips: Vec<Millis>,
}

#[derive(Debug)]
struct Node {
    name: NodeName,
    replica: Replica,
    effects: Effects,
    barrier: Barrier,
    /// Units of each item that are free here, and that were sold here.
    free: Vec<u64>,
    sold: Vec<u64>,
    /// Links whose round trip the replica was not told since they came up: it must hear of the
    /// other side first.
    unmeasured: Vec<bool>,
}

type Acts = Vec<Act<Rc<Message>>>;
/// What nodes did, each with who.
type Said = VecDeque<(usize, Act<Rc<Message>>)>;

impl Stockade {
    /// Nodes that know each other and hold the course's stock, as of time 0.
    pub fn new(course: &Course) -> Stockade {
        let founders: Vec<Member> = course.regions.iter().enumerate().map(member).collect();
        let skus: Vec<Sku> = (0..course.items()).map(sku).collect();
        let pairs = (0..course.nodes()).flat_map(|a| (0..course.nodes()).map(move |b| (a, b)));
        let round_trip = |(a, b)| Millis((course.delay(a, b).0 + course.delay(b, a).0).div_ceil(1_000));
        let mut all = Stockade {
            nodes: (0..course.nodes()).map(|at| Node::new(at, &founders, skus.len())).collect(),
            items: skus.iter().cloned().zip(0..).collect(),
            names: founders.iter().map(|member| member.name.clone()).zip(0..).collect(),
            replicas: founders.iter().map(|member| member.replica).zip(0..).collect(),
            round_trips: pairs.map(round_trip).collect(),
            skus,
        };
        all.set_up(course);
        all
    }

    /// The time before time 0, in which messages take no time.
    fn set_up(&mut self, course: &Course) {
        let mut acts = Said::new();
        let (start, stocking) = (BASE.before(WARM_UP), BASE.before(Millis(WARM_UP.0 / 2)));
        for at in 0..self.nodes.len() {
            let nonce = course.seed ^ (at as u64 + 1);
            let input = Input::Start { nonce, evidence: Evidence::Proven };
            self.set_up_step(start, at, input, &mut acts);
        }
        self.set_up_links(start, true, &mut acts);
        self.settle(start, stocking, &mut acts);
        for item in 0..course.items() {
            let sku = self.skus[item].clone();
            let set = Command::SetItem { sku: sku.clone(), policy: Policy::default() };
            self.set_up_step(stocking, 0, by_admin(set), &mut acts);
        }
        let stocking = self.settle(stocking, stocking.after(SPREAD), &mut acts);
        for (item, at) in (0..course.items()).flat_map(|item| (0..course.nodes()).map(move |at| (item, at))) {
            let (sku, quantity) = (self.skus[item].clone(), Units(course.stock[item][at]));
            let movement = Movement { sku, quantity, reason: None, reference: None };
            if !quantity.is_zero() {
                self.set_up_step(stocking, at, by_admin(Command::Receive(movement)), &mut acts);
            }
        }
        let end = self.settle(stocking, BASE.before(Millis(1)), &mut acts);
        self.set_up_links(end, false, &mut acts);
        for (item, stock) in course.stock.iter().enumerate() {
            let free = self.nodes.iter().map(|node| node.free[item]);
            assert!(free.eq(stock.iter().copied()), "{} lies where the course has it", self.skus[item]);
        }
    }

    fn set_up_links(&mut self, now: Timestamp, up: bool, acts: &mut Said) {
        let nodes = self.nodes.len();
        for (at, to) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            let input = self.link_input(at, to, up);
            self.set_up_step(now, at, input, acts);
        }
    }

    fn set_up_step(&mut self, now: Timestamp, at: usize, input: Input, acts: &mut Said) {
        let mut new = Vec::new();
        self.step(now, at, input, &mut new);
        acts.extend(new.into_iter().map(|act| (at, act)));
    }

    /// Delivers what is said, at once, and ticks until then, which it gives back.
    fn settle(&mut self, from: Timestamp, until: Timestamp, acts: &mut Said) -> Timestamp {
        let mut now = from;
        loop {
            while let Some((from, act)) = acts.pop_front() {
                let Act::Send { to, message } = act else { unreachable!("nothing but talk in the set-up") };
                let mut new = Vec::new();
                self.hear(now, to, from, message, &mut new);
                acts.extend(new.into_iter().map(|act| (to, act)));
            }
            let due = |(at, node): (usize, &Node)| node.replica.next_deadline().map(|due| (due, at));
            match self.nodes.iter().enumerate().filter_map(due).min() {
                Some((due, at)) if due <= until => {
                    now = due.max(now);
                    self.set_up_step(now, at, Input::Tick, acts);
                }
                _ => return until,
            }
        }
    }

    fn link_input(&mut self, at: usize, to: usize, up: bool) -> Input {
        let node = self.nodes[to].name.clone();
        self.nodes[at].unmeasured[to] = up;
        if up { Input::LinkUp { node } } else { Input::LinkDown { node } }
    }

    fn hear(&mut self, now: Timestamp, at: usize, from: usize, message: Rc<Message>, acts: &mut Acts) {
        let node = self.nodes[from].name.clone();
        let message = Rc::unwrap_or_clone(message);
        self.step(now, at, Input::Message { node: node.clone(), message }, acts);
        if std::mem::take(&mut self.nodes[at].unmeasured[from]) {
            let time = self.round_trips[at * self.nodes.len() + from];
            self.step(now, at, Input::RoundTrip { node, time }, acts);
        }
    }

    /// One step of a replica, and what it led to.
    fn step(&mut self, now: Timestamp, at: usize, input: Input, acts: &mut Acts) {
        let node = &mut self.nodes[at];
        node.replica.handle(now, input, &mut node.effects);
        for record in node.effects.take_records() {
            self.recorded(at, &record, acts);
        }
        let node = &mut self.nodes[at];
        node.barrier.hold(node.effects.take_outputs());
        node.barrier.durable(node.replica.position());
        while let Some(output) = self.nodes[at].barrier.release() {
            self.put_out(at, output, acts);
        }
    }

    fn recorded(&mut self, at: usize, record: &Record, acts: &mut Acts) {
        let Record::Change(change) = record else { return };
        for raise in &change.rows {
            let item = self.items[&raise.sku];
            for cell in &raise.cells {
                match cell.new.cell {
                    Cell::Sent(to) => {
                        let to = self.replicas[&to];
                        acts.push(Act::Moved { item, to, units: cell.by.0 });
                    }
                    Cell::Sold => self.nodes[at].sold[item] = cell.new.value,
                    _ => {}
                }
            }
        }
    }

    fn put_out(&mut self, at: usize, output: Output, acts: &mut Acts) {
        match output {
            Output::Send { node, message } => {
                acts.push(Act::Send { to: self.names[&node], message: Rc::new(message) });
            }
            Output::Reply { token: SET_UP, reply } => {
                reply.outcome.expect("the set-up has no reason to be refused");
            }
            Output::Reply { token, reply } => {
                let order = usize::try_from(token.0).expect("a token is an order's number");
                acts.push(self.answer(order, &reply.outcome));
            }
            Output::View(view) => {
                if let Some(item) = self.items.get(&view.sku) {
                    self.nodes[at].free[*item] = view.here.0;
                }
            }
            Output::RolledBack(text) | Output::Alarm(text) => panic!("{}: {text}", self.nodes[at].name),
            Output::Heard(_) | Output::Awaits(_) | Output::Ready | Output::Draining(_) => {}
        }
    }

    fn answer(&self, order: usize, outcome: &Outcome) -> Act<Rc<Message>> {
        match outcome {
            Ok(Answer::Reservation(claimed)) => Act::Serve { order, by: self.names[&claimed.node] },
            Err(Refusal::InsufficientStock(lines)) => {
                let is_sold_out = lines.iter().any(|line| line.verdict == Verdict::SoldOut);
                let is_elsewhere = lines.iter().all(|line| line.verdict == Verdict::Elsewhere);
                let verdict = match (is_sold_out, is_elsewhere) {
                    (true, _) => Verdict::SoldOut,
                    (false, true) => Verdict::Elsewhere,
                    (false, false) => Verdict::Unknown,
                };
                Act::Refuse { order, verdict }
            }
            // A node that cannot tell whether another sold, or that has no room: no proof of anything.
            Err(_) => Act::Refuse { order, verdict: Verdict::Unknown },
            Ok(other) => panic!("order {order} is answered with {other:?}"),
        }
    }
}

impl Contender for Stockade {
    type Message = Rc<Message>;

    fn name(&self) -> &'static str {
        "stockade"
    }

    fn link(&mut self, now: Time, at: usize, to: usize, up: bool, acts: &mut Acts) {
        let input = self.link_input(at, to, up);
        self.step(ledger(now), at, input, acts);
    }

    fn order(&mut self, now: Time, number: usize, order: &Order, acts: &mut Acts) {
        let line =
            |want: &super::Want| Line { sku: self.skus[want.item].clone(), quantity: Units(want.units) };
        let sell = Sell {
            id: ReservationId::new(&format!("order-{number}")).expect("a valid id"),
            lines: order.wants.iter().map(line).collect(),
            wait: Millis(order.patience.0 / 1_000),
            reference: None,
            minted: true,
        };
        let request = Request::plain(Command::Sell(sell));
        self.step(ledger(now), order.node, Input::Request { token: Token(number as u64), request }, acts);
    }

    fn message(&mut self, now: Time, at: usize, from: usize, message: Rc<Message>, acts: &mut Acts) {
        self.hear(ledger(now), at, from, message, acts);
    }

    fn tick(&mut self, now: Time, at: usize, acts: &mut Acts) {
        self.step(ledger(now), at, Input::Tick, acts);
    }

    fn next_tick(&self, at: usize) -> Option<Time> {
        let due = self.nodes[at].replica.next_deadline()?;
        Some(Time::ZERO.after(Span::millis(due.since(BASE).0)))
    }

    fn bytes(&self, message: &Rc<Message>) -> usize {
        FRAME + codec::encoded_len(message.as_ref())
    }

    fn free(&self, at: usize, item: usize) -> u64 {
        self.nodes[at].free[item]
    }

    fn dies(&mut self, _at: usize) {}

    fn sold(&self, item: usize) -> Option<u64> {
        Some(self.nodes.iter().map(|node| node.sold[item]).sum())
    }
}

impl Node {
    fn new(at: usize, founders: &[Member], items: usize) -> Node {
        let me = &founders[at];
        let genesis = Genesis {
            cluster: ClusterId(Uuid::from_u128(1)),
            replica: me.replica,
            name: me.name.clone(),
            region: me.region.clone(),
            founders: founders.to_vec(),
        };
        Node {
            name: me.name.clone(),
            replica: Replica::new(genesis, Limits::default()),
            effects: Effects::default(),
            barrier: Barrier::default(),
            free: vec![0; items],
            sold: vec![0; items],
            unmeasured: vec![false; founders.len()],
        }
    }
}

/// Ledger time, in whole milliseconds: never ahead, so a deadline in it is met in time.
fn ledger(now: Time) -> Timestamp {
    BASE.after(Millis(now.0 / 1_000))
}

fn member((number, region): (usize, &String)) -> Member {
    Member {
        replica: ReplicaId(Uuid::from_u128(number as u128 + 1)),
        name: NodeName::new(region).expect("a region's name is a node's"),
        region: Region::new(region).expect("a valid region"),
    }
}

fn sku(item: usize) -> Sku {
    Sku::new(&format!("item-{item:05}")).expect("a valid sku")
}

fn by_admin(command: Command) -> Input {
    Input::Request { token: SET_UP, request: Request { command, key: None, caller: Caller::Admin } }
}

#[cfg(test)]
mod tests {
    use super::super::measure::{Ending, Outcome};
    use super::super::workload::{Faults, Shape};
    use super::super::{Death, Want};
    use super::*;
    use crate::bench::arena;
    use crate::bench::measure::Measures;
    use crate::bench::workload::Spec;

    fn spec(shape: Shape, units: u64, faults: Faults) -> Spec {
        Spec { seed: 5, shape, ratio: 0.9, units, patience: Span::seconds(1), faults }
    }

    fn play(course: &Course) -> (Outcome, Stockade) {
        let mut stockade = Stockade::new(course);
        let outcome = arena::play(course, &mut stockade);
        (outcome, stockade)
    }

    /// Two nodes, 40 ms apart; all units at the second, all buyers at the first.
    fn far_stock(buyers: u64, units: u64, patience: Span) -> Course {
        let wants = vec![Want { item: 0, units: 1 }];
        let order = |n| Order { at: Time(n * 1_000_777), node: 0, wants: wants.clone(), patience };
        Course {
            seed: 1,
            regions: vec!["virginia".into(), "sao-paulo".into()],
            delays: [0, 40, 40, 0].map(Span::millis).to_vec(),
            stock: vec![vec![0, units]],
            orders: (1..=buyers).map(order).collect(),
            cuts: Vec::new(),
            deaths: Vec::new(),
            end: Time::ZERO.after(Span::seconds(buyers + 20)),
        }
    }

    #[test]
    fn buyers_who_wait_get_all_there_is_and_no_more() {
        let (outcome, stockade) = play(&far_stock(9, 7, Span::seconds(1)));
        let served = outcome.orders.iter().filter(|order| matches!(order.ending, Ending::Served { .. }));
        assert_eq!(served.count(), 7);
        let last = outcome.orders.last().unwrap();
        assert_eq!((last.ending, last.wrong), (Ending::Refused(Verdict::SoldOut), false));
        assert_eq!(outcome.orders[0].waited, Span::millis(80), "a round trip, and nothing else");
        assert!(outcome.transfers > 0 && outcome.bytes > outcome.messages * FRAME as u64);
        assert_eq!((stockade.sold(0), stockade.free(0, 0) + stockade.free(1, 0)), (Some(7), 0));
    }

    #[test]
    fn nothing_is_known_of_demand_before_the_first_buyer() {
        let mut course = far_stock(1, 7, Span::seconds(1));
        course.orders.clear();
        let (outcome, stockade) = play(&course);
        assert_eq!(outcome.transfers, 0, "nobody asked, so nothing moves");
        assert!(outcome.messages > 0);
        assert!(
            stockade
                .nodes
                .iter()
                .flat_map(|node| node.replica.rows())
                .all(|(_, _, row)| row.demand == ::stockade::types::Gauge::default())
        );
    }

    #[test]
    fn who_does_not_wait_is_answered_at_once() {
        let (outcome, _) = play(&far_stock(1, 7, Span(0)));
        let first = &outcome.orders[0];
        assert!(matches!(first.ending, Ending::Refused(Verdict::Elsewhere | Verdict::Unknown)), "{first:?}");
        assert!(!first.avoidable);
    }

    #[test]
    fn a_connected_cluster_serves_what_exists() {
        let mut transfers = 0;
        for (shape, units) in [(Shape::Steady, 100), (Shape::Flash, 100), (Shape::Shifting, 5)] {
            let course = spec(shape, units, Faults::Connected).course();
            let (outcome, stockade) = play(&course);
            let sum = Measures::of(&course, &outcome);
            let mut wanted = vec![0; course.items()];
            course.orders.iter().for_each(|order| wanted[order.wants[0].item] += 1);
            let most: u64 = wanted.iter().map(|wanted| units.min(*wanted)).sum();
            assert_eq!(sum.served, most, "{shape:?}: {sum:?}");
            assert_eq!((sum.late, sum.wrong, sum.units_sold_late), (0, 0, 0), "{shape:?}");
            assert!(sum.served_local > 0, "{shape:?}");
            transfers += sum.transfers;
            check_books(&course, &stockade, &sum);
        }
        assert!(transfers > 0, "some sales need none, as their orders are sent to where units are");
    }

    /// What the contender says of its replicas is what they say.
    fn check_books(course: &Course, stockade: &Stockade, sum: &Measures) {
        let mut sold = 0;
        for (at, node) in stockade.nodes.iter().enumerate() {
            let me = node.replica.replica_id();
            for (sku, _, row) in node.replica.rows().filter(|(_, owner, _)| *owner == me) {
                assert_eq!(stockade.free(at, stockade.items[sku]), row.available().0);
                sold += row.count(Cell::Sold).0;
            }
            assert_eq!(node.replica.check().violations, []);
        }
        assert_eq!(sold, sum.units_served + sum.units_sold_late);
        assert_eq!(sold, (0..course.items()).filter_map(|item| stockade.sold(item)).sum::<u64>());
    }

    #[test]
    fn the_same_course_ends_the_same() {
        for faults in [Faults::Flapping, Faults::Partitioned30, Faults::RegionDead] {
            let course = spec(Shape::Baskets, 20, faults).course();
            let (one, stockade) = play(&course);
            assert_eq!(one, play(&course).0);
            let sum = Measures::of(&course, &one);
            assert_eq!(sum.wrong, 0, "{faults:?}");
            assert!(sum.served * 2 > sum.asked, "{faults:?}: {sum:?}");
            if faults != Faults::RegionDead {
                check_books(&course, &stockade, &sum);
            }
        }
    }

    #[test]
    fn a_dead_node_takes_its_units_along_and_nobody_says_sold_out() {
        let mut course = far_stock(30, 20, Span::seconds(1));
        course.stock[0] = vec![3, 20];
        course.deaths = vec![Death { node: 1, at: Time::ZERO.after(Span::seconds(5)) }];
        let (outcome, _) = play(&course);
        let sum = Measures::of(&course, &outcome);
        assert_eq!((sum.refused_sold_out, sum.wrong, sum.late), (0, 0, 0));
        assert!(outcome.units_stranded > 0);
        assert_eq!(sum.served + outcome.units_stranded, 23);
    }
}
