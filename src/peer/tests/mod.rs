//! Real QUIC over loopback: two or three nodes, each with a driver that only listens and says
//! something now and then, as the real one does. Between them stand relays that can be cut.

mod links;
mod relay;
mod renewal;
mod strangers;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::{ClusterAuthority, PeerAddress, PeerOptions, Peers, TlsFiles};
use crate::node::{Arrival, Arrivals, Handle, Identity, LinkId, Outbox};
use crate::types::{ClusterId, NodeName, Region, ReplicaId, Seq, Timestamp};
use crate::wire::Message;
use crate::wire::message::{Ask, Digest, Pass};

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn urgent(id: u64) -> Message {
    Message::Ask(Ask { id, lines: vec![], stamp: Timestamp(1), since: None })
}

/// Stands for the hello with which every link begins.
fn hello() -> Message {
    urgent(u64::MAX)
}

fn bulk(number: u64) -> Message {
    let origin = ReplicaId(Uuid::nil());
    Message::Pass(Pass { origin, number, from: Seq(0), frame: 0, upto: None, entries: vec![] })
}

fn digest(watermarks: usize) -> Message {
    let mark = (ReplicaId(Uuid::from_u128(u128::MAX)), Seq(u64::MAX));
    Message::Digest(Digest {
        watermarks: vec![mark; watermarks],
        stamp: Timestamp(1),
        echo: None,
        demand: None,
    })
}

/// A cluster's authority and the directory with its certificates.
struct Cluster {
    directory: tempfile::TempDir,
    authority: ClusterAuthority,
}

impl Cluster {
    fn new() -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let authority = ClusterAuthority::create(&directory.path().join("ca")).unwrap();
        Cluster { directory, authority }
    }

    fn files(&self, node: &str) -> TlsFiles {
        let directory: PathBuf = self.directory.path().join(node);
        self.authority.issue(&name(node), &directory).unwrap();
        TlsFiles::in_directory(&directory)
    }

    fn options(&self, node: &str, peers: &[(&str, SocketAddr)]) -> PeerOptions {
        let address = |(peer, address): &(&str, SocketAddr)| PeerAddress {
            name: name(peer),
            region: Region::new("eu").unwrap(),
            address: address.to_string(),
        };
        PeerOptions {
            me: name(node),
            listen: ANY_PORT,
            tls: self.files(node),
            peers: peers.iter().map(address).collect(),
            segmentation_offload: true,
        }
    }

    async fn start(&self, node: &str, peers: &[(&str, SocketAddr)]) -> Node {
        Node::start(self.options(node, peers)).await
    }
}

#[derive(Debug, PartialEq)]
enum Event {
    Up(NodeName),
    Down(NodeName),
    Message(NodeName, Box<Message>),
}

fn up(node: &str) -> Event {
    Event::Up(name(node))
}

fn down(node: &str) -> Event {
    Event::Down(name(node))
}

fn said(node: &str, message: &Message) -> Event {
    Event::Message(name(node), Box::new(message.clone()))
}

type RoundTrips = Arc<Mutex<Vec<Duration>>>;
type Links = Arc<Mutex<BTreeMap<NodeName, (LinkId, Outbox)>>>;

/// A node's links with a driver that hands everything to the test.
struct Node {
    peers: Peers,
    stop: watch::Sender<bool>,
    links: Links,
    /// All that were told.
    round_trips: RoundTrips,
    events: mpsc::UnboundedReceiver<Event>,
    driver: tokio::task::JoinHandle<()>,
}

impl Node {
    async fn start(options: PeerOptions) -> Node {
        let identity = Identity {
            cluster: ClusterId(Uuid::nil()),
            node: options.me.clone(),
            region: Region::new("eu").unwrap(),
            replica: ReplicaId(Uuid::nil()),
        };
        let (handle, arrivals) = Handle::new(identity, 16);
        let (stop, shutdown) = watch::channel(false);
        let peers = Peers::start(options, handle, shutdown).await.unwrap();
        let links = Links::default();
        let (tell, events) = mpsc::unbounded_channel();
        let round_trips = RoundTrips::default();
        let driver = tokio::spawn(drive(arrivals, links.clone(), round_trips.clone(), tell));
        Node { peers, stop, links, round_trips, events, driver }
    }

    fn address(&self) -> SocketAddr {
        self.peers.local_addr()
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("a driver")
    }

    /// Everything that has happened and not been looked at.
    fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Sends in order, waiting while the outbox is full.
    async fn send(&self, to: &str, message: Message) {
        let outbox = self.links.lock().unwrap()[&name(to)].1.clone();
        while !outbox.send(message.clone()) {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.peers.stopped()).await.expect("a stop in time");
    }

    fn silences(&self, peer: &str) -> u64 {
        self.peers.counters().node(&name(peer)).unwrap().silences.count()
    }

    fn links(&self, peer: &str) -> u64 {
        self.peers.counters().node(&name(peer)).unwrap().links.count()
    }
}

/// Checks that ups and downs alternate and that messages and round trips come over the link that is up; says
/// hello on every link, and something to everybody twice a second.
async fn drive(
    mut arrivals: Arrivals,
    links: Links,
    round_trips: RoundTrips,
    tell: mpsc::UnboundedSender<Event>,
) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        let arrival = tokio::select! {
            arrival = arrivals.peers.recv() => arrival,
            _ = ticks.tick() => {
                for (_, outbox) in links.lock().unwrap().values() {
                    outbox.send(digest(0));
                }
                continue;
            }
        };
        let Some(arrival) = arrival else { return };
        let mut links = links.lock().unwrap();
        let current = |node| links.get(node).map(|l| l.0);
        let event = match arrival {
            Arrival::LinkUp { node, link, outbox } => {
                assert_eq!(current(&node), None);
                outbox.send(hello());
                links.insert(node.clone(), (link, outbox));
                Event::Up(node)
            }
            Arrival::LinkDown { node, link } => {
                assert_eq!(current(&node), Some(link));
                links.remove(&node);
                Event::Down(node)
            }
            Arrival::RoundTrip { node, link, time } => {
                assert_eq!(current(&node), Some(link));
                round_trips.lock().unwrap().push(time);
                continue;
            }
            Arrival::History { .. } => unreachable!("peers ask by messages"),
            Arrival::Message { node, link, message } => {
                assert_eq!(current(&node), Some(link));
                if message == digest(0) || message == hello() {
                    continue;
                }
                Event::Message(node, Box::new(message))
            }
            Arrival::Request { .. } => unreachable!("the peers' queue holds no requests"),
        };
        if tell.send(event).is_err() {
            return;
        }
    }
}

/// Waits for the next event of a node and compares it.
async fn expect(node: &mut Node, event: Event) {
    assert_eq!(node.event().await, event);
}

/// A round trip of messages over both streams, in both directions.
async fn talk(a: &mut Node, a_name: &str, b: &mut Node, b_name: &str) {
    for message in [urgent(1), bulk(2)] {
        a.send(b_name, message.clone()).await;
        expect(b, said(a_name, &message)).await;
        b.send(a_name, message.clone()).await;
        expect(a, said(b_name, &message)).await;
    }
}

/// The messages of the next `count` events.
async fn messages(node: &mut Node, count: usize) -> VecDeque<Message> {
    let mut messages = VecDeque::new();
    for _ in 0..count {
        match node.event().await {
            Event::Message(_, message) => messages.push_back(*message),
            other => panic!("{other:?} instead of a message"),
        }
    }
    messages
}
