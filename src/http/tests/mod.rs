//! The layer as clients meet it: real listeners on ports of the system's choice, raw bytes in,
//! and behind the handle a scripted replica that says what the test wants said.

mod answers;
mod connections;
mod fuzz;
mod hub;
mod import;
mod input;
mod refusals;
mod reload;
mod stream;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{HttpCounters, HttpLimits, LiveLimits, Service, serve};
use crate::node::{Arrival, Handle, Identity, LedgerClock, Shelf};
use crate::reload::{ReloadRequests, Reloads};
use crate::types::{
    Answer, Books, Claimed, ClusterId, Line, Millis, NodeBooks, NodeName, Outcome, Policy, Refusal, Region,
    ReplicaId, Reply, Request, Reservation, ReservationId, ReservationState, Sku, Timestamp, Totals, Units,
};

/// Longer than any test waits for anything that comes.
const NEVER: Duration = Duration::from_secs(30);

pub(super) struct Served {
    pub(super) storefront: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) handle: Handle,
    pub(super) shelf: Arc<Shelf>,
    pub(super) clock: Arc<LedgerClock>,
    /// What reached the replica.
    pub(super) asked: Arc<Mutex<Vec<Request>>>,
    pub(super) reload_requests: ReloadRequests,
    pub(super) stop: watch::Sender<bool>,
    pub(super) ended: JoinHandle<std::io::Result<()>>,
}

pub(super) fn identity() -> Identity {
    Identity {
        cluster: ClusterId(Uuid::from_u128(1)),
        node: NodeName::new("eu-1").unwrap(),
        region: Region::new("eu").unwrap(),
        replica: ReplicaId(Uuid::from_u128(2)),
    }
}

/// Serves with a replica that answers what `script` says; `None` leaves without an answer.
pub(super) async fn served(
    limits: HttpLimits,
    mut script: impl FnMut(&Request) -> Option<Reply> + Send + 'static,
) -> Served {
    let (handle, mut arrivals) = Handle::new(identity(), 64);
    let (shelf, clock) = (arrivals.shelf.clone(), arrivals.clock.clone());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Some(arrival) = arrivals.requests.recv().await {
            let Arrival::Request { request, reply } = arrival else { continue };
            if let Some(said) = script(&request) {
                let _ = reply.send(said);
            }
            log.lock().unwrap().push(request);
        }
    });
    started(handle, shelf, clock, asked, limits).await
}

pub(super) async fn started(
    handle: Handle,
    shelf: Arc<Shelf>,
    clock: Arc<LedgerClock>,
    asked: Arc<Mutex<Vec<Request>>>,
    limits: HttpLimits,
) -> Served {
    started_under(handle, shelf, clock, asked, LiveLimits::fixed(limits)).await
}

pub(super) async fn started_under(
    handle: Handle,
    shelf: Arc<Shelf>,
    clock: Arc<LedgerClock>,
    asked: Arc<Mutex<Vec<Request>>>,
    limits: LiveLimits,
) -> Served {
    let storefront = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let (reloads, reload_requests) = Reloads::new();
    let (front, back) = (storefront.local_addr().unwrap(), admin.local_addr().unwrap());
    let mut registry = Registry::default();
    registry.register("things", "Things", prometheus_client::metrics::counter::Counter::<u64>::default());
    let service = Service {
        handle: handle.clone(),
        limits,
        registry: Arc::new(registry),
        counters: HttpCounters::default(),
        reloads,
    };
    let serving = serve(service, storefront, admin, stopped);
    let ended = tokio::spawn(serving);
    Served { storefront: front, admin: back, handle, shelf, clock, asked, reload_requests, stop, ended }
}

/// Serves with a replica that always says the same.
pub(super) async fn saying(outcome: Outcome) -> Served {
    served(HttpLimits::default(), move |_| {
        Some(Reply { outcome: outcome.clone(), replayed: false, waited: false })
    })
    .await
}

/// Serves with a replica that knows no reservation.
pub(super) async fn knowing_nothing() -> Served {
    saying(Err(Refusal::ReservationNotFound)).await
}

impl Served {
    /// The commands that reached the replica, and clears the log.
    pub(super) fn take_asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(super) fn address(&self, listener: Listener) -> SocketAddr {
        match listener {
            Listener::Storefront => self.storefront,
            Listener::Admin => self.admin,
        }
    }

    /// One request with a JSON body on a connection of its own.
    pub(super) async fn send(&self, listener: Listener, call: &str, headers: &str, body: &str) -> Response {
        let mut client = Client::to(self.address(listener)).await;
        client.send(&request(call, headers, body)).await;
        client.response(call.starts_with("HEAD")).await
    }

    pub(super) async fn get(&self, listener: Listener, path: &str) -> Response {
        let mut client = Client::to(self.address(listener)).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        client.response(false).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Storefront,
    Admin,
}

/// The bytes of a request. `call` is method and path; `headers` are whole lines.
pub(super) fn request(call: &str, headers: &str, body: &str) -> Vec<u8> {
    let typed = if body.is_empty() || headers.to_ascii_lowercase().contains("content-type") {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let length = body.len();
    format!("{call} HTTP/1.1\r\nHost: x\r\n{typed}{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
        assert_eq!(self.status == 503, self.header("retry-after").is_some(), "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The fields that are wrong.
    pub(super) fn fields(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// One connection, spoken to in bytes.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(super) async fn to(address: SocketAddr) -> Client {
        Client { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let read =
            tokio::time::timeout(NEVER, self.stream.read(&mut chunk)).await.expect("an answer or an end");
        // A reset is an end too.
        let read = read.unwrap_or(0);
        self.unread.extend_from_slice(&chunk[..read]);
        read > 0
    }

    pub(super) async fn response(&mut self, to_head: bool) -> Response {
        self.next(to_head).await.expect("an answer")
    }

    /// The next answer; `None` when the connection ends without a byte of one.
    pub(super) async fn next(&mut self, to_head: bool) -> Option<Response> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                assert!(self.unread.is_empty(), "part of an answer: {:?}", self.unread);
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<(String, String)> = lines.map(header).collect();
        let mut response = Response { status, headers, body: Vec::new() };
        let length = response.header("content-length").map_or(0, |text| text.parse().unwrap());
        let length = if to_head || status == 304 || status < 200 { 0 } else { length };
        while self.unread.len() < length {
            assert!(self.more().await, "the answer's body ended early");
        }
        response.body = self.unread.drain(..length).collect();
        Some(response)
    }

    /// Waits until the server closes the connection, which must say nothing more.
    pub(super) async fn closed(&mut self) {
        assert!(!self.more().await, "unexpected: {}", String::from_utf8_lossy(&self.unread));
    }
}

pub(super) fn sku(text: &str) -> Sku {
    Sku::new(text).unwrap()
}

pub(super) fn node(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub(super) fn id(text: &str) -> ReservationId {
    ReservationId::new(text).unwrap()
}

pub(super) fn line(text: &str, quantity: u64) -> Line {
    Line { sku: sku(text), quantity: Units(quantity) }
}

/// 2026-02-02T02:40:00.000Z
pub(super) const NOW: Timestamp = Timestamp(1_770_000_000_000);

pub(super) fn claimed(name: &str, state: ReservationState, created: bool) -> Claimed {
    let reservation = Reservation {
        id: id(name),
        home: identity().replica,
        caller: 0,
        version: 3,
        lines: vec![line("MUG", 2)],
        created_at: NOW,
        deadline: NOW.after(Millis::from_secs(600)),
        state,
        durability: Default::default(),
        ended_at: Timestamp::ZERO,
    };
    Claimed { reservation, created, node: identity().node, region: identity().region }
}

pub(super) fn books() -> Books {
    let policy = Policy { name: Some("Mug".to_owned()), ..Policy::default() };
    let totals = Totals {
        received: Units(100),
        sold: Units(12),
        held: Units(3),
        available: Units(85),
        ..Totals::default()
    };
    let row = NodeBooks {
        node: identity().node,
        region: identity().region,
        replica_id: identity().replica,
        received: Units(100),
        returned: Units(0),
        retired: Units(0),
        sold: Units(12),
        held: Units(3),
        available: Units(45),
        given: Units(0),
        sent: Units(40),
        as_of: NOW,
        taken: Units(15),
        mark: None,
        limit: None,
    };
    Books { sku: sku("MUG"), policy, balanced: true, totals, nodes: vec![row], last_refusal: None }
}

pub(super) fn books_answer(created: bool) -> Outcome {
    Ok(Answer::Books { books: books(), created })
}
