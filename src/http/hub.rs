//! The hub: tells open streams what changed on the shelf.
//!
//! While streams are open it looks every [`BEAT`] what was marked since, makes the event of
//! each changed item once, and notes for each stream *that* the item changed: one bit. A stream
//! fetches the newest events of its noted items when its client has room for them. So a slow
//! client costs a bit an item and never a queue, and it gets the newest state of each item, at
//! most once a beat. A stream that was just opened rests for a beat, so that this holds for the
//! state with which it begins, too.
//!
//! Nothing is missed by one who comes back with the id of the last event that it got, for the
//! same items: for others, an id says nothing. An id holds a version of the shelf (see
//! [`Version`]), and for each event that is sent:
//!
//! 1. all that the stream follows and that changed at or below the event's version was sent
//!    before it, or is in it;
//! 2. so what changed above it is all that can be missing.
//!
//! For 1, a stream's first events are of one version, of which only the last of them speaks;
//! and of the events that it fetches at once, those that changed earlier go first.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

use super::LiveLimits;
use super::availability::MAX_SKUS;
use super::mint::fresh_id;
use super::model::AvailableItem;
use crate::node::{Handle, Seen, Version};
use crate::types::Sku;

/// An item's changes are told at most this often.
pub const BEAT: Duration = Duration::from_millis(100);
/// Different items that all streams may follow together. Each takes up to 1 KiB here and on
/// the shelf; without a bound, those who make names up could have 200 more with each stream.
pub const MAX_WATCHED: usize = 200_000;
/// Items read from the shelf at once; so long does the driver wait to publish.
const COLLECT_AT_ONCE: usize = 1_000;
/// Streams woken at once, before others get a turn: each writes to its socket, some 20 µs.
const WAKE_AT_ONCE: usize = 32;

/// Fans the shelf out to streams.
#[derive(Debug)]
pub(super) struct Hub {
    handle: Handle,
    /// Of this process; ids of another one say nothing here.
    epoch: String,
    limits: LiveLimits,
    table: RwLock<Table>,
    /// The first stream was opened.
    opened: Notify,
}

#[derive(Debug, Default)]
struct Table {
    topics: HashMap<Sku, Topic>,
    streams: BTreeMap<u64, Arc<Inbox>>,
    last_stream: u64,
    /// Opened since the last beat; and those of the beat before, which rest until the next.
    opened: Vec<Arc<Inbox>>,
    resting: Vec<Arc<Inbox>>,
    /// The shelf's, as of the last beat.
    turned: Version,
    stopped: bool,
}

/// An item that some stream follows.
#[derive(Debug)]
struct Topic {
    changed: Version,
    /// None before it first changes: its followers have seen it on the shelf.
    event: Option<Event>,
    /// By the stream's number; and which of the stream's items this is.
    followers: BTreeMap<u64, (Arc<Inbox>, usize)>,
}

/// An item's newest state, as a stream sends it. Only the data is the same for all.
#[derive(Clone, Debug)]
pub(super) struct Event {
    complete_to: Version,
    /// With the blank line that ends the event.
    pub(super) data: Bytes,
}

/// What a stream has still to fetch.
#[derive(Debug, Default)]
struct Inbox(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// A bit for each of the stream's items.
    items: [u64; WORDS],
    waker: Option<Waker>,
    /// It was opened less than a beat ago: what is noted has to wait.
    rests: bool,
    stopped: bool,
}

const WORDS: usize = MAX_SKUS.div_ceil(64);

/// The right to follow some items. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: Arc<Hub>,
    number: u64,
    skus: Vec<Sku>,
    inbox: Arc<Inbox>,
    /// What its ids begin with.
    ids: String,
    /// What changed up to here was in the first events.
    seen_to: Version,
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoStream {
    /// As many as may be are open.
    TooMany,
    /// They would follow more than [`MAX_WATCHED`] items.
    TooManyItems,
    Stopped,
}

impl Hub {
    pub(super) fn new(handle: Handle, limits: LiveLimits) -> Arc<Hub> {
        let epoch = fresh_id().simple().to_string();
        Arc::new(Hub { handle, epoch, limits, table: RwLock::default(), opened: Notify::new() })
    }

    /// Tells streams of changes until `shutdown` says true or is dropped, then ends them all.
    pub(super) async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = self.beat_for_ever() => {}
        }
        self.stop();
    }

    async fn beat_for_ever(&self) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if self.read().streams.is_empty() {
                // A permit may be left from a stream that is gone; that costs one turn.
                self.opened.notified().await;
                continue;
            }
            let wakers = self.beat();
            for some in wakers.chunks(WAKE_AT_ONCE) {
                some.iter().for_each(Waker::wake_by_ref);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Notes what changed for those who follow it, and ends streams that may not be open any
    /// more; returns whom to wake.
    pub(super) fn beat(&self) -> Vec<Waker> {
        let mut table = self.write();
        let surplus = table.streams.len().saturating_sub(self.limits.now().streams());
        // The newest ones. Those that are ending already are among them, until they are gone.
        let mut wakers: Vec<Waker> =
            table.streams.values().rev().take(surplus).filter_map(|inbox| inbox.stop()).collect();
        wakers.extend(table.rested().iter().filter_map(|inbox| inbox.end_rest()));
        let shelf = self.handle.shelf();
        let beat = shelf.begin_beat(self.handle.now());
        let mut skus = beat.dirty;
        if beat.turned > table.turned {
            table.turned = beat.turned;
            skus.extend(table.topics.keys().cloned());
        }
        for some in skus.chunks(COLLECT_AT_ONCE) {
            for seen in shelf.collect(self.handle.now(), some) {
                table.tell(&seen, beat.version, &mut wakers);
            }
        }
        wakers
    }

    /// Opens a stream: its first events, in one piece, and the right to what follows. `last`
    /// is the id of the last event that the client got, if it comes back.
    ///
    /// # Errors
    /// See [`NoStream`].
    pub(super) fn subscribe(
        self: &Arc<Hub>,
        skus: Vec<Sku>,
        last: Option<&str>,
    ) -> Result<(Subscription, First), NoStream> {
        debug_assert!(skus.len() <= MAX_SKUS);
        let mut table = self.write();
        if table.stopped {
            return Err(NoStream::Stopped);
        }
        if table.streams.len() >= self.limits.now().streams() {
            return Err(NoStream::TooMany);
        }
        let unwatched = || skus.iter().filter(|sku| !table.topics.contains_key(*sku));
        let new = unwatched().count();
        if new > 0 && table.topics.len() + new > MAX_WATCHED {
            return Err(NoStream::TooManyItems);
        }
        let shelf = self.handle.shelf();
        shelf.watch(unwatched());
        let (state, version) = shelf.look(self.handle.now(), &skus);
        let (number, inbox) = table.enter(&skus, version);
        self.count_streams(&table);
        drop(table);
        self.opened.notify_one();
        let ids = self.ids_for(&skus);
        let first = First::new(&state, version, version_of(last, &ids, version), &ids);
        Ok((Subscription { hub: self.clone(), number, skus, inbox, ids, seen_to: version }, first))
    }

    /// What all ids of this process for these items, in any order, begin with.
    fn ids_for(&self, skus: &[Sku]) -> String {
        let mut names: Vec<&str> = skus.iter().map(Sku::as_str).collect();
        names.sort_unstable();
        let hash = blake3::hash(names.join("\n").as_bytes()).to_hex();
        format!("{}-{}-", self.epoch, &hash[..8])
    }

    /// Nothing is kept of any stream.
    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        let table = self.read();
        table.topics.is_empty()
            && table.streams.is_empty()
            && table.opened.is_empty()
            && table.resting.is_empty()
    }

    fn stop(&self) {
        let mut table = self.write();
        table.stopped = true;
        let wakers: Vec<Waker> = table.streams.values().filter_map(|inbox| inbox.stop()).collect();
        drop(table);
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    fn count_streams(&self, table: &Table) {
        self.handle.metrics().streams().open.store(table.streams.len() as u64, Ordering::Relaxed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Table {
    /// Those who have rested for a whole beat.
    fn rested(&mut self) -> Vec<Arc<Inbox>> {
        let opened = std::mem::take(&mut self.opened);
        std::mem::replace(&mut self.resting, opened)
    }

    /// Enters a stream with its items, of which it has seen this version.
    fn enter(&mut self, skus: &[Sku], version: Version) -> (u64, Arc<Inbox>) {
        self.last_stream += 1;
        let (number, inbox) = (self.last_stream, Arc::new(Inbox::default()));
        inbox.lock().rests = true;
        self.opened.push(inbox.clone());
        for (place, sku) in skus.iter().enumerate() {
            let new = || Topic { changed: version, event: None, followers: BTreeMap::new() };
            let topic = self.topics.entry(sku.clone()).or_insert_with(new);
            topic.followers.insert(number, (inbox.clone(), place));
        }
        self.streams.insert(number, inbox.clone());
        (number, inbox)
    }

    /// Takes in an item's newest state, if it is news. `newest`: all that changed up to there
    /// is told in this beat, or was before.
    fn tell(&mut self, seen: &Seen, newest: Version, wakers: &mut Vec<Waker>) {
        let Some(topic) = self.topics.get_mut(&seen.item.sku) else { return };
        if seen.changed <= topic.changed {
            return;
        }
        topic.changed = seen.changed;
        let mut text = Vec::with_capacity(256);
        write_data(&mut text, seen);
        topic.event = Some(Event { complete_to: seen.complete_to.min(newest), data: text.into() });
        wakers.extend(topic.followers.values().filter_map(|(inbox, place)| inbox.note(*place)));
    }
}

impl Inbox {
    /// Notes a change; returns whom to wake about it.
    fn note(&self, place: usize) -> Option<Waker> {
        let mut noted = self.lock();
        noted.items[place / 64] |= 1 << (place % 64);
        if noted.rests { None } else { noted.waker.take() }
    }

    /// Returns whom to wake about what was noted meanwhile.
    fn end_rest(&self) -> Option<Waker> {
        let mut noted = self.lock();
        noted.rests = false;
        if noted.items == [0; WORDS] { None } else { noted.waker.take() }
    }

    fn stop(&self) -> Option<Waker> {
        let mut noted = self.lock();
        noted.stopped = true;
        noted.waker.take()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Subscription {
    /// The stream's number, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Ready when there is something to fetch; with `false`, when the stream is over.
    pub(super) fn poll_noted(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut noted = self.inbox.lock();
        if noted.stopped {
            return Poll::Ready(false);
        }
        if noted.items != [0; WORDS] && !noted.rests {
            return Poll::Ready(true);
        }
        noted.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The newest events of all items noted, in the order in which they are to be sent.
    pub(super) fn fetch(&self) -> Vec<Event> {
        // Held throughout: what is fetched is of one moment between two beats.
        let table = self.hub.read();
        let items = std::mem::take(&mut self.inbox.lock().items);
        let mut events: Vec<(Version, Event)> = Vec::new();
        for (place, sku) in self.skus.iter().enumerate() {
            if items[place / 64] & (1 << (place % 64)) == 0 {
                continue;
            }
            let Some(topic) = table.topics.get(sku) else { continue };
            if let Some(event) = topic.event.clone().filter(|_| topic.changed > self.seen_to) {
                events.push((topic.changed, event));
            }
        }
        drop(table);
        events.sort_unstable_by_key(|(changed, _)| *changed);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// What goes before an event's data.
    pub(super) fn head(&self, event: &Event) -> Bytes {
        let mut text = Vec::with_capacity(96);
        write_head(&mut text, &self.ids, event.complete_to);
        text.into()
    }

    /// Counts events that are on their way to the client.
    pub(super) fn count_events(&self, events: u64) {
        self.hub.handle.metrics().streams().events.fetch_add(events, Ordering::Relaxed);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut table = self.hub.write();
        table.streams.remove(&self.number);
        if table.streams.is_empty() {
            // There are no beats now that would do it.
            table.opened.clear();
            table.resting.clear();
        }
        let mut alone = Vec::new();
        for sku in &self.skus {
            let Some(topic) = table.topics.get_mut(sku) else { continue };
            topic.followers.remove(&self.number);
            if topic.followers.is_empty() {
                table.topics.remove(sku);
                alone.push(sku);
            }
        }
        self.hub.handle.shelf().unwatch(alone);
        self.hub.count_streams(&table);
    }
}

/// The events with which a stream begins.
#[derive(Debug)]
pub(super) struct First {
    pub(super) events: u64,
    pub(super) text: Vec<u8>,
}

impl First {
    /// What changed after `since`; without it, everything.
    fn new(state: &[Seen], version: Version, since: Option<Version>, ids: &str) -> First {
        let news: Vec<&Seen> =
            state.iter().filter(|seen| since.is_none_or(|since| seen.changed > since)).collect();
        let mut text = Vec::with_capacity(news.len() * 256);
        for (i, seen) in news.iter().enumerate() {
            // Before the last one, the client lacks what it lacked when it came.
            let is_last = i + 1 == news.len();
            let complete_to = if is_last { version } else { since.unwrap_or_default() };
            write_head(&mut text, ids, complete_to);
            write_data(&mut text, seen);
        }
        First { events: news.len() as u64, text }
    }
}

/// The version in one of these ids; otherwise "nothing seen".
fn version_of(id: Option<&str>, ids: &str, newest: Version) -> Option<Version> {
    let version = Version(id?.strip_prefix(ids)?.parse().ok()?);
    (version > Version::default() && version <= newest).then_some(version)
}

fn write_head(text: &mut Vec<u8>, ids: &str, complete_to: Version) {
    text.extend_from_slice(format!("event: availability\nid: {ids}{}\n", complete_to.0).as_bytes());
}

fn write_data(text: &mut Vec<u8>, seen: &Seen) {
    text.extend_from_slice(b"data: ");
    let item = AvailableItem::new(&seen.item);
    serde_json::to_writer(&mut *text, &item).expect("views serialise: their maps have text keys");
    text.extend_from_slice(b"\n\n");
}
