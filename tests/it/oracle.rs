//! The client's books: what was acknowledged is there, what was refused is not, what went
//! unanswered is either, and never both.
//!
//! [`Load`] sends orders, sales, deliveries and returns to all nodes at once and notes what it
//! was told. It checks at every acknowledgement that no more units are spoken for than ever
//! came in. [`Load::settle`] asks in the end about every order and compares all of it with
//! the nodes' books.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{Rng, RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::client::{Answer, Call, NoAnswer, end, get, lines_json, post, reserve};
use super::cluster::Cluster;
use super::node::LOOK_EVERY;

/// How long a keyed call is repeated; longer than any node is down.
const REPEAT_WITHIN: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);
/// How long the load may go without any answer.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub workers: u64,
    /// Received in equal parts at all nodes, before the load.
    pub items: Vec<(&'static str, u64)>,
    pub wait_ms: u64,
}

/// What the client knows about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Done,
    Refused,
    /// It may or may not have been done.
    Unknown,
}

#[derive(Debug)]
struct Order {
    id: String,
    lines: Vec<(&'static str, u64)>,
    reserved: Known,
    /// `confirm` or `cancel`, if it came to that.
    ended: Option<(&'static str, Known)>,
}

/// Units by item.
type Sums = BTreeMap<&'static str, u64>;

#[derive(Debug, Default)]
struct Books {
    orders: Vec<Order>,
    /// Sent, acknowledged or not.
    came_in: Sums,
    received: Sums,
    returned: Sums,
    sold_at_once: Sums,
    /// Acknowledged as held or sold, and not sent to be cancelled.
    spoken_for: Sums,
    refused: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    plan: Plan,
    books: Mutex<Books>,
    /// The node that made each reservation, as answers name it: the one that was asked, or another
    /// that had the last units. It is never another one later.
    makers: Mutex<BTreeMap<String, String>>,
    /// Requests that were acknowledged.
    acknowledged: AtomicU64,
    stopped: AtomicBool,
}

/// Traffic on all nodes, until [`Load::settle`].
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What a load came to.
#[derive(Debug)]
pub struct Tally {
    pub orders: usize,
    pub unanswered: usize,
    pub acknowledged: u64,
    pub refused: BTreeMap<String, u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { orders, unanswered, acknowledged, refused } = self;
        write!(
            f,
            "{orders} orders, {unanswered} left open, {acknowledged} calls acknowledged, refused: {refused:?}"
        )
    }
}

impl Load {
    pub async fn start(cluster: &Arc<Cluster>, plan: Plan) -> Load {
        let mut books = Books::default();
        let nodes = cluster.nodes.len() as u64;
        for (sku, units) in &plan.items {
            for (i, node) in cluster.nodes.iter().enumerate() {
                let part = units / nodes + u64::from((i as u64) < units % nodes);
                node.stock(sku, part).await;
            }
            books.came_in.insert(sku, *units);
            books.received.insert(sku, *units);
        }
        cluster.converged().await;
        let shared = Arc::new(Shared {
            cluster: cluster.clone(),
            books: Mutex::new(books),
            makers: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            plan: plan.clone(),
        });
        let workers = (0..plan.workers).map(|w| tokio::spawn(work(shared.clone(), w))).collect();
        Load { shared, workers }
    }

    /// Waits for so many more acknowledgements.
    pub async fn progress(&self, more: u64) {
        let wanted = self.shared.acknowledged.load(Ordering::Relaxed) + more;
        let deadline = Instant::now() + PROGRESS_WITHIN;
        while self.shared.acknowledged.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < deadline, "nothing is acknowledged any more");
            let failed = self.workers.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a worker has failed");
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the load and checks all of it; all nodes must be up and able to talk.
    pub async fn settle(self) -> Tally {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("a worker found something wrong");
        }
        self.shared.cluster.converged().await;
        let books = std::mem::take(&mut *self.shared.books.lock().unwrap());
        let found = self.shared.ask_about(&books.orders).await;
        self.shared.check_totals(&books, &found).await;
        let again = self.shared.ask_about(&books.orders).await;
        assert_eq!(found, again, "what was settled has changed");
        let open = |order: &&Order| {
            order.reserved == Known::Unknown || order.ended.is_some_and(|(_, known)| known == Known::Unknown)
        };
        Tally {
            orders: books.orders.len(),
            unanswered: books.orders.iter().filter(open).count(),
            acknowledged: self.shared.acknowledged.load(Ordering::Relaxed),
            refused: books.refused,
        }
    }
}

async fn work(shared: Arc<Shared>, worker: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(shared.plan.seed.wrapping_mul(1_000).wrapping_add(worker));
    for number in 0u64.. {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("w{worker}-{number}");
        let node = shared.pick_node(&mut dice);
        match dice.random_range(0..20) {
            0 => shared.bring(&mut dice, &name, node, true).await,
            1 => shared.bring(&mut dice, &name, node, false).await,
            2..5 => shared.sell(&mut dice, &name, node).await,
            _ => shared.order(&mut dice, name, node).await,
        }
    }
}

impl Shared {
    fn pick(&self, dice: &mut impl Rng) -> &'static str {
        self.plan.items[dice.random_range(0..self.plan.items.len())].0
    }

    /// A node that runs, if there is one: so that while some are down, not all workers come to
    /// wait for them.
    fn pick_node(&self, dice: &mut impl Rng) -> usize {
        let nodes = &self.cluster.nodes;
        let start = dice.random_range(0..nodes.len());
        let from_there = (0..nodes.len()).map(|i| (start + i) % nodes.len());
        from_there.clone().find(|node| nodes[*node].is_running()).unwrap_or(start)
    }

    fn lines(&self, dice: &mut impl Rng) -> Vec<(&'static str, u64)> {
        let mut lines = BTreeMap::new();
        for _ in 0..dice.random_range(1..=3) {
            lines.insert(self.pick(dice), dice.random_range(1..=3));
        }
        lines.into_iter().collect()
    }

    /// A reservation, and what becomes of it.
    async fn order(&self, dice: &mut ChaCha8Rng, id: String, home: usize) {
        let lines = self.lines(dice);
        let mut order = Order { id, lines, reserved: Known::Unknown, ended: None };
        let call = reserve(&order.id, &order.lines, self.plan.wait_ms);
        let patient = dice.random_bool(0.5);
        order.reserved = self.until_known(home, &call, patient, &["insufficient_stock"]).await;
        if order.reserved == Known::Done {
            self.speak_for(&order.lines);
            let how = match dice.random_range(0..10) {
                0 => None,
                1..3 => Some("cancel"),
                _ => Some("confirm"),
            };
            if let Some(how) = how {
                if how == "cancel" {
                    self.let_go(&order.lines);
                }
                // Sometimes at another node, which must find the owner.
                let via = if dice.random_bool(0.2) { self.pick_node(dice) } else { home };
                let patient = dice.random_bool(0.5);
                let known = self.until_known(via, &end(&order.id, how), patient, &[]).await;
                order.ended = Some((how, known));
            }
        }
        self.books.lock().unwrap().orders.push(order);
    }

    /// A sale in one step; repeated until it is known how it ended.
    async fn sell(&self, dice: &mut ChaCha8Rng, name: &str, node: usize) {
        let lines = self.lines(dice);
        let body = json!({"lines": lines_json(&lines), "wait_ms": self.plan.wait_ms});
        let call = post("/v1/sales", body).key(format!("sale-{name}"));
        if self.until_known(node, &call, true, &["insufficient_stock"]).await == Known::Done {
            add(&mut self.books.lock().unwrap().sold_at_once, &lines);
            self.speak_for(&lines);
        }
    }

    /// A delivery or a return.
    async fn bring(&self, dice: &mut ChaCha8Rng, name: &str, node: usize, is_delivery: bool) {
        let lines = [(self.pick(dice), dice.random_range(1..=3))];
        let (sku, quantity) = lines[0];
        let call = if is_delivery {
            post(format!("/v1/items/{sku}/receipts"), json!({"quantity": quantity}))
        } else {
            post("/v1/returns", json!({"sku": sku, "quantity": quantity}))
        };
        add(&mut self.books.lock().unwrap().came_in, &lines);
        let known = self.until_known(node, &call.key(format!("in-{name}")), true, &[]).await;
        assert_eq!(known, Known::Done, "{name}");
        let mut books = self.books.lock().unwrap();
        add(if is_delivery { &mut books.received } else { &mut books.returned }, &lines);
    }

    /// Sends a call until its outcome is known; once only, unless patient. Refusals but those
    /// of `allowed` and those of the moment are wrong.
    async fn until_known(&self, node: usize, call: &Call, patient: bool, allowed: &[&str]) -> Known {
        let deadline = Instant::now() + REPEAT_WITHIN;
        let mut may_be_done = false;
        loop {
            match self.cluster[node].try_ask(call).await {
                Ok(answer) if answer.status < 300 => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    self.check_maker(&answer);
                    return Known::Done;
                }
                Ok(answer) if allowed.contains(&answer.code()) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    self.note_refusal(answer.verdict());
                    return Known::Refused;
                }
                other => {
                    may_be_done |= self.may_be_done(call, &other);
                    if !patient {
                        return if may_be_done { Known::Unknown } else { Known::Refused };
                    }
                }
            }
            assert!(Instant::now() < deadline, "no answer for {call:?}");
            sleep(PAUSE).await;
        }
    }

    /// Whether a call that got this may have had its effect.
    fn may_be_done(&self, call: &Call, result: &Result<Answer, NoAnswer>) -> bool {
        let Ok(answer) = result else { return true };
        self.note_refusal(answer.code());
        match (answer.status, answer.code()) {
            (504, "outcome_unknown") => true,
            (503, _) => false,
            other => panic!("{call:?} got {other:?}: {}", answer.text),
        }
    }

    /// Whoever is asked, and whenever: an answer about a reservation names the node that made it.
    fn check_maker(&self, answer: &Answer) {
        let (Some(id), Some(node)) = (answer.body["id"].as_str(), answer.body["node"].as_str()) else {
            return;
        };
        assert!(self.cluster.nodes.iter().any(|member| member.name == node), "{id} is at {node}");
        let mut makers = self.makers.lock().unwrap();
        let maker = makers.entry(id.to_owned()).or_insert_with(|| node.to_owned());
        assert_eq!(maker, node, "{id} was made by {maker} before");
    }

    fn note_refusal(&self, why: &str) {
        *self.books.lock().unwrap().refused.entry(why.to_owned()).or_default() += 1;
    }

    /// Never oversold, counted from acknowledgements.
    fn speak_for(&self, lines: &[(&'static str, u64)]) {
        let mut books = self.books.lock().unwrap();
        add(&mut books.spoken_for, lines);
        for (sku, _) in lines {
            let (out, came) = (books.spoken_for[sku], books.came_in[sku]);
            assert!(out <= came, "{sku}: {out} units are spoken for, {came} came in");
        }
    }

    /// Before a cancel is sent: its units may be for sale again before it is answered.
    fn let_go(&self, lines: &[(&'static str, u64)]) {
        let mut books = self.books.lock().unwrap();
        for (sku, quantity) in lines {
            *books.spoken_for.get_mut(sku).expect("spoken for") -= quantity;
        }
    }

    /// How each order stands, asked of one node after the other.
    async fn ask_about(&self, orders: &[Order]) -> Vec<String> {
        let mut states = Vec::new();
        for (number, order) in orders.iter().enumerate() {
            let via = number % self.cluster.nodes.len();
            let answer = self.cluster[via].ask(get(format!("/v1/reservations/{}", order.id))).await;
            let state = match answer.status {
                404 => "none".to_owned(),
                _ => answer.clone().expect(200).body["state"].as_str().unwrap().to_owned(),
            };
            assert!(possible(order).contains(&state.as_str()), "{order:?} is {state}");
            if state != "none" {
                assert_eq!(answer.body["lines"], lines_json(&order.lines), "{order:?}");
                self.check_maker(&answer);
            }
            states.push(state);
        }
        states
    }

    /// All nodes' books say what the client knows, now that nothing is open any more.
    async fn check_totals(&self, books: &Books, states: &[String]) {
        let mut held = Sums::new();
        let mut sold = books.sold_at_once.clone();
        for (order, state) in books.orders.iter().zip(states) {
            match state.as_str() {
                "held" => add(&mut held, &order.lines),
                "confirmed" => add(&mut sold, &order.lines),
                _ => {}
            }
        }
        for (sku, _) in &self.plan.items {
            let of = |sums: &Sums| sums.get(sku).copied().unwrap_or(0);
            let (received, returned) = (of(&books.received), of(&books.returned));
            let available = (received + returned).checked_sub(of(&held) + of(&sold));
            let available = available.unwrap_or_else(|| panic!("{sku} is oversold"));
            let wanted = json!({"received": received, "returned": returned, "retired": 0, "sold": of(&sold),
                "held": of(&held), "available": available, "in_flight": 0});
            for node in 0..self.cluster.nodes.len() {
                assert_eq!(self.cluster.totals(node, sku).await, wanted, "{sku} at n{node}");
            }
        }
    }
}

/// The states in which an order may be in the end.
fn possible(order: &Order) -> &'static [&'static str] {
    match (order.reserved, order.ended) {
        (Known::Refused, _) => &["none"],
        (Known::Unknown, _) => &["none", "held"],
        (Known::Done, None | Some((_, Known::Refused))) => &["held"],
        (Known::Done, Some(("confirm", Known::Done))) => &["confirmed"],
        (Known::Done, Some(("confirm", Known::Unknown))) => &["held", "confirmed"],
        (Known::Done, Some((_, Known::Done))) => &["cancelled"],
        (Known::Done, Some((_, Known::Unknown))) => &["held", "cancelled"],
    }
}

fn add(sums: &mut Sums, lines: &[(&'static str, u64)]) {
    for (sku, quantity) in lines {
        *sums.entry(sku).or_default() += quantity;
    }
}

#[test]
fn a_blind_oracle_would_be_noticed() {
    let order = |reserved, ended| Order { id: String::new(), lines: Vec::new(), reserved, ended };
    assert!(!possible(&order(Known::Done, None)).contains(&"none"), "acknowledged is there");
    assert!(!possible(&order(Known::Refused, None)).contains(&"held"), "refused is not");
    let confirmed = order(Known::Done, Some(("confirm", Known::Done)));
    assert_eq!(possible(&confirmed), ["confirmed"]);
    assert_eq!(possible(&order(Known::Unknown, None)).len(), 2, "unanswered is either");
}
