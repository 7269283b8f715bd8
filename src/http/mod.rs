//! HTTP: what storefronts and admins see. It translates requests into
//! [`crate::types::Command`]s, asks the node through its [`Handle`], and shows what the
//! replica said; it decides nothing about stock.
//!
//! A request's way: `listener` accepts and bounds connections, `timed` gives up on slow ones,
//! `exchange` reads the body and routes, a handler (`reservations`, `sales`, `batch`,
//! `availability`, `items`, `nodes`, `health`) reads its fields through `json` and `fields`,
//! asks through `call`, and shows the answer through `model`, a refusal through [`problem`]. `openapi` describes it all.
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
mod history;
mod import;
mod items;
mod json;
mod lines;
mod listener;
mod mint;
mod model;
mod nodes;
mod openapi;
pub mod problem;
mod query;
mod reservations;
mod sales;
#[cfg(test)]
mod tests;
mod time;
mod timed;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use utoipa_axum::routes;

use crate::node::Handle;
use crate::types::Caller;
use call::Api;
use openapi::{Routes, Side};

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
    let imports = Arc::new(Semaphore::new(import::MAX_IMPORTS));
    let import_patience = limits.body_timeout;
    let api = |caller| Api {
        handle: handle.clone(),
        registry: registry.clone(),
        caller,
        imports: imports.clone(),
        import_patience,
    };
    let budget = body::Budget::new(limits.body_memory_bytes);
    let limits = Arc::new(limits);
    let exchange = |router, streams| exchange::Exchange {
        router,
        limits: limits.clone(),
        budget: budget.clone(),
        streams,
    };
    let routes = storefront_routes().served(api(Caller::Storefront));
    let storefront = listener::serve(storefront, exchange(routes, false), shutdown.clone());
    let routes = admin_routes().served(api(Caller::Admin));
    let admin = listener::serve(admin, exchange(routes, true), shutdown);
    tokio::join!(storefront, admin);
    Ok(())
}

fn storefront_routes() -> Routes {
    Routes::new(Side::Storefront)
        .with(routes!(reservations::list, reservations::post))
        .with(routes!(reservations::get, reservations::put))
        .with(routes!(reservations::confirm))
        .with(routes!(reservations::cancel))
        .with(routes!(reservations::extend))
        .with(routes!(batch::post))
        .with(routes!(sales::sell))
        .with(routes!(sales::give_back))
        .with(routes!(availability::get))
}

fn admin_routes() -> Routes {
    Routes::new(Side::Admin)
        .with(routes!(items::list))
        .with(routes!(items::get, items::put))
        .with(routes!(items::receive))
        .with(routes!(items::write_off))
        .with(routes!(items::transfer))
        .with(routes!(history::get))
        .with(routes!(import::post))
        .with(routes!(nodes::list))
        .with(routes!(nodes::drain))
        .with(routes!(nodes::resume))
        .with(routes!(nodes::check))
        .with(routes!(health::metrics))
}
