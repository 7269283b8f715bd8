//! The network between the nodes: a UDP relay for each ordered pair, which can lose, repeat,
//! delay and reorder packets, and be cut in either direction while nodes talk.
//!
//! A relay's address is fixed before any node runs, so nodes can be configured with it and take
//! whatever ports they get. Whatever is done to packets is counted, so that a test can tell a
//! fault that was survived from one that never happened.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Packets held back by one relay; more are lost, as in any router.
const MAX_HELD: usize = 4_096;

/// What happens to packets, each on its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Share of packets lost.
    pub lost: f64,
    /// Share that comes twice.
    pub twice: f64,
    /// Share held back by up to `late_by`, so that later ones overtake them.
    pub late: f64,
    pub late_by: Duration,
}

/// What was done to packets.
#[derive(Debug, Default)]
pub struct Counts {
    pub passed: AtomicU64,
    pub cut: AtomicU64,
    pub lost: AtomicU64,
    pub twice: AtomicU64,
    pub late: AtomicU64,
    pub overtaken: AtomicU64,
}

/// All relays of a cluster. Nodes are numbered.
#[derive(Debug)]
pub struct Net {
    nodes: usize,
    relays: BTreeMap<(usize, usize), Relay>,
    ways: Arc<BTreeMap<(usize, usize), Way>>,
    pub counts: Arc<Counts>,
    weather: Arc<Mutex<Weather>>,
}

/// All packets from one node to another, whoever dialled.
#[derive(Debug, Default)]
struct Way {
    is_cut: AtomicBool,
}

/// Between one dialler and one dialled.
#[derive(Debug)]
struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Net {
    pub async fn new(nodes: usize, seed: u64) -> Net {
        let pairs: Vec<_> =
            (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))).filter(|(a, b)| a != b).collect();
        let ways = Arc::new(pairs.iter().map(|pair| (*pair, Way::default())).collect());
        let mut net =
            Net { nodes, relays: BTreeMap::new(), ways, counts: Arc::default(), weather: Arc::default() };
        for (number, pair) in pairs.into_iter().enumerate() {
            let relay = net.relay(pair, seed.wrapping_add(number as u64)).await;
            net.relays.insert(pair, relay);
        }
        net
    }

    async fn relay(&self, (dialler, dialled): (usize, usize), seed: u64) -> Relay {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (front, back) = (UdpSocket::bind(any).await.unwrap(), UdpSocket::bind(any).await.unwrap());
        let address = front.local_addr().unwrap();
        let target = Arc::default();
        let running = Running {
            sockets: [front, back],
            ways: self.ways.clone(),
            pair: (dialler, dialled),
            target: Arc::clone(&target),
            dialler: None,
            dice: ChaCha8Rng::seed_from_u64(seed),
            weather: self.weather.clone(),
            counts: self.counts.clone(),
            held: BinaryHeap::new(),
            number: 0,
            last_due: None,
        };
        Relay { address, target, task: tokio::spawn(running.run()) }
    }

    /// Where `from` dials `to`.
    pub fn address(&self, from: usize, to: usize) -> SocketAddr {
        self.relays[&(from, to)].address
    }

    /// `node` now listens at `address`.
    pub fn point_at(&self, node: usize, address: SocketAddr) {
        for ((_, to), relay) in &self.relays {
            if *to == node {
                *relay.target.lock().unwrap() = Some(address);
            }
        }
    }

    pub fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// Cuts or heals what goes from one node to another, not what comes back.
    pub fn cut(&self, from: usize, to: usize, is_cut: bool) {
        self.ways[&(from, to)].is_cut.store(is_cut, Ordering::Relaxed);
    }

    pub fn isolate(&self, node: usize, which: Isolation) {
        for other in (0..self.nodes).filter(|other| *other != node) {
            if which != Isolation::Deaf {
                self.cut(node, other, true);
            }
            if which != Isolation::Mute {
                self.cut(other, node, true);
            }
        }
    }

    /// Heals all cuts.
    pub fn heal(&self) {
        self.ways.values().for_each(|way| way.is_cut.store(false, Ordering::Relaxed));
    }
}

/// How a node is cut off from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    Both,
    /// It hears, but is not heard.
    Mute,
    /// It is heard, but hears nothing.
    Deaf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    There,
    Back,
}

type Held = Reverse<(Instant, u64, Direction, Vec<u8>)>;

struct Running {
    /// The dialler sends to the first; the dialled node hears from the second.
    sockets: [UdpSocket; 2],
    ways: Arc<BTreeMap<(usize, usize), Way>>,
    pair: (usize, usize),
    target: Arc<Mutex<Option<SocketAddr>>>,
    dialler: Option<SocketAddr>,
    dice: ChaCha8Rng,
    weather: Arc<Mutex<Weather>>,
    counts: Arc<Counts>,
    held: BinaryHeap<Held>,
    number: u64,
    last_due: Option<Instant>,
}

impl Running {
    async fn run(mut self) {
        let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            let due = self.held.peek().map(|Reverse((due, ..))| *due);
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wake => self.send_due().await,
                // An error tells of an earlier packet that found nobody: lost, as packets may be.
                received = self.sockets[0].recv_from(&mut there) => if let Ok((length, from)) = received {
                    self.dialler = Some(from);
                    self.take(Direction::There, &there[..length]).await;
                },
                received = self.sockets[1].recv_from(&mut back) => if let Ok((length, _)) = received {
                    self.take(Direction::Back, &back[..length]).await;
                },
            }
        }
    }

    /// Rolls the dice over one packet.
    async fn take(&mut self, direction: Direction, packet: &[u8]) {
        let weather = *self.weather.lock().unwrap();
        if self.dice.random_bool(weather.lost) {
            count(&self.counts.lost);
            return;
        }
        let copies = if self.dice.random_bool(weather.twice) {
            count(&self.counts.twice);
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.dice.random_bool(weather.late) && self.held.len() < MAX_HELD {
                count(&self.counts.late);
                let delay = weather.late_by.mul_f64(self.dice.random_range(0.0..1.0));
                self.number += 1;
                let due = Instant::now() + delay;
                self.last_due = self.last_due.max(Some(due));
                self.held.push(Reverse((due, self.number, direction, packet.to_vec())));
            } else {
                if self.last_due.is_some_and(|due| due > Instant::now()) {
                    count(&self.counts.overtaken);
                }
                self.pass(direction, packet).await;
            }
        }
    }

    async fn send_due(&mut self) {
        while self.held.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
            let Some(Reverse((_, _, direction, packet))) = self.held.pop() else { return };
            self.pass(direction, &packet).await;
        }
    }

    /// Sends a packet on, unless its way is cut by now.
    async fn pass(&self, direction: Direction, packet: &[u8]) {
        let (dialler, dialled) = self.pair;
        let (way, socket, to) = match direction {
            Direction::There => ((dialler, dialled), &self.sockets[1], *self.target.lock().unwrap()),
            Direction::Back => ((dialled, dialler), &self.sockets[0], self.dialler),
        };
        if self.ways[&way].is_cut.load(Ordering::Relaxed) {
            count(&self.counts.cut);
        } else if let Some(to) = to {
            count(&self.counts.passed);
            let _ = socket.send_to(packet, to).await; // nobody there: lost
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
