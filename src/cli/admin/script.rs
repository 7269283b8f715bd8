//! A node that says what it is told to say, on a real socket, and remembers what it was asked.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::desk::Desk;
use super::import::Patience;
use super::target::Surroundings;
use super::{Admin, Refused};
use crate::cli::client::BaseUrl;
use crate::cli::terminal::{Broken, Results};
use crate::cli::{Cli, Command, Ending, WIDTH};

/// What it says to `METHOD path?query`.
#[derive(Clone, Debug)]
pub struct Reply {
    target: String,
    status: u16,
    body: String,
    headers: Vec<(&'static str, &'static str)>,
    /// The connection ends without an answer.
    is_cut: bool,
}

pub fn reply(target: &str, status: u16, body: impl ToString) -> Reply {
    Reply { target: target.to_owned(), status, body: body.to_string(), headers: Vec::new(), is_cut: false }
}

/// No answer to this.
pub fn cut(target: &str) -> Reply {
    Reply { is_cut: true, ..reply(target, 200, "") }
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: &'static str) -> Reply {
        self.headers.push((name, value));
        self
    }
}

/// What it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `METHOD path?query`
    pub target: String,
    pub body: String,
    pub key: Option<String>,
    headers: Vec<(String, String)>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    replies: Vec<Reply>,
    seen: Vec<Seen>,
}

/// A running script. Ends with its test.
#[derive(Debug)]
pub struct Script {
    state: Arc<Mutex<State>>,
    pub url: BaseUrl,
    _accepting: JoinSet<()>,
}

impl Script {
    /// Of several replies to one target each is given once, the last one for ever.
    pub async fn start(replies: Vec<Reply>) -> Script {
        let state = Arc::new(Mutex::new(State { replies, seen: Vec::new() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = BaseUrl::of(listener.local_addr().unwrap());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, state.clone()));
        Script { state, url, _accepting: accepting }
    }

    fn address(&self) -> String {
        self.url.to_string().replace("http://", "")
    }

    /// What it was asked, in order, but for what was asked before.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// `stockade WORDS` against this node, with nobody at a terminal.
    pub async fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, None).await
    }

    /// `stockade WORDS` whose results cannot be written, for this reason.
    pub async fn run_broken(&self, words: &[&str], why: std::io::ErrorKind) -> Ran {
        let url = self.url.to_string();
        let all = ["stockade"].iter().chain(words).copied().chain(["--url", &url, "--admin", &url]);
        let cli = Cli::try_parse_from(all).unwrap();
        run_to(cli, &mut Results(Broken(why)), Surroundings::default(), None).await
    }

    /// `stockade WORDS` with somebody who types `typed`.
    pub async fn run_with(&self, words: &[&str], typed: Option<&str>) -> Ran {
        let url = self.url.to_string();
        let all: Vec<&str> =
            words.iter().copied().chain(["--url", url.as_str(), "--admin", url.as_str()]).collect();
        run(&all, Surroundings::default(), typed).await
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let target = format!("{} {}", head.method, head.uri.path_and_query().unwrap());
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let key = head.headers.get("idempotency-key").map(text);
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let reply = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen { target: target.clone(), body, key, headers });
        let mut fitting = state.replies.iter().enumerate().filter(|(_, reply)| reply.target == target);
        let (first, more) = (fitting.next().map(|(place, _)| place), fitting.next().is_some());
        match first {
            Some(place) if more => Some(state.replies.remove(place)),
            place => place.map(|place| state.replies[place].clone()),
        }
    };
    let unscripted = json!({"title": "There is no such path", "code": "not_found", "detail": target});
    let reply = reply.unwrap_or_else(|| self::reply(&target, 404, unscripted));
    if reply.is_cut {
        return Err(std::io::Error::other("as told"));
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(Full::new(reply.body.into())).unwrap())
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub struct Ran {
    pub result: anyhow::Result<Ending>,
    pub out: String,
    pub notes: String,
}

impl Ran {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match &self.result {
            Ok(Ending::Good) => 0,
            Ok(Ending::Failed) => 1,
            Err(error) if error.is::<Refused>() => 1,
            Err(_) => 2,
        }
    }

    pub fn error(&self) -> String {
        format!("{:#}", self.result.as_ref().unwrap_err())
    }

    /// What was written, when it went well and fits a terminal.
    pub fn good(self) -> String {
        assert_eq!(self.status(), 0, "{self:?}");
        self.fitting()
    }

    pub fn fitting(self) -> String {
        let wide = self.out.lines().find(|line| line.chars().count() > WIDTH);
        assert_eq!(wide, None, "{}", self.out);
        self.out
    }

    pub fn json(self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

pub async fn run(words: &[&str], around: Surroundings, typed: Option<&str>) -> Ran {
    let cli = Cli::try_parse_from(["stockade"].into_iter().chain(words.iter().copied())).unwrap();
    let mut out = Vec::new();
    let ran = run_to(cli, &mut out, around, typed).await;
    Ran { out: String::from_utf8(out).unwrap(), ..ran }
}

/// The same, with its results written to `out`.
pub async fn run_to(cli: Cli, out: &mut dyn Write, around: Surroundings, typed: Option<&str>) -> Ran {
    let mut notes = Vec::new();
    let Command::Admin(command) = cli.command else { panic!("not one of these commands: {cli:?}") };
    let mut input = typed.unwrap_or_default().as_bytes();
    let has_person = typed.is_some();
    let mut desk = Desk { around, out, notes: &mut notes, input: &mut input, has_person, width: WIDTH };
    let result = match command {
        Admin::Import(args) => {
            let patience = Patience { tries: 3, first_pause: std::time::Duration::ZERO };
            args.run_with(&mut desk, patience).await
        }
        command => command.run(&mut desk).await,
    };
    Ran { result, out: String::new(), notes: String::from_utf8(notes).unwrap() }
}

/// A cluster's directory whose nodes us-1, eu-1, ... have these admin listeners; those beyond
/// have one where nobody listens.
pub fn directory(admins: &[&Script]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let cluster = crate::cli::dev_cluster_for_tests(dir.path());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (place, node) in cluster.nodes.iter().enumerate() {
        let address = admins.get(place).map_or_else(|| closed.to_string(), |script| script.address());
        let text = std::fs::read_to_string(&node.config.file).unwrap();
        let text = text.replace(&format!("\"{}\"", node.config.http.admin), &format!("\"{address}\""));
        std::fs::write(&node.config.file, text).unwrap();
    }
    dir
}

/// A node's row of an item's books.
pub fn at(node: &str, received: u64, sent: u64, given: u64, sold: u64, held: u64) -> Value {
    json!({"node": node, "region": "eu", "replica_id": "r", "received": received, "returned": 0,
        "retired": 0, "sold": sold, "held": held, "available": received + given - sent - sold - held,
        "given": given, "sent": sent, "as_of": "2026-05-03T10:00:00.000Z"})
}

/// An item's books that add up.
pub fn books(sku: &str, nodes: &[Value], policy: &Value) -> Value {
    let sum = |field: &str| nodes.iter().map(|node| node[field].as_u64().unwrap()).sum::<u64>();
    json!({"sku": sku, "name": policy.get("name").cloned().unwrap_or(Value::Null), "balanced": true,
        "totals": {"received": sum("received"), "returned": sum("returned"), "retired": sum("retired"),
            "sold": sum("sold"), "held": sum("held"), "available": sum("available"),
            "in_flight": sum("sent") - sum("given")},
        "nodes": nodes, "policy": policy, "last_refusal": null})
}

/// The answer to `GET /v1/nodes`; the first is who answers.
pub fn members(names: &[(&str, &str, &str)]) -> Value {
    let member = |(place, (name, state, link)): (usize, &(&str, &str, &str))| {
        json!({"name": name, "region": "eu", "replica_id": "r", "self": place == 0, "state": state,
            "link": link, "rtt_ms": if place == 0 { Value::Null } else { json!(81.25) }, "lag": 0,
            "last_heard": if place == 0 { Value::Null } else { json!("2026-05-03T09:59:00.000Z") }})
    };
    let nodes: Vec<Value> = names.iter().enumerate().map(member).collect();
    json!({"node": names[0].0, "nodes": nodes})
}

/// A problem.
pub fn problem(status: u16, code: &str) -> Value {
    json!({"type": format!("urn:stockade:error:{code}"), "title": "No", "status": status, "code": code})
}
