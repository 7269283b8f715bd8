//! A stand-in for nodes, for tests of the commands that talk to them: one stock in memory,
//! any number of listeners, each of which can be told to misbehave.
//!
//! Both listeners of a node are one here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client::BaseUrl;

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 without effect.
    Unavailable,
    /// The connection ends without an answer; the request had its effect.
    AnswerLost,
}

#[derive(Debug, Default)]
struct World {
    items: BTreeMap<String, Item>,
    reservations: HashMap<String, Reservation>,
    keys: HashMap<(String, String), (u16, Value)>,
}

#[derive(Debug)]
struct Reservation {
    lines: Vec<(String, u64)>,
    state: &'static str,
}

#[derive(Debug, Default)]
struct Item {
    received: u64,
    returned: u64,
    sold: u64,
    held: u64,
}

impl Item {
    fn free(&self) -> u64 {
        self.received + self.returned - self.sold - self.held
    }
}

#[derive(Debug)]
struct Node {
    name: String,
    world: Arc<Mutex<World>>,
    faults: Mutex<VecDeque<(String, Fault)>>,
    digest: Mutex<String>,
}

/// A running stand-in. Ends with its test.
#[derive(Debug)]
pub struct FakeNode {
    node: Arc<Node>,
    url: BaseUrl,
    task: JoinHandle<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl FakeNode {
    pub async fn start(name: &str) -> FakeNode {
        FakeNode::over(Arc::default(), name).await
    }

    /// Another node of the same cluster.
    pub async fn peer(&self, name: &str) -> FakeNode {
        FakeNode::over(self.node.world.clone(), name).await
    }

    async fn over(world: Arc<Mutex<World>>, name: &str) -> FakeNode {
        let digest = Mutex::new("same".to_owned());
        let node = Arc::new(Node { name: name.to_owned(), world, faults: Mutex::default(), digest });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = BaseUrl::of(listener.local_addr().unwrap());
        let task = tokio::spawn(accept(listener, node.clone()));
        FakeNode { node, url, task }
    }

    pub fn url(&self) -> BaseUrl {
        self.url.clone()
    }

    pub fn set_digest(&self, digest: &str) {
        *locked(&self.node.digest) = digest.to_owned();
    }

    /// The next request whose `METHOD path` contains `part` goes wrong like this.
    pub fn fail_next(&self, part: &str, fault: Fault) {
        locked(&self.node.faults).push_back((part.to_owned(), fault));
    }

    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, node: Arc<Node>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let node = node.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(node.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An error here ends the connection without an answer.
async fn answer(
    node: Arc<Node>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let key = request.headers().get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let fault = node.take_fault(&format!("{method} {}", uri.path()));
    if fault == Some(Fault::Unavailable) {
        return Ok(respond(503, &json!({"code": "not_ready", "title": "Not ready", "status": 503})));
    }
    let (status, body) = node.keyed(&method, uri.path(), uri.query().unwrap_or(""), key, &body);
    match fault {
        Some(Fault::AnswerLost) => Err(std::io::Error::other("as told")),
        _ => Ok(respond(status, &body)),
    }
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    Response::builder().status(status).body(Full::new(text.into())).unwrap()
}

impl Node {
    fn take_fault(&self, target: &str) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        let at = faults.iter().position(|(part, _)| target.contains(part))?;
        faults.remove(at).map(|(_, fault)| fault)
    }

    fn keyed(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        key: Option<String>,
        body: &Value,
    ) -> (u16, Value) {
        let mut world = locked(&self.world);
        let scope = key.map(|key| (format!("{} {method} {path}", self.name), key));
        if let Some(first) = scope.as_ref().and_then(|scope| world.keys.get(scope)) {
            return first.clone();
        }
        let answer = self.handle(&mut world, method.as_str(), path, query, body);
        if let Some(scope) = scope {
            world.keys.insert(scope, answer.clone());
        }
        answer
    }

    fn handle(&self, world: &mut World, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["", "readyz"]) => (200, json!({"ready": true, "reasons": []})),
            ("GET", ["", "metrics"]) => (200, json!("stockade_transfers_total 0\n")),
            ("GET", ["check"]) => {
                let digest = locked(&self.digest).clone();
                (
                    200,
                    json!({"node": self.name, "items": world.items.len(), "books_digest": digest, "violations": []}),
                )
            }
            ("GET", ["items"]) => (200, world.page(query)),
            ("GET", ["items", sku]) => match world.items.get(*sku) {
                Some(item) => (200, item.books(sku)),
                None => (404, json!({"code": "unknown_sku"})),
            },
            ("PUT", ["items", sku]) => {
                let item = world.items.entry((*sku).to_owned()).or_default();
                (201, item.books(sku))
            }
            ("POST", ["items", sku, "receipts"]) => world.receive(sku, body["quantity"].as_u64().unwrap()),
            ("POST", ["returns"]) => {
                let item = world.items.get_mut(body["sku"].as_str().unwrap()).unwrap();
                item.returned += body["quantity"].as_u64().unwrap();
                (201, json!({}))
            }
            ("GET", ["availability"]) => (200, world.availability(query)),
            ("PUT", ["reservations", id]) => world.reserve(id, body),
            ("GET", ["reservations", id]) => world.show(id),
            ("POST", ["reservations", id, "confirm"]) => world.confirm(id),
            _ => (404, json!({"code": "not_found", "detail": format!("{method} {path}")})),
        }
    }
}

impl Item {
    fn books(&self, sku: &str) -> Value {
        let Item { received, returned, sold, held } = self;
        json!({"sku": sku, "balanced": true, "totals": {
            "received": received, "returned": returned, "retired": 0, "sold": sold, "held": held,
            "available": self.free(), "in_flight": 0}})
    }
}

impl World {
    /// Two items a page, so that pages are tried.
    fn page(&self, query: &str) -> Value {
        let after = query.split("cursor=").nth(1);
        let rest = self.items.iter().filter(|(sku, _)| after.is_none_or(|after| sku.as_str() > after));
        let page: Vec<_> = rest.take(2).collect();
        let next = if page.len() == 2 { page.last().map(|(sku, _)| (*sku).clone()) } else { None };
        json!({"items": page.iter().map(|(sku, item)| item.books(sku)).collect::<Vec<_>>(), "next": next})
    }

    fn receive(&mut self, sku: &str, quantity: u64) -> (u16, Value) {
        let Some(item) = self.items.get_mut(sku) else { return (404, json!({"code": "unknown_sku"})) };
        item.received += quantity;
        (201, item.books(sku))
    }

    fn availability(&self, query: &str) -> Value {
        let skus = query.split('&').filter_map(|pair| pair.strip_prefix("sku="));
        let one = |sku: &str| match self.items.get(sku) {
            Some(item) => {
                json!({"sku": sku, "here": item.free(), "everywhere": item.free(), "status": "in_stock"})
            }
            None => json!({"sku": sku, "here": 0, "everywhere": 0, "status": "no_such_item"}),
        };
        json!({"items": skus.map(one).collect::<Vec<_>>()})
    }

    fn reserve(&mut self, id: &str, body: &Value) -> (u16, Value) {
        if self.reservations.contains_key(id) {
            return self.show(id);
        }
        let line =
            |line: &Value| (line["sku"].as_str().unwrap().to_owned(), line["quantity"].as_u64().unwrap());
        let lines: Vec<_> = body["lines"].as_array().unwrap().iter().map(line).collect();
        let short = lines.iter().filter(|(sku, quantity)| self.items[sku].free() < *quantity);
        let verdict = |(sku, _): &(String, u64)| json!({"sku": sku, "verdict": if self.items[sku].free() == 0 { "sold_out" } else { "elsewhere" }});
        let shortfalls: Vec<_> = short.map(verdict).collect();
        if !shortfalls.is_empty() {
            return (409, json!({"code": "insufficient_stock", "shortfalls": shortfalls}));
        }
        for (sku, quantity) in &lines {
            self.items.get_mut(sku).unwrap().held += quantity;
        }
        self.reservations.insert(id.to_owned(), Reservation { lines, state: "held" });
        (201, json!({"id": id, "state": "held"}))
    }

    fn show(&self, id: &str) -> (u16, Value) {
        match self.reservations.get(id) {
            Some(found) => (200, json!({"id": id, "state": found.state})),
            None => (404, json!({"code": "reservation_not_found"})),
        }
    }

    fn confirm(&mut self, id: &str) -> (u16, Value) {
        let Some(Reservation { lines, state }) = self.reservations.get_mut(id) else {
            return (404, json!({"code": "reservation_not_found"}));
        };
        if *state == "held" {
            *state = "confirmed";
            for (sku, quantity) in lines.iter() {
                let item = self.items.get_mut(sku).unwrap();
                item.held -= quantity;
                item.sold += quantity;
            }
        }
        self.show(id)
    }
}
