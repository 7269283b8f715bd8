//! Names, regions and ports of a cluster on this machine.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};

use crate::cli::cluster::ClusterFile;
use crate::cli::prepare::NodePlan;
use crate::types::{NodeName, Region};

pub const DEFAULT_PORT: u16 = 7300;
pub const DEFAULT_NODES: u16 = 3;
/// More processes than this are no longer a cluster on one machine.
pub const MOST_NODES: i64 = 64;
/// Every two of them need relays, in both directions.
const MOST_RELAYED: usize = 16;
const DEFAULT_REGIONS: [&str; 3] = ["us", "eu", "ap"];
/// From one node's ports to the next one's.
const STRIDE: u16 = 10;

/// A region as given on the command line.
pub fn region(text: &str) -> Result<Region, String> {
    Region::new(text).map_err(|e| format!("{text:?} {e}"))
}

/// The regions asked for; `None` when nothing was asked for.
pub fn regions(nodes: Option<u16>, regions: Option<&[Region]>) -> Option<Vec<Region>> {
    regions.map(<[Region]>::to_vec).or_else(|| nodes.map(cycled))
}

/// So many nodes over the default regions in turn.
pub fn cycled(nodes: u16) -> Vec<Region> {
    let region = |name: &&str| Region::new(name).expect("the default regions are well-formed");
    DEFAULT_REGIONS.iter().cycle().take(nodes.into()).map(region).collect()
}

/// One node for each region, named by its place among those of the same region.
///
/// # Errors
/// When there are too many, or the ports run out.
pub fn nodes(regions: &[Region], port: u16) -> anyhow::Result<Vec<NodePlan>> {
    ensure!(regions.len() <= MOST_NODES as usize, "--regions lists more than {MOST_NODES} nodes");
    let mut counts = HashMap::new();
    let mut plans = Vec::new();
    for (region, base) in regions.iter().zip(0u16..) {
        let count = counts.entry(region).or_insert(0u32);
        *count += 1;
        let name = NodeName::new(&format!("{region}-{count}"))
            .with_context(|| format!("--regions {region}: too long for a node's name"))?;
        let base = base.checked_mul(STRIDE).and_then(|offset| port.checked_add(offset));
        let base = base.filter(|base| *base <= u16::MAX - 2);
        let base = base.with_context(|| format!("--port {port} is too high for {} nodes", regions.len()))?;
        plans.push(node(name, region.clone(), base));
    }
    Ok(plans)
}

/// Has every node dial every other through a relay: the relays' ports follow those of the nodes.
///
/// # Errors
/// When there are too many, or the ports run out.
pub fn detour(nodes: &mut [NodePlan]) -> anyhow::Result<()> {
    let count = nodes.len();
    ensure!(count <= MOST_RELAYED, "--round-trips works for at most {MOST_RELAYED} nodes, not {count}");
    let names: Vec<NodeName> = nodes.iter().map(|node| node.name.clone()).collect();
    let mut port = nodes.last().map_or(0, |node| node.storefront.port()).checked_add(STRIDE);
    for node in nodes {
        for other in names.iter().filter(|other| **other != node.name) {
            let at = port.context("--port is too high for the relays of --round-trips, one for each pair")?;
            node.detours.insert(other.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, at)));
            port = at.checked_add(1);
        }
    }
    Ok(())
}

fn node(name: NodeName, region: Region, base: u16) -> NodePlan {
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    NodePlan {
        name,
        region,
        storefront: here(base),
        admin: here(base + 1),
        listen: here(base + 2),
        address: here(base + 2).to_string(),
        detours: BTreeMap::new(),
    }
}

/// Refuses to take one cluster for another.
///
/// # Errors
/// When regions or port that were asked for are not those of the files that are there.
pub fn ensure_same(file: &ClusterFile, regions: Option<&[Region]>, port: Option<u16>) -> anyhow::Result<()> {
    let fix = "leave the option out, use --fresh to begin anew, or name another --data";
    let there: Vec<_> = file.nodes.iter().map(|node| node.region.as_str()).collect();
    if let Some(regions) = regions {
        let asked: Vec<_> = regions.iter().map(Region::as_str).collect();
        ensure!(asked == there, "its regions are {}, not {}; {fix}", there.join(","), asked.join(","));
    }
    let base = file.nodes.first().map(|node| node.storefront.port());
    if let (Some(port), Some(base)) = (port, base) {
        ensure!(port == base, "its first port is {base}, not {port}; {fix}");
    }
    Ok(())
}
