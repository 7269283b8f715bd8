//! What can be changed while the links run: this node's papers, and where peers are dialled.
//!
//! New papers are for handshakes from now on, at both ends of them; links that are up go on
//! under the old ones. A peer whose address changed is dialled there, and a link to it is
//! closed for that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use quinn::{ClientConfig, Endpoint, TransportConfig};
use tokio::sync::watch;

use super::dialer::{Dialling, client_config};
use super::endpoint::server_config;
use super::error::PeerError;
use super::tls::{self, Prints, Tls};
use super::{PeerAddress, TlsFiles};
use crate::types::NodeName;

/// A handle on the running links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerControl {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    me: NodeName,
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    client: watch::Sender<ClientConfig>,
    prints: Mutex<Prints>,
    certificate_expires: Arc<AtomicI64>,
    addresses: BTreeMap<NodeName, watch::Sender<String>>,
}

/// A certificate with its key and authority, read and found good.
pub struct Papers(Tls);

impl std::fmt::Debug for Papers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Papers").field("expires", &self.0.expires).finish_non_exhaustive()
    }
}

/// Which of the three files hold something else than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    pub ca: bool,
    pub cert: bool,
    pub key: bool,
}

impl PeerControl {
    pub(super) fn new(
        me: &NodeName,
        endpoint: Endpoint,
        transport: Arc<TransportConfig>,
        tls: &Tls,
        table: &[PeerAddress],
    ) -> (PeerControl, Dialling) {
        let (client, newest) = watch::channel(client_config(tls, transport.clone()));
        let address = |peer: &PeerAddress| (peer.name.clone(), watch::Sender::new(peer.address.clone()));
        let inner = Inner {
            me: me.clone(),
            endpoint: endpoint.clone(),
            transport,
            client,
            prints: Mutex::new(tls.prints),
            certificate_expires: Arc::new(AtomicI64::new(tls.expires)),
            addresses: table.iter().map(address).collect(),
        };
        (PeerControl { inner: Arc::new(inner) }, Dialling::new(endpoint, newest))
    }

    /// Where a peer of the table is dialled.
    pub(super) fn address(&self, peer: &NodeName) -> watch::Receiver<String> {
        self.inner.addresses[peer].subscribe()
    }

    pub(super) fn certificate_expires(&self) -> Arc<AtomicI64> {
        self.inner.certificate_expires.clone()
    }

    /// Reads papers and checks that they would do; nothing changes. Reads files.
    ///
    /// # Errors
    /// As at the start, and when the certificate has expired or another authority signed it.
    pub fn read(&self, files: &TlsFiles) -> Result<Papers, PeerError> {
        let tls = tls::load(files, &self.inner.me)?;
        match tls.distrust.clone() {
            Some(problem) => Err(PeerError::Untrusted { path: files.cert.clone(), problem }),
            None => Ok(Papers(tls)),
        }
    }

    /// What of these papers is not in use yet.
    pub fn renewed(&self, papers: &Papers) -> Renewed {
        let (old, new) = (*self.prints(), papers.0.prints);
        Renewed { ca: old.ca != new.ca, cert: old.cert != new.cert, key: old.key != new.key }
    }

    /// Handshakes from now on use these.
    pub fn use_papers(&self, papers: &Papers) {
        let Papers(tls) = papers;
        let inner = &self.inner;
        inner.endpoint.set_server_config(Some(server_config(tls, inner.transport.clone())));
        inner.client.send_replace(client_config(tls, inner.transport.clone()));
        inner.certificate_expires.store(tls.expires, Ordering::Relaxed);
        *self.prints() = tls.prints;
    }

    /// From now on `peer` is dialled at `address`; if that is another one than before, a link
    /// to it is closed. Peers that are not in the table are passed over.
    pub fn set_address(&self, peer: &NodeName, address: &str) {
        if let Some(current) = self.inner.addresses.get(peer) {
            current.send_if_modified(|current| {
                let differs = current != address;
                if differs {
                    address.clone_into(current);
                }
                differs
            });
        }
    }

    fn prints(&self) -> MutexGuard<'_, Prints> {
        self.inner.prints.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
