//! Whole clusters, from outside: real processes, real QUIC, real disks, and a client that keeps
//! books of its own.
//!
//! Nothing here looks into a node: tests speak HTTP, read log files, and stand between the
//! nodes' UDP sockets. Every port is chosen by the operating system. What waits, waits for a
//! condition, with a deadline.
//!
//! `STOCKADE_TRACE` names a trace of real orders for `replay`; `STOCKADE_LONG=1` runs the long
//! replay under chaos as well; `STOCKADE_KEEP=1` keeps the clusters' directories.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the bans are for the pure modules

mod autonomy;
mod chaos;
mod client;
mod cluster;
mod connections;
mod contract;
mod crash;
mod docs;
mod draining;
mod forwarding;
mod history;
mod importing;
mod node;
mod oracle;
mod partitions;
mod recovery;
mod relay;
mod reload;
mod replay;
mod retries;
mod round_trips;
mod states;
mod stream;
mod witness;
