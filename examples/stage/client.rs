//! A small JSON client for a node's HTTP. It sends a call once and tells an answer from none:
//! repeating is for those who know what the call means.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// More than a node may wait for units (`wait_ms`) and for other nodes, but not for ever: a buyer
/// waits too. Whoever sets a longer `wait_ms` sets a longer time here.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 16 << 20;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

pub fn get(path: impl Into<String>) -> Call {
    Call { method: Method::GET, path: path.into(), headers: Vec::new(), body: None }
}

pub fn put(path: impl Into<String>, body: Value) -> Call {
    Call { method: Method::PUT, body: Some(body), ..get(path) }
}

pub fn post(path: impl Into<String>, body: Value) -> Call {
    Call { method: Method::POST, ..put(path, body) }
}

impl Call {
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a node answered, whatever the status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds, from `Retry-After`: every 503 has it.
    pub retry_after: Option<u64>,
    pub body: Value,
}

impl Answer {
    /// The stable code of a refusal.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

/// No whole answer came: the call may have been carried out or not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(String);

/// Sends a call to the listener at `url`, once.
pub async fn send(url: &str, call: &Call) -> Result<Answer, NoAnswer> {
    let no_answer = |why: String| NoAnswer(format!("{} {url}{}: {why}", call.method, call.path));
    match tokio::time::timeout(ANSWER_WITHIN, exchange(url, call)).await {
        Ok(answer) => answer.map_err(|error| no_answer(innermost(&*error))),
        Err(_) => Err(no_answer(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
    }
}

async fn exchange(url: &str, call: &Call) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let mut request = Request::builder().method(call.method.clone()).uri(format!("{url}{}", call.path));
    if call.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let body = call.body.as_ref().map_or_else(Bytes::new, |body| body.to_string().into());
    // A shop would keep its client, and with it the connections.
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(request.body(Full::from(body))?).await?;
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await?.to_bytes();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    Ok(Answer { status, retry_after, body })
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
