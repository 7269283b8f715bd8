//! A prepared cluster's directory: `cluster.json` says who is in it, each node's own
//! `stockade.toml` says where it listens now.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::client::BaseUrl;
use super::prepare::{NodePlan, write_private};
use crate::config::Config;
use crate::types::{ClusterId, NodeName};

const FILE: &str = "cluster.json";
const FORMAT: u32 = 1;
/// Most nodes in one prepared cluster.
pub const MAX_NODES: usize = crate::config::MAX_PEERS + 1;

/// Which command prepared a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maker {
    Dev,
    Init,
}

/// What stands in `cluster.json`: marks a directory as prepared by this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFile {
    pub made_by: Maker,
    pub format: u32,
    pub cluster: String,
    pub nodes: Vec<ClusterNode>,
}

/// A node as it was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    pub name: String,
    pub region: String,
    pub storefront: SocketAddr,
    pub admin: SocketAddr,
    pub quic: String,
}

impl ClusterFile {
    pub fn new(made_by: Maker, cluster: ClusterId, nodes: &[NodePlan]) -> ClusterFile {
        ClusterFile {
            made_by,
            format: FORMAT,
            cluster: cluster.to_string(),
            nodes: nodes.iter().map(ClusterNode::new).collect(),
        }
    }

    pub fn is_at(dir: &Path) -> bool {
        dir.join(FILE).is_file()
    }

    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("a cluster file is plain data")?;
        write_private(&dir.join(FILE), &(text + "\n"))
    }

    /// # Errors
    /// When there is none or it is not understood.
    pub fn read(dir: &Path) -> anyhow::Result<ClusterFile> {
        let path = dir.join(FILE);
        let shown = path.display();
        let text = fs::read_to_string(&path).with_context(|| {
            format!("cannot read {shown}; `stockade dev --data {}` prepares a cluster there", dir.display())
        })?;
        let file: ClusterFile =
            serde_json::from_str(&text).with_context(|| format!("{shown} is not understood"))?;
        ensure!(file.format == FORMAT, "{shown} has format {}; this release reads {FORMAT}", file.format);
        ensure!(file.nodes.len() <= MAX_NODES, "{shown} lists more than {MAX_NODES} nodes");
        for node in &file.nodes {
            NodeName::new(&node.name).with_context(|| format!("{shown}: node {:?}", node.name))?;
        }
        Ok(file)
    }
}

impl ClusterNode {
    pub fn new(plan: &NodePlan) -> ClusterNode {
        ClusterNode {
            name: plan.name.to_string(),
            region: plan.region.to_string(),
            storefront: plan.storefront,
            admin: plan.admin,
            quic: plan.address.clone(),
        }
    }
}

/// A prepared cluster with its nodes' configurations as they stand now.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub file: ClusterFile,
    /// In the order in which they were planned.
    pub nodes: Vec<NodeFiles>,
}

/// One node's part of the directory.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    pub config: Config,
    /// Where `stockade dev` sends what the node writes.
    pub log: PathBuf,
}

impl Cluster {
    /// # Errors
    /// When the directory was not prepared or a configuration is bad.
    pub fn open(dir: &Path) -> anyhow::Result<Cluster> {
        let file = ClusterFile::read(dir)?;
        let mut nodes = Vec::new();
        for node in &file.nodes {
            let home = dir.join(&node.name);
            let config = Config::load(&home.join("stockade.toml"))?;
            if config.node.name.as_str() != node.name {
                bail!("{}: node.name must be {:?}; names are fixed", config.file.display(), node.name);
            }
            nodes.push(NodeFiles { config, log: home.join("node.log") });
        }
        Ok(Cluster { file, nodes })
    }

    /// Each node's name and admin listener.
    pub fn named_admins(&self) -> Vec<(String, BaseUrl)> {
        self.nodes.iter().map(|node| (node.config.node.name.to_string(), node.admin())).collect()
    }
}

impl NodeFiles {
    pub fn storefront(&self) -> BaseUrl {
        BaseUrl::of(self.config.http.storefront)
    }

    pub fn admin(&self) -> BaseUrl {
        BaseUrl::of(self.config.http.admin)
    }
}
