//! `stockade init`: prepares the nodes of a new cluster for several machines.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::ensure;
use clap::Args;

use super::Ending;
use super::cluster::{MAX_NODES, Maker};
use super::prepare::{ClusterPlan, NodePlan, prepare_cluster};
use super::terminal::say;
use crate::config::is_host_and_port;
use crate::types::{NodeName, Region};

/// Where peers meet when nothing else is said.
pub const QUIC_PORT: u16 = 7302;

const EXAMPLE: &str = "\
Example: three machines, one node each
  stockade init --out shop \\
    --node us-1=us@10.0.0.1 --node eu-1=eu@10.1.0.1 --node ap-1=ap@10.2.0.1

Makes shop/ca and, for each node, shop/NODE with stockade.toml, tls and data.
The founding nodes are fixed here; a data directory that is emptied later can
not be mistaken for a new one. Keep shop/ca: it can admit nodes.";

/// Prepare a new cluster for several machines
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct InitArgs {
    /// A new or empty directory for what is made
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A node, its region and where the others reach it over UDP; repeat for each
    #[arg(long = "node", value_name = "NAME=REGION@HOST[:PORT]", required = true)]
    nodes: Vec<NodeSpec>,
    /// Where each node binds its storefront listener
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7300")]
    storefront: SocketAddr,
    /// Where each node binds its admin listener
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7301")]
    admin: SocketAddr,
}

/// `NAME=REGION@HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeSpec {
    name: NodeName,
    region: Region,
    host: String,
    port: u16,
}

impl FromStr for NodeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<NodeSpec, String> {
        let form = "write NAME=REGION@HOST[:PORT], such as eu-1=eu@10.1.0.1:7302";
        let (name, rest) = text.split_once('=').ok_or(form)?;
        let (region, address) = rest.split_once('@').ok_or(form)?;
        let name = NodeName::new(name).map_err(|e| format!("node name {name:?} {e}"))?;
        let region = Region::new(region).map_err(|e| format!("region {region:?} {e}"))?;
        let (host, port) = host_and_port(address).ok_or(form)?;
        Ok(NodeSpec { name, region, host, port })
    }
}

/// The host, IPv6 in brackets, and the port, by default [`QUIC_PORT`].
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let whole = if is_host_and_port(text) { text.to_owned() } else { format!("{text}:{QUIC_PORT}") };
    let (host, port) = whole.rsplit_once(':')?;
    is_host_and_port(&whole).then_some(())?;
    Some((host.to_owned(), port.parse().ok()?))
}

/// Prepares, and says what to do next.
///
/// # Errors
/// When the directory is not free or two nodes share a name.
pub fn run(args: &InitArgs) -> anyhow::Result<Ending> {
    let plan = plan(args)?;
    prepare_cluster(&plan)?;
    let out = args.out.display();
    say(format_args!("Prepared {} nodes in {out}. Next:", plan.nodes.len()))?;
    for (node, spec) in plan.nodes.iter().zip(&args.nodes) {
        let (name, host) = (&node.name, &spec.host);
        say(format_args!("\n  copy {out}/{name} to {host}, then run there:"))?;
        say(format_args!("    stockade serve --config {name}/stockade.toml"))?;
    }
    let addresses: Vec<_> = plan.nodes.iter().map(|node| node.address.as_str()).collect();
    say(format_args!("\nThe nodes must reach each other over UDP: {}.", addresses.join(", ")))?;
    say(format_args!("Start all of them: none is ready before it has heard the others."))?;
    say(format_args!("Keep {out}/ca in a safe place and on no node."))?;
    Ok(Ending::Good)
}

fn plan(args: &InitArgs) -> anyhow::Result<ClusterPlan> {
    let mut seen = HashSet::new();
    for node in &args.nodes {
        ensure!(seen.insert(&node.name), "--node {}: each name must be given once", node.name);
        ensure!(node.name.as_str() != "ca", "--node ca: this name is kept for the certificate authority");
    }
    ensure!(args.nodes.len() <= MAX_NODES, "a cluster has at most {MAX_NODES} nodes");
    ensure!(args.storefront != args.admin, "--storefront and --admin must differ");
    let node = |spec: &NodeSpec| NodePlan {
        name: spec.name.clone(),
        region: spec.region.clone(),
        storefront: args.storefront,
        admin: args.admin,
        listen: SocketAddr::from(([0, 0, 0, 0], spec.port)),
        address: format!("{}:{}", spec.host, spec.port),
        detours: BTreeMap::new(),
    };
    let nodes = args.nodes.iter().map(node).collect();
    Ok(ClusterPlan { out: args.out.clone(), maker: Maker::Init, nodes, autonomy: None, extra: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<(String, u16), String> {
        text.parse::<NodeSpec>().map(|spec| (spec.host, spec.port))
    }

    #[test]
    fn node_specs_take_names_addresses_and_an_optional_port() {
        assert_eq!(spec("eu-1=eu@10.0.0.1"), Ok(("10.0.0.1".into(), 7302)));
        assert_eq!(spec("eu-1=eu@node.example:99"), Ok(("node.example".into(), 99)));
        assert_eq!(spec("eu-1=eu@[::1]:99"), Ok(("[::1]".into(), 99)));
        assert_eq!(spec("eu-1=eu@[::1]"), Ok(("[::1]".into(), 7302)));
        for bad in ["eu-1", "eu-1=eu", "EU=eu@a", "eu-1=@a", "eu-1=eu@", "eu-1=eu@a b", "eu-1=eu@a:0"] {
            assert!(spec(bad).is_err(), "{bad}");
        }
    }
}
