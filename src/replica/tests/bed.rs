//! Replicas under test, their journals, and the messages between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use crate::limits::Limits;
use crate::replica::{Barrier, Cursor, Effects, Evidence, Input, Output, Replica, Token};
use crate::types::*;
use crate::wire::{Batch, Genesis, Member, Message, Record, codec};

pub struct Bed {
    pub now: Timestamp,
    pub hosts: Vec<Host>,
    /// (from, to, message), in order.
    pub wire: VecDeque<(usize, usize, Message)>,
    /// Pairs between which nothing passes.
    pub cut: BTreeSet<(usize, usize)>,
    /// Pairs between which only urgent messages pass.
    pub cut_bulk: BTreeSet<(usize, usize)>,
    pub replies: BTreeMap<u64, Reply>,
    pub alarms: Vec<String>,
    /// Do not check every invariant after every step.
    pub forgiving: bool,
    next_token: u64,
    /// What a start is told of its disk.
    pub evidence: Evidence,
    limits: Limits,
}

pub struct Host {
    pub replica: Replica,
    pub genesis: Genesis,
    /// Encoded batches, as a store would keep them.
    pub journal: Vec<Vec<u8>>,
    pub views: BTreeMap<Sku, ItemView>,
    pub ready: bool,
    pub rolled_back: Option<String>,
    pub awaits: Vec<NodeName>,
    starts: u64,
}

pub fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

pub fn id(name: &str) -> ReservationId {
    ReservationId::new(name).unwrap()
}

pub fn line(name: &str, quantity: u64) -> Line {
    Line { sku: sku(name), quantity: Units(quantity) }
}

pub fn put(name: &str, lines: &[(&str, u64)]) -> Command {
    Command::Put(Put {
        id: id(name),
        lines: lines.iter().map(|(name, quantity)| line(name, *quantity)).collect(),
        ttl: Millis(600_000),
        wait: Millis(500),
        if_match: None,
        retry: false,
        minted: false,
    })
}

pub fn confirm(name: &str) -> Command {
    Command::Confirm { id: id(name), if_match: None, wait: Millis(0) }
}

pub fn cancel(name: &str) -> Command {
    Command::Cancel { id: id(name) }
}

pub fn movement(name: &str, quantity: u64) -> Movement {
    Movement { sku: sku(name), quantity: Units(quantity), reason: None, reference: None }
}

impl Bed {
    /// `count` linked replicas, all started.
    pub fn new(count: usize) -> Bed {
        Bed::with_limits(count, Limits::default())
    }

    pub fn with_limits(count: usize, limits: Limits) -> Bed {
        let mut bed = Bed::strangers(count, limits);
        for a in 0..count {
            for b in 0..a {
                bed.link(a, b);
            }
        }
        bed.run(100);
        bed
    }

    /// Started, and never linked.
    pub fn strangers(count: usize, limits: Limits) -> Bed {
        let member = |n: usize| Member {
            replica: ReplicaId(Uuid::from_u128(n as u128 + 1)),
            name: NodeName::new(&format!("n-{n}")).unwrap(),
            region: Region::new(&format!("r{n}")).unwrap(),
        };
        let founders: Vec<Member> = (0..count).map(member).collect();
        let host = |n: usize| {
            let genesis = Genesis {
                cluster: ClusterId(Uuid::from_u128(99)),
                replica: founders[n].replica,
                name: founders[n].name.clone(),
                region: founders[n].region.clone(),
                founders: founders.clone(),
            };
            Host {
                replica: Replica::new(genesis.clone(), limits),
                genesis,
                journal: Vec::new(),
                views: BTreeMap::new(),
                ready: false,
                rolled_back: None,
                awaits: Vec::new(),
                starts: 0,
            }
        };
        let mut bed = Bed {
            now: Timestamp(1_000_000),
            hosts: (0..count).map(host).collect(),
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            cut_bulk: BTreeSet::new(),
            replies: BTreeMap::new(),
            alarms: Vec::new(),
            forgiving: false,
            next_token: 0,
            evidence: Evidence::Unproven(String::new()),
            limits,
        };
        (0..count).for_each(|n| bed.start(n));
        bed
    }

    fn start(&mut self, n: usize) {
        self.hosts[n].starts += 1;
        let nonce = (n as u64 + 1) * 1_000_000_007 + self.hosts[n].starts * 1_000_003;
        let evidence = self.evidence.clone();
        self.step(n, Input::Start { nonce, evidence });
    }

    pub fn link(&mut self, a: usize, b: usize) {
        let (name_a, name_b) = (self.name(a), self.name(b));
        self.step(a, Input::LinkUp { node: name_b });
        self.step(b, Input::LinkUp { node: name_a });
    }

    pub fn unlink(&mut self, a: usize, b: usize) {
        self.wire.retain(|(from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
        let (name_a, name_b) = (self.name(a), self.name(b));
        self.step(a, Input::LinkDown { node: name_b });
        self.step(b, Input::LinkDown { node: name_a });
    }

    /// Cuts `n` off from everybody.
    pub fn isolate(&mut self, n: usize) {
        (0..self.hosts.len()).filter(|other| *other != n).for_each(|other| self.unlink(n, other));
    }

    pub fn rejoin(&mut self, n: usize) {
        (0..self.hosts.len()).filter(|other| *other != n).for_each(|other| self.link(n, other));
    }

    pub fn name(&self, n: usize) -> NodeName {
        self.hosts[n].genesis.name.clone()
    }

    /// One step, with everything durable at once.
    pub fn step(&mut self, n: usize, input: Input) {
        let mut effects = Effects::default();
        self.hosts[n].replica.handle(self.now, input, &mut effects);
        let records = effects.take_records();
        if !records.is_empty() {
            self.hosts[n].journal.push(codec::encode(&Batch { time: self.now, records }));
        }
        let mut barrier = Barrier::default();
        barrier.durable(self.hosts[n].replica.position());
        barrier.hold(effects.take_outputs());
        while let Some(output) = barrier.release() {
            self.output(n, output);
        }
        if !self.forgiving {
            let check = self.hosts[n].replica.check();
            assert!(check.violations.is_empty(), "{:?}", check.violations);
        }
    }

    fn output(&mut self, n: usize, output: Output) {
        match output {
            Output::Reply { token, reply } => {
                assert!(self.replies.insert(token.0, reply).is_none(), "one reply a request");
            }
            Output::Send { node, message } => {
                let to = self.hosts.iter().position(|host| host.genesis.name == node).unwrap();
                // Everything travels as bytes.
                let message: Message = codec::decode(&codec::encode(&message)).unwrap();
                let lost =
                    self.cut.contains(&(n, to)) || !message.is_urgent() && self.cut_bulk.contains(&(n, to));
                if !lost {
                    self.wire.push_back((n, to, message));
                }
            }
            Output::View(view) => {
                self.hosts[n].views.insert(view.sku.clone(), view);
            }
            Output::Heard(_) | Output::Draining(_) => {}
            Output::Ready => {
                self.hosts[n].ready = true;
                self.hosts[n].awaits.clear();
            }
            Output::Awaits(members) => self.hosts[n].awaits = members,
            Output::RolledBack(why) => self.hosts[n].rolled_back = Some(why),
            Output::Alarm(text) => self.alarms.push(text),
        }
    }

    /// Delivers one message; false when there is none.
    pub fn deliver(&mut self) -> bool {
        let Some((from, to, message)) = self.wire.pop_front() else { return false };
        let node = self.name(from);
        self.step(to, Input::Message { node, message });
        true
    }

    /// Delivers the oldest message between two hosts, overtaking all others.
    pub fn deliver_between(&mut self, from: usize, to: usize) {
        let at = self.wire.iter().position(|(f, t, _)| (*f, *t) == (from, to)).expect("a message");
        let (_, _, message) = self.wire.remove(at).expect("it is there");
        let node = self.name(from);
        self.step(to, Input::Message { node, message });
    }

    /// Lets `span` milliseconds pass, everything delivered at once.
    pub fn run(&mut self, span: u64) {
        let end = Timestamp(self.now.0 + span);
        loop {
            while self.deliver() {}
            let next = self.hosts.iter().enumerate();
            let next = next.filter_map(|(n, host)| Some((host.replica.next_deadline()?, n))).min();
            match next {
                Some((time, n)) if time <= end => {
                    self.now = self.now.max(time);
                    self.step(n, Input::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub fn send(&mut self, n: usize, request: Request) -> u64 {
        self.next_token += 1;
        self.step(n, Input::Request { token: Token(self.next_token), request });
        self.next_token
    }

    /// Sends a command and runs until it is answered.
    pub fn call(&mut self, n: usize, command: Command) -> Outcome {
        self.ask(n, Request::plain(command)).outcome
    }

    pub fn keyed(&mut self, n: usize, key: &str, command: Command) -> Reply {
        let key = Some(IdempotencyKey { scope: "POST /test".into(), key: key.into() });
        self.ask(n, Request { command, key, caller: Caller::Storefront })
    }

    pub fn ask(&mut self, n: usize, request: Request) -> Reply {
        let token = self.send(n, request);
        for _ in 0..2_000 {
            if let Some(reply) = self.replies.remove(&token) {
                return reply;
            }
            self.run(10);
        }
        panic!("no answer");
    }

    pub fn item(&mut self, n: usize, name: &str, units: u64) {
        self.call(n, Command::SetItem { sku: sku(name), policy: Policy::default() }).unwrap();
        if units > 0 {
            self.call(n, Command::Receive(movement(name, units))).unwrap();
        }
        self.run(200);
    }

    /// An admin moves units, so that a buyer finds them where he asks.
    pub fn transfer(&mut self, from: usize, to: usize, name: &str, units: u64) {
        let (giver, taker) = (self.name(from), self.name(to));
        let transfer =
            Transfer { sku: sku(name), from: giver, to: taker, quantity: Units(units), reference: None };
        self.call(from, Command::Transfer(transfer)).unwrap();
        self.run(200);
    }

    pub fn books(&mut self, n: usize, name: &str) -> Books {
        match self.call(n, Command::Books { sku: sku(name) }) {
            Ok(Answer::Books { books, .. }) => books,
            other => panic!("{other:?}"),
        }
    }

    /// The reasons given in what a host has journaled, the oldest first.
    pub fn reasons(&self, n: usize) -> Vec<String> {
        let records =
            self.hosts[n].journal.iter().flat_map(|batch| codec::decode::<Batch>(batch).unwrap().records);
        let reason = |record| match record {
            Record::Change(change) => change.reason,
            _ => None,
        };
        records.filter_map(reason).collect()
    }

    pub fn available(&self, n: usize, name: &str) -> u64 {
        self.hosts[n].replica.state.available_here(&sku(name)).0
    }

    /// Kills a host and starts it again from its journal, unlinked.
    pub fn restart(&mut self, n: usize) {
        self.isolate(n);
        self.hosts[n].replica = self.replayed(n);
        self.hosts[n].ready = false;
        self.start(n);
    }

    /// A replica restored from the journal of `n`.
    pub fn replayed(&self, n: usize) -> Replica {
        let mut replica = Replica::new(self.hosts[n].genesis.clone(), self.limits);
        for batch in &self.hosts[n].journal {
            let batch: Batch = codec::decode(batch).unwrap();
            batch.records.iter().for_each(|record| replica.restore(record));
        }
        replica
    }

    /// All records of a checkpoint taken now.
    pub fn checkpoint(&self, n: usize) -> Vec<Record> {
        let (mut cursor, mut records) = (Cursor::default(), Vec::new());
        loop {
            let (chunk, next) = self.hosts[n].replica.snapshot(&cursor, 2);
            records.extend(chunk);
            match next {
                Some(next) => cursor = next,
                None => return records,
            }
        }
    }

    pub fn digests(&self) -> BTreeSet<String> {
        self.hosts.iter().map(|host| host.replica.check().books_digest).collect()
    }
}
