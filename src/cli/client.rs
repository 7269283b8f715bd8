//! A small JSON client over HTTP/1.1 with kept-alive connections, for the commands that
//! talk to nodes.
//!
//! It never repeats a request by itself: whoever knows what a request means decides that.
//! Every call ends, by answer or by its time limit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

/// Largest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Kept-alive connections to one node.
const IDLE_CONNECTIONS: usize = 1_024;
/// Kept-alive connections are closed here well before a node would close them.
const IDLE: Duration = Duration::from_secs(20);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where one of a node's listeners is: `http://host:port`, nothing behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    pub fn of(address: std::net::SocketAddr) -> BaseUrl {
        BaseUrl(format!("http://{address}"))
    }

    /// The same host, the next port: where a node's admin listener is by habit.
    ///
    /// # Errors
    /// When there is no next port.
    pub fn next_port(&self) -> Result<BaseUrl, String> {
        let (front, port) = self.0.rsplit_once(':').ok_or("has no port")?;
        let next = port.parse::<u16>().ok().and_then(|port| port.checked_add(1)).ok_or("has no next port")?;
        Ok(BaseUrl(format!("{front}:{next}")))
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<BaseUrl, String> {
        let wanted = "write http://HOST:PORT, such as http://127.0.0.1:7300";
        let uri: Uri = text.parse().map_err(|e| format!("{e}; {wanted}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("only plain http is spoken; {wanted}"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("leave out what follows the port; {wanted}"));
        }
        let host = uri.host().ok_or_else(|| wanted.to_owned())?;
        Ok(BaseUrl(format!("http://{host}:{}", uri.port_u16().unwrap_or(80))))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub url: String,
    pub body: Option<Bytes>,
    /// `Idempotency-Key`.
    pub key: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Call {
    pub fn get(base: &BaseUrl, path: &str) -> Call {
        let url = format!("{base}{path}");
        Call { method: Method::GET, url, body: None, key: None, headers: Vec::new() }
    }

    pub fn put(base: &BaseUrl, path: &str, body: &serde_json::Value) -> Call {
        Call { method: Method::PUT, body: Some(body.to_string().into()), ..Call::get(base, path) }
    }

    pub fn post(base: &BaseUrl, path: &str, body: &serde_json::Value) -> Call {
        Call { method: Method::POST, ..Call::put(base, path, body) }
    }

    pub fn with_key(mut self, key: impl Into<String>) -> Call {
        self.key = Some(key.into());
        self
    }
}

/// What a node answered, whatever the status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// The first answer again, under the same key.
    pub replayed: bool,
    /// The node had to wait for other nodes before it could decide.
    pub waited: bool,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// # Errors
    /// When the body is not of this form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body)
            .map_err(|e| format!("answer {} is not understood: {e}", self.status))
    }

    /// Status, code and detail in a line, for complaints.
    pub fn brief(&self) -> String {
        #[derive(serde::Deserialize)]
        struct ProblemJson {
            code: Option<String>,
            title: Option<String>,
            detail: Option<String>,
        }
        let Ok(problem) = serde_json::from_slice::<ProblemJson>(&self.body) else {
            return format!("status {}", self.status);
        };
        let parts = [problem.code, problem.detail.or(problem.title)];
        let text: Vec<String> = parts.into_iter().flatten().collect();
        format!("status {} {}", self.status, text.join(": "))
    }
}

/// A call without an answer. Unless it was never sent, it may have been carried out.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{url}: {why}{}", if *.sent { "" } else { "; is the cluster running?" })]
pub struct NoAnswer {
    pub url: String,
    pub why: String,
    /// False: there was no connection to send it over.
    pub sent: bool,
}

/// Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl Client {
    /// Every call ends after `timeout`.
    pub fn new(timeout: Duration) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Client { inner, timeout }
    }

    /// # Errors
    /// When no whole answer came in time.
    pub async fn send(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let no_answer = |why: String, sent: bool| NoAnswer { url: call.url.clone(), why, sent };
        let request = build(call).map_err(|e| no_answer(e.to_string(), false))?;
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer.map_err(|(why, sent)| no_answer(why, sent)),
            Err(_) => Err(no_answer(format!("no answer within {} ms", self.timeout.as_millis()), true)),
        }
    }

    /// A GET whose answer must be a 200 of this form.
    ///
    /// # Errors
    /// When it is anything else.
    pub async fn read<T: DeserializeOwned>(&self, base: &BaseUrl, path: &str) -> anyhow::Result<T> {
        let call = Call::get(base, path);
        let answer = self.send(&call).await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", call.url, answer.brief());
        answer.json().map_err(|e| anyhow::anyhow!("{}: {e}", call.url))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, (String, bool)> {
        let response = self.inner.request(request).await.map_err(|e| (innermost(&e), !e.is_connect()))?;
        read_answer(response).await.map_err(|why| (why, true))
    }
}

/// Takes in a whole answer.
///
/// # Errors
/// When it breaks off or is larger than [`MAX_ANSWER_BYTES`].
pub async fn read_answer(response: Response<Incoming>) -> Result<Answer, String> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let replayed = response.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    let timings = response.headers().get_all("server-timing");
    let waited = timings.iter().any(|value| value.as_bytes().starts_with(b"peers;"));
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|e| innermost(e.as_ref()))?.to_bytes();
    Ok(Answer { status, body, retry_after, replayed, waited })
}

fn build(call: &Call) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder().method(call.method.clone()).uri(&call.url);
    if call.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    if let Some(key) = &call.key {
        request = request.header("idempotency-key", key);
    }
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(call.body.clone().unwrap_or_default()))
}

/// The deepest cause says most ("Connection refused"); the layers above only say "error".
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_plain_http_without_a_path() {
        let url: BaseUrl = "http://127.0.0.1:7300/".parse().unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:7300");
        assert_eq!(url.next_port().unwrap().to_string(), "http://127.0.0.1:7301");
        assert_eq!("http://shop".parse::<BaseUrl>().unwrap().to_string(), "http://shop:80");
        for bad in ["https://a:1", "127.0.0.1:7300", "http://a:1/v1", "http://a:1?x", "", "http://"] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = BaseUrl::of(listener.local_addr().unwrap());
        drop(listener);
        let error = Client::new(Duration::from_secs(5)).send(&Call::get(&base, "/livez")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("refused") && text.contains("is the cluster running?"), "{text}");
        assert!(!error.sent);
    }

    #[tokio::test]
    async fn a_silent_node_ends_in_a_time_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = BaseUrl::of(listener.local_addr().unwrap());
        let error =
            Client::new(Duration::from_millis(20)).send(&Call::get(&base, "/livez")).await.unwrap_err();
        assert!(error.to_string().contains("no answer within 20 ms"), "{error}");
        assert!(error.sent, "it may have been carried out");
    }
}
