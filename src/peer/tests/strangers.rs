//! Callers and listeners that are not what they should be: plain QUIC endpoints that hold
//! certificates and say what a test wants.

use quinn::{Connection, ConnectionError, Endpoint};

use super::*;
use crate::peer::choice::Greeting;
use crate::peer::close::{CloseCode, code_of};
use crate::peer::endpoint::{self, MAX_HANDSHAKES};
use crate::peer::frame;
use crate::peer::tls::{self, SERVER_NAME};
use crate::wire::message::MAX_MESSAGE_BYTES;

/// An endpoint that trusts `trusts` and shows the certificate of `shows`' node `shown`.
fn stranger(trusts: &Cluster, shows: &Cluster, shown: &str) -> (Endpoint, quinn::ClientConfig) {
    let mut options = shows.options(shown, &[]);
    options.tls.ca = trusts.files("anybody").ca;
    let tls = tls::load(&options.tls, &name(shown)).unwrap();
    let endpoint = endpoint::bind(&options, &tls).unwrap();
    let mut config = quinn::ClientConfig::new(tls.client.clone());
    config.transport_config(endpoint::transport(&options));
    (endpoint, config)
}

/// Dials `node` and waits until it closes.
async fn closed_by(node: &Node, (endpoint, config): (Endpoint, quinn::ClientConfig)) -> ConnectionError {
    let dial = async {
        match endpoint.connect_with(config, node.address(), SERVER_NAME).unwrap().await {
            Ok(connection) => connection.closed().await,
            Err(error) => error,
        }
    };
    timeout(PATIENCE, dial).await.expect("a close in time")
}

/// The node still takes the peer that it should.
async fn still_links(cluster: &Cluster, node: &mut Node, node_name: &str, peer: &str) {
    let mut other = cluster.start(peer, &[(node_name, node.address())]).await;
    expect(node, up(peer)).await;
    expect(&mut other, up(node_name)).await;
    talk(node, node_name, &mut other, peer).await;
    assert_eq!(node.rest(), []);
}

/// Nobody listens there.
async fn nowhere() -> SocketAddr {
    let relay = relay::Relay::new().await;
    relay.address
}

#[tokio::test]
async fn a_caller_with_a_certificate_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let mut node = ours.start("a", &[("b", nowhere().await)]).await;
    let error = closed_by(&node, stranger(&ours, &theirs, "b")).await;
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    still_links(&ours, &mut node, "a", "b").await;
    assert_eq!(node.peers.counters().handshake_failures.count(), 1);
}

#[tokio::test]
async fn a_listener_with_a_certificate_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (listener, _) = stranger(&ours, &theirs, "b");
    let _node = ours.start("a", &[("b", listener.local_addr().unwrap())]).await;
    let incoming = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let error = timeout(PATIENCE, incoming.accept().unwrap()).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
}

#[tokio::test]
async fn a_listener_that_is_another_node_than_the_one_dialled_is_refused() {
    let cluster = Cluster::new();
    let (listener, _) = stranger(&cluster, &cluster, "c");
    let address = listener.local_addr().unwrap();
    // Even though the one that answers is a peer, too.
    let mut node = cluster.start("a", &[("b", address), ("c", nowhere().await)]).await;
    let incoming = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let connection = timeout(PATIENCE, incoming.accept().unwrap()).await.unwrap().unwrap();
    let error = timeout(PATIENCE, connection.closed()).await.unwrap();
    assert_eq!(code_of(&error), Some(CloseCode::Refused), "{error}");
    assert_eq!(node.rest(), []);
}

#[tokio::test]
async fn a_caller_that_the_peer_table_does_not_list_or_that_is_the_node_itself_is_refused() {
    let cluster = Cluster::new();
    let mut node = cluster.start("a", &[("b", nowhere().await)]).await;
    for shown in ["stranger", "a"] {
        let error = closed_by(&node, stranger(&cluster, &cluster, shown)).await;
        assert_eq!(code_of(&error), Some(CloseCode::Refused), "{error}");
    }
    still_links(&cluster, &mut node, "a", "b").await;
    assert_eq!(node.peers.counters().refused.count(), 2);
}

/// Links to `node` as its arbiter `a` and sends `bytes` where frames should be.
async fn say(cluster: &Cluster, node: &mut Node, process: u64, bytes: &[u8]) -> Connection {
    let (connection, mut urgent_out) = linked(cluster, node, process).await;
    urgent_out.write_all(bytes).await.unwrap();
    connection
}

async fn linked(cluster: &Cluster, node: &mut Node, process: u64) -> (Connection, quinn::SendStream) {
    let (endpoint, config) = stranger(cluster, cluster, "a");
    let connection = endpoint.connect_with(config, node.address(), SERVER_NAME).unwrap().await.unwrap();
    let mut urgent_out = connection.open_uni().await.unwrap();
    let greeting = Greeting { process, ..Greeting::default() };
    urgent_out.write_all(&greeting.encode()).await.unwrap();
    urgent_out.write_all(&1u64.to_le_bytes()).await.unwrap();
    expect(node, up("a")).await;
    (connection, urgent_out)
}

#[tokio::test]
async fn a_bulk_message_that_overtook_the_hello_is_taken_after_it() {
    let cluster = Cluster::new();
    let mut node = cluster.start("b", &[("a", nowhere().await)]).await;
    let (connection, mut urgent_out) = linked(&cluster, &mut node, 1).await;
    let mut bulk_out = connection.open_uni().await.unwrap();
    for (stream, message) in [(&mut bulk_out, bulk(1)), (&mut urgent_out, urgent(1))] {
        let mut bytes = Vec::new();
        frame::append(&message, &mut bytes).unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
    assert_eq!(messages(&mut node, 2).await, [urgent(1), bulk(1)]);
}

#[tokio::test]
async fn a_peer_that_stops_before_it_said_hello_is_let_go_at_once() {
    let cluster = Cluster::new();
    let mut node = cluster.start("b", &[("a", nowhere().await)]).await;
    let (connection, mut urgent_out) = linked(&cluster, &mut node, 1).await;
    let mut bulk_out = connection.open_uni().await.unwrap();
    urgent_out.finish().unwrap();
    bulk_out.finish().unwrap();
    let code = timeout(crate::peer::SILENCE / 2, connection.closed()).await.unwrap();
    assert_eq!(code_of(&code), Some(CloseCode::Shutdown));
}

#[tokio::test]
async fn bad_bytes_close_their_link_and_no_other() {
    let cluster = Cluster::new();
    let mut node = cluster.start("b", &[("a", nowhere().await), ("c", nowhere().await)]).await;
    let mut other = cluster.start("c", &[("b", node.address())]).await;
    expect(&mut node, up("c")).await;
    expect(&mut other, up("b")).await;

    let oversize = (MAX_MESSAGE_BYTES as u32 + 1).to_le_bytes();
    let unknown_version = [1, 0, 0, 0, 99];
    let empty = [0, 0, 0, 0];
    for (count, bytes) in (1..).zip([&oversize[..], &unknown_version, &empty]) {
        let connection = say(&cluster, &mut node, count, bytes).await;
        expect(&mut node, down("a")).await;
        let error = timeout(PATIENCE, connection.closed()).await.unwrap();
        assert_eq!(code_of(&error), Some(CloseCode::Malformed), "{error}");
        let malformed = node.peers.counters().node(&name("a")).unwrap().malformed.count();
        assert_eq!(malformed, count);
    }
    talk(&mut node, "b", &mut other, "c").await;
    assert_eq!(node.links("c"), 1);
}

#[tokio::test]
async fn a_caller_that_never_greets_is_closed_and_keeps_nobody_out() {
    let cluster = Cluster::new();
    let mut node = cluster.start("b", &[("a", nowhere().await)]).await;
    let (endpoint, config) = stranger(&cluster, &cluster, "a");
    let mute = endpoint.connect_with(config, node.address(), SERVER_NAME).unwrap().await.unwrap();
    still_links(&cluster, &mut node, "b", "a").await;
    let error = timeout(PATIENCE, mute.closed()).await.unwrap();
    assert_eq!(code_of(&error), Some(CloseCode::BadGreeting), "{error}");
}

#[tokio::test]
async fn a_crowd_of_callers_is_turned_away_or_refused_and_keeps_nobody_out() {
    let cluster = Cluster::new();
    let mut node = cluster.start("a", &[("b", nowhere().await)]).await;
    let crowd = stranger(&cluster, &cluster, "stranger");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3 * MAX_HANDSHAKES {
        let (endpoint, config) = crowd.clone();
        let connecting = endpoint.connect_with(config, node.address(), SERVER_NAME).unwrap();
        calls.spawn(async move {
            match connecting.await {
                Ok(connection) => connection.closed().await,
                Err(error) => error,
            }
        });
    }
    let mut refused = 0;
    while let Some(error) = timeout(PATIENCE, calls.join_next()).await.expect("an end in time") {
        refused += u64::from(code_of(&error.unwrap()) == Some(CloseCode::Refused));
    }
    let counters = node.peers.counters();
    assert!(counters.refused.count() >= refused);
    assert!(refused > 0);
    still_links(&cluster, &mut node, "a", "b").await;
}
