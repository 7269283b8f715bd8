//! Preparing a cluster: identities, founding roster, certificates, configurations, journals.
//!
//! Everything is made in `DIR.preparing` and renamed into place once it is whole, so a
//! directory that is there is complete. Nothing that exists is overwritten. All of it is for its
//! owner alone: directories have mode 0700, files 0600.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::cluster::{ClusterFile, Maker};
use crate::node::witness::Witness;
use crate::peer::certificates::ClusterAuthority;
use crate::store::{Head, RedbStore, journal_path};
use crate::types::{Autonomy, ClusterId, NodeName, Region, ReplicaId, Timestamp};
use crate::wire::entry::Member;
use crate::wire::{Batch, Genesis, Record, codec};

/// What is to be prepared, and where.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    pub out: PathBuf,
    pub maker: Maker,
    pub nodes: Vec<NodePlan>,
    /// The cluster's, if it is to be another than the default.
    pub autonomy: Option<Autonomy>,
    /// More files for the directory: names and texts.
    pub extra: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    pub name: NodeName,
    pub region: Region,
    pub storefront: SocketAddr,
    pub admin: SocketAddr,
    /// Where it listens for QUIC.
    pub listen: SocketAddr,
    /// Where the others dial it: `host:port`.
    pub address: String,
    /// Whom it dials elsewhere than at their `address`, and where.
    pub detours: BTreeMap<NodeName, SocketAddr>,
}

/// A founder: a planned node and the id of its first disk.
struct Founder<'a> {
    plan: &'a NodePlan,
    replica: ReplicaId,
}

/// Prepares all nodes of a new cluster.
///
/// # Errors
/// When the directory is not free or cannot be written.
pub fn prepare_cluster(plan: &ClusterPlan) -> anyhow::Result<()> {
    ensure_free(&plan.out)?;
    let workshop = workshop(&plan.out)?;
    make_directory(&workshop)?;
    let cluster = ClusterId(Uuid::new_v4());
    let file = ClusterFile::new(plan.maker, cluster, &plan.nodes);
    file.write(&workshop)?;
    plan.extra.iter().try_for_each(|(name, text)| write_private(&workshop.join(name), text))?;
    let founders: Vec<_> =
        plan.nodes.iter().map(|plan| Founder { plan, replica: ReplicaId(Uuid::new_v4()) }).collect();
    issue_certificates(&workshop, &founders)?;
    for founder in &founders {
        prepare_node(&workshop, cluster, plan, founder, &founders)?;
    }
    fs::rename(&workshop, &plan.out)
        .with_context(|| format!("cannot rename {} into place", workshop.display()))
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}

/// Writes a new file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A cluster is put into a new or empty directory only.
fn ensure_free(out: &Path) -> anyhow::Result<()> {
    let shown = out.display();
    match fs::read_dir(out) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot use {shown}")),
        Ok(mut entries) => {
            ensure!(
                entries.next().is_none(),
                "{shown} is not empty; nothing is overwritten: name a new directory"
            );
            Ok(())
        }
    }
}

/// An empty place beside `out`. What a preparation that was cut short left there is removed.
fn workshop(out: &Path) -> anyhow::Result<PathBuf> {
    let name = out.file_name().with_context(|| format!("{} is no name for a directory", out.display()))?;
    let mut name = name.to_os_string();
    name.push(".preparing");
    let workshop = out.with_file_name(name);
    if ClusterFile::is_at(&workshop) {
        fs::remove_dir_all(&workshop).with_context(|| format!("cannot remove {}", workshop.display()))?;
    }
    ensure_free(&workshop)?;
    Ok(workshop)
}

fn prepare_node(
    dir: &Path,
    cluster: ClusterId,
    plan: &ClusterPlan,
    founder: &Founder<'_>,
    all: &[Founder<'_>],
) -> anyhow::Result<()> {
    let home = dir.join(founder.plan.name.as_str());
    make_directory(&home)?;
    // Nodes of `stockade dev` run here and nowhere else, so they begin with a witness of their own.
    let witness = (plan.maker == Maker::Dev).then_some("witness");
    let mut config = render_config(founder.plan, all, witness);
    if let Some(autonomy) = plan.autonomy {
        config += &format!("\n# The same at every node.\n[cluster]\nautonomy = \"{autonomy}\"\n");
    }
    write_private(&home.join("stockade.toml"), &config)?;
    let (data, genesis) = (home.join("data"), genesis(cluster, founder, all));
    let head = Head { cluster, node: genesis.name.clone(), replica: genesis.replica };
    create_journal(&data, &head, genesis)?;
    if let Some(witness) = witness {
        Witness::open(&home.join(witness), &head, &journal_path(&data))?.saw_prepared()?;
    }
    Ok(())
}

fn genesis(cluster: ClusterId, founder: &Founder<'_>, all: &[Founder<'_>]) -> Genesis {
    let member = |founder: &Founder<'_>| Member {
        replica: founder.replica,
        name: founder.plan.name.clone(),
        region: founder.plan.region.clone(),
    };
    Genesis {
        cluster,
        replica: founder.replica,
        name: founder.plan.name.clone(),
        region: founder.plan.region.clone(),
        founders: all.iter().map(member).collect(),
    }
}

/// The node's configuration. Names, addresses and hosts are checked to hold nothing that TOML
/// would have to escape.
fn render_config(node: &NodePlan, all: &[Founder<'_>], witness: Option<&str>) -> String {
    let witness = witness.map(|dir| format!("witness_dir = \"{dir}\"\n")).unwrap_or_default();
    let mut text = format!(
        "# Written when the cluster was prepared; yours to edit, but for the names.\n\
         \n[node]\nname = \"{}\"\nregion = \"{}\"\ndata_dir = \"data\"\n{witness}\
         \n[http]\nstorefront = \"{}\"\nadmin = \"{}\"\n\
         \n[peers]\nlisten = \"{}\"\nca = \"tls/ca.crt\"\ncert = \"tls/node.crt\"\nkey = \"tls/node.key\"\n",
        node.name, node.region, node.storefront, node.admin, node.listen
    );
    for other in all.iter().map(|founder| founder.plan).filter(|plan| plan.name != node.name) {
        let address =
            node.detours.get(&other.name).map_or_else(|| other.address.clone(), SocketAddr::to_string);
        text += &format!(
            "\n[[peers.node]]\nname = \"{}\"\nregion = \"{}\"\naddress = \"{address}\"\n",
            other.name, other.region
        );
    }
    text
}

/// Makes the cluster's certificate authority in `DIR/ca` and each node's papers in `DIR/NODE/tls`.
fn issue_certificates(dir: &Path, founders: &[Founder<'_>]) -> anyhow::Result<()> {
    let authority = ClusterAuthority::create(&dir.join("ca"))?;
    for founder in founders {
        let name = &founder.plan.name;
        authority.issue(name, &dir.join(name.as_str()).join("tls"))?;
    }
    Ok(())
}

/// Makes the data directory with a journal that says whose it is.
fn create_journal(data_dir: &Path, head: &Head, genesis: Genesis) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let time = Timestamp(u64::try_from(now.as_millis()).context("the clock stands too far ahead")?);
    let first = Batch { time, records: vec![Record::Genesis(genesis)] };
    Ok(RedbStore::create(data_dir, head.clone(), &codec::encode(&first))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cli::cluster::Cluster;
    use crate::cli::dev_cluster_for_tests;
    use crate::store::{Loaded, verify};

    #[test]
    fn a_prepared_cluster_is_whole_and_its_configurations_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = dev_cluster_for_tests(&dir.path().join("cluster"));
        let names: Vec<_> = cluster.nodes.iter().map(|node| node.config.node.name.as_str()).collect();
        assert_eq!(names, ["us-1", "eu-1", "eu-2"]);
        for node in &cluster.nodes {
            assert_eq!(node.config.peers.nodes.len(), 2);
            assert_eq!(node.config.missing_files(), []);
        }
        assert!(!dir.path().join("cluster.preparing").exists());
    }

    #[test]
    fn every_journal_says_whose_it_is_and_who_the_founders_are() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = dev_cluster_for_tests(&dir.path().join("cluster"));
        let genesis: Vec<Genesis> =
            cluster.nodes.iter().map(|node| first_record(&node.config.node.data_dir)).collect();
        for (own, node) in genesis.iter().zip(&cluster.nodes) {
            assert_eq!((&own.name, &own.region), (&node.config.node.name, &node.config.node.region));
            assert_eq!(own.cluster.to_string(), cluster.file.cluster);
            assert_eq!(own.founders, genesis[0].founders);
            assert!(
                own.founders.iter().any(|founder| founder.replica == own.replica && founder.name == own.name)
            );
        }
    }

    fn first_record(data: &Path) -> Genesis {
        let mut bodies = Vec::new();
        let report = verify(data, &mut |loaded| {
            let (Loaded::Chunk(body) | Loaded::Batch(_, body)) = loaded;
            bodies.push(body.to_vec());
            Ok(())
        });
        let head = report.unwrap().head;
        let batch: Batch = codec::decode(&bodies[0]).unwrap();
        let [Record::Genesis(genesis)] = batch.records.as_slice() else { panic!("{batch:?}") };
        assert_eq!(
            (head.cluster, &head.node, head.replica),
            (genesis.cluster, &genesis.name, genesis.replica)
        );
        genesis.clone()
    }

    #[test]
    fn everything_is_for_its_owner_alone() {
        fn look(path: &Path) {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            if path.is_dir() {
                assert_eq!(mode, 0o700, "{}", path.display());
                fs::read_dir(path).unwrap().for_each(|entry| look(&entry.unwrap().path()));
            } else {
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("cluster");
        dev_cluster_for_tests(&out);
        look(&out);
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("precious"), "x").unwrap();
        let plan = ClusterPlan {
            out: dir.path().to_path_buf(),
            maker: Maker::Dev,
            nodes: Vec::new(),
            autonomy: None,
            extra: Vec::new(),
        };
        let text = prepare_cluster(&plan).unwrap_err().to_string();
        assert!(text.contains("is not empty"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_preparation_that_was_cut_short_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("cluster");
        let left = dir.path().join("cluster.preparing");
        fs::create_dir(&left).unwrap();
        ClusterFile::new(Maker::Dev, ClusterId(Uuid::nil()), &[]).write(&left).unwrap();
        dev_cluster_for_tests(&out);
        assert_eq!(Cluster::open(&out).unwrap().nodes.len(), 3);
    }
}
