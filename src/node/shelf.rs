//! The shelf: what product pages read. Filled by the driver after each sync, so it never
//! shows what is not durable; read by any number of threads without troubling the driver.
//!
//! Who follows items beyond one read (the streams) names them with [`Shelf::watch`]. Then each
//! visible change of such an item costs the driver one mark, however many follow it: they
//! collect the marks when they like ([`Shelf::begin_beat`], [`Shelf::collect`]). Changes are
//! numbered, so that one who comes back can be told what changed since.

use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::limits::FRESH;
use crate::types::{Heard, ItemView, Millis, Sku, Timestamp, Units};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockStatus {
    InStock,
    LowStock,
    /// Proved: nothing free anywhere, by rows at most [`FRESH`] old.
    SoldOut,
    /// Nothing known free, not proved.
    Uncertain,
    NoSuchItem,
}

impl StockStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            StockStatus::InStock => "in_stock",
            StockStatus::LowStock => "low_stock",
            StockStatus::SoldOut => "sold_out",
            StockStatus::Uncertain => "uncertain",
            StockStatus::NoSuchItem => "no_such_item",
        }
    }
}

/// One item as a product page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    pub sku: Sku,
    pub here: Units,
    pub everywhere: Units,
    pub status: StockStatus,
    /// The oldest row in it is at least as new as this.
    pub as_of: Timestamp,
    pub stale: Millis,
}

/// Numbers the changes of a shelf since the process began. No two items change at one number,
/// but all that are proved sold out do when the proof's freshness comes or goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

/// One item as those who follow it see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub item: Availability,
    /// When it came to look like this; 0 for an item that is not there.
    pub changed: Version,
    /// Whoever has got this, and before it all that changed earlier, lacks nothing up to here.
    /// Less than `changed` when other items changed at the same number.
    pub complete_to: Version,
}

/// What is to be collected since the last beat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Watched items that changed, each once.
    pub dirty: Vec<Sku>,
    /// All that changed up to here is in `dirty`, or was collected before, or changed at `turned`.
    pub version: Version,
    /// When the freshness of proofs last came or went.
    pub turned: Version,
}

/// The durable views of all items, and how fresh the other members' rows are.
#[derive(Debug, Default)]
pub struct Shelf {
    views: RwLock<Views>,
}

#[derive(Debug)]
struct Views {
    items: HashMap<Sku, Shelved>,
    heard: Vec<Heard>,
    version: Version,
    /// Whether proofs counted as fresh when those who follow items last looked.
    fresh: bool,
    turned: Version,
    /// Who is followed by anybody, and whether it is in `dirty`.
    watched: HashMap<Sku, bool>,
    dirty: Vec<Sku>,
}

#[derive(Debug)]
struct Shelved {
    view: ItemView,
    changed: Version,
}

impl Default for Views {
    fn default() -> Views {
        Views {
            items: HashMap::new(),
            heard: Vec::new(),
            // So that having seen something is told from having seen nothing.
            version: Version(1),
            fresh: true,
            turned: Version::default(),
            watched: HashMap::new(),
            dirty: Vec::new(),
        }
    }
}

impl Shelf {
    /// Replaces these items' views, and what is known of the members' freshness.
    pub fn publish(&self, views: Vec<ItemView>, heard: Option<Vec<Heard>>) {
        let mut shelf = self.write();
        for view in views {
            shelf.put(view);
        }
        if let Some(heard) = heard {
            shelf.heard = heard;
        }
    }

    /// Age of the oldest row here.
    pub fn stale(&self, now: Timestamp) -> Millis {
        self.read_lock().age(now).1
    }

    /// What is here, in the order asked for; `now` is ledger time.
    pub fn read(&self, now: Timestamp, skus: &[Sku]) -> Vec<Availability> {
        let shelf = self.read_lock();
        let (as_of, stale) = shelf.age(now);
        let fresh = stale <= FRESH;
        let show = |sku| availability(sku, shelf.items.get(sku).map(|s| &s.view), fresh, as_of, stale);
        skus.iter().map(show).collect()
    }

    /// From now on, visible changes of these items are marked for [`Shelf::begin_beat`].
    pub fn watch<'a>(&self, skus: impl IntoIterator<Item = &'a Sku>) {
        let mut shelf = self.write();
        for sku in skus {
            shelf.watched.entry(sku.clone()).or_insert(false);
        }
    }

    pub fn unwatch<'a>(&self, skus: impl IntoIterator<Item = &'a Sku>) {
        let mut shelf = self.write();
        for sku in skus {
            shelf.watched.remove(sku);
        }
    }

    /// Judges the freshness of proofs anew, and takes the list of what changed. Every item in
    /// it must be given to [`Shelf::collect`], or its later changes are not marked.
    pub fn begin_beat(&self, now: Timestamp) -> Beat {
        let mut shelf = self.write();
        shelf.judge_freshness(now);
        Beat { dirty: std::mem::take(&mut shelf.dirty), version: shelf.version, turned: shelf.turned }
    }

    /// Takes the marks off these items, and gives their newest state. Give it few at a time:
    /// the driver waits meanwhile.
    pub fn collect(&self, now: Timestamp, skus: &[Sku]) -> Vec<Seen> {
        let mut shelf = self.write();
        for sku in skus {
            if let Some(is_dirty) = shelf.watched.get_mut(sku) {
                *is_dirty = false;
            }
        }
        shelf.see(now, skus)
    }

    /// The state of these items, all as of the version that is given with it.
    pub fn look(&self, now: Timestamp, skus: &[Sku]) -> (Vec<Seen>, Version) {
        let mut shelf = self.write();
        shelf.judge_freshness(now);
        (shelf.see(now, skus), shelf.version)
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Views> {
        self.views.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Views> {
        self.views.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Views {
    fn put(&mut self, view: ItemView) {
        if let Some(known) = self.items.get_mut(&view.sku)
            && looks(&known.view) == looks(&view)
        {
            known.view = view;
            return;
        }
        self.version = self.version.next();
        if let Some(is_dirty) = self.watched.get_mut(&view.sku)
            && !std::mem::replace(is_dirty, true)
        {
            self.dirty.push(view.sku.clone());
        }
        self.items.insert(view.sku.clone(), Shelved { view, changed: self.version });
    }

    /// The age of the oldest row.
    fn age(&self, now: Timestamp) -> (Timestamp, Millis) {
        let oldest = self.heard.iter().map(|h| h.as_of.unwrap_or(Timestamp::ZERO)).min();
        let as_of = oldest.unwrap_or(now).min(now);
        (as_of, now.since(as_of))
    }

    /// Proofs age without anything being published. That their freshness came or went is a
    /// change of every item that is proved sold out, with a number of its own.
    fn judge_freshness(&mut self, now: Timestamp) {
        let fresh = self.age(now).1 <= FRESH;
        if fresh != self.fresh {
            self.fresh = fresh;
            self.version = self.version.next();
            self.turned = self.version;
        }
    }

    /// By the freshness as it was last judged, so that what is seen differs from what was seen
    /// before only if there is a number for it.
    fn see(&self, now: Timestamp, skus: &[Sku]) -> Vec<Seen> {
        let (as_of, stale) = self.age(now);
        let see = |sku: &Sku| {
            let shelved = self.items.get(sku);
            let item = availability(sku, shelved.map(|s| &s.view), self.fresh, as_of, stale);
            let changed = shelved.map_or(Version::default(), |s| s.changed);
            let is_proved = shelved.is_some_and(|s| status(&s.view, true) == StockStatus::SoldOut);
            if is_proved && self.turned > changed {
                let complete_to = Version(self.turned.0.saturating_sub(1));
                return Seen { item, changed: self.turned, complete_to };
            }
            Seen { item, changed, complete_to: changed }
        };
        skus.iter().map(see).collect()
    }
}

/// All of a view that a product page shows, but for the freshness of the proof.
fn looks(view: &ItemView) -> (Units, Units, StockStatus) {
    (view.here, view.everywhere, status(view, true))
}

fn availability(
    sku: &Sku,
    view: Option<&ItemView>,
    fresh: bool,
    as_of: Timestamp,
    stale: Millis,
) -> Availability {
    let (here, everywhere, status) = match view {
        None => (Units::ZERO, Units::ZERO, StockStatus::NoSuchItem),
        Some(view) => (view.here, view.everywhere, status(view, fresh)),
    };
    Availability { sku: sku.clone(), here, everywhere, status, as_of, stale }
}

fn status(view: &ItemView, fresh: bool) -> StockStatus {
    if view.everywhere > Units::ZERO {
        let low = view.low_stock.is_some_and(|limit| view.everywhere <= limit);
        return if low { StockStatus::LowStock } else { StockStatus::InStock };
    }
    if view.closed && fresh { StockStatus::SoldOut } else { StockStatus::Uncertain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeName;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn sku(text: &str) -> Sku {
        Sku::new(text).unwrap()
    }

    fn view(text: &str, here: u64) -> ItemView {
        let low_stock = Some(Units(3));
        ItemView { sku: sku(text), here: Units(here), everywhere: Units(here), low_stock, closed: here == 0 }
    }

    fn heard(as_of: Timestamp) -> Option<Vec<Heard>> {
        Some(vec![Heard { node: NodeName::new("us-1").unwrap(), as_of: Some(as_of) }])
    }

    #[test]
    fn only_watched_items_that_look_different_are_marked_and_each_once() {
        let shelf = Shelf::default();
        shelf.publish(vec![view("A", 5), view("B", 5)], None);
        shelf.watch([&sku("A"), &sku("NEW")]);
        shelf.publish(vec![view("A", 5), view("B", 4)], None);
        assert_eq!(shelf.begin_beat(NOW).dirty, []);
        shelf.publish(vec![view("A", 4), view("A", 3), view("NEW", 1)], None);
        let beat = shelf.begin_beat(NOW);
        assert_eq!(beat.dirty, [sku("A"), sku("NEW")]);
        // Not marked again before it is collected, and collected as it is then.
        shelf.publish(vec![view("A", 2)], None);
        assert_eq!(shelf.begin_beat(NOW).dirty, []);
        assert_eq!(shelf.collect(NOW, &beat.dirty)[0].item.here, Units(2));
        shelf.publish(vec![view("A", 1)], None);
        assert_eq!(shelf.begin_beat(NOW).dirty, [sku("A")]);
        shelf.unwatch([&sku("A")]);
        shelf.publish(vec![view("A", 9)], None);
        assert_eq!(shelf.begin_beat(NOW).dirty, []);
    }

    #[test]
    fn a_proof_that_gets_old_or_fresh_again_is_a_change_of_what_it_proves() {
        let shelf = Shelf::default();
        shelf.publish(vec![view("OUT", 0), view("IN", 5)], heard(NOW));
        let skus = [sku("OUT"), sku("IN")];
        let (first, version) = shelf.look(NOW, &skus);
        assert_eq!(first[0].item.status, StockStatus::SoldOut);
        let later = NOW.after(Millis(FRESH.0 + 1));
        let (second, _) = shelf.look(later, &skus);
        assert_eq!(second[0].item.status, StockStatus::Uncertain);
        assert!(second[0].changed > version && second[0].complete_to >= version);
        assert!(second[0].complete_to < second[0].changed);
        assert_eq!(second[1].changed, first[1].changed);
        shelf.publish(Vec::new(), heard(later));
        let beat = shelf.begin_beat(later);
        assert!(beat.turned > second[0].changed && beat.dirty.is_empty());
        assert_eq!(shelf.look(later, &skus).0[0].item.status, StockStatus::SoldOut);
    }
}
