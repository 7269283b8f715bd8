//! What `stockade dev` says: progress on standard error, results on standard output.

use std::time::Duration;

use serde::Serialize;

use super::demo;
use super::processes::serve_command;
use super::round_trips::RoundTrips;
use crate::cli::client::{Call, Client};
use crate::cli::cluster::{Cluster, NodeFiles};
use crate::cli::node::Ready;
use crate::cli::terminal::{note, say};
use crate::cli::{Output, table};

/// How often a node is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
struct ClusterJson {
    nodes: Vec<NodeJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    round_trips: Vec<RoundTripJson>,
}

#[derive(Debug, Serialize)]
struct RoundTripJson {
    between: [String; 2],
    ms: f64,
}

#[derive(Debug, Serialize)]
struct NodeJson {
    name: String,
    region: String,
    storefront: String,
    admin: String,
    quic: String,
    data: String,
    config: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

impl NodeJson {
    fn new(node: &NodeFiles, pid: Option<u32>) -> NodeJson {
        NodeJson {
            name: node.config.node.name.to_string(),
            region: node.config.node.region.to_string(),
            storefront: node.storefront().to_string(),
            admin: node.admin().to_string(),
            quic: node.config.peers.listen.to_string(),
            data: node.config.node.data_dir.display().to_string(),
            config: node.config.file.display().to_string(),
            pid,
        }
    }
}

/// Commands that run each node by hand.
///
/// # Errors
/// When it cannot be written.
pub fn prepared(cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(cluster, &[], None)?,
        Output::Table => {
            for node in &cluster.nodes {
                say(serve_command(&node.config.file))?;
            }
        }
    }
    Ok(())
}

/// Where the nodes are, and a first reservation to paste.
///
/// # Errors
/// When it cannot be written.
pub fn ready(
    cluster: &Cluster,
    pids: &[u32],
    round_trips: Option<&RoundTrips>,
    output: Output,
    has_demo: bool,
) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_json(cluster, pids, round_trips);
    }
    let mut rows = table(&["node", "region", "storefront", "admin"]);
    for node in &cluster.nodes {
        let config = &node.config;
        let name = config.node.name.to_string();
        rows.add_row([
            name,
            config.node.region.to_string(),
            node.storefront().to_string(),
            node.admin().to_string(),
        ]);
    }
    say(rows)?;
    if let Some(round_trips) = round_trips
        && let Some((shortest, longest)) = round_trips.range()
    {
        say(format_args!("round trips: {shortest} to {longest} ms, by relays in this process"))?;
        say_places(cluster, round_trips)?;
    }
    if let Some(node) = cluster.nodes.first() {
        let log = node.log.display().to_string();
        say(format_args!("logs: {}", log.replacen(node.config.node.name.as_str(), "NODE", 1)))?;
    }
    let call = first_call(cluster, has_demo);
    say(format_args!("\nTry:\n{call}\n\nCtrl-C stops all nodes; their data stay."))
}

/// A reservation at the last node, whose units come from the first.
fn first_call(cluster: &Cluster, has_demo: bool) -> String {
    let Some(node) = cluster.nodes.last() else { return String::new() };
    if !has_demo {
        return format!("  curl -s {}/v1/nodes", node.admin());
    }
    format!(
        "  curl -s -X PUT {}/v1/reservations/ORDER-1001 \\\n    -H 'content-type: application/json' \\\n    \
         -d '{{\"lines\":[{{\"sku\":\"{}\",\"quantity\":2}}]}}'",
        node.storefront(),
        demo::SKU
    )
}

fn print_json(cluster: &Cluster, pids: &[u32], round_trips: Option<&RoundTrips>) -> anyhow::Result<()> {
    let pids = pids.iter().map(|pid| Some(*pid)).chain(std::iter::repeat(None));
    let nodes = cluster.nodes.iter().zip(pids).map(|(node, pid)| NodeJson::new(node, pid)).collect();
    let round_trips = round_trips.map_or_else(Vec::new, |round_trips| round_trips_json(cluster, round_trips));
    say(serde_json::to_string(&ClusterJson { nodes, round_trips })?)
}

/// Where the nodes are, as far as that is known, four on a line.
fn say_places(cluster: &Cluster, round_trips: &RoundTrips) -> anyhow::Result<()> {
    let nodes = cluster.nodes.iter().map(|node| &node.config.node.name).enumerate();
    let known =
        nodes.filter_map(|(number, name)| Some(format!("{name} {}", round_trips.place(number)?.name())));
    let known: Vec<String> = known.collect();
    known.chunks(4).try_for_each(|line| say(format_args!("  {}", line.join(", "))))
}

/// Each pair once.
fn round_trips_json(cluster: &Cluster, round_trips: &RoundTrips) -> Vec<RoundTripJson> {
    let name = |node: usize| cluster.nodes[node].config.node.name.to_string();
    let count = cluster.nodes.len();
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    pairs.map(|(a, b)| RoundTripJson { between: [name(a), name(b)], ms: round_trips.ms(a, b) }).collect()
}

/// Returns when every node has said that it is ready. Tells which is, and what others wait for.
pub async fn wait_until_ready(client: &Client, cluster: &Cluster) {
    for node in &cluster.nodes {
        let name = &node.config.node.name;
        let mut told = String::new();
        while let Err(why) = is_ready(client, node).await {
            if why != told {
                note(format_args!("{name}: {why}"));
                told = why;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        note(format_args!("{name}: ready"));
    }
}

async fn is_ready(client: &Client, node: &NodeFiles) -> Result<(), String> {
    let answer =
        client.send(&Call::get(&node.admin(), "/readyz")).await.map_err(|_| "starting".to_owned())?;
    if answer.status == 200 {
        return Ok(());
    }
    let reasons = answer.json::<Ready>().map(|ready| ready.reasons).unwrap_or_default();
    // Told to take no new reservations, before it was last stopped: it runs as it should.
    if reasons == ["draining"] {
        return Ok(());
    }
    let text = |reason: &serde_json::Value| reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
    Err(format!("not ready: {}", reasons.iter().map(text).collect::<Vec<_>>().join(", ")))
}
