//! `stockade dev --round-trips`: nodes on one machine, as far apart as they are told to be.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Answer, Call, Client, get, post, put, reserve};
use super::node::{LOOK_EVERY, STOCKADE};

const MS: u64 = 80;
/// A debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// `stockade dev`, running.
struct Dev {
    process: Child,
    client: Client,
    nodes: Vec<Value>,
}

impl Dev {
    /// Its ports stand together, so the system cannot choose them: where one is taken, others
    /// are tried.
    async fn start(data: &Path, round_trips: &Path) -> Dev {
        for _ in 0..10 {
            let base = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new(STOCKADE);
            command.args(["dev", "--nodes", "3", "--no-demo", "--fresh", "--json"]);
            command.arg("--port").arg(base.min(65_000).to_string());
            command.arg("--data").arg(data).arg("--round-trips").arg(round_trips);
            let mut process =
                command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let mut line = String::new();
            let mut output = BufReader::new(process.stdout.take().unwrap());
            timeout(READY_WITHIN, output.read_line(&mut line)).await.unwrap().unwrap();
            if !line.is_empty() {
                let ready: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(ready["round_trips"][2], json!({"between": ["eu-1", "ap-1"], "ms": 80.0}));
                let nodes = ready["nodes"].as_array().unwrap().clone();
                return Dev { process, client: Client::new(), nodes };
            }
            process.wait().await.unwrap();
        }
        panic!("no free ports")
    }

    fn address(&self, node: usize, listener: &str) -> SocketAddr {
        self.nodes[node][listener].as_str().unwrap().trim_start_matches("http://").parse().unwrap()
    }

    async fn ask(&self, node: usize, call: Call) -> (Answer, Duration) {
        let at = self.address(node, if call.is_for_admin() { "admin" } else { "storefront" });
        let asked = Instant::now();
        let answer = self.client.send(at, &call).await.unwrap();
        (answer, asked.elapsed())
    }

    async fn stop(mut self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        timeout(READY_WITHIN, self.process.wait()).await.unwrap().unwrap();
    }
}

/// The shortest and the longest that a node sees; `None` while one is not linked.
async fn round_trips(dev: &Dev, node: usize) -> Option<(f64, f64)> {
    let (answer, _) = dev.ask(node, get("/v1/nodes")).await;
    let nodes = answer.expect(200).body["nodes"].as_array().unwrap().clone();
    let others = nodes.iter().filter(|other| other["rtt_ms"].is_number() && other["link"] == "up");
    let seen: Vec<f64> = others.map(|other| other["rtt_ms"].as_f64().unwrap()).collect();
    let range = (seen.iter().copied().reduce(f64::min)?, seen.iter().copied().reduce(f64::max)?);
    (seen.len() == 2).then_some(range)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_reservation_does_not_see_the_round_trip_and_a_fetched_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("links.toml");
    std::fs::write(&file, format!("default_ms = {MS}\n")).unwrap();
    let dev = Dev::start(&dir.path().join("data"), &file).await;

    // The estimate begins with the handshake, which a busy machine delays, and settles.
    for node in 0..3 {
        let deadline = Instant::now() + HEARD_WITHIN;
        loop {
            let seen = round_trips(&dev, node).await;
            if seen.is_some_and(|(shortest, longest)| shortest >= 75.0 && longest <= 110.0) {
                break;
            }
            assert!(Instant::now() < deadline, "node {node} sees {seen:?}");
            sleep(LOOK_EVERY).await;
        }
    }

    dev.ask(0, put("/v1/items/TEE", json!({}))).await.0.expect(201);
    let receipt = post("/v1/items/TEE/receipts", json!({"quantity": 100})).key("r");
    dev.ask(0, receipt).await.0.expect(201);
    let deadline = Instant::now() + HEARD_WITHIN;
    while dev.ask(2, get("/v1/availability?sku=TEE")).await.0.body["items"][0]["everywhere"] != 100 {
        assert!(Instant::now() < deadline, "the third node has not heard of the item");
        sleep(LOOK_EVERY).await;
    }

    let mut best = Duration::MAX;
    for n in 0..10 {
        let (answer, took) = dev.ask(0, reserve(&format!("L-{n}"), &[("TEE", 1)], 2_000)).await;
        assert_eq!(answer.expect(201).header("server-timing"), "", "it has the units");
        best = best.min(took);
    }
    assert!(best < Duration::from_millis(30), "{best:?}");

    let (answer, took) = dev.ask(2, reserve("F", &[("TEE", 80)], 5_000)).await;
    let answer = answer.expect(201);
    assert!(answer.header("server-timing").starts_with("peers;dur="), "it has not the units: {answer:?}");
    assert!(took >= Duration::from_millis(MS), "{took:?}");
    dev.stop().await;
}
