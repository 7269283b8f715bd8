//! What the examples play on: real nodes in processes of their own, the network between them, and
//! a client. Nothing here is needed by a program that uses Stockade, but for [`client`].

pub mod client;
mod relay;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use client::{Call, get};
use relay::Net;

/// For whatever should take a moment, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Lets the operating system choose.
const ANY_PORT: &str = "127.0.0.1:0";

/// A cluster in a directory that goes away with it.
pub struct Cluster {
    pub nodes: Vec<Node>,
    net: Net,
    home: PathBuf,
}

/// One node: a process, and where it listens while it runs.
pub struct Node {
    pub name: &'static str,
    home: PathBuf,
    running: Option<Running>,
}

struct Running {
    process: Child,
    storefront: SocketAddr,
    admin: SocketAddr,
    quic: SocketAddr,
}

impl Cluster {
    /// Prepares a node for each region, named after it, starts them and waits until all are
    /// ready and linked. Every port is chosen by the operating system.
    pub async fn start(regions: &[(&'static str, &'static str)]) -> anyhow::Result<Cluster> {
        let home = std::env::temp_dir().join(format!("stockade-example-{}", std::process::id()));
        let net = Net::new(regions.len()).await?;
        let node = |&(name, _): &(&'static str, &str)| Node { name, home: home.join(name), running: None };
        let mut cluster = Cluster { nodes: regions.iter().map(node).collect(), net, home };
        let mut init = stockade();
        init.args(["init", "--out"]).arg(&cluster.home);
        for (name, region) in regions {
            init.args(["--node", &format!("{name}={region}@127.0.0.1:1")]);
        }
        let prepared = init.output().context("cannot run `stockade init`")?;
        ensure!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
        for node in 0..regions.len() {
            std::fs::write(cluster.nodes[node].config(), cluster.configuration(node, regions))?;
            cluster.start_node(node).await?;
        }
        for node in 0..regions.len() {
            cluster.nodes[node].ready().await?;
            cluster.linked(node, regions.len()).await?;
        }
        Ok(cluster)
    }

    /// As `stockade init` writes it, but the nodes reach each other through relays.
    fn configuration(&self, node: usize, regions: &[(&str, &str)]) -> String {
        let (name, region) = regions[node];
        let mut text = format!(
            "[node]\nname = \"{name}\"\nregion = \"{region}\"\ndata_dir = \"data\"\n\
             [http]\nstorefront = \"{ANY_PORT}\"\nadmin = \"{ANY_PORT}\"\n\
             [peers]\nlisten = \"{ANY_PORT}\"\n\
             ca = \"tls/ca.crt\"\ncert = \"tls/node.crt\"\nkey = \"tls/node.key\"\n"
        );
        for (other, (name, region)) in regions.iter().enumerate().filter(|(other, _)| *other != node) {
            let address = self.net.address(node, other);
            text += &format!(
                "[[peers.node]]\nname = \"{name}\"\nregion = \"{region}\"\naddress = \"{address}\"\n"
            );
        }
        text
    }

    pub async fn start_node(&mut self, node: usize) -> anyhow::Result<()> {
        let quic = self.nodes[node].start().await?;
        self.net.point_at(node, quic);
        Ok(())
    }

    /// `kill -9`: nothing is said, nothing is tidied up.
    pub fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        let mut running = self.nodes[node].running.take().context("it does not run")?;
        running.process.kill()?;
        running.process.wait()?;
        Ok(())
    }

    /// Loses every packet between this node and the others, both ways, or lets them pass again.
    pub fn cut_off(&self, node: usize, is_cut: bool) {
        self.net.cut_off(node, is_cut);
    }

    /// Waits until a node counts so many as linked, itself among them.
    pub async fn linked(&self, node: usize, wanted: usize) -> anyhow::Result<()> {
        let node = &self.nodes[node];
        until(&format!("{} to have {wanted} links up", node.name), async || {
            let answer = client::send(&node.admin(), &get("/v1/nodes")).await.ok()?;
            let nodes = answer.body["nodes"].as_array()?;
            (nodes.iter().filter(|node| node["link"] == "up").count() == wanted).then_some(())
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for running in self.nodes.iter_mut().filter_map(|node| node.running.as_mut()) {
            // It may have ended; then there is nothing to do.
            let _ = running.process.kill();
            let _ = running.process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Node {
    fn config(&self) -> PathBuf {
        self.home.join("stockade.toml")
    }

    /// `http://127.0.0.1:PORT`; of a node that does not run, one where nobody answers.
    pub fn storefront(&self) -> String {
        format!("http://127.0.0.1:{}", self.running.as_ref().map_or(1, |at| at.storefront.port()))
    }

    pub fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.running.as_ref().map_or(1, |at| at.admin.port()))
    }

    async fn start(&mut self) -> anyhow::Result<SocketAddr> {
        let path = self.home.join("log");
        let log = File::options().create(true).append(true).open(&path)?;
        let already = log.metadata()?.len();
        let mut serve = stockade();
        serve.args(["serve", "--config"]).arg(self.config());
        // The node ends with this process, however that ends.
        serve.args(["--exit-with-parent", &std::process::id().to_string()]);
        let mut process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let what = format!("{} to listen", self.name);
        let listening = until(&what, async || {
            let log = read_from(&path, already);
            if let Ok(Some(status)) = process.try_wait() {
                return Some(Err(anyhow::anyhow!("{} ended, {status}:\n{log}", self.name)));
            }
            log.lines().find_map(addresses).map(Ok)
        });
        let [storefront, admin, quic] = listening.await??;
        self.keep_ports(storefront, admin, quic)?;
        self.running = Some(Running { process, storefront, admin, quic });
        Ok(quic)
    }

    /// What the operating system chose is in the configuration from now on, so that a node that
    /// comes back is found where it was.
    fn keep_ports(&self, storefront: SocketAddr, admin: SocketAddr, quic: SocketAddr) -> anyhow::Result<()> {
        let mut text = std::fs::read_to_string(self.config())?;
        for (key, address) in [("storefront", storefront), ("admin", admin), ("listen", quic)] {
            text = text.replace(&format!("{key} = \"{ANY_PORT}\""), &format!("{key} = \"{address}\""));
        }
        Ok(std::fs::write(self.config(), text)?)
    }

    pub async fn ready(&self) -> anyhow::Result<()> {
        until(&format!("{} to be ready", self.name), async || {
            let answer = client::send(&self.admin(), &get("/readyz")).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await
    }

    /// What the admin listener answers with a 2xx.
    pub async fn admin_call(&self, call: Call) -> anyhow::Result<Value> {
        let answer = client::send(&self.admin(), &call).await?;
        ensure!((200..300).contains(&answer.status), "{}: {} {}", self.name, answer.status, answer.body);
        Ok(answer.body)
    }
}

/// This very program: called with arguments, an example is the command `stockade`.
fn stockade() -> Command {
    Command::new(std::env::current_exe().expect("a running program has a path"))
}

/// The addresses in the line in which a node says where it listens.
fn addresses(line: &str) -> Option<[SocketAddr; 3]> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str()?.parse().ok();
    Some([address("storefront")?, address("admin")?, address("peers")?])
}

fn read_from(path: &Path, from: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let start = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// Asks again and again until it is so.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if begin.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
