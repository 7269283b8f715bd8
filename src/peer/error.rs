//! What can be wrong when the peer links start. Whatever happens later is logged and tried
//! again, never returned.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::IdentityError;
use crate::types::NodeName;

/// Why the links did not start. All are for the operator to mend; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("the peer table lists {0} twice; remove one of the [[peers.node]] entries")]
    ListedTwice(NodeName),
    #[error("the peer table lists {0} nodes; at most {max} are supported", max = super::MAX_PEERS)]
    TooManyPeers(usize),
    /// A PEM file is missing, unreadable, or does not hold what it should.
    #[error("{what} in {path}: {problem}")]
    File { what: &'static str, path: PathBuf, problem: String },
    #[error("the certificate in {path} cannot be this node's: {source}")]
    Identity { path: PathBuf, source: IdentityError },
    #[error("the certificate in {path} names node {found}, but this node is {me}; issue one for {me}")]
    OtherNode { path: PathBuf, found: NodeName, me: NodeName },
    #[error("the certificate {cert} and the key {key} do not work: {problem}; do they belong together?")]
    Tls { cert: PathBuf, key: PathBuf, problem: String },
    /// Only where a running node is to take it up.
    #[error("the other nodes would refuse the certificate in {path}: {problem}")]
    Untrusted { path: PathBuf, problem: String },
    #[error("cannot listen for peers on {address} (UDP): {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("the operating system gives no random numbers")]
    Random,
}
