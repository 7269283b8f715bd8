//! HTTP: what storefronts and admins see. It translates requests into
//! [`crate::types::Command`]s, asks the node through its [`Handle`], and shows what the
//! replica said; it decides nothing about stock.
//!
//! A request's way: `listener` accepts and bounds connections, `timed` gives up on slow ones,
//! `exchange` reads the body and routes, a handler (`reservations`, `sales`, `batch`,
//! `availability`, `stream`, `items`, `nodes`, `health`) reads its fields through `json` and `fields`,
//! asks through `call`, and shows the answer through `model`, a refusal through [`problem`].
//!
//! Promises: bad input is refused with the field that is wrong, before anything is asked; a
//! definite answer is given only for what is known: when the node goes away while it decides,
//! the connection is closed without one. Everything a client can make this hold is bounded by
//! [`HttpLimits`] and the constants of the modules.

mod availability;
mod batch;
mod body;
mod call;
mod exchange;
mod fields;
mod headers;
mod health;
mod hub;
mod items;
mod json;
mod lines;
mod listener;
mod mint;
mod model;
mod nodes;
pub mod problem;
mod query;
mod reservations;
mod sales;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod timed;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::node::Handle;
use call::Api;
use problem::{Code, Problem};

/// What clients may take of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Open connections of each listener; 4,096. Each costs a file and up to 128 KiB; when
    /// all are taken, further ones wait in the system's queue until one ends.
    pub connections: usize,
    /// For a whole head, from its first byte or from the start of the connection; 10 s. Then
    /// the connection is closed.
    pub header_timeout: Duration,
    /// For a whole body; 10 s. Then the answer is 408 and the connection is closed.
    pub body_timeout: Duration,
    /// For the next request on a connection; 60 s. Then the connection is closed.
    pub idle_timeout: Duration,
    /// For any progress of a client in taking its answer; 10 s. Then the connection is closed.
    pub write_timeout: Duration,
    /// For requests under way when the node stops; 10 s. Then their connections are closed.
    pub drain_timeout: Duration,
    /// Memory for the bodies of requests under way on both listeners; 256 MiB. When it is used
    /// up, further ones are refused with `overloaded`.
    pub body_memory_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            connections: 4_096,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            body_memory_bytes: 256 << 20,
        }
    }
}

impl HttpLimits {
    /// Open availability streams: three quarters of `connections`, so that there is always
    /// room to buy. Each takes a connection and some 10 KiB. Beyond: 503 `overloaded`.
    pub fn streams(&self) -> usize {
        self.connections - self.connections / 4
    }
}

/// Serves both listeners until `shutdown` says true (or its sender is dropped), then lets the
/// requests under way end, within [`HttpLimits::drain_timeout`].
///
/// # Errors
/// None so far: a listener that cannot accept is tried again.
pub async fn serve(
    handle: Handle,
    storefront: TcpListener,
    admin: TcpListener,
    limits: HttpLimits,
    registry: Arc<Registry>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let hub = hub::Hub::new(handle.clone(), limits.streams());
    let api = Api { handle, registry, hub: hub.clone() };
    let budget = body::Budget::new(limits.body_memory_bytes);
    let limits = Arc::new(limits);
    let exchange = |router| exchange::Exchange { router, limits: limits.clone(), budget: budget.clone() };
    let storefront = listener::serve(storefront, exchange(storefront_routes(api.clone())), shutdown.clone());
    let admin = listener::serve(admin, exchange(admin_routes(api)), shutdown.clone());
    tokio::join!(storefront, admin, hub.run(shutdown));
    Ok(())
}

fn storefront_routes(api: Api) -> Router {
    let routes = Router::new()
        .route("/v1/reservations", get(reservations::list).post(reservations::post))
        .route("/v1/reservations/{id}", get(reservations::get).put(reservations::put))
        .route("/v1/reservations/{id}/confirm", post(reservations::confirm))
        .route("/v1/reservations/{id}/cancel", post(reservations::cancel))
        .route("/v1/reservations/{id}/extend", post(reservations::extend))
        .route(exchange::BATCH_PATH, post(batch::post))
        .route("/v1/sales", post(sales::sell))
        .route("/v1/returns", post(sales::give_back))
        .route("/v1/availability", get(availability::get))
        .route("/v1/availability/stream", get(stream::get));
    finished(routes, api)
}

fn admin_routes(api: Api) -> Router {
    let routes = Router::new()
        .route("/v1/items", get(items::list))
        .route("/v1/items/{sku}", get(items::get).put(items::put))
        .route("/v1/items/{sku}/receipts", post(items::receive))
        .route("/v1/items/{sku}/write-offs", post(items::write_off))
        .route("/v1/items/{sku}/transfers", post(items::transfer))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/check", get(nodes::check))
        .route("/metrics", get(health::metrics));
    finished(routes, api)
}

/// Adds what both listeners serve, and the answers to what neither does.
fn finished(routes: Router<Api>, api: Api) -> Router {
    routes
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/v1/version", get(health::version))
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .fallback(|| async { Problem::new(Code::NotFound) })
        .with_state(api)
}
