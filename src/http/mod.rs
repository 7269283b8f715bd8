//! HTTP: what storefronts and admins see. It translates requests into
//! [`crate::types::Command`]s, asks the node through its [`Handle`], and shows what the
//! replica said; it decides nothing about stock.
//!
//! A request's way: `listener` accepts connections, `seats` bounds them, `timed` gives up on slow ones,
//! `exchange` reads the body and routes, a handler (`reservations`, `sales`, `batch`,
//! `availability`, `stream`, `items`, `history`, `import`, `rebalance`, `nodes`, `health`) reads its fields
//! through `json` and `fields`, asks through `call`, and shows the answer through `model`, a refusal through [`problem`].
//! `openapi` describes it all.
//!
//! Promises: bad input is refused with the field that is wrong, before anything is asked; a
//! definite answer is given only for what is known: when the node goes away while it decides,
//! the connection is closed without one. Everything a client can make this hold is bounded by
//! [`HttpLimits`] and the constants of the modules.

mod availability;
mod batch;
mod body;
mod call;
mod counters;
mod exchange;
mod fields;
mod headers;
mod health;
mod history;
mod hub;
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
mod rebalance;
mod reload;
mod request_log;
mod reservations;
mod sales;
mod seats;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod timed;
mod underway;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use utoipa_axum::routes;

use crate::node::Handle;
use crate::reload::Reloads;
use crate::types::Caller;
use call::Api;
pub use counters::HttpCounters;
pub use hub::MAX_WATCHED;
use openapi::{Routes, Side};
use seats::Seats;

/// What clients may take of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Open connections of the storefront listener; 16,384. Each costs a file and, by what its
    /// client sent, 1 to 128 KiB. When all are taken, the one that has been idle longest is
    /// closed for a newcomer.
    pub connections: usize,
    /// The same for the admin listener; 1,024.
    pub admin_connections: usize,
    /// Open connections of one address (IPv6: of one network of 64 bits) to one listener;
    /// 16,384. Beyond, its own longest idle one is closed, or else the newcomer.
    pub connections_per_address: usize,
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
    /// up, further ones are refused with `overloaded`. Fixed at the start.
    pub body_memory_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            connections: 16_384,
            admin_connections: 1_024,
            connections_per_address: 16_384,
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
    /// room to buy. Beyond, or when all follow more than [`MAX_WATCHED`] items together: 503
    /// `overloaded`. Under limits that were lowered the newest end.
    ///
    /// Each takes a connection and, for one item, some 10 KiB; each further item (200 at most)
    /// 100 to 500 bytes, so 100 KiB at worst. Each item that anybody follows takes up to 1 KiB
    /// more, and what a client has not taken yet of the first events up to 100 KiB.
    pub fn streams(&self) -> usize {
        self.connections - self.connections / 4
    }
}

/// The limits as they are now: they may change while the node runs. A wait that has begun
/// keeps the limit that it began under.
#[derive(Clone, Debug)]
pub struct LiveLimits(watch::Receiver<HttpLimits>);

impl LiveLimits {
    pub fn new(limits: watch::Receiver<HttpLimits>) -> LiveLimits {
        LiveLimits(limits)
    }

    /// Limits that never change.
    pub fn fixed(limits: HttpLimits) -> LiveLimits {
        LiveLimits(watch::channel(limits).1)
    }

    fn now(&self) -> HttpLimits {
        *self.0.borrow()
    }
}

/// What the listeners serve.
#[derive(Clone, Debug)]
pub struct Service {
    pub handle: Handle,
    pub limits: LiveLimits,
    pub registry: Arc<Registry>,
    pub counters: HttpCounters,
    pub reloads: Reloads,
}

/// Serves both listeners until `shutdown` says true (or its sender is dropped), then lets the
/// requests under way end, within [`HttpLimits::drain_timeout`].
///
/// # Errors
/// None so far: a listener that cannot accept is tried again.
pub async fn serve(
    service: Service,
    storefront: TcpListener,
    admin: TcpListener,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let Service { handle, limits, registry, counters, reloads } = service;
    let hub = hub::Hub::new(handle.clone(), limits.clone());
    let imports = Arc::new(Semaphore::new(import::MAX_IMPORTS));
    let api = |caller| Api {
        handle: handle.clone(),
        registry: registry.clone(),
        reloads: reloads.clone(),
        caller,
        imports: imports.clone(),
        limits: limits.clone(),
        hub: hub.clone(),
    };
    let budget = body::Budget::new(limits.now().body_memory_bytes);
    let log = Arc::<request_log::RequestLog>::default();
    let exchange = |router, streams| exchange::Exchange {
        router,
        limits: limits.clone(),
        budget: budget.clone(),
        streams,
        log: log.clone(),
    };
    let front = exchange(storefront_routes().served(api(Caller::Storefront)), false);
    let back = exchange(admin_routes().served(api(Caller::Admin)), true);
    let front_seats = Seats::new(limits.clone(), |limits| limits.connections, counters.storefront);
    let back_seats = Seats::new(limits.clone(), |limits| limits.admin_connections, counters.admin);
    let storefront = listener::serve(storefront, front_seats, front, shutdown.clone());
    let admin = listener::serve(admin, back_seats, back, shutdown.clone());
    tokio::join!(storefront, admin, hub.run(shutdown));
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
        .with(routes!(stream::get))
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
        .with(routes!(rebalance::post))
        .with(routes!(nodes::list))
        .with(routes!(nodes::drain))
        .with(routes!(nodes::resume))
        .with(routes!(reload::post))
        .with(routes!(nodes::check))
        .with(routes!(health::metrics))
}
