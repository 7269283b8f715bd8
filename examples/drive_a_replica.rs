//! Two replicas in one program, without disk, network or clock: this drives the pure core by
//! hand, passes every message along itself, and prints what happens.
//!
//! ```text
//! cargo run --example drive_a_replica
//! ```
//!
//! What it does in `Shop::step` is all that a driver has to do: hand the replica an input and
//! the time, make the records durable, and only then let the outputs out.

use std::collections::VecDeque;

use stockade::limits::Limits;
use stockade::replica::{Barrier, Effects, Evidence, Input, Output, Replica, Token};
use stockade::types::*;
use stockade::wire::{Batch, Genesis, Member, Message, Record, codec};
use uuid::Uuid;

const EU: usize = 0;
const US: usize = 1;

fn main() {
    let mut shop = Shop::open();

    shop.say("An admin makes an item at eu-1, and a delivery of 10 arrives there.");
    shop.ask(EU, Command::SetItem { sku: sku(), policy: Policy::default() }).expect("nothing forbids it");
    shop.ask(EU, Command::Receive(movement(10))).expect("the item is there");
    shop.run(Millis(100));
    shop.show_rows();

    shop.say("eu-1 sells 4. It holds the rights, so it asks nobody.");
    shop.order(EU, "ORDER-1", 4);

    shop.say("us-1 gets an order for 3 and holds no right: it asks, and eu-1 gives.");
    shop.order(US, "ORDER-2", 3);

    shop.say("A moment later us-1 has pulled one more right over, ahead of its next buyer.");
    shop.show_rows();

    shop.say("The cable between them is cut. us-1 cannot know what eu-1 still has.");
    shop.connect(false);
    shop.run(Millis(3_000));
    shop.order(US, "ORDER-3", 2);

    shop.say("Both go on selling what they hold.");
    shop.order(EU, "ORDER-4", 2);
    shop.order(US, "ORDER-5", 1);

    shop.say("The cable is mended. The rows travel, and now it can be proved.");
    shop.connect(true);
    shop.run(Millis(1_000));
    shop.order(US, "ORDER-6", 1);

    shop.say("us-1 loses power. Its journal brings everything back.");
    shop.restart(US);
    shop.show_rows();
}

/// One replica, and what a real node would keep on disk.
struct Node {
    genesis: Genesis,
    replica: Replica,
    journal: Vec<Vec<u8>>,
    starts: u64,
}

struct Shop {
    now: Timestamp,
    nodes: Vec<Node>,
    connected: bool,
    /// Messages under way: to whom, and what.
    wire: VecDeque<(usize, Message)>,
    answer: Option<Outcome>,
    tokens: u64,
    /// Whether messages between the nodes are printed.
    loud: bool,
}

impl Shop {
    /// Two founders of one cluster, started and connected.
    fn open() -> Shop {
        let member = |id: u128, name: &str, region: &str| Member {
            replica: ReplicaId(Uuid::from_u128(id)),
            name: NodeName::new(name).expect("a valid name"),
            region: Region::new(region).expect("a valid name"),
        };
        let founders = vec![member(1, "eu-1", "eu"), member(2, "us-1", "us")];
        let genesis = |me: &Member| Genesis {
            cluster: ClusterId(Uuid::from_u128(99)),
            replica: me.replica,
            name: me.name.clone(),
            region: me.region.clone(),
            founders: founders.clone(),
        };
        let mut shop = Shop {
            now: Timestamp(1_800_000_000_000),
            nodes: founders.iter().map(|me| Node::new(genesis(me))).collect(),
            connected: false,
            wire: VecDeque::new(),
            answer: None,
            tokens: 0,
            loud: false,
        };
        shop.start(EU);
        shop.start(US);
        shop.connect(true);
        shop.run(Millis(100));
        shop
    }

    fn start(&mut self, who: usize) {
        let node = &mut self.nodes[who];
        node.starts += 1;
        // A real node takes it from the operating system: no two starts share one.
        let nonce = (who as u64 + 1) * 1_000_000 + node.starts;
        self.step(who, Input::Start { nonce, evidence: Evidence::Proven });
    }

    /// Builds the replica anew from its journal.
    fn restart(&mut self, who: usize) {
        self.connect(false);
        let node = &mut self.nodes[who];
        node.replica = Replica::new(node.genesis.clone(), Limits::default());
        for bytes in &node.journal {
            let batch: Batch = codec::decode(bytes).expect("it was encoded here");
            batch.records.iter().for_each(|record: &Record| node.replica.restore(record));
        }
        let batches = node.journal.len();
        println!("    {batches} batches replayed");
        self.start(who);
        self.connect(true);
        self.run(Millis(100));
    }

    /// One step of one replica.
    fn step(&mut self, who: usize, input: Input) {
        let mut effects = Effects::default();
        let node = &mut self.nodes[who];
        node.replica.handle(self.now, input, &mut effects);

        // First the records become durable ...
        let records = effects.take_records();
        if !records.is_empty() {
            node.journal.push(codec::encode(&Batch { time: self.now, records }));
        }
        // ... and then whatever rests on them may be seen. A node with a disk holds the outputs
        // back here until the sync is over, and goes on deciding meanwhile.
        let mut barrier = Barrier::default();
        barrier.hold(effects.take_outputs());
        barrier.durable(node.replica.position());
        while let Some(output) = barrier.release() {
            self.let_out(who, output);
        }
    }

    fn let_out(&mut self, from: usize, output: Output) {
        match output {
            Output::Reply { reply, .. } => self.answer = Some(reply.outcome),
            Output::Send { message, .. } if self.connected => {
                if self.loud {
                    self.tell(from, &message);
                }
                self.wire.push_back((1 - from, message));
            }
            Output::RolledBack(what) | Output::Alarm(what) => println!("    ALARM: {what}"),
            // Lost with the link; or for product pages.
            Output::Send { .. }
            | Output::View(_)
            | Output::Heard(_)
            | Output::Awaits(_)
            | Output::Ready
            | Output::Draining(_) => {}
        }
    }

    fn connect(&mut self, connected: bool) {
        self.connected = connected;
        self.wire.clear();
        for (who, peer) in [(EU, US), (US, EU)] {
            let node = self.nodes[peer].genesis.name.clone();
            let input = if connected { Input::LinkUp { node } } else { Input::LinkDown { node } };
            self.step(who, input);
        }
    }

    /// Delivers messages and lets time pass, from one deadline to the next.
    fn run(&mut self, span: Millis) {
        let end = self.now.after(span);
        while self.now < end {
            self.deliver_all();
            let next = self.nodes.iter().filter_map(|node| node.replica.next_deadline()).min();
            self.now = next.map_or(end, |time| time.max(self.now.after(Millis(1)))).min(end);
            (0..self.nodes.len()).for_each(|who| self.step(who, Input::Tick));
        }
        self.deliver_all();
    }

    fn deliver_all(&mut self) {
        while let Some((to, message)) = self.wire.pop_front() {
            let node = self.nodes[1 - to].genesis.name.clone();
            self.step(to, Input::Message { node, message });
        }
    }

    /// Puts a request to a replica and waits for the answer.
    fn ask(&mut self, who: usize, command: Command) -> Outcome {
        self.tokens += 1;
        self.answer = None;
        let (token, request) = (Token(self.tokens), Request::plain(command));
        self.step(who, Input::Request { token, request });
        loop {
            if let Some(outcome) = self.answer.take() {
                return outcome;
            }
            self.run(Millis(1));
        }
    }

    /// A buyer reserves, and pays if there is something to pay for.
    fn order(&mut self, who: usize, id: &str, quantity: u64) {
        let (start, name) = (self.now, self.nodes[who].genesis.name.clone());
        let id = ReservationId::new(id).expect("a valid id");
        self.loud = true;
        let outcome = self.ask(who, reserve(&id, quantity));
        self.loud = false;
        let waited = self.now.since(start).0;
        match outcome {
            Ok(_) => {
                let confirm = Command::Confirm { id: id.clone(), if_match: None, wait: Millis(0) };
                self.ask(who, confirm).expect("what is held can be confirmed");
                println!("    {name}: {id} for {quantity}: sold");
            }
            Err(Refusal::InsufficientStock(shortfalls)) => {
                println!("    {name}: {id} for {quantity}: refused after {waited} ms");
                shortfalls.iter().for_each(tell_shortfall);
            }
            Err(other) => println!("    {name}: {id}: {other:?}"),
        }
    }

    fn say(&self, text: &str) {
        println!("\n{text}");
    }

    fn tell(&self, from: usize, message: &Message) {
        let (from, to) = (&self.nodes[from].genesis.name, &self.nodes[1 - from].genesis.name);
        match message {
            Message::Ask(ask) => {
                for line in &ask.lines {
                    println!("    {from} -> {to}: ask for {} of {}", line.need, line.sku);
                }
            }
            Message::Given(given) => {
                println!("    {from} -> {to}: {} row(s), as they are after giving", given.entries.len());
            }
            // Rows travel all the time; here only what the buyer waits for is shown.
            _ => {}
        }
    }

    /// The item's books, as each of the two replicas knows them.
    fn show_rows(&mut self) {
        self.run(Millis(600));
        for who in [EU, US] {
            let outcome = self.ask(who, Command::Books { sku: sku() });
            let Ok(Answer::Books { books, .. }) = outcome else { continue };
            println!("    {} knows (balanced: {})", self.nodes[who].genesis.name, books.balanced);
            for row in &books.nodes {
                println!(
                    "      {}  received {:>2}  given {:>2}  sent {:>2}  sold {:>2}  available {:>2}",
                    row.node, row.received, row.given, row.sent, row.sold, row.available
                );
            }
            assert!(self.nodes[who].replica.check().violations.is_empty());
        }
    }
}

impl Node {
    fn new(genesis: Genesis) -> Node {
        let replica = Replica::new(genesis.clone(), Limits::default());
        let first = Batch { time: Timestamp::ZERO, records: vec![Record::Genesis(genesis.clone())] };
        Node { genesis, replica, journal: vec![codec::encode(&first)], starts: 0 }
    }
}

fn sku() -> Sku {
    Sku::new("TEE-RED-M").expect("a valid sku")
}

fn movement(quantity: u64) -> Movement {
    Movement { sku: sku(), quantity: Units(quantity), reason: None, reference: None }
}

fn reserve(id: &ReservationId, quantity: u64) -> Command {
    Command::Put(Put {
        id: id.clone(),
        lines: vec![Line { sku: sku(), quantity: Units(quantity) }],
        ttl: Millis::from_secs(600),
        wait: Millis(500),
        if_match: None,
        retry: false,
        minted: false,
    })
}

fn tell_shortfall(short: &Shortfall) {
    println!(
        "      verdict {}: {} here, {} known elsewhere",
        short.verdict.as_str(),
        short.available_here,
        short.elsewhere
    );
    for node in &short.unreachable {
        println!("      nothing was heard of {node}");
    }
}
