//! A crowd of connections that do little or nothing, from the very address of those who buy.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::chaos::may_take_long;
use super::client::{Client, reserve};
use super::cluster::Cluster;
use super::node::LOOK_EVERY;

const CROWD: usize = 10_000;
/// Names the address that the crowd goes to, in the crowd's own process.
const GOES_TO: &str = "STOCKADE_CROWD";
/// How often one that is slow says something.
const A_BYTE_EVERY: Duration = Duration::from_secs(2);
const TURNS: usize = 5;
const GATHERS_WITHIN: Duration = Duration::from_secs(60);
const OPEN: &str = "stockade_http_connections{listener=\"storefront\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_and_slow_connections_do_not_slow_the_others() {
    if !may_take_long() {
        return;
    }
    let cluster = Arc::new(Cluster::start(1).await);
    cluster[0].stock("TEE", 1_000_000).await;
    speed(&cluster, "warm").await;
    let before = best(&cluster, "before").await;

    let (alone, mut crowd) = (resident_kib(&cluster), gather(&cluster).await);
    let crowded = resident_kib(&cluster);
    println!("memory: {alone} KiB before, {crowded} KiB with {CROWD} connections");
    let with = best(&cluster, "with").await;
    let open = cluster[0].counter(OPEN).await;
    assert!(open >= CROWD as u64 * 9 / 10, "the crowd went away: {open}");
    crowd.kill().await.unwrap();

    println!(
        "p99 of a reservation on a kept connection: {:?} before, {:?} with the crowd",
        before.kept, with.kept
    );
    println!(
        "p99 of a reservation on a new connection: {:?} before, {:?} with the crowd",
        before.new, with.new
    );
    assert!(with.kept <= before.kept * 2 && with.new <= before.new * 2, "more than twice as slow");
}

/// 99 of 100 reservations took at most so long.
#[derive(Clone, Copy, Debug)]
struct Speed {
    kept: Duration,
    new: Duration,
}

/// The best of several turns: what else runs on this machine comes and goes.
async fn best(cluster: &Arc<Cluster>, name: &str) -> Speed {
    let mut best = Speed { kept: Duration::MAX, new: Duration::MAX };
    for turn in 0..TURNS {
        let speed = speed(cluster, &format!("{name}-{turn}")).await;
        best = Speed { kept: best.kept.min(speed.kept), new: best.new.min(speed.new) };
    }
    best
}

async fn speed(cluster: &Arc<Cluster>, name: &str) -> Speed {
    Speed {
        kept: p99(cluster, &format!("{name}-kept"), 4_000, true).await,
        new: p99(cluster, &format!("{name}-new"), 1_000, false).await,
    }
}

async fn p99(cluster: &Arc<Cluster>, name: &str, calls: usize, kept: bool) -> Duration {
    const AT_ONCE: usize = 8;
    let storefront = cluster[0].addresses().expect("it runs").storefront;
    let buy = |worker: usize| {
        let name = name.to_owned();
        async move {
            let mut took = Vec::new();
            let mut client = Client::new();
            for n in 0..calls / AT_ONCE {
                let call = reserve(&format!("{name}-{worker}-{n}"), &[("TEE", 1)], 0);
                let began = Instant::now();
                client.send(storefront, &call).await.unwrap().expect(201);
                took.push(began.elapsed());
                if !kept {
                    client = Client::new();
                }
            }
            took
        }
    };
    let workers: Vec<_> = (0..AT_ONCE).map(|worker| tokio::spawn(buy(worker))).collect();
    let mut took = Vec::new();
    for worker in workers {
        took.extend(worker.await.unwrap());
    }
    took.sort();
    took[took.len() * 99 / 100]
}

/// What the node's process takes of memory.
fn resident_kib(cluster: &Cluster) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster[0].process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Starts the crowd, in a process of its own, and waits until all of it is there.
async fn gather(cluster: &Cluster) -> Child {
    let crowd = Command::new(std::env::current_exe().unwrap())
        .args(["connections::the_crowd", "--exact"])
        .env(GOES_TO, cluster[0].addresses().expect("it runs").storefront.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + GATHERS_WITHIN;
    while cluster[0].counter(OPEN).await < CROWD as u64 {
        assert!(Instant::now() < deadline, "only {} came", cluster[0].counter(OPEN).await);
        sleep(LOOK_EVERY).await;
    }
    crowd
}

/// No test: the crowd's process, which ends when it is killed.
#[tokio::test]
async fn the_crowd() {
    let Ok(address) = std::env::var(GOES_TO) else { return };
    let address: SocketAddr = address.parse().unwrap();
    for i in 0..CROWD {
        tokio::spawn(async move {
            loop {
                let kind = i % 4;
                if let Ok(stream) = connect(address, kind).await {
                    let _ = idle_away(stream, kind).await; // it was closed: come again
                }
                sleep(LOOK_EVERY).await;
            }
        });
        if i % 100 == 0 {
            sleep(LOOK_EVERY).await;
        }
    }
    std::future::pending::<()>().await;
}

/// Those who are closed soon come from addresses of their own, so that the system does not run
/// out of ports for the others; the rest from the address of those who buy.
async fn connect(address: SocketAddr, kind: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let host = if kind == 1 { 1 } else { 2 + kind as u8 };
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0)))?;
    socket.connect(address).await
}

/// Says nothing; asks once; is slow in saying what it wants; is slow with its body.
async fn idle_away(mut stream: TcpStream, kind: usize) -> std::io::Result<()> {
    let (first, goes_on) = match kind {
        0 => ("", false),
        1 => ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", false),
        2 => ("GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ", true),
        _ => ("PUT /v1/reservations/SLOW HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", true),
    };
    stream.write_all(first.as_bytes()).await?;
    let mut answer = [0; 1024];
    loop {
        let pause = if goes_on { A_BYTE_EVERY } else { Duration::MAX };
        match timeout(pause, stream.read(&mut answer)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => drop(read?),
            Err(_) => stream.write_all(b" ").await?,
        }
    }
}
