//! What peers tell waits a moment for a commit that somebody waits for, and only a moment.

use std::time::{Duration, Instant};

use super::*;
use crate::node::link::OutboxReader;
use crate::replica::{Barrier, Effects, Evidence, Input, Output, Replica, Token};
use crate::wire::Message;

/// As long as records linger; and a time that is well below the half second between two digests, each
/// of which ends a linger, too.
const LINGER: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_millis(250);
const LINK: LinkId = LinkId(1);

fn genesis_of(n: usize) -> Genesis {
    let member = |n: usize| Member {
        replica: ReplicaId(Uuid::from_u128(n as u128)),
        name: NodeName::new(&format!("n-{n}")).unwrap(),
        region: Region::new("n").unwrap(),
    };
    let me = member(n);
    Genesis {
        cluster: ClusterId(Uuid::from_u128(9)),
        replica: me.replica,
        name: me.name,
        region: me.region,
        founders: vec![member(1), member(2)],
    }
}

fn prepared() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let genesis = genesis_of(1);
    let head = Head { cluster: genesis.cluster, node: genesis.name.clone(), replica: genesis.replica };
    let batch = Batch { time: Timestamp(1), records: vec![Record::Genesis(genesis)] };
    MemoryStore::create(&disk, head, &codec::encode(&batch)).unwrap();
    disk
}

/// The other member: a bare replica whose disk is always done.
struct Peer {
    replica: Replica,
    handle: Handle,
    reader: OutboxReader,
    ready: bool,
    /// Digests that the node sent, and how far the last one claims this member's log.
    digests: usize,
    claimed: Seq,
    last_token: u64,
}

impl Peer {
    /// Linked to the node, both ready, and all that was said taken in.
    async fn linked(node: &Node) -> Peer {
        let (outbox, reader) = Outbox::new();
        let mut peer = Peer {
            replica: Replica::new(genesis_of(2), Limits::default()),
            handle: node.handle.clone(),
            reader,
            ready: false,
            digests: 0,
            claimed: Seq::ZERO,
            last_token: 0,
        };
        peer.step(Input::Start { nonce: 77, evidence: Evidence::Proven }).await;
        assert!(node.handle.link_up(NodeName::new("n-2").unwrap(), LINK, outbox).await);
        peer.step(Input::LinkUp { node: NodeName::new("n-1").unwrap() }).await;
        while !peer.ready || peer.claimed < peer.replica.watermark(peer.replica.replica_id()) {
            peer.listen().await;
        }
        peer
    }

    async fn step(&mut self, input: Input) {
        let mut effects = Effects::default();
        self.replica.handle(self.handle.now(), input, &mut effects);
        effects.take_records();
        let mut barrier = Barrier::default();
        barrier.durable(self.replica.position());
        barrier.hold(effects.take_outputs());
        while let Some(output) = barrier.release() {
            match output {
                Output::Send { message, .. } => {
                    let me = self.replica.name().clone();
                    assert!(self.handle.message(me, LINK, message).await);
                }
                Output::Ready => self.ready = true,
                _ => {}
            }
        }
    }

    /// Takes in what the node has said, and lets what is due happen.
    async fn listen(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        while let Ok(message) = self.reader.bulk.try_recv().or_else(|_| self.reader.urgent.try_recv()) {
            if let Message::Digest(digest) = &message {
                self.digests += 1;
                let me = self.replica.replica_id();
                let of_me = digest.watermarks.iter().find(|(origin, _)| *origin == me);
                self.claimed = of_me.map_or(Seq::ZERO, |(_, upto)| *upto);
            }
            self.step(Input::Message { node: NodeName::new("n-1").unwrap(), message }).await;
        }
        if self.replica.next_deadline().is_some_and(|due| due <= self.handle.now()) {
            self.step(Input::Tick).await;
        }
    }

    async fn listen_to_a_digest(&mut self) {
        let before = self.digests;
        while self.digests == before {
            self.listen().await;
        }
    }

    /// Has something new about itself and tells it; how far its log goes then.
    async fn tell(&mut self, units: u64) -> Seq {
        self.last_token += 1;
        let command = if units == 0 {
            Command::SetItem { sku: sku("TEE"), policy: Policy::default() }
        } else {
            receive(units)
        };
        self.step(Input::Request { token: Token(self.last_token), request: Request::plain(command) }).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        self.step(Input::Tick).await;
        self.replica.watermark(self.replica.replica_id())
    }
}

async fn linked() -> (MemoryDisk, Gate, Node, Peer) {
    let (disk, gate) = (prepared(), Gate::default());
    let node = start(&disk, &gate, DriverOptions::default());
    let mut peer = Peer::linked(&node).await;
    peer.tell(0).await;
    (disk, gate, node, peer)
}

async fn stopped(node: Node) {
    let stopping = tokio::time::timeout(Duration::from_secs(20), node.stop());
    stopping.await.expect("a stop waits for nothing but the disk").unwrap();
}

/// How long it takes until something is committed after a peer has told something, well before the
/// node's next digest.
async fn until_committed(peer: &mut Peer, gate: &Gate, units: u64) -> Duration {
    peer.listen_to_a_digest().await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    let before = gate.count();
    peer.tell(units).await;
    let told = Instant::now();
    while gate.count() == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    told.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_tells_lingers_for_a_moment_and_no_longer() {
    let (_disk, gate, node, mut peer) = linked().await;
    let mut took = Vec::new();
    // A machine that is busy may make one of them late, not each.
    while took.len() < 10 && !took.iter().any(|took| (LINGER - LINGER / 5..SOON).contains(took)) {
        took.push(until_committed(&mut peer, &gate, 1).await);
    }
    assert!(took.len() < 10, "{took:?}");
    stopped(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_tells_goes_into_the_commit_of_a_sale() {
    let (_disk, gate, node, mut peer) = linked().await;
    node.call(receive(100)).await.unwrap();
    let mut commits = Vec::new();
    while commits.len() < 10 && !commits.contains(&1) {
        peer.listen_to_a_digest().await;
        tokio::time::sleep(Duration::from_millis(80)).await;
        let merged = node.handle.metrics().read().replica.entries_merged;
        let before = gate.count();
        peer.tell(1).await;
        while node.handle.metrics().read().replica.entries_merged == merged {
            tokio::task::yield_now().await;
        }
        node.call(sell(&format!("A{}", commits.len()))).await.unwrap();
        commits.push(gate.count() - before);
    }
    assert!(commits.contains(&1), "{commits:?}: one for both");
    stopped(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_claimed_of_what_a_peer_told_before_it_is_durable() {
    let (_disk, gate, node, mut peer) = linked().await;
    peer.listen_to_a_digest().await;
    gate.shut(true);
    let told = peer.tell(1).await;
    let end = Instant::now() + Duration::from_millis(1_200);
    while Instant::now() < end {
        peer.listen().await;
        assert!(peer.claimed < told, "a digest is due each half second");
    }
    gate.shut(false);
    while peer.claimed < told {
        peer.listen().await;
    }
    stopped(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lingers_is_committed_when_the_node_stops() {
    let (disk, _gate, node, mut peer) = linked().await;
    peer.listen_to_a_digest().await;
    let merged = node.handle.metrics().read().replica.entries_merged;
    let told = peer.tell(1).await;
    while node.handle.metrics().read().replica.entries_merged == merged {
        tokio::task::yield_now().await;
    }
    stopped(node).await;
    let mut recovery = Recovery::new(Limits::default());
    let mut store = MemoryStore::open(&disk.copy()).unwrap();
    store.load(&mut |loaded| recovery.take(loaded).map(drop)).unwrap();
    let replica = recovery.finish(store.head()).unwrap().replica;
    assert_eq!(replica.watermark(peer.replica.replica_id()), told);
}
