//! The network between the nodes: a UDP relay for each ordered pair, which passes packets on or,
//! when the pair is cut, loses them. Relays have their addresses before any node runs, so nodes
//! are configured with those and take whatever ports they get.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;
use tokio::sync::watch;

pub struct Net {
    /// By who dials and who is dialled.
    relays: BTreeMap<(usize, usize), Relay>,
}

struct Relay {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    is_cut: Arc<AtomicBool>,
}

impl Net {
    pub async fn new(nodes: usize) -> std::io::Result<Net> {
        let mut relays = BTreeMap::new();
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                relays.insert((from, to), Relay::start().await?);
            }
        }
        Ok(Net { relays })
    }

    /// Where `from` dials `to`.
    pub fn address(&self, from: usize, to: usize) -> SocketAddr {
        self.relays[&(from, to)].address
    }

    /// `node` now listens at `address`.
    pub fn point_at(&self, node: usize, address: SocketAddr) {
        for ((_, to), relay) in &self.relays {
            if *to == node {
                relay.target.send_replace(Some(address));
            }
        }
    }

    pub fn cut_off(&self, node: usize, is_cut: bool) {
        for ((from, to), relay) in &self.relays {
            if *from == node || *to == node {
                relay.is_cut.store(is_cut, Ordering::Relaxed);
            }
        }
    }
}

impl Relay {
    async fn start() -> std::io::Result<Relay> {
        let front = UdpSocket::bind("127.0.0.1:0").await?;
        let back = UdpSocket::bind("127.0.0.1:0").await?;
        let address = front.local_addr()?;
        let (target, told) = watch::channel(None);
        let is_cut = Arc::new(AtomicBool::new(false));
        tokio::spawn(pass_on(front, back, told, is_cut.clone()));
        Ok(Relay { address, target, is_cut })
    }
}

/// The dialler sends to `front`; the dialled node hears from `back`.
async fn pass_on(
    front: UdpSocket,
    back: UdpSocket,
    target: watch::Receiver<Option<SocketAddr>>,
    is_cut: Arc<AtomicBool>,
) {
    let mut dialler = None;
    let (mut there, mut here) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        // Errors tell of packets that found nobody: those are lost, as packets may be.
        tokio::select! {
            received = front.recv_from(&mut there) => if let Ok((length, from)) = received {
                dialler = Some(from);
                let to = *target.borrow();
                if let Some(to) = to.filter(|_| !is_cut.load(Ordering::Relaxed)) {
                    let _ = back.send_to(&there[..length], to).await;
                }
            },
            received = back.recv_from(&mut here) => if let Ok((length, _)) = received
                && let Some(to) = dialler.filter(|_| !is_cut.load(Ordering::Relaxed))
            {
                let _ = front.send_to(&here[..length], to).await;
            },
        }
    }
}
