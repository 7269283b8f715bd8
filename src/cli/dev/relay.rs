//! Between two nodes, a way that takes its time: a UDP relay for each node and each other that
//! it dials.
//!
//! A relay holds every packet back for the same time, in both directions, in order; it loses
//! none that the system gave it. Its address is in the dialler's configuration, so it is there
//! before any node runs, and for as long as `stockade dev` does.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Packets held by one relay. When there are more, it reads none until some have gone, and the
/// system's buffer takes what it can.
const MAX_HELD: usize = 32_768;
/// Packets taken from one socket before those that are due are sent.
const TAKEN_AT_ONCE: usize = 64;
/// Bytes that the system may keep for a relay that has no turn; it may allow less.
const SYSTEM_BUFFER: usize = 4 << 20;
/// No packet is larger.
const MAX_PACKET: usize = 65_536;
/// The runtime's timers round up to whole milliseconds and are a little late: what is due so soon
/// is due, so that packets are as often early as late.
const SOON: Duration = Duration::from_micros(700);

/// The way of one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where the dialler dials.
    pub at: SocketAddr,
    /// Where the dialled node listens.
    pub to: SocketAddr,
    /// Half the round trip.
    pub delay: Duration,
}

/// Running relays. They end with this.
#[derive(Debug)]
pub struct Relays {
    _running: JoinSet<()>,
}

impl Relays {
    /// Returns when all relays take packets.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn start(ways: &[Way]) -> anyhow::Result<Relays> {
        let mut running = JoinSet::new();
        for way in ways {
            let fix = "stop what uses it, or choose other ports with --port and another --data";
            let relay = Relay::bind(*way).await;
            let relay =
                relay.with_context(|| format!("{} (UDP, of a relay) cannot be bound; {fix}", way.at))?;
            running.spawn(relay.run());
        }
        Ok(Relays { _running: running })
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    There,
    Back,
}

struct Held {
    due: Instant,
    direction: Direction,
    packet: Box<[u8]>,
}

struct Relay {
    way: Way,
    /// The dialler sends to this one.
    front: UdpSocket,
    /// The dialled node sees this one.
    back: UdpSocket,
    /// From where the dialler last sent.
    dialler: Option<SocketAddr>,
    /// All are held for the same time, so the first one to come is the first one due.
    held: VecDeque<Held>,
}

impl Relay {
    async fn bind(way: Way) -> std::io::Result<Relay> {
        let front = UdpSocket::bind(way.at).await?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        for socket in [&front, &back] {
            // With the buffer that it has, it works too.
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, SYSTEM_BUFFER);
        }
        Ok(Relay { way, front, back, dialler: None, held: VecDeque::new() })
    }

    async fn run(mut self) {
        let mut buffer = vec![0; MAX_PACKET];
        let alarm = sleep_until(Instant::now());
        tokio::pin!(alarm);
        loop {
            self.send_due().await;
            let next = self.held.front().map(|held| held.due - SOON);
            if let Some(next) = next
                && alarm.deadline() != next
            {
                alarm.as_mut().reset(next);
            }
            let has_room = self.held.len() < MAX_HELD;
            tokio::select! {
                () = alarm.as_mut(), if next.is_some() => {}
                Ok(()) = self.front.readable(), if has_room => self.take(Direction::There, &mut buffer),
                Ok(()) = self.back.readable(), if has_room => self.take(Direction::Back, &mut buffer),
                else => return, // a socket that cannot be waited for is broken for good
            }
        }
    }

    /// Takes what has come in.
    fn take(&mut self, direction: Direction, buffer: &mut [u8]) {
        let due = Instant::now() + self.way.delay;
        for _ in 0..TAKEN_AT_ONCE {
            let received = match direction {
                Direction::There => self.front.try_recv_from(buffer),
                Direction::Back => self.back.try_recv_from(buffer),
            };
            match received {
                Ok((length, from)) => {
                    if let Direction::There = direction {
                        self.dialler = Some(from);
                    }
                    self.held.push_back(Held { due, direction, packet: buffer[..length].into() });
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {} // tells of an earlier packet that found nobody
            }
        }
    }

    async fn send_due(&mut self) {
        let now = Instant::now() + SOON;
        while self.held.front().is_some_and(|held| held.due <= now) {
            let Some(held) = self.held.pop_front() else { return };
            let _ = match (held.direction, self.dialler) {
                (Direction::There, _) => self.back.send_to(&held.packet, self.way.to).await,
                (Direction::Back, Some(dialler)) => self.front.send_to(&held.packet, dialler).await,
                (Direction::Back, None) => continue, // a stranger's: nobody has dialled yet
            }; // nobody there: lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.unwrap()
    }

    /// A relay between two sockets: the dialler's, the dialled one's, and where to dial.
    async fn between(delay_ms: u64) -> (Relays, UdpSocket, UdpSocket, SocketAddr) {
        let (dialler, dialled) = (socket().await, socket().await);
        let at = socket().await.local_addr().unwrap(); // free a moment ago
        let to = dialled.local_addr().unwrap();
        let way = Way { at, to, delay: Duration::from_millis(delay_ms) };
        (Relays::start(&[way]).await.unwrap(), dialler, dialled, at)
    }

    async fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 2_048];
        let within = Duration::from_secs(10);
        let (length, from) =
            tokio::time::timeout(within, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        buffer.truncate(length);
        (buffer, from)
    }

    #[tokio::test]
    async fn a_packet_there_and_back_takes_the_round_trip() {
        let (_relays, dialler, dialled, at) = between(40).await;
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let sent = Instant::now();
            dialler.send_to(b"ping", at).await.unwrap();
            let (packet, from) = received(&dialled).await;
            assert_eq!(packet, b"ping");
            dialled.send_to(b"pong", from).await.unwrap();
            let (packet, from) = received(&dialler).await;
            let took = sent.elapsed();
            assert_eq!((packet.as_slice(), from), (b"pong".as_slice(), at));
            assert!(took >= Duration::from_millis(78), "{took:?}");
            best = best.min(took);
        }
        // A busy machine makes some of them late, hardly all.
        assert!(best < Duration::from_millis(90), "{best:?}");
    }

    #[tokio::test]
    async fn a_burst_comes_whole_in_order_and_together() {
        let (_relays, dialler, dialled, at) = between(30).await;
        let sent = Instant::now();
        // Fewer than the system keeps for a socket, however little that is.
        for number in 0..60u32 {
            dialler.send_to(&number.to_le_bytes(), at).await.unwrap();
        }
        for number in 0..60u32 {
            assert_eq!(received(&dialled).await.0, number.to_le_bytes());
        }
        assert!(sent.elapsed() < Duration::from_secs(1), "one after the other they would take 1.8 s");
    }

    #[tokio::test]
    async fn packets_come_back_to_where_the_dialler_last_sent_from() {
        let (_relays, first, dialled, at) = between(1).await;
        first.send_to(b"a", at).await.unwrap();
        received(&dialled).await;
        let second = socket().await;
        second.send_to(b"b", at).await.unwrap();
        let (_, from) = received(&dialled).await;
        dialled.send_to(b"c", from).await.unwrap();
        assert_eq!(received(&second).await.0, b"c");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = socket().await;
        let at = taken.local_addr().unwrap();
        let text =
            format!("{:#}", Relays::start(&[Way { at, to: at, delay: Duration::ZERO }]).await.unwrap_err());
        assert!(text.contains(&at.to_string()) && text.contains("--port"), "{text}");
    }
}
