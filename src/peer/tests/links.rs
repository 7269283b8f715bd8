//! Links between nodes of one cluster.

use std::time::Duration;

use super::relay::Relay;
use super::*;
use crate::peer::certificates::CA_CERTIFICATE;
use crate::peer::{PeerError, SILENCE};

/// Two relays, one for each node to dial, and the nodes `a` and `b` behind them.
struct Pair {
    _cluster: Cluster,
    to_b: Relay,
    to_a: Relay,
    a: Node,
    b: Node,
}

impl Pair {
    /// Both nodes begin to dial at the same moment, and no link is up yet.
    async fn start() -> Pair {
        let cluster = Cluster::new();
        let (to_b, to_a) = (Relay::new().await, Relay::new().await);
        let a = cluster.start("a", &[("b", to_b.address)]).await;
        let b = cluster.start("b", &[("a", to_a.address)]).await;
        to_b.point_at(b.address());
        to_a.point_at(a.address());
        Pair { _cluster: cluster, to_b, to_a, a, b }
    }

    async fn linked() -> Pair {
        let mut pair = Pair::start().await;
        pair.expect_up().await;
        pair
    }

    async fn expect_up(&mut self) {
        expect(&mut self.a, up("b")).await;
        expect(&mut self.b, up("a")).await;
    }

    async fn expect_down(&mut self) {
        expect(&mut self.a, down("b")).await;
        expect(&mut self.b, down("a")).await;
    }

    async fn talk(&mut self) {
        talk(&mut self.a, "a", &mut self.b, "b").await;
    }

    fn cut_a_to_b(&self, cut: bool) {
        self.to_b.cut_there(cut);
        self.to_a.cut_back(cut);
    }

    fn cut_b_to_a(&self, cut: bool) {
        self.to_a.cut_there(cut);
        self.to_b.cut_back(cut);
    }
}

#[tokio::test]
async fn each_stream_keeps_its_order_both_ways() {
    const EACH: u64 = 3_000;
    let mut pair = Pair::linked().await;
    let say = async |node: &Node, to: &str| {
        for n in 0..EACH {
            node.send(to, urgent(n)).await;
            node.send(to, bulk(n)).await;
        }
    };
    let hear = async |events: &mut mpsc::UnboundedReceiver<Event>| {
        let (mut urgents, mut bulks) = (0, 0);
        while urgents + bulks < 2 * EACH {
            let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
            let Event::Message(_, message) = event else { panic!("{event:?}") };
            match *message {
                Message::Ask(ask) if ask.id == urgents => urgents += 1,
                Message::Pass(pass) if pass.number == bulks => bulks += 1,
                other => panic!("{other:?} after {urgents} urgent and {bulks} bulk messages"),
            }
        }
    };
    let (mut at_a, mut at_b) = (taken(&mut pair.a), taken(&mut pair.b));
    tokio::join!(say(&pair.a, "b"), say(&pair.b, "a"), hear(&mut at_a), hear(&mut at_b));
    let counters = pair.a.peers.counters();
    let with_b = counters.node(&name("b")).unwrap();
    assert!(with_b.is_linked() && with_b.messages_in.count() >= 2 * EACH);
    assert!(with_b.bytes_out.count() > with_b.messages_out.count());
}

/// A node's events, so that the node can be used to send meanwhile.
fn taken(node: &mut Node) -> mpsc::UnboundedReceiver<Event> {
    std::mem::replace(&mut node.events, mpsc::unbounded_channel().1)
}

#[tokio::test]
async fn messages_near_the_limit_pass_and_longer_ones_are_dropped_by_their_sender() {
    let mut pair = Pair::linked().await;
    let (large, too_large) = (digest(35_000), digest(60_000));
    for message in [too_large, large.clone(), large.clone(), bulk(1)] {
        pair.a.send("b", message).await;
    }
    assert_eq!(messages(&mut pair.b, 3).await, [large.clone(), large, bulk(1)]);
    assert_eq!(pair.a.peers.counters().node(&name("b")).unwrap().too_long.count(), 1);
    assert_eq!(pair.b.rest(), []);
}

#[tokio::test]
async fn the_driver_is_told_the_round_trip_when_a_link_is_up_and_when_it_changes() {
    const DELAY_MS: u64 = 60;
    let mut pair = Pair::linked().await;
    let told = async |node: &Node, is_it: &dyn Fn(Duration) -> bool| {
        let look = async {
            while !node.round_trips.lock().unwrap().iter().any(|time| is_it(*time)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, look).await.expect("a round trip in time");
    };
    told(&pair.a, &|_| true).await;
    told(&pair.b, &|_| true).await;
    let first = pair.a.round_trips.lock().unwrap()[0];
    assert!(first > Duration::ZERO && first < Duration::from_millis(DELAY_MS), "{first:?}");
    pair.to_a.slow_down(DELAY_MS);
    pair.to_b.slow_down(DELAY_MS);
    pair.talk().await;
    let both_ways = Duration::from_millis(2 * DELAY_MS - DELAY_MS / 2);
    told(&pair.a, &|time| time > both_ways).await;
    told(&pair.b, &|time| time > both_ways).await;
    let news = pair.a.round_trips.lock().unwrap().clone();
    let differ = |pair: &[Duration]| pair[0].abs_diff(pair[1]) > Duration::from_millis(1);
    assert!(news.windows(2).all(differ), "nothing is told twice: {news:?}");
}

#[tokio::test]
async fn crossing_dials_end_with_one_link() {
    for round in 0..25 {
        let mut pair = Pair::linked().await;
        for _ in 0..5 {
            pair.talk().await;
        }
        let Pair { mut a, mut b, .. } = pair;
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]), "round {round}");
        assert_eq!((a.links("b"), b.links("a")), (1, 1), "round {round}");
        tokio::join!(a.stop(), b.stop());
    }
}

/// Runs a node in a runtime of its own, which can be torn away under it.
async fn start_apart(options: PeerOptions) -> (tokio::runtime::Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = runtime.spawn(Node::start(options)).await.unwrap();
    (runtime, node)
}

/// `gone` vanishes without a word and comes back: the link to its former life must not keep
/// the new one out. Both parts must manage: the arbiter is the one with the smaller name.
async fn comes_back(stays: &str, gone: &str) {
    let cluster = Cluster::new();
    let (to_gone, to_stays) = (Relay::new().await, Relay::new().await);
    let mut staying = cluster.start(stays, &[(gone, to_gone.address)]).await;
    to_stays.point_at(staying.address());
    let options = cluster.options(gone, &[(stays, to_stays.address)]);
    for life in 0..3 {
        let (runtime, mut node) = start_apart(options.clone()).await;
        to_gone.point_at(node.address());
        if life > 0 {
            expect(&mut staying, down(gone)).await;
        }
        expect(&mut staying, up(gone)).await;
        expect(&mut node, up(stays)).await;
        talk(&mut staying, stays, &mut node, gone).await;
        runtime.shutdown_background();
    }
    assert_eq!(staying.silences(gone), 0);
}

#[tokio::test]
async fn a_follower_that_vanished_is_linked_again_at_once() {
    comes_back("a", "b").await;
}

#[tokio::test]
async fn an_arbiter_that_vanished_is_linked_again_at_once() {
    comes_back("b", "a").await;
}

#[tokio::test]
async fn what_was_queued_is_delivered_before_a_polite_end() {
    let pair = Pair::linked().await;
    let Pair { a, mut b, .. } = pair;
    for n in 0..500 {
        a.send("b", urgent(n)).await;
        a.send("b", bulk(n)).await;
    }
    let stopped = tokio::spawn(a.stop());
    let got = messages(&mut b, 1_000).await;
    assert_eq!(got.iter().filter(|m| **m == urgent(499) || **m == bulk(499)).count(), 2);
    expect(&mut b, down("a")).await;
    stopped.await.unwrap();
    assert_eq!(b.silences("a"), 0);
}

#[tokio::test]
async fn a_cut_in_one_direction_ends_the_link_at_both_ends_and_heals() {
    for cut in [Pair::cut_a_to_b, Pair::cut_b_to_a] {
        let mut pair = Pair::linked().await;
        let before = tokio::time::Instant::now();
        cut(&pair, true);
        pair.expect_down().await;
        assert!(before.elapsed() > SILENCE - Duration::from_secs(1));
        assert_eq!(pair.a.silences("b") + pair.b.silences("a"), 1);
        cut(&pair, false);
        pair.expect_up().await;
        pair.talk().await;
        assert_eq!((pair.a.rest(), pair.b.rest()), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_cut_in_both_directions_heals() {
    let mut pair = Pair::linked().await;
    pair.cut_a_to_b(true);
    pair.cut_b_to_a(true);
    pair.expect_down().await;
    pair.cut_a_to_b(false);
    pair.cut_b_to_a(false);
    pair.expect_up().await;
    pair.talk().await;
}

#[tokio::test]
async fn a_node_whose_driver_is_gone_lets_go_of_its_links() {
    let mut pair = Pair::linked().await;
    pair.b.driver.abort();
    expect(&mut pair.a, down("b")).await;
    assert_eq!(pair.a.silences("b"), 0);
}

#[tokio::test]
async fn a_link_whose_outbox_the_driver_drops_is_made_anew() {
    let mut pair = Pair::linked().await;
    // The driver of the test removes it again when it hears that the link is down.
    let (link, outbox) = pair.a.links.lock().unwrap().remove(&name("b")).unwrap();
    drop(outbox);
    let (placeholder, _reader) = Outbox::new();
    pair.a.links.lock().unwrap().insert(name("b"), (link, placeholder));
    pair.expect_down().await;
    pair.expect_up().await;
    pair.talk().await;
}

#[tokio::test]
async fn a_peer_table_or_certificate_that_is_no_good_is_refused_at_the_start() {
    let cluster = Cluster::new();
    let identity = |node: &str| Identity {
        cluster: ClusterId(Uuid::nil()),
        node: name(node),
        region: Region::new("eu").unwrap(),
        replica: ReplicaId(Uuid::nil()),
    };
    let start = async |options: PeerOptions| {
        let (handle, _arrivals) = Handle::new(identity("a"), 1);
        Peers::start(options, handle, watch::channel(false).1).await.map(drop)
    };
    let twice = cluster.options("a", &[("b", ANY_PORT), ("b", ANY_PORT)]);
    assert!(matches!(start(twice).await, Err(PeerError::ListedTwice(node)) if node == name("b")));

    let mut others = cluster.options("a", &[]);
    others.tls = cluster.files("b");
    assert!(matches!(start(others).await, Err(PeerError::OtherNode { .. })));

    let mut authoritys = cluster.options("a", &[]);
    authoritys.tls.cert = cluster.directory.path().join("ca").join(CA_CERTIFICATE);
    assert!(matches!(start(authoritys).await, Err(PeerError::Identity { .. })));
}
