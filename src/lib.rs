//! Stockade keeps stock for storefronts that sell from several regions at once.
//!
//! Every item's units are divided into rights. A node sells a unit it holds a right to
//! without asking anybody; nodes move rights to each other as demand moves; the ledger is a
//! set of counters that only grow, so nodes that have talked agree.
//!
//! The crate has two halves. [`types`], [`wire`] and [`replica`] are pure: they are told the
//! time and return effects, and the simulator drives the same code that ships. The rest,
//! behind the feature `node`, is the thin shell that does IO. Read
//! `docs/internals/architecture.md` first.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the bans hold in the pure modules, below
#![warn(missing_debug_implementations)]

#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "node")]
pub mod config;
#[cfg(all(test, feature = "node"))]
mod docs_tests;
#[cfg(feature = "node")]
pub mod http;
pub mod limits;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "node")]
pub mod open_files;
#[cfg(feature = "node")]
pub mod peer;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod planted;
#[cfg(feature = "node")]
pub mod reload;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod replica;
#[cfg(feature = "node")]
pub mod server;
pub mod store;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod types;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;
