//! The nodes that orders go to, and which order goes where.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use super::trace::Trace;
use crate::cli::client::BaseUrl;
use crate::cli::cluster::Cluster;
use crate::types::Region;

/// How orders find their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Assign {
    /// To a node of the order's own region.
    File,
    /// To each node in turn, whatever the region.
    RoundRobin,
}

/// A node under load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As the cluster's directory calls it.
    pub name: Option<String>,
    pub region: String,
    pub storefront: BaseUrl,
    pub admin: BaseUrl,
}

impl Target {
    /// The node as a person knows it, for complaints.
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("the node of {}", self.region))
    }
}

/// `REGION=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl {
    region: Region,
    url: BaseUrl,
}

impl FromStr for NodeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<NodeUrl, String> {
        let form = "write REGION=URL, such as eu=http://10.1.0.1:7300";
        let (region, url) = text.split_once('=').ok_or(form)?;
        let region = Region::new(region).map_err(|e| format!("region {region:?} {e}"))?;
        Ok(NodeUrl { region, url: url.parse()? })
    }
}

/// The nodes of a cluster on this machine.
pub fn of_cluster(cluster: &Cluster) -> Vec<Target> {
    let target = |node: &crate::cli::cluster::NodeFiles| Target {
        name: Some(node.config.node.name.to_string()),
        region: node.config.node.region.to_string(),
        storefront: node.storefront(),
        admin: node.admin(),
    };
    cluster.nodes.iter().map(target).collect()
}

/// Nodes given one by one, with their admin listeners in the same order; without, one port on.
///
/// # Errors
/// When there are fewer or more admin listeners than nodes.
pub fn of_urls(nodes: &[NodeUrl], admins: &[BaseUrl]) -> anyhow::Result<Vec<Target>> {
    let count = (admins.len(), nodes.len());
    ensure!(
        admins.is_empty() || count.0 == count.1,
        "{} --admin for {} --node: give one for each node, in the same order, or none for the next port",
        count.0,
        count.1
    );
    let mut targets = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let by_habit = || node.url.next_port().map_err(|e| anyhow::anyhow!("--node {}: {e}", node.url));
        let admin = admins.get(index).cloned().map_or_else(by_habit, Ok)?;
        let (region, storefront) = (node.region.to_string(), node.url.clone());
        targets.push(Target { name: None, region, storefront, admin });
    }
    Ok(targets)
}

/// For each order the place of its node, and for each item that of the node that receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub orders: Vec<usize>,
    pub items: Vec<usize>,
}

/// # Errors
/// When an order's region has no node.
pub fn assign(trace: &Trace, targets: &[Target], how: Assign) -> anyhow::Result<Assignment> {
    ensure!(!targets.is_empty(), "there are no nodes");
    match how {
        Assign::File => by_region(trace, targets),
        Assign::RoundRobin => {
            let orders = (0..trace.orders.len()).map(|order| order % targets.len()).collect();
            Ok(Assignment { orders, items: vec![0; trace.skus.len()] })
        }
    }
}

/// Nodes of one region take its orders in turn; its first one receives its stock.
fn by_region(trace: &Trace, targets: &[Target]) -> anyhow::Result<Assignment> {
    let mut nodes: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, target) in targets.iter().enumerate() {
        nodes.entry(&target.region).or_default().push(index);
    }
    let mut of_region = Vec::new();
    for region in &trace.regions {
        let nodes = nodes.get(region.as_str()).with_context(|| {
            format!("no node has the file's region {region:?}; add --node {region}=URL (or a --regions entry to `stockade dev`), or use --assign round-robin")
        })?;
        of_region.push(nodes);
    }
    let mut turns = vec![0usize; trace.regions.len()];
    let orders = trace.orders.iter().map(|order| {
        let nodes = of_region[order.region];
        let turn = &mut turns[order.region];
        *turn += 1;
        nodes[(*turn - 1) % nodes.len()]
    });
    let orders = orders.collect();
    let items = trace
        .largest_regions()
        .iter()
        .map(|region| region.map_or(0, |region| of_region[region][0]))
        .collect();
    Ok(Assignment { orders, items })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::replay::trace::Window;

    fn trace() -> Trace {
        let text = "ts,region,sku,qty,order\nt,uk,A,3,1\nt,fr,B,1,2\nt,uk,A,2,3\nt,uk,C,-1,4\n";
        Trace::read(text.as_bytes(), Window::default()).unwrap()
    }

    fn targets(regions: &[&str]) -> Vec<Target> {
        let nodes: Vec<NodeUrl> = regions
            .iter()
            .zip(1..)
            .map(|(region, n)| format!("{region}=http://h:{n}0").parse().unwrap())
            .collect();
        of_urls(&nodes, &[]).unwrap()
    }

    #[test]
    fn orders_go_to_their_region_and_take_turns_within_it() {
        let assignment = assign(&trace(), &targets(&["fr", "uk", "uk"]), Assign::File).unwrap();
        assert_eq!(assignment, Assignment { orders: vec![1, 0, 2, 1], items: vec![1, 0, 0] });
    }

    #[test]
    fn round_robin_ignores_regions_and_stocks_the_first_node() {
        let assignment = assign(&trace(), &targets(&["x", "y"]), Assign::RoundRobin).unwrap();
        assert_eq!(assignment, Assignment { orders: vec![0, 1, 0, 1], items: vec![0, 0, 0] });
    }

    #[test]
    fn a_region_without_a_node_is_named_with_the_fix() {
        let text = assign(&trace(), &targets(&["uk"]), Assign::File).unwrap_err().to_string();
        assert!(text.contains("\"fr\"") && text.contains("--node fr=URL"), "{text}");
    }

    #[test]
    fn admin_listeners_are_the_next_port_or_one_for_each_node() {
        let node: NodeUrl = "eu=http://h:7300".parse().unwrap();
        assert_eq!(of_urls(std::slice::from_ref(&node), &[]).unwrap()[0].admin.to_string(), "http://h:7301");
        let admin: BaseUrl = "http://h:99".parse().unwrap();
        assert_eq!(
            of_urls(std::slice::from_ref(&node), std::slice::from_ref(&admin)).unwrap()[0].admin,
            admin
        );
        assert!(of_urls(&[node.clone(), node], &[admin]).is_err());
    }
}
