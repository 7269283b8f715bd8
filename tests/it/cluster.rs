//! Several nodes and the network between them.

use std::net::SocketAddr;
use std::ops::Index;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::client::{Client, get};
use super::node::{Addresses, LOOK_EVERY, Node, STOCKADE};
use super::relay::Net;

/// How long nodes that can all talk may take to agree.
pub const AGREE_WITHIN: Duration = Duration::from_secs(10);
/// How long a cut may go unnoticed, with some for a busy machine.
const NOTICE_WITHIN: Duration = Duration::from_secs(20);
/// Lines of each log that a failure shows.
const SHOWN_LINES: usize = 30;

#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub net: Net,
    dir: Option<TempDir>,
}

impl Cluster {
    /// Nodes `n0`, `n1`, .. in regions `r0`, `r1`, .., running, ready and linked.
    pub async fn start(nodes: usize) -> Cluster {
        let regions: Vec<String> = (0..nodes).map(|i| format!("r{i}")).collect();
        let cluster = Cluster::prepare(&regions).await;
        cluster.start_all().await;
        cluster
    }

    /// Prepared, and nothing runs.
    pub async fn prepare(regions: &[String]) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("cluster");
        init(&home, regions);
        let client = Client::new();
        let node = |(i, region): (usize, &String)| {
            Node::new(name(i), region.clone(), home.join(name(i)), client.clone())
        };
        let nodes: Vec<Node> = regions.iter().enumerate().map(node).collect();
        let net = Net::new(nodes.len(), 1).await;
        let cluster = Cluster { nodes, net, dir: Some(dir) };
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        for i in 0..cluster.nodes.len() {
            cluster.configure(i, Addresses { storefront: any, admin: any, quic: any });
        }
        cluster
    }

    /// Writes a node's configuration: it dials the others through the relays.
    pub fn configure(&self, node: usize, at: Addresses) {
        let Node { name, region, .. } = &self[node];
        let mut text = format!(
            "[node]\nname = \"{name}\"\nregion = \"{region}\"\ndata_dir = \"data\"\n\
             witness_dir = \"witness\"\non_unproven_start = \"resume\"\n\
             [http]\nstorefront = \"{}\"\nadmin = \"{}\"\n\
             [peers]\nlisten = \"{}\"\nca = \"tls/ca.crt\"\ncert = \"tls/node.crt\"\nkey = \"tls/node.key\"\n",
            at.storefront, at.admin, at.quic
        );
        for (other, peer) in self.nodes.iter().enumerate().filter(|(other, _)| *other != node) {
            text += &format!(
                "[[peers.node]]\nname = \"{}\"\nregion = \"{}\"\naddress = \"{}\"\n",
                peer.name,
                peer.region,
                self.net.address(node, other)
            );
        }
        std::fs::write(self[node].config(), text).unwrap();
    }

    pub async fn start_all(&self) {
        for node in 0..self.nodes.len() {
            self.launch(node).await;
        }
        for node in &self.nodes {
            node.ready().await;
        }
        self.linked().await;
    }

    /// Starts a node's process and tells the network where it is.
    pub async fn launch(&self, node: usize) {
        let at = self[node].start().await;
        self.net.point_at(node, at.quic);
    }

    /// Starts a node, and waits until it is ready.
    pub async fn restart(&self, node: usize) {
        self.launch(node).await;
        self[node].ready().await;
    }

    /// Waits until every node is linked to every other.
    pub async fn linked(&self) {
        for node in 0..self.nodes.len() {
            let all = self.nodes.len();
            self.wait_for_links(node, all).await;
        }
    }

    /// Waits until so many nodes are linked to this one, itself among them.
    pub async fn wait_for_links(&self, node: usize, wanted: usize) {
        let deadline = Instant::now() + NOTICE_WITHIN;
        loop {
            let nodes = self[node].ask(get("/v1/nodes")).await.expect(200).body;
            let up = nodes["nodes"].as_array().unwrap().iter().filter(|n| n["link"] == "up").count();
            if up == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{wanted} links wanted: {nodes}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until all nodes have the same books, and returns how long that took. No node may
    /// find an invariant violated, or have been alarmed.
    pub async fn converged(&self) -> Duration {
        let began = Instant::now();
        loop {
            let mut digests = Vec::new();
            for node in &self.nodes {
                let check = node.ask(get("/v1/check")).await.expect(200).body;
                assert_eq!(check["violations"], Value::Array(Vec::new()), "{}", node.name);
                digests.push(check["books_digest"].as_str().unwrap().to_owned());
            }
            if digests.windows(2).all(|pair| pair[0] == pair[1]) {
                break;
            }
            assert!(began.elapsed() < AGREE_WITHIN, "no agreement: {digests:?}");
            sleep(LOOK_EVERY).await;
        }
        let took = began.elapsed();
        for node in &self.nodes {
            assert_eq!(node.counter("stockade_alarms_total").await, 0, "{} was alarmed", node.name);
        }
        took
    }

    /// Waits until `sku` is known everywhere.
    pub async fn known(&self, sku: &str) {
        for node in &self.nodes {
            let deadline = Instant::now() + AGREE_WITHIN;
            while node.ask(get(format!("/v1/items/{sku}"))).await.status != 200 {
                assert!(Instant::now() < deadline, "{} does not know {sku}", node.name);
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// An item's totals, as a node sees them.
    pub async fn totals(&self, node: usize, sku: &str) -> Value {
        self[node].ask(get(format!("/v1/items/{sku}"))).await.expect(200).body["totals"].clone()
    }
}

impl Index<usize> for Cluster {
    type Output = Node;

    fn index(&self, node: usize) -> &Node {
        &self.nodes[node]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.nodes.iter().for_each(show_log);
        }
        if let Some(dir) = self.dir.take()
            && std::env::var_os("STOCKADE_KEEP").is_some()
        {
            eprintln!("kept: {}", dir.keep().display());
        }
    }
}

fn show_log(node: &Node) {
    let text = node.log_text();
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    eprintln!("---- the end of the log of {}\n{}", node.name, shown.join("\n"));
}

pub fn name(node: usize) -> String {
    format!("n{node}")
}

/// Certificates, identities and journals, as an operator would make them.
fn init(home: &Path, regions: &[String]) {
    let mut command = Command::new(STOCKADE);
    command.args(["init", "--out"]).arg(home);
    for (i, region) in regions.iter().enumerate() {
        command.args(["--node", &format!("{}={region}@127.0.0.1:1", name(i))]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
