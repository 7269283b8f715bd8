//! A node takes up a changed configuration while it runs.

use serde_json::json;
use stockade::peer::ClusterAuthority;
use stockade::types::NodeName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Answer, Call, get, post};
use super::cluster::{AGREE_WITHIN, Cluster};
use super::node::{LOOK_EVERY, Node};

async fn reload(node: &Node) -> Answer {
    node.ask(alone(post("/v1/config/reload", json!({})))).await
}

/// Has the call's connection closed after it: a node that closes idle ones soon could close one
/// that was kept in the very moment in which the next call takes it.
fn alone(call: Call) -> Call {
    call.header("connection", "close")
}

fn config(node: &Node) -> String {
    std::fs::read_to_string(node.config()).unwrap()
}

fn configure(node: &Node, text: &str) {
    std::fs::write(node.config(), text).unwrap();
}

/// Waits for a line in a node's log.
async fn logged(node: &Node, what: &str) -> String {
    let deadline = Instant::now() + AGREE_WITHIN;
    loop {
        if let Some(line) = node.log_text().lines().find(|line| line.contains(what)) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "{what:?} is not in the log of {}", node.name);
        sleep(LOOK_EVERY).await;
    }
}

#[tokio::test]
async fn limits_take_effect_and_a_bad_file_changes_nothing() {
    let cluster = Cluster::start(1).await;
    let node = &cluster[0];
    let good = config(node);
    reload(node).await.expect(200);

    configure(
        node,
        &format!("{good}[limits]\nremember_seconds = 400\nidle_timeout_ms = 50\nrequest_queue = 9\n"),
    );
    let answer = reload(node).await.expect(200).body;
    assert_eq!(answer["applied"], json!(["limits.idle_timeout_ms", "limits.remember_seconds"]));
    assert_eq!(answer["restart_needed"], json!(["limits.request_queue"]));
    // A connection that says nothing more is closed; the default would be a minute.
    let mut idle = TcpStream::connect(node.addresses().unwrap().storefront).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    timeout(AGREE_WITHIN, idle.read_to_end(&mut all)).await.expect("an end").unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 OK"));
    horizon(node, 400).await;

    // Again the same: nothing to apply, and the restart has not been.
    let answer = reload(node).await.expect(200).body;
    assert_eq!(
        (&answer["applied"], &answer["restart_needed"]),
        (&json!([]), &json!(["limits.request_queue"]))
    );

    // One good change and one bad: neither is made.
    configure(node, &format!("{good}[limits]\nremember_seconds = 500\nidle_timeout_ms = 0\n"));
    let answer = reload(node).await.refuses(400, "invalid_request");
    assert_eq!(answer.field(), "limits.idle_timeout_ms");
    configure(node, &good.replace("tls/node.crt", "tls/none.crt"));
    assert_eq!(reload(node).await.refuses(400, "invalid_request").field(), "peers.cert");
    horizon(node, 400).await;
    assert!(node.stop().await.success());
}

/// For how long the node remembers keys, once its numbers are published.
async fn horizon(node: &Node, seconds: u64) {
    let deadline = Instant::now() + AGREE_WITHIN;
    loop {
        let version = node.ask(alone(get("/v1/version").at_admin(true))).await.expect(200).body;
        if version["horizon_seconds"] == seconds {
            return;
        }
        assert!(Instant::now() < deadline, "{version}");
        sleep(LOOK_EVERY).await;
    }
}

#[tokio::test]
async fn a_hangup_signal_reloads_and_log_lines_bear_the_requests_id() {
    let cluster = Cluster::start(1).await;
    let node = &cluster[0];
    configure(node, &format!("{}[log]\nlevel = \"debug\"\n", config(node)));
    node.signal(rustix::process::Signal::HUP);
    let line = logged(node, "configuration reloaded").await;
    assert!(line.contains("log.level"), "{line}");
    node.ask(get("/v1/check").header("x-request-id", "look-for-me")).await.expect(200);
    let line = logged(node, "look-for-me").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&json!("GET"), &json!("/v1/check"), &json!(200))
    );
    assert_eq!(line["span"]["request_id"], "look-for-me");
    assert!(line["elapsed_us"].is_u64() && line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");

    configure(node, "[node]\n");
    node.signal(rustix::process::Signal::HUP);
    logged(node, "nothing was changed").await;
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_node_gets_a_new_certificate_and_peers_new_addresses_without_a_restart() {
    let cluster = Cluster::start(2).await;
    let (first, second) = (&cluster[0], &cluster[1]);
    let authority = ClusterAuthority::load(&first.home.parent().unwrap().join("ca")).unwrap();
    authority.issue(&NodeName::new(&first.name).unwrap(), &first.home.join("tls")).unwrap();
    let answer = reload(first).await.expect(200).body;
    assert_eq!(answer["applied"], json!(["peers.cert", "peers.key"]));
    // The link goes on; the next one is made with the new papers.
    cluster.linked().await;
    second.stop().await;
    cluster.wait_for_links(0, 1).await;
    cluster.restart(1).await;
    cluster.linked().await;

    // Past the relay, to the node itself.
    let relay = cluster.net.address(0, 1).to_string();
    let direct = second.addresses().unwrap().quic.to_string();
    configure(first, &config(first).replace(&relay, &direct));
    let answer = reload(first).await.expect(200).body;
    assert_eq!(answer["applied"], json!([format!("peers.node.{}.address", second.name)]));
    cluster.linked().await;
    logged(first, "dialling it anew").await;
    logged(second, "the node's address was changed").await;
}
