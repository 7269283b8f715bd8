//! Clients: shops that reserve, confirm, cancel and sell at some node, retry what was not
//! answered, there or elsewhere, and now and then go silent; and admins who receive, write off,
//! move and set items.

use std::collections::BTreeMap;
use std::rc::Rc;

use stockade::types::{
    Answer, Autonomy, Caller, Command, IdempotencyKey, ImportLine, Launch, Line, Millis, Movement, NodeName,
    Operation, Outcome, Policy, Put, Quota, Rebalance, Request, ReservationId, ReservationState, Sell, Sku,
    Transfer, Units,
};

use crate::dice::{Dice, Stream};
use crate::plan::Plan;
use crate::time::{Span, Time, wall_clock};

/// Where nearly everybody wants one item, so many in a thousand do.
const HOT: u64 = 900;
/// Where holds expire together, they do so at multiples of this.
const TOGETHER: Span = Span::seconds(4);
/// Orders a client remembers.
const ORDERS: usize = 12;

pub fn sku(n: usize) -> Sku {
    Sku::new(&format!("item-{n}")).expect("a valid sku")
}

pub fn node(n: usize) -> NodeName {
    NodeName::new(&format!("n-{n}")).expect("a valid name")
}

/// The number in a node's name.
pub fn node_number(name: &NodeName) -> usize {
    name.as_str().strip_prefix("n-").and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn reservation_id(text: &str) -> ReservationId {
    ReservationId::new(text).expect("a valid id")
}

/// A request on its way to a node.
#[derive(Clone, Debug)]
pub struct Sending {
    pub node: usize,
    pub request: Rc<Request>,
    /// Another request went under its key before.
    pub altered: bool,
}

/// A reservation that a client knows of.
#[derive(Clone, Debug)]
struct Order {
    id: ReservationId,
    node: usize,
    lines: Vec<Line>,
}

/// What a client is about.
#[derive(Debug)]
struct Errand {
    request: Request,
    node: usize,
    altered: bool,
    /// It may be repeated at another node.
    movable: bool,
    tries: u32,
}

#[derive(Debug)]
struct Client {
    home: usize,
    orders: Vec<Order>,
    errand: Option<Errand>,
    /// A movement that was done, to try its key with another body.
    done: Option<(Request, usize)>,
    serial: u64,
}

#[derive(Debug)]
pub struct Workload {
    clients: Vec<Client>,
    dice: Dice,
    hosts: usize,
    items: usize,
    most_units: u64,
    quotas: bool,
    dials: bool,
    hot_item: bool,
    mass_expiry: bool,
    now: Time,
    attempts: u64,
}

impl Workload {
    pub fn new(plan: &Plan) -> Workload {
        let mut dice = Dice::new(plan.seed, Stream::Clients);
        let client = |_| Client {
            home: dice.place(plan.hosts),
            orders: Vec::new(),
            errand: None,
            done: None,
            serial: 0,
        };
        Workload {
            clients: (0..plan.clients).map(client).collect(),
            dice,
            hosts: plan.hosts,
            items: plan.items,
            most_units: plan.most_units,
            quotas: plan.quotas,
            dials: plan.autonomy != Autonomy::All,
            hot_item: plan.hot_item,
            mass_expiry: plan.mass_expiry,
            now: Time::ZERO,
            attempts: 0,
        }
    }

    /// How long a client waits for an answer.
    pub fn patience(&mut self) -> Span {
        Span::millis(self.dice.between(300, 8_000))
    }

    pub fn pause(&mut self, typical: Span) -> Span {
        Span(self.dice.tailed(typical.0))
    }

    /// A client's next request.
    pub fn next(&mut self, client: usize, now: Time) -> Sending {
        self.now = now;
        let errand = self.errand(client);
        self.clients[client].errand = Some(errand);
        self.attempt(client)
    }

    /// No answer came: tries again, or gives up and never learns.
    pub fn again(&mut self, client: usize) -> Option<Sending> {
        let give_up = self.dice.chance(150);
        let elsewhere = self.dice.chance(300);
        let other = self.dice.place(self.hosts);
        let errand = self.clients[client].errand.as_mut()?;
        errand.tries += 1;
        if give_up || errand.tries > 5 {
            self.clients[client].errand = None;
            return None;
        }
        if elsewhere && errand.movable && other != errand.node {
            errand.node = other;
            if let Command::Put(put) = &mut errand.request.command {
                put.retry = true;
            }
        }
        Some(self.attempt(client))
    }

    /// The request as it is sent now: ids that servers make up are new each time.
    fn attempt(&mut self, client: usize) -> Sending {
        self.attempts += 1;
        let minted = reservation_id(&format!("m{}", self.attempts));
        let errand = self.clients[client].errand.as_mut().expect("an attempt has an errand");
        match &mut errand.request.command {
            Command::Put(put) if put.minted => put.id = minted,
            Command::Sell(sell) if sell.minted => sell.id = minted,
            _ => {}
        }
        Sending { node: errand.node, request: Rc::new(errand.request.clone()), altered: errand.altered }
    }

    /// An answer came in time.
    pub fn answered(&mut self, client: usize, outcome: &Outcome) {
        let client = &mut self.clients[client];
        let Some(errand) = client.errand.take() else { return };
        match outcome {
            Ok(Answer::Reservation(claimed)) => {
                let reservation = &claimed.reservation;
                client.orders.retain(|order| order.id != reservation.id);
                let forget = reservation.state != ReservationState::Held && !client.serial.is_multiple_of(4);
                if !forget {
                    let node = node_number(&claimed.node);
                    let (id, lines) = (reservation.id.clone(), reservation.lines.clone());
                    client.orders.push(Order { id, node, lines });
                }
                if client.orders.len() > ORDERS {
                    client.orders.remove(0);
                }
            }
            Ok(Answer::Books { .. } | Answer::Returned { .. }) if !errand.altered => {
                let local = matches!(errand.request.command, Command::Receive(_) | Command::Return(_));
                if local {
                    client.done = Some((errand.request, errand.node));
                }
            }
            _ => {}
        }
    }

    fn lines(&mut self) -> Vec<Line> {
        let count = self.dice.between(1, 3).min(self.items as u64);
        let first = self.item();
        let quantity =
            |dice: &mut Dice| if dice.chance(100) { dice.between(1, 12) } else { dice.between(1, 3) };
        let line = |n: usize, dice: &mut Dice| Line {
            sku: sku((first + n) % self.items),
            quantity: Units(quantity(dice)),
        };
        (0..count as usize).map(|n| line(n, &mut self.dice)).collect()
    }

    fn item(&mut self) -> usize {
        if self.hot_item && self.dice.chance(HOT) { 0 } else { self.dice.place(self.items) }
    }

    fn ttl(&mut self) -> Millis {
        if self.mass_expiry {
            return Millis((TOGETHER.0 - self.now.0 % TOGETHER.0) / 1_000 + 500);
        }
        Millis(self.dice.between(500, 20_000))
    }

    fn wait(&mut self) -> Millis {
        Millis([0, 100, 500, 500, 2_000][self.dice.place(5)])
    }

    fn movement(&mut self, most: u64) -> Movement {
        let sku = sku(self.item());
        Movement { sku, quantity: Units(self.dice.between(1, most)), reason: None, reference: None }
    }

    fn errand(&mut self, client: usize) -> Errand {
        self.clients[client].serial += 1;
        let serial = self.clients[client].serial;
        let new = reservation_id(&format!("c{client}-{serial}"));
        let order = match self.clients[client].orders.len() {
            0 => None,
            count => Some(self.clients[client].orders[self.dice.place(count)].clone()),
        };
        let (lines, ttl, wait) = (self.lines(), self.ttl(), self.wait());
        let if_match = if self.dice.chance(50) { Some(self.dice.between(1, 2)) } else { None };
        let put = Put { id: new.clone(), lines, ttl, wait, if_match: None, retry: false, minted: false };
        let (mut keyed, mut movable) = (self.dice.chance(200), true);
        let mut command = match (self.dice.below(100), order.clone()) {
            (0..30, _) => Command::Put(put),
            (30..35, _) => {
                (keyed, movable) = (true, false);
                Command::Put(Put { minted: true, ..put })
            }
            (35..55, Some(order)) => Command::Confirm { id: order.id, if_match, wait },
            (55..64, Some(order)) => Command::Cancel { id: order.id },
            (64..67, Some(order)) => Command::Extend { id: order.id, ttl },
            (67..71, Some(order)) => Command::Put(Put { id: order.id, if_match, ..put }),
            (71..73, Some(order)) => Command::Put(Put { id: order.id, lines: order.lines, ..put }),
            (73..76, Some(order)) => {
                keyed = false;
                Command::Read { id: order.id }
            }
            (76..86, _) => {
                (keyed, movable) = (true, false);
                Command::Sell(Sell { id: new, lines: put.lines, wait, reference: None, minted: true })
            }
            (86..89, order) => {
                movable = false;
                self.batch(put, order)
            }
            (89..91, _) => {
                (keyed, movable) = (true, false);
                Command::Return(self.movement(3))
            }
            (91..92, _) => {
                (keyed, movable) = (false, false);
                self.import(client, serial)
            }
            (92..94, _) => {
                (keyed, movable) = (true, false);
                Command::Receive(self.movement(self.most_units.min(10)))
            }
            (94..95, _) => {
                (keyed, movable) = (true, false);
                Command::WriteOff(self.movement(3))
            }
            (95..97, _) => {
                (keyed, movable) = (true, false);
                self.transfer()
            }
            (97..98, _) if self.dice.chance(400) => {
                let node = node(self.dice.place(self.hosts));
                Command::SetDraining { node, draining: self.dice.chance(400) }
            }
            (97..98, _) if self.dice.chance(300) => {
                (keyed, movable) = (false, false);
                rebalance(self.items, &mut self.dice)
            }
            (97..98, _) => Command::SetItem { sku: sku(self.dice.place(self.items)), policy: self.policy() },
            (98.., _) => match self.clients[client].done.take() {
                Some((request, node)) => return self.altered(request, node),
                None => Command::Put(put),
            },
            _ => Command::Put(put),
        };
        let key = keyed.then(|| IdempotencyKey {
            scope: format!("POST /{}", name_of(&command)),
            key: format!("k{client}-{serial}"),
        });
        let home = self.clients[client].home;
        let node = match &order {
            Some(order) if touches(&command, &order.id) && self.dice.chance(800) => order.node,
            _ if self.dice.chance(850) => home,
            _ => self.dice.place(self.hosts),
        };
        // An id that went to one node goes to another as a retry: that is what the API asks for.
        if let (Command::Put(put), Some(order)) = (&mut command, &order) {
            put.retry = put.id == order.id && node != order.node;
        }
        Errand {
            request: Request { command, key, caller: Caller::Storefront },
            node,
            altered: false,
            movable,
            tries: 0,
        }
    }

    fn batch(&mut self, put: Put, order: Option<Order>) -> Command {
        let wait = Millis(0);
        // Now and then what was just held is sold.
        let id = match self.dice.chance(200) {
            true => put.id.clone(),
            false => reservation_id(&format!("{}-b", put.id)),
        };
        let sell = Sell { id, lines: self.lines(), wait, reference: None, minted: false };
        let put = Put { wait, ..put };
        let mut operations = vec![Operation::Reserve(put.clone())];
        if self.dice.chance(500) {
            operations.push(Operation::Confirm { id: put.id });
        }
        operations.push(Operation::Sell(sell));
        if let Some(order) = order {
            let confirm = self.dice.chance(500);
            let id = order.id;
            operations.push(if confirm { Operation::Confirm { id } } else { Operation::Cancel { id } });
        }
        Command::Batch(operations)
    }

    fn import(&mut self, client: usize, serial: u64) -> Command {
        let movement = self.movement(self.most_units.min(10));
        let quantity = self.dice.chance(800).then_some(movement.quantity);
        let line = ImportLine { sku: movement.sku, name: Some("Imported".into()), quantity, repeat: 0 };
        let again = ImportLine { repeat: 1, ..line.clone() };
        Command::Import { key: Some(format!("i{client}-{serial}")), lines: vec![line, again] }
    }

    fn transfer(&mut self) -> Command {
        let from = self.dice.place(self.hosts);
        let to = (from + 1 + self.dice.place(self.hosts - 1)) % self.hosts;
        let movement = self.movement(5);
        let (from, to) = (node(from), node(to));
        Command::Transfer(Transfer {
            sku: movement.sku,
            from,
            to,
            quantity: movement.quantity,
            reference: None,
        })
    }

    pub fn policy(&mut self) -> Policy {
        let mut policy = Policy::default();
        if self.dials && self.dice.chance(400) {
            policy.autonomy = Some(crate::plan::autonomy(&mut self.dice));
        }
        if !self.quotas {
            return policy;
        }
        if self.dice.chance(200) {
            policy.max_per_order = Some(Units(self.dice.between(1, 4)));
        }
        if self.dice.chance(100) {
            policy.rebalance = Rebalance::Manual;
        }
        policy.quotas = quotas(self.hosts, &mut self.dice);
        policy.launch = self.dice.chance(300).then(|| launch(self.now, self.hosts, &mut self.dice));
        policy
    }

    /// A used key with another body.
    fn altered(&mut self, mut request: Request, node: usize) -> Errand {
        if let Command::Receive(movement) | Command::Return(movement) = &mut request.command {
            movement.quantity.0 += 1;
        }
        Errand { request, node, altered: true, movable: false, tries: 0 }
    }
}

/// Quotas of some hosts.
pub fn quotas(hosts: usize, dice: &mut Dice) -> BTreeMap<NodeName, Quota> {
    let mut quotas = BTreeMap::new();
    for n in 0..hosts {
        if dice.chance(300) {
            let units = |dice: &mut Dice| dice.chance(400).then(|| Units(dice.between(0, 8)));
            let (one, other) = (units(dice), units(dice));
            // A minimum above the maximum is refused.
            let swap = one.zip(other).is_some_and(|(one, other)| one > other);
            let (min, max) = if swap { (other, one) } else { (one, other) };
            let weight = dice.chance(400).then(|| dice.between(0, 5));
            let pinned = dice.chance(100).then_some(Units(2));
            quotas.insert(node(n), Quota { weight, min, max, pinned });
        }
    }
    quotas
}

/// What an admin expects of some hosts, of some of them nothing; right or wrong.
pub fn launch(now: Time, hosts: usize, dice: &mut Dice) -> Launch {
    let until = wall_clock(now).after(Millis::from_secs(dice.between(1, 60)));
    let mut expected = BTreeMap::new();
    for n in 0..hosts {
        if dice.chance(600) {
            let units = if dice.chance(200) { 0 } else { dice.between(1, 40) };
            expected.insert(node(n), Units(units));
        }
    }
    Launch { until, expected }
}

/// What the policy would move, or is to move now: of all items or one, from the first or from another
/// on, with few moves told at once or many.
pub fn rebalance(items: usize, dice: &mut Dice) -> Command {
    let sku = dice.chance(400).then(|| sku(dice.place(items)));
    let after = dice.chance(300).then(|| self::sku(dice.place(items)));
    let limit = [1, 3, 1_000][dice.place(3)];
    Command::Rebalance { sku, dry_run: dice.chance(500), after, limit }
}

fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Put(_) => "reservations",
        Command::Confirm { .. } => "confirm",
        Command::Cancel { .. } => "cancel",
        Command::Extend { .. } => "extend",
        Command::Sell(_) => "sales",
        Command::Batch(_) => "batch",
        Command::Return(_) => "returns",
        Command::SetItem { .. } => "items",
        Command::Receive(_) => "receipts",
        Command::WriteOff(_) => "write-offs",
        Command::Transfer(_) => "transfers",
        Command::Import { .. } => "import",
        Command::SetDraining { .. } => "drain",
        _ => "reads",
    }
}

fn touches(command: &Command, order: &ReservationId) -> bool {
    reservations_of(command).contains(&order)
}

/// The reservations a command is about.
pub fn reservations_of(command: &Command) -> Vec<&ReservationId> {
    match command {
        Command::Put(put) => vec![&put.id],
        Command::Sell(sell) => vec![&sell.id],
        Command::Confirm { id, .. }
        | Command::Cancel { id }
        | Command::Extend { id, .. }
        | Command::Read { id } => vec![id],
        Command::Batch(operations) => operations.iter().map(reservation_of).collect(),
        _ => Vec::new(),
    }
}

pub fn reservation_of(operation: &Operation) -> &ReservationId {
    match operation {
        Operation::Reserve(put) => &put.id,
        Operation::Confirm { id } | Operation::Cancel { id } => id,
        Operation::Sell(sell) => &sell.id,
    }
}
