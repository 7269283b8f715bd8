//! The shelf: what product pages read. Filled by the driver after each sync, so it never
//! shows what is not durable; read by any number of threads without troubling the driver.

use std::collections::HashMap;
use std::sync::RwLock;

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

/// The durable views of all items, and how fresh the other members' rows are.
#[derive(Debug, Default)]
pub struct Shelf {
    views: RwLock<Views>,
}

#[derive(Debug, Default)]
struct Views {
    items: HashMap<Sku, ItemView>,
    heard: Vec<Heard>,
}

impl Shelf {
    /// Replaces these items' views, and what is known of the members' freshness.
    pub fn publish(&self, views: Vec<ItemView>, heard: Option<Vec<Heard>>) {
        let mut shelf = self.views.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        for view in views {
            shelf.items.insert(view.sku.clone(), view);
        }
        if let Some(heard) = heard {
            shelf.heard = heard;
        }
    }

    /// Age of the oldest row here.
    pub fn stale(&self, now: Timestamp) -> Millis {
        let shelf = self.views.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        now.since(shelf.as_of(now))
    }

    /// What is here, in the order asked for; `now` is ledger time.
    pub fn read(&self, now: Timestamp, skus: &[Sku]) -> Vec<Availability> {
        let shelf = self.views.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let as_of = shelf.as_of(now);
        let stale = now.since(as_of);
        skus.iter().map(|sku| availability(sku, shelf.items.get(sku), as_of, stale)).collect()
    }
}

impl Views {
    /// The oldest row here is at least as new as this.
    fn as_of(&self, now: Timestamp) -> Timestamp {
        let oldest = self.heard.iter().map(|h| h.as_of.unwrap_or(Timestamp::ZERO)).min();
        oldest.unwrap_or(now).min(now)
    }
}

fn availability(sku: &Sku, view: Option<&ItemView>, as_of: Timestamp, stale: Millis) -> Availability {
    let (here, everywhere, status) = match view {
        None => (Units::ZERO, Units::ZERO, StockStatus::NoSuchItem),
        Some(view) => (view.here, view.everywhere, status(view, stale)),
    };
    Availability { sku: sku.clone(), here, everywhere, status, as_of, stale }
}

fn status(view: &ItemView, stale: Millis) -> StockStatus {
    if view.everywhere > Units::ZERO {
        let low = view.low_stock.is_some_and(|limit| view.everywhere <= limit);
        return if low { StockStatus::LowStock } else { StockStatus::InStock };
    }
    if view.closed && stale <= FRESH { StockStatus::SoldOut } else { StockStatus::Uncertain }
}
