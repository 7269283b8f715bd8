//! A UDP relay between a dialling node and the one it dials. Its address is known before
//! either runs, it can be cut in each direction, slowed down, and pointed elsewhere.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::ANY_PORT;

pub(super) struct Relay {
    pub address: SocketAddr,
    way: Arc<Way>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Way {
    target: Mutex<Option<SocketAddr>>,
    there_cut: AtomicBool,
    back_cut: AtomicBool,
    /// What a packet takes longer, each way.
    delay_ms: AtomicU64,
}

impl Relay {
    pub(super) async fn new() -> Relay {
        let front = UdpSocket::bind(ANY_PORT).await.unwrap();
        let back = UdpSocket::bind(ANY_PORT).await.unwrap();
        let address = front.local_addr().unwrap();
        let way = Arc::<Way>::default();
        let task = tokio::spawn(run(front, back, way.clone()));
        Relay { address, way, task }
    }

    pub(super) fn point_at(&self, target: SocketAddr) {
        *self.way.target.lock().unwrap() = Some(target);
    }

    /// Cuts or heals the way from the dialling node.
    pub(super) fn cut_there(&self, cut: bool) {
        self.way.there_cut.store(cut, Ordering::Relaxed);
    }

    pub(super) fn slow_down(&self, delay_ms: u64) {
        self.way.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// Cuts or heals the way back to the dialling node.
    pub(super) fn cut_back(&self, cut: bool) {
        self.way.back_cut.store(cut, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Way {
    async fn pass(&self, from: &Arc<UdpSocket>, packet: &[u8], to: SocketAddr) {
        let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
        if delay.is_zero() {
            let _ = from.send_to(packet, to).await;
            return;
        }
        let (from, packet) = (from.clone(), packet.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = from.send_to(&packet, to).await;
        });
    }
}

async fn run(front: UdpSocket, back: UdpSocket, way: Arc<Way>) {
    let (mut there, mut here) = ([0; 65_536], [0; 65_536]);
    let (front, back) = (Arc::new(front), Arc::new(back));
    let mut dialler = None;
    loop {
        // Errors are those of packets that found nobody: lost, as packets may be.
        tokio::select! {
            Ok((length, from)) = front.recv_from(&mut there) => {
                dialler = Some(from);
                let target = *way.target.lock().unwrap();
                if let Some(target) = target.filter(|_| !way.there_cut.load(Ordering::Relaxed)) {
                    way.pass(&back, &there[..length], target).await;
                }
            }
            Ok((length, _)) = back.recv_from(&mut here) => {
                if let Some(dialler) = dialler.filter(|_| !way.back_cut.load(Ordering::Relaxed)) {
                    way.pass(&front, &here[..length], dialler).await;
                }
            }
        }
    }
}
