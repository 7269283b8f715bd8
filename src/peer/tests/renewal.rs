//! Papers and addresses that change while links run.

use super::super::{PeerError, Renewed};
use super::*;

/// Two nodes with a link. The first dials the second; the second cannot reach the first by itself
/// until it is told where that is.
async fn linked(cluster: &Cluster) -> (Node, Node) {
    let nowhere = ([127, 0, 0, 1], 9).into();
    let mut b = cluster.start("b", &[("a", nowhere)]).await;
    let mut a = cluster.start("a", &[("b", b.address())]).await;
    expect(&mut a, up("b")).await;
    expect(&mut b, up("a")).await;
    (a, b)
}

/// Has a node use what these files hold.
fn renew(node: &Node, files: &TlsFiles) -> Renewed {
    let control = node.peers.control();
    let papers = control.read(files).unwrap();
    let renewed = control.renewed(&papers);
    control.use_papers(&papers);
    assert_eq!(control.renewed(&papers), Renewed::default());
    renewed
}

/// The same address in other words, so that the link is dialled anew.
fn redial(node: &Node, peer: &str, at: SocketAddr) {
    node.peers.control().set_address(&name(peer), &format!("localhost:{}", at.port()));
}

#[tokio::test]
async fn new_papers_hold_for_new_handshakes_at_both_ends_and_links_go_on() {
    let (old, new) = (Cluster::new(), Cluster::new());
    let (mut a, mut b) = linked(&old).await;
    let all = Renewed { ca: true, cert: true, key: true };
    assert_eq!(renew(&a, &new.files("a")), all);
    talk(&mut a, "a", &mut b, "b").await;
    assert_eq!(a.links("b"), 1);

    // Another authority's papers at one end only: no handshake succeeds.
    redial(&a, "b", b.address());
    expect(&mut a, down("b")).await;
    expect(&mut b, down("a")).await;
    let failed = |node: &Node| node.peers.counters().node(&name("b")).unwrap().dial_failures.count();
    while failed(&a) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(renew(&b, &new.files("b")), all);
    expect(&mut a, up("b")).await;
    expect(&mut b, up("a")).await;
    talk(&mut a, "a", &mut b, "b").await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn papers_that_are_no_good_leave_the_old_ones_in_force() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let (mut a, mut b) = linked(&cluster).await;
    let control = a.peers.control();
    let (good, foreign) = (cluster.files("a"), other.files("a"));
    let foreign = TlsFiles { ca: good.ca.clone(), ..foreign };
    assert!(matches!(control.read(&foreign), Err(PeerError::Untrusted { .. })));
    assert!(matches!(control.read(&cluster.files("b")), Err(PeerError::OtherNode { .. })));
    let missing = TlsFiles { key: "/nowhere/node.key".into(), ..good };
    assert!(matches!(control.read(&missing), Err(PeerError::File { .. })));

    redial(&a, "b", b.address());
    expect(&mut a, down("b")).await;
    expect(&mut a, up("b")).await;
    for event in [down("a"), up("a")] {
        expect(&mut b, event).await;
    }
    talk(&mut a, "a", &mut b, "b").await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_peer_is_dialled_at_its_new_address() {
    let cluster = Cluster::new();
    let (mut a, b) = linked(&cluster).await;
    // The address that is in force already changes nothing.
    a.peers.control().set_address(&name("b"), &b.address().to_string());
    a.peers.control().set_address(&name("nobody"), "localhost:1");
    b.stop().await;
    expect(&mut a, down("b")).await;
    let mut b = cluster.start("b", &[("a", ([127, 0, 0, 1], 9).into())]).await;
    a.peers.control().set_address(&name("b"), &b.address().to_string());
    expect(&mut a, up("b")).await;
    expect(&mut b, up("a")).await;
    talk(&mut a, "a", &mut b, "b").await;
    a.stop().await;
    b.stop().await;
}
