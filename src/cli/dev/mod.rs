//! `stockade dev`: a cluster on this machine, one process per node.
//!
//! It prepares the cluster's files once and uses those that are there ever after, so that a
//! configuration may be edited between starts. Nodes are ordinary `stockade serve` processes:
//! one that dies is reported and left for dead, which is what makes this a place to watch
//! what happens when a node dies.

mod demo;
mod plan;
mod processes;
mod relay;
mod report;
mod round_trips;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::client::Client;
use super::cluster::{Cluster, ClusterFile, Maker};
use super::prepare::prepare_cluster;
use super::terminal::note;
use super::{Ending, Output};
use crate::types::{Autonomy, NodeName, Region};
use processes::Processes;
use relay::{Relays, Way};
use round_trips::{RoundTrips, Source};

const EXAMPLE: &str = "\
Examples:
  stockade dev
  stockade dev --regions uk,ie,dach,fr --port 8300 --data ./four
  stockade dev --prepare --json
  stockade dev --regions uk,de,sg --round-trips aws:ireland,frankfurt,singapore
  stockade dev --autonomy 1%

Node k, from 0, listens on port+10k (storefront), port+10k+1 (admin) and
port+10k+2 (QUIC, UDP). Its files are in DIR/NODE: stockade.toml, tls, data,
and node.log with all it writes. Ctrl-C stops all nodes; their data stay, and
the next start goes on with them.

--round-trips puts a relay between every two nodes, on the ports behind theirs,
which holds packets back for half a round trip each way; none are lost. With
`aws` the nodes are in the regions virginia, oregon, ireland, frankfurt, tokyo,
singapore, sydney, sao-paulo: in this order, or where --regions says if it uses
these names only, or where `aws:` says. A FILE holds default_ms = 0 and, for
two nodes, [[link]] between = [\"us-1\", \"eu-1\"] ms = 80. It is kept as
DIR/round-trips.toml; the next start goes by that one, or by another that is
given.

--autonomy is written into each node's stockade.toml: how many units of an item
a node may take that no other node has been told of.";

/// How long all nodes together may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long the item DEMO may take to reach all nodes.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

/// Run a cluster on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct DevArgs {
    /// How many nodes, over the regions us, eu, ap in turn [default: 3]
    #[arg(long, value_name = "N", conflicts_with = "regions", value_parser = clap::value_parser!(u16).range(1..=plan::MOST_NODES))]
    nodes: Option<u16>,
    /// One node for each region listed; repeat a region for more nodes in it
    #[arg(long, value_name = "REGION,..", value_delimiter = ',', value_parser = plan::region)]
    regions: Option<Vec<Region>>,
    /// First port [default: 7300]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Where the cluster's files are
    #[arg(long, value_name = "DIR", default_value = "./stockade-data")]
    data: PathBuf,
    /// How long packets take between nodes: aws, aws:PLACE,.. or a file
    #[arg(long, value_name = "aws|FILE", value_parser = round_trips::source, conflicts_with = "prepare")]
    round_trips: Option<Source>,
    /// The cluster's autonomy: N units, N% of an item, or all [default: all]
    #[arg(long, value_name = "DIAL", allow_negative_numbers = true)]
    autonomy: Option<Autonomy>,
    /// Throw away what a cluster started earlier here has left, and begin anew
    #[arg(long)]
    fresh: bool,
    /// Do not put the item DEMO with 300 units into stock
    #[arg(long)]
    no_demo: bool,
    /// Only write the files, and print the command that runs each node
    #[arg(long)]
    prepare: bool,
    /// Print one line of JSON when all nodes are ready
    #[arg(long)]
    json: bool,
}

/// Prepares, runs and watches the nodes until told to stop.
///
/// # Errors
/// When ports or directory are not free, or a node does not become ready.
pub fn run(args: DevArgs) -> anyhow::Result<Ending> {
    let dir = std::path::absolute(&args.data).with_context(|| format!("--data {}", args.data.display()))?;
    let cluster = files(&args, &dir)?;
    let round_trips = RoundTrips::kept(&dir, &round_trips::names(&cluster))?;
    let output = if args.json { Output::Json } else { Output::Table };
    if args.prepare {
        ensure!(
            round_trips.is_none(),
            "the nodes in {} reach each other only while `stockade dev` runs them; leave --prepare out",
            dir.display()
        );
        report::prepared(&cluster, output)?;
        return Ok(Ending::Good);
    }
    ensure_ports_free(&cluster)?;
    // The nodes are bound to the life of the thread that starts them: the main one.
    super::runtime()?.block_on(serve(&args, &cluster, round_trips.as_ref(), output))
}

/// The cluster's files: those that are there, or new ones.
fn files(args: &DevArgs, dir: &Path) -> anyhow::Result<Cluster> {
    if args.fresh {
        remove(dir)?;
    }
    let regions = plan::regions(args.nodes, args.regions.as_deref());
    if !ClusterFile::is_at(dir) {
        let regions = regions.clone().unwrap_or_else(|| plan::cycled(plan::DEFAULT_NODES));
        let mut nodes = plan::nodes(&regions, args.port.unwrap_or(plan::DEFAULT_PORT))?;
        let mut extra = Vec::new();
        if let Some(source) = &args.round_trips {
            plan::detour(&mut nodes)?;
            let known: Vec<_> = nodes.iter().map(|node| (node.name.clone(), node.region.clone())).collect();
            extra.push((round_trips::FILE, round_trips::text(source, &known)?));
        }
        let (out, autonomy) = (dir.to_path_buf(), args.autonomy);
        prepare_cluster(&super::prepare::ClusterPlan { out, maker: Maker::Dev, nodes, autonomy, extra })?;
        return Cluster::open(dir);
    }
    let cluster = Cluster::open(dir)?;
    plan::ensure_same(&cluster.file, regions.as_deref(), args.port)
        .and_then(|()| args.autonomy.map_or(Ok(()), |asked| ensure_autonomy(&cluster, asked)))
        .with_context(|| format!("{} holds another cluster", dir.display()))?;
    if let Some(source) = &args.round_trips {
        keep_round_trips(source, &cluster, dir)?;
    }
    Ok(cluster)
}

/// # Errors
/// When a node's configuration has another one.
fn ensure_autonomy(cluster: &Cluster, asked: Autonomy) -> anyhow::Result<()> {
    for node in &cluster.nodes {
        let (name, there) = (&node.config.node.name, node.config.cluster.autonomy);
        ensure!(
            there == asked,
            "the autonomy of {name} is {there}, not {asked}; change [cluster] in each stockade.toml, leave the \
             option out, use --fresh to begin anew, or name another --data"
        );
    }
    Ok(())
}

/// Takes other round trips for a cluster that is there, whose nodes must dial relays already.
fn keep_round_trips(source: &Source, cluster: &Cluster, dir: &Path) -> anyhow::Result<()> {
    let file = dir.join(round_trips::FILE);
    ensure!(
        file.exists(),
        "--round-trips: the nodes in {} were prepared to reach each other directly; use --fresh to begin anew, \
         or name another --data",
        dir.display()
    );
    let nodes = cluster.nodes.iter().map(|node| &node.config.node);
    let nodes: Vec<_> = nodes.map(|node| (node.name.clone(), node.region.clone())).collect();
    let text = round_trips::text(source, &nodes)?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The relays that the nodes' configurations name.
///
/// # Errors
/// When a node dials another directly, or an address is none of this machine.
fn ways(cluster: &Cluster, round_trips: &RoundTrips) -> anyhow::Result<Vec<Way>> {
    let place = |name: &NodeName| cluster.nodes.iter().position(|node| node.config.node.name == *name);
    let mut ways = Vec::new();
    for (dialler, node) in cluster.nodes.iter().enumerate() {
        for peer in &node.config.peers.nodes {
            let Some(dialled) = place(&peer.name) else { continue };
            let to = cluster.nodes[dialled].config.peers.listen;
            let at = peer.address.parse().ok().filter(|at: &SocketAddr| at.ip().is_loopback() && *at != to);
            let at = at.with_context(|| {
                format!(
                    "{}: peers.node.address {:?} of {} is no address for a relay; write a free one, such as \
                     127.0.0.1:7999, or use --fresh to begin anew",
                    node.config.file.display(),
                    peer.address,
                    peer.name
                )
            })?;
            ways.push(Way { at, to, delay: round_trips.delay(dialler, dialled) });
        }
    }
    Ok(ways)
}

/// Removes what an earlier start left; nothing that `stockade dev` did not make.
fn remove(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    if !ClusterFile::is_at(dir) {
        let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
        ensure!(is_empty, "{shown} was not made by `stockade dev`; it is left alone. Name another --data");
        return Ok(());
    }
    let file = ClusterFile::read(dir)?;
    ensure!(
        file.made_by == Maker::Dev,
        "{shown} was made by `stockade init`; it is left alone. Name another --data"
    );
    ensure_ports_free(&Cluster::open(dir)?).context("the cluster there may still be running")?;
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {shown}"))
}

/// Says which port is taken before anything is started.
fn ensure_ports_free(cluster: &Cluster) -> anyhow::Result<()> {
    for node in &cluster.nodes {
        let name = &node.config.node.name;
        let fix = "stop what uses it, or choose other ports with --port and another --data";
        for (what, address) in
            [("storefront", node.config.http.storefront), ("admin", node.config.http.admin)]
        {
            std::net::TcpListener::bind(address)
                .with_context(|| format!("{address} ({what} of {name}) cannot be bound; {fix}"))?;
        }
        let listen = node.config.peers.listen;
        std::net::UdpSocket::bind(listen)
            .with_context(|| format!("{listen} (QUIC, UDP, of {name}) cannot be bound; {fix}"))?;
    }
    Ok(())
}

async fn serve(
    args: &DevArgs,
    cluster: &Cluster,
    round_trips: Option<&RoundTrips>,
    output: Output,
) -> anyhow::Result<Ending> {
    let mut stop = StopSignals::new()?;
    let ways = round_trips.map_or_else(|| Ok(Vec::new()), |round_trips| ways(cluster, round_trips))?;
    let _relays = Relays::start(&ways).await?;
    let mut processes = Processes::start(cluster)?;
    let ready = tokio::select! {
        biased;
        () = stop.wait() => { processes.stop().await; return Ok(Ending::Good) }
        ready = until_ready(args, cluster, &mut processes) => ready,
    };
    if let Err(error) = ready {
        processes.stop().await;
        return Err(error);
    }
    report::ready(cluster, &processes.ids(), round_trips, output, !args.no_demo)?;
    let ending = watch(&mut processes, &mut stop).await;
    processes.stop().await;
    Ok(ending)
}

/// Waits for all nodes and stocks the demo item.
async fn until_ready(args: &DevArgs, cluster: &Cluster, processes: &mut Processes) -> anyhow::Result<()> {
    let client = Client::new(Duration::from_secs(5));
    tokio::select! {
        biased;
        ended = processes.next_end() => bail!("{} ended before it was ready: {}", ended.name, ended.story()),
        ready = tokio::time::timeout(READY_WITHIN, report::wait_until_ready(&client, cluster)) => {
            ready.with_context(|| format!("not all nodes were ready after {} s; see their node.log", READY_WITHIN.as_secs()))?;
        }
    }
    if !args.no_demo
        && let Some(first) = cluster.nodes.first()
    {
        demo::stock(&client, &first.admin()).await.context("cannot stock the item DEMO")?;
        let heard = tokio::time::timeout(HEARD_WITHIN, demo::until_known(&client, cluster)).await;
        heard.context("not all nodes have heard of the item DEMO")?;
    }
    Ok(())
}

/// Reports nodes that end until told to stop, or until none is left.
async fn watch(processes: &mut Processes, stop: &mut StopSignals) -> Ending {
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => return Ending::Good,
            ended = processes.next_end() => {
                note(format_args!("{} ended: {}", ended.name, ended.story()));
                if processes.all_ended() {
                    note("no node is left");
                    return Ending::Failed;
                }
                note("the others go on; to have it back, stop all and start again, or run");
                note(format_args!("  {}", ended.restart));
            }
        }
    }
}

/// Ctrl-C and SIGTERM.
struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<StopSignals> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        Ok(StopSignals { interrupt, terminate })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How a process ended, in words.
fn status_words(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "its end could not be seen".to_owned(), |status| status.to_string())
}

#[cfg(test)]
mod tests;
