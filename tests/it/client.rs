//! A small HTTP client that speaks JSON and tells an answer from none.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longer than any node may take to answer: 10 s for rights, and some for the other nodes.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    at_admin: Option<bool>,
}

pub fn get(path: impl Into<String>) -> Call {
    Call { method: Method::GET, path: path.into(), headers: Vec::new(), body: None, at_admin: None }
}

pub fn put(path: impl Into<String>, body: Value) -> Call {
    Call { method: Method::PUT, body: Some(body.to_string()), ..get(path) }
}

pub fn post(path: impl Into<String>, body: Value) -> Call {
    Call { method: Method::POST, ..put(path, body) }
}

/// `PUT /v1/reservations/{id}`
pub fn reserve(id: &str, lines: &[(&str, u64)], wait_ms: u64) -> Call {
    let body = serde_json::json!({"lines": lines_json(lines), "wait_ms": wait_ms, "ttl_seconds": 3600});
    put(format!("/v1/reservations/{id}"), body)
}

/// `POST /v1/reservations/{id}/confirm`, `/cancel`
pub fn end(id: &str, how: &str) -> Call {
    post(format!("/v1/reservations/{id}/{how}"), serde_json::json!({}))
}

pub fn lines_json(lines: &[(&str, u64)]) -> Value {
    lines.iter().map(|(sku, quantity)| serde_json::json!({"sku": sku, "quantity": quantity})).collect()
}

impl Call {
    pub fn key(self, key: impl Into<String>) -> Call {
        self.header("idempotency-key", key)
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    /// Another body, as it stands.
    pub fn raw(mut self, body: &str) -> Call {
        self.body = Some(body.to_owned());
        self
    }

    /// To the listener that the path does not belong to.
    pub fn at_admin(mut self, at_admin: bool) -> Call {
        self.at_admin = Some(at_admin);
        self
    }

    /// Which listener serves this path.
    pub fn is_for_admin(&self) -> bool {
        let of_admin = ["/v1/items", "/v1/nodes", "/v1/check", "/v1/config", "/metrics"];
        self.at_admin.unwrap_or_else(|| of_admin.iter().any(|prefix| self.path.starts_with(prefix)))
    }
}

/// Whatever the status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Null` when the body is no JSON.
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The stable code of a refusal.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    /// The first wrong field.
    pub fn field(&self) -> &str {
        self.body["errors"][0]["field"].as_str().unwrap_or("")
    }

    /// Of the first short line.
    pub fn verdict(&self) -> &str {
        self.body["shortfalls"][0]["verdict"].as_str().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }

    /// This answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// This answer, if it is this refusal.
    #[track_caller]
    pub fn refuses(self, status: u16, code: &str) -> Answer {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }
}

/// No whole answer came: the call may or may not have had its effect.
#[derive(Clone, Debug)]
pub struct NoAnswer(#[expect(dead_code, reason = "shown by Debug")] pub String);

/// Keeps connections alive between calls. Clones share them.
#[derive(Clone, Debug)]
pub struct Client(hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>);

impl Client {
    pub fn new() -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        Client(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector))
    }

    pub async fn send(&self, at: SocketAddr, call: &Call) -> Result<Answer, NoAnswer> {
        let no_answer = |why: String| NoAnswer(format!("{} {}: {why}", call.method, call.path));
        match tokio::time::timeout(ANSWER_WITHIN, self.exchange(at, call)).await {
            Ok(answer) => answer.map_err(|e| no_answer(e.to_string())),
            Err(_) => Err(no_answer("timed out".to_owned())),
        }
    }

    async fn exchange(&self, at: SocketAddr, call: &Call) -> Result<Answer, Box<dyn std::error::Error>> {
        let mut request =
            Request::builder().method(call.method.clone()).uri(format!("http://{at}{}", call.path));
        if call.body.is_some() && !call.headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let response =
            self.0.request(request.body(Full::from(call.body.clone().unwrap_or_default()))?).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8(bytes.to_vec())?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, body, text })
    }
}
