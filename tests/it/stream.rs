//! Streams of availability from real nodes, and what 2,000 of them cost.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::chaos::may_take_long;
use super::client::{Client, get, lines_json, post, put, reserve};
use super::cluster::Cluster;
use super::node::Node;

const SECOND: Duration = Duration::from_secs(1);
/// Less than what a stream is quiet for without a comment; more than any wait here should be.
const QUIET: Duration = Duration::from_secs(10);

/// A stream, read line by line on the test's own thread.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(at: SocketAddr, skus: &str, last: &str) -> Stream {
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(QUIET)).unwrap();
        let last = if last.is_empty() { String::new() } else { format!("Last-Event-ID: {last}\r\n") };
        let request = format!("GET /v1/availability/stream?{skus} HTTP/1.1\r\nHost: x\r\n{last}\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut stream = Stream(BufReader::new(socket));
        assert_eq!(stream.line().as_deref(), Some("HTTP/1.1 200 OK"));
        stream
    }

    /// `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event's id and data.
    fn event(&mut self) -> (String, Value) {
        let mut id = String::new();
        loop {
            let line = self.line().expect("no end");
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (id, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The first event of this kind, and how long it took.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> (String, Duration) {
        let began = Instant::now();
        loop {
            let (id, item) = self.event();
            if wanted(&item) {
                return (id, began.elapsed());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_sees_changes_at_any_node_within_a_second() {
    let cluster = Cluster::start(2).await;
    let at = cluster[0].addresses().unwrap().storefront;
    cluster[0].ask(put("/v1/items/TEE", json!({}))).await.expect(201);
    let mut page = Stream::open(at, "sku=TEE&sku=NONE", "");
    let first = page.event().1;
    assert_eq!((&first["sku"], &first["everywhere"]), (&json!("TEE"), &json!(0)));
    assert_eq!(page.event().1["status"], "no_such_item");

    cluster[0].stock("TEE", 10).await;
    let (_, took) = page.until(|item| item["everywhere"] == 10);
    assert!(took < SECOND, "{took:?}");
    cluster[0].ask(put("/v1/items/TEE", json!({"low_stock": 3}))).await.expect(200);
    // A sale here, one at the other node, and the last ones.
    cluster[0].ask(reserve("A-1", &[("TEE", 1)], 500)).await.expect(201);
    let (_, took) = page.until(|item| item["everywhere"] == 9 && item["status"] == "in_stock");
    assert!(took < SECOND, "{took:?}");
    cluster[1].ask(reserve("A-2", &[("TEE", 6)], 2_000)).await.expect(201);
    let (last, took) = page.until(|item| item["everywhere"] == 3 && item["status"] == "low_stock");
    assert!(took < SECOND, "{took:?}");

    // One who was away gets only what changed meanwhile, also after a while without listeners.
    drop(page);
    cluster[1].ask(reserve("A-3", &[("TEE", 3)], 2_000)).await.expect(201);
    let deadline = Instant::now() + Duration::from_secs(10);
    while cluster[0].ask(get("/v1/availability?sku=TEE")).await.body["items"][0]["status"] != "sold_out" {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
    let mut page = Stream::open(at, "sku=TEE&sku=NONE", &last);
    assert_eq!(page.event().1["status"], "sold_out");

    // Silence makes it uncertain by itself, and a stop ends the stream without delay.
    cluster[1].kill().await;
    page.until(|item| item["status"] == "uncertain");
    let began = Instant::now();
    assert!(cluster[0].stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    while page.line().is_some() {}
}

const STREAMS: usize = 2_000;
/// Reservations a second, made and cancelled in batches by this many clients.
const RATE: usize = 5_000;
const CLIENTS: usize = 8;
const BATCH: usize = 25;
const RUN: Duration = Duration::from_secs(30);
/// How often the marker changes.
const MARK_EVERY: Duration = Duration::from_millis(500);

/// The delay is from just before the request that makes the change to the moment when the
/// client has the event: it includes the change itself, and this process, which reads 2,000
/// streams and makes the load beside the node on the same machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_streams_learn_of_each_change_within_a_second_under_load() {
    if !may_take_long() {
        return;
    }
    let cluster = Arc::new(Cluster::start(1).await);
    let node = &cluster[0];
    node.stock("HOT", 900_000_000).await;
    node.stock("MARK", 1_000).await;
    let at = node.addresses().unwrap().storefront;
    let before = rss_mib(node);

    // The load alone, to compare with.
    let alone = load(&cluster, "alone", Duration::from_secs(10)).await;
    let loaded = rss_mib(node);
    let marks: Arc<Vec<AtomicU64>> = Arc::new((0..=1_000).map(|_| AtomicU64::new(0)).collect());
    let began = Instant::now();
    let done = Arc::new(AtomicBool::new(false));
    let mut followers = Vec::new();
    for _ in 0..STREAMS {
        followers.push(tokio::spawn(follow(at, marks.clone(), began, done.clone())));
    }
    while node.counter("stockade_streams_open").await < STREAMS as u64 {
        sleep(Duration::from_millis(50)).await;
    }
    println!("{STREAMS} streams are open after {:?}", began.elapsed());
    let opened = rss_mib(node);

    let loading = tokio::spawn({
        let cluster = cluster.clone();
        async move { load(&cluster, "streams", RUN).await }
    });
    let (mut left, end) = (1_000_usize, Instant::now() + RUN);
    while Instant::now() < end {
        left -= 1;
        marks[left].store(micros(began), Ordering::SeqCst);
        node.ask(reserve(&format!("MARK-{left}"), &[("MARK", 1)], 0)).await.expect(201);
        sleep(MARK_EVERY).await;
    }
    let with_streams = loading.await.unwrap();
    sleep(SECOND * 2).await;
    let after = rss_mib(node);
    done.store(true, Ordering::SeqCst);
    let events = node.counter("stockade_stream_events_total").await;
    assert!(node.stop().await.success());
    let (mut delays, mut marked) = (histogram(), 0);
    for follower in followers {
        let follower = follower.await.unwrap();
        marked += follower.len();
        assert_eq!(follower.len(), 1_000 - left as u64, "each stream gets each change of the marker");
        delays.add(follower).unwrap();
    }
    println!("load alone:        {alone}\nload with streams: {with_streams}");
    println!("{events} events; {marked} of the marker, each change at each stream");
    for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
        println!("delay p{}: {} ms", quantile * 100.0, delays.value_at_quantile(quantile) / 1_000);
    }
    println!(
        "RSS of the node: {before} MiB at the start, {loaded} after 10 s of load, \
         {opened} with the streams open, {after} after {RUN:?}"
    );
    assert!(with_streams.rate >= RATE as f64 * 0.95, "{with_streams}");
    assert!(delays.value_at_quantile(0.99) <= 1_000_000);
}

struct Load {
    rate: f64,
    batch_micros: Histogram<u64>,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |quantile| self.batch_micros.value_at_quantile(quantile) as f64 / 1_000.0;
        write!(
            f,
            "{:.0} reservations/s, a batch of {BATCH} took {:.1} ms at p50, {:.1} at p99",
            self.rate,
            ms(0.5),
            ms(0.99)
        )
    }
}

/// Reservations of the hot item at the rate, on connections of their own.
async fn load(cluster: &Arc<Cluster>, name: &str, span: Duration) -> Load {
    let began = Instant::now();
    let pace = Duration::from_secs(1).mul_f64((BATCH * CLIENTS) as f64 / RATE as f64);
    let client = |number: usize| {
        let (at, name) = (cluster[0].addresses().unwrap().storefront, name.to_owned());
        async move {
            let (client, mut took, mut made) = (Client::new(), histogram(), 0);
            let mut ticks = tokio::time::interval(pace);
            while began.elapsed() < span {
                ticks.tick().await;
                let operation = |n| {
                    json!({"op": "reserve", "id": format!("{name}-{number}-{}", made + n),
                           "lines": lines_json(&[("HOT", 1)])})
                };
                let operations: Vec<Value> = (0..BATCH).map(operation).collect();
                let sent = Instant::now();
                let call = post("/v1/reservations:batch", json!({"operations": operations}));
                let answer = client.send(at, &call).await.unwrap().expect(200);
                took.record(sent.elapsed().as_micros() as u64).unwrap();
                let results = answer.body["results"].as_array().unwrap();
                made += results.iter().filter(|result| result["status"] == 201).count();
            }
            (took, made)
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    let (mut batch_micros, mut made) = (histogram(), 0);
    for client in clients {
        let (took, some) = client.await.unwrap();
        batch_micros.add(took).unwrap();
        made += some;
    }
    Load { rate: made as f64 / began.elapsed().as_secs_f64(), batch_micros }
}

/// Follows the marker and the hot item until the stream ends; the delays of the marker's
/// changes in microseconds. `marks`: when the marker came to each count.
async fn follow(
    at: SocketAddr,
    marks: Arc<Vec<AtomicU64>>,
    began: Instant,
    done: Arc<AtomicBool>,
) -> Histogram<u64> {
    let mut socket = tokio::net::TcpStream::connect(at).await.unwrap();
    let request = "GET /v1/availability/stream?sku=HOT&sku=MARK HTTP/1.1\r\nHost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
    let (mut delays, mut unread, mut chunk) = (histogram(), Vec::new(), [0; 4_096]);
    loop {
        let read = socket.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            assert!(done.load(Ordering::SeqCst), "a stream ended early");
            return delays;
        }
        unread.extend_from_slice(&chunk[..read]);
        while let Some(at) = unread.windows(2).position(|two| two == b"\n\n") {
            if let Some(left) = marker(&unread[..at])
                && let sent @ 1.. = marks[left].load(Ordering::SeqCst)
            {
                delays.record(micros(began).saturating_sub(sent)).unwrap();
            }
            unread.drain(..at + 2);
        }
    }
}

/// What an event says of the marker, if it is of the marker.
fn marker(event: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(event).ok()?;
    let (_, rest) = text.split_once("\"sku\":\"MARK\"")?;
    let (_, rest) = rest.split_once("\"everywhere\":")?;
    rest.split_once(',')?.0.parse().ok()
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}

/// Since then, at least one.
fn micros(began: Instant) -> u64 {
    began.elapsed().as_micros().max(1) as u64
}

fn rss_mib(node: &Node) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", node.process_id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}
