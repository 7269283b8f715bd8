//! Who may be connected to a listener, and who gives way when all seats are taken.
//!
//! A connection has its seat from its acceptance to its end. It is *idle* while no request of
//! it is being answered: before its first one, between two (from when the answer was handed to
//! the system whole), and while a request is not yet there whole, head and body, however busily
//! its bytes trickle in. When a newcomer finds all
//! seats taken, the connection that has been idle longest is closed for it, so that those who
//! do nothing cannot keep out those who do. An address (of IPv6, a network of 64 bits) has a
//! bound of its own, within which its own connections give way.
//!
//! A request costs two stores to an atomic: the order of the idle ones is brought up to date
//! only when somebody has to give way.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::LiveLimits;
use super::counters::ListenerCounters;

/// How often a newcomer without a seat looks again for somebody who is idle by now.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The seats of one listener.
#[derive(Debug)]
pub(super) struct Seats {
    limits: LiveLimits,
    /// Seats in all; from the limits, which may change.
    size: fn(&super::HttpLimits) -> usize,
    taken: Mutex<Taken>,
    freed: Notify,
    epoch: Instant,
    counters: Arc<ListenerCounters>,
}

#[derive(Debug, Default)]
struct Taken {
    last: Number,
    all: Row,
    of: HashMap<Network, Row>,
}

/// Numbers connections.
type Number = u64;
/// Nanoseconds after the listener's start; also what a seat's state is while it is idle.
type Stamp = u64;
/// State of a seat: a request is being answered.
const ANSWERING: Stamp = u64::MAX;
/// State of a seat: its connection was told to end.
const LEAVING: Stamp = u64::MAX - 1;

/// One connection's seat; dropped with it.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: Number,
    sitter: Arc<Sitter>,
}

/// What a connection and the order share.
#[derive(Debug)]
pub(super) struct Sitter {
    network: Network,
    state: AtomicU64,
    asked_to_leave: Notify,
    epoch: Instant,
}

/// Connections in an order that may be out of date: whoever is looked at first may have been
/// active since it was noted, but never the other way round.
#[derive(Debug, Default)]
struct Row {
    order: BTreeMap<(Stamp, Number), Arc<Sitter>>,
    noted: HashMap<Number, Stamp>,
    /// Those told to end that have not ended yet.
    leaving: usize,
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    Of4([u8; 4]),
    Of6([u8; 8]),
}

impl Network {
    fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::Of4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Network::Of6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What a newcomer meets.
enum Look {
    Seated(Seat),
    /// Somebody is leaving, or nobody is idle.
    Wait,
    /// All of its address' seats are taken, and none is idle.
    TurnedAway,
}

impl Seats {
    pub(super) fn new(
        limits: LiveLimits,
        size: fn(&super::HttpLimits) -> usize,
        counters: Arc<ListenerCounters>,
    ) -> Arc<Seats> {
        let (taken, freed, epoch) = (Mutex::default(), Notify::new(), Instant::now());
        Arc::new(Seats { limits, size, taken, freed, epoch, counters })
    }

    /// A seat for a newcomer, once there is one. `None`: its address has too many.
    pub(super) async fn seat(self: &Arc<Seats>, address: IpAddr) -> Option<Seat> {
        let network = Network::of(address);
        loop {
            let freed = self.freed.notified();
            match self.look(network) {
                Look::Seated(seat) => return Some(seat),
                Look::TurnedAway => {
                    self.counters.turned_away.add(1);
                    return None;
                }
                Look::Wait => {
                    let _ = timeout(LOOK_AGAIN, freed).await; // either way, look again
                }
            }
        }
    }

    /// The process is out of files: closes the connection that has been idle longest.
    pub(super) fn give_way(&self) {
        let now = self.now();
        let mut taken = self.taken();
        if taken.all.leaving > 0 {
            return;
        }
        if let Some(network) = taken.all.dismiss(now) {
            if let Some(row) = taken.of.get_mut(&network) {
                row.leaving += 1;
            }
            self.counters.gave_way.add(1);
        }
    }

    fn look(self: &Arc<Seats>, network: Network) -> Look {
        let limits = self.limits.now();
        let now = self.now();
        let mut guard = self.taken();
        let taken = &mut *guard;
        if let Some(row) = taken.of.get_mut(&network)
            && row.len() >= limits.connections_per_address
        {
            if row.leaving > 0 {
                return Look::Wait;
            }
            if row.dismiss(now).is_none() {
                return Look::TurnedAway;
            }
            taken.all.leaving += 1;
            self.counters.gave_way.add(1);
            return Look::Wait;
        }
        if taken.all.len() >= (self.size)(&limits) {
            drop(guard);
            self.give_way();
            return Look::Wait;
        }
        taken.last += 1;
        let number = taken.last;
        let sitter = Arc::new(Sitter {
            network,
            state: AtomicU64::new(now),
            asked_to_leave: Notify::new(),
            epoch: self.epoch,
        });
        taken.of.entry(network).or_default().add(number, now, sitter.clone());
        taken.all.add(number, now, sitter.clone());
        self.counters.open.set(taken.all.len());
        Look::Seated(Seat { seats: self.clone(), number, sitter })
    }

    fn now(&self) -> Stamp {
        stamp(self.epoch)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn stamp(epoch: Instant) -> Stamp {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).min(LEAVING - 1)
}

impl Row {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn add(&mut self, number: Number, noted: Stamp, sitter: Arc<Sitter>) {
        self.noted.insert(number, noted);
        self.order.insert((noted, number), sitter);
    }

    fn remove(&mut self, number: Number) {
        let Some(noted) = self.noted.remove(&number) else { return };
        if let Some(sitter) = self.order.remove(&(noted, number)) {
            self.leaving -= usize::from(sitter.is_leaving());
        }
    }

    /// Tells the one that has been idle longest to end. Each is looked at twice at most: once
    /// to find its newer place in the order, and once there.
    fn dismiss(&mut self, now: Stamp) -> Option<Network> {
        loop {
            let ((noted, number), sitter) = self.order.first_key_value()?;
            let ((noted, number), sitter) = ((*noted, *number), sitter.clone());
            if noted >= now {
                return None;
            }
            let place = match sitter.state.load(Ordering::Relaxed) {
                ANSWERING | LEAVING => now,
                since if since == noted => {
                    if sitter.dismiss(since) {
                        self.leaving += 1;
                        return Some(sitter.network);
                    }
                    continue;
                }
                since => since,
            };
            self.order.remove(&(noted, number));
            self.add(number, place, sitter);
        }
    }
}

impl Sitter {
    /// One who sits nowhere.
    #[cfg(test)]
    pub(super) fn alone() -> Arc<Sitter> {
        let (network, state) = (Network::Of4([0; 4]), AtomicU64::new(0));
        Arc::new(Sitter { network, state, asked_to_leave: Notify::new(), epoch: Instant::now() })
    }

    /// A request is being answered from now on. False: the connection is to end instead.
    pub(super) fn answering(&self) -> bool {
        let change = |state| (state != LEAVING).then_some(ANSWERING);
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }

    /// The answer was written; the client may send its next request when it likes.
    pub(super) fn idle(&self) {
        let now = stamp(self.epoch);
        let change = |state| (state == ANSWERING).then_some(now);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Ends when the connection is to end.
    pub(super) async fn asked_to_leave(&self) {
        self.asked_to_leave.notified().await;
    }

    /// False when it is not as idle as it was.
    fn dismiss(&self, since: Stamp) -> bool {
        let told = self.state.compare_exchange(since, LEAVING, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if told {
            self.asked_to_leave.notify_one();
        }
        told
    }

    fn is_leaving(&self) -> bool {
        self.state.load(Ordering::Relaxed) == LEAVING
    }
}

impl Seat {
    pub(super) fn sitter(&self) -> &Arc<Sitter> {
        &self.sitter
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut guard = self.seats.taken();
        let taken = &mut *guard;
        taken.all.remove(self.number);
        if let Some(row) = taken.of.get_mut(&self.sitter.network) {
            row.remove(self.number);
            if row.len() == 0 {
                taken.of.remove(&self.sitter.network);
            }
        }
        self.seats.counters.open.set(taken.all.len());
        drop(guard);
        self.seats.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpLimits;
    use crate::http::counters::HttpCounters;

    fn seats(connections: usize, connections_per_address: usize) -> Arc<Seats> {
        let limits = HttpLimits { connections, connections_per_address, ..HttpLimits::default() };
        Seats::new(
            LiveLimits::fixed(limits),
            |limits| limits.connections,
            HttpCounters::default().storefront.clone(),
        )
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn seated(seats: &Arc<Seats>, from: &str) -> Seat {
        seats.seat(address(from)).await.expect("a seat")
    }

    /// Takes a seat while `leaver` ends as it is asked to.
    async fn seated_for(seats: &Arc<Seats>, from: &str, leaver: Seat) -> Seat {
        let leaves = async {
            leaver.sitter().asked_to_leave().await;
            drop(leaver);
        };
        tokio::join!(seated(seats, from), leaves).0
    }

    #[tokio::test]
    async fn the_longest_idle_gives_way_and_nobody_whose_request_is_answered() {
        let seats = seats(3, 3);
        let first = seated(&seats, "10.0.0.1").await;
        let second = seated(&seats, "10.0.0.2").await;
        let third = seated(&seats, "10.0.0.3").await;
        assert!(first.sitter().answering());
        assert!(second.sitter().answering());
        second.sitter().idle();
        // Of the idle ones the third has waited longest: the second was active since.
        let fourth = seated_for(&seats, "10.0.0.4", third).await;
        let fifth = seated_for(&seats, "10.0.0.5", second).await;
        for busy in [&fourth, &fifth] {
            assert!(busy.sitter().answering());
        }
        // Nobody is idle: a newcomer waits until somebody is, or leaves.
        let waits = tokio::spawn({
            let seats = seats.clone();
            async move { seated(&seats, "10.0.0.6").await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        first.sitter().idle();
        first.sitter().asked_to_leave().await;
        assert!(!first.sitter().answering(), "it was told to end");
        drop(first);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn an_address_has_its_own_bound_within_which_its_own_give_way() {
        let seats = seats(10, 2);
        let other = seated(&seats, "10.0.0.9").await;
        let first = seated(&seats, "2001:db8:0:1::1").await;
        let second = seated(&seats, "2001:db8:0:1::2").await;
        assert!(first.sitter().answering());
        let third = seated_for(&seats, "2001:db8:0:1:ffff::3", second).await;
        assert!(third.sitter().answering());
        assert!(seats.seat(address("2001:db8:0:1::4")).await.is_none());
        seated(&seats, "2001:db8:0:2::1").await;
        drop(first);
        seated(&seats, "2001:db8:0:1::5").await;
        assert!(!other.sitter().is_leaving());
        assert_eq!(Network::of(address("::ffff:10.0.0.9")), Network::of(address("10.0.0.9")));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_who_left() {
        let seats = seats(2, 2);
        for i in 0..50 {
            let one = seated(&seats, &format!("10.0.0.{i}")).await;
            let other = seated(&seats, "10.0.1.1").await;
            let next = seated_for(&seats, "10.0.2.1", one).await;
            drop((other, next));
        }
        let taken = seats.taken();
        assert_eq!((taken.all.len(), taken.all.noted.len(), taken.all.leaving), (0, 0, 0));
        assert!(taken.of.is_empty());
    }

    #[tokio::test]
    async fn without_files_somebody_idle_gives_way() {
        let seats = seats(10, 10);
        let busy = seated(&seats, "10.0.0.1").await;
        assert!(busy.sitter().answering());
        let idle = seated(&seats, "10.0.0.2").await;
        seats.give_way();
        idle.sitter().asked_to_leave().await;
        drop(idle);
        seats.give_way();
        assert!(!busy.sitter().is_leaving());
        assert_eq!(seats.taken().of.values().map(|row| row.leaving).sum::<usize>(), 0);
    }
}
