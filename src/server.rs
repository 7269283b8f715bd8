//! One node, assembled: store, replica, peers and both HTTP listeners.
//!
//! A stand-in that only says so; the assembly belongs here.

use std::net::SocketAddr;

use crate::config::Config;

/// Where a node listens, told once all of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub storefront: SocketAddr,
    pub admin: SocketAddr,
    pub peers: SocketAddr,
}

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or when its store fails.
#[expect(clippy::unused_async, reason = "the assembly awaits")]
pub async fn run(config: Config, started: impl FnOnce(Started)) -> anyhow::Result<()> {
    drop((config, started));
    anyhow::bail!("this build holds no server yet")
}
