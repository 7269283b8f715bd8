//! Serves a product page and passes its two read calls on to a Stockade node, so that page and
//! API have one origin, as behind a shop's own web server or CDN.
//!
//! ```text
//! cargo run --example product_page -- --node http://127.0.0.1:7300
//! ```
//!
//! It passes on `GET /v1/availability` and `GET /v1/availability/stream` and nothing else:
//! what can reserve and sell stays with the shop's backend. Answers are passed on as they come,
//! never collected, so that events arrive when they happen.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, RETRY_AFTER,
};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use hyper::server::conn::http1;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// Serves a product page whose stock comes from a Stockade node.
#[derive(Debug, Parser)]
struct Options {
    /// The storefront listener of a node.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7300")]
    node: Uri,
    /// Where to serve the page.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[derive(Clone)]
struct Proxy {
    node: Authority,
    client: Client<HttpConnector, Body>,
}

/// What the page's calls need on the way there, and on the way back.
const TO_NODE: [HeaderName; 2] = [IF_NONE_MATCH, HeaderName::from_static("last-event-id")];
const TO_PAGE: [HeaderName; 4] = [CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let node = options.node.authority().context("--node: give a URL such as http://127.0.0.1:7300")?.clone();
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    let client = Client::builder(TokioExecutor::new()).build(connector);

    let app = Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/page.css", get(|| file("text/css; charset=utf-8", include_str!("page/page.css"))))
        .route("/page.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route("/v1/availability", get(pass_on))
        .route("/v1/availability/stream", get(pass_on))
        .with_state(Proxy { node, client });

    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("--listen: cannot listen on {}", options.listen))?;
    println!("open http://{}/ (stock from {})", listener.local_addr()?, options.node);
    loop {
        let (stream, _) = listener.accept().await?;
        let app = TowerToHyperService::new(app.clone());
        // An error ends this connection and nothing else.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), app));
    }
}

async fn file(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], text).into_response()
}

/// Asks the node the same, and gives its answer as it comes. When the page goes, so does the
/// request to the node.
async fn pass_on(State(proxy): State<Proxy>, uri: Uri, headers: HeaderMap) -> Response {
    let answer = ask(&proxy, &uri, &headers).await;
    answer.unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", uri.path());
        let text = "The node does not answer.\n";
        (StatusCode::BAD_GATEWAY, [(CACHE_CONTROL, "no-store")], text).into_response()
    })
}

async fn ask(proxy: &Proxy, uri: &Uri, headers: &HeaderMap) -> anyhow::Result<Response> {
    let path = uri.path_and_query().context("no path")?.clone();
    let uri = Uri::builder().scheme("http").authority(proxy.node.clone()).path_and_query(path).build()?;
    let mut asked = hyper::Request::get(uri).body(Body::empty())?;
    copy(&TO_NODE, headers, asked.headers_mut());
    let (head, body) = proxy.client.request(asked).await?.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    copy(&TO_PAGE, &head.headers, response.headers_mut());
    Ok(response)
}

fn copy(names: &[HeaderName], from: &HeaderMap, to: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name, value.clone());
        }
    }
}
