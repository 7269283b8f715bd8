//! What product pages show. A node's page shows of an item what its own durable row has free: not
//! more, so that nobody is sent away after the page said yes for no other reason than that it was
//! ahead of the disk; and not less, so that who did something reads back what it did, because the
//! driver puts views on the shelf before it lets answers out. A page says `sold_out` only when a
//! consistent cut had nothing free, as for [`verdicts`](super::verdicts).
//!
//! What the shell's shelf does is done here: newest view of each item, freshness by the member
//! that was heard longest ago.

use std::collections::{BTreeMap, BTreeSet};

use stockade::limits::FRESH;
use stockade::types::{Cell, Heard, ItemView, Sku, Timestamp};
use stockade::wire::{Batch, Cause, Record};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// One node's shelf, since its process began.
#[derive(Debug, Default)]
pub struct Page {
    views: BTreeMap<Sku, ItemView>,
    heard: Option<Vec<Heard>>,
    /// Items that changed on the disk or on the shelf since the last look. The flag: by something
    /// that only an item with a view can have had.
    dirty: BTreeMap<Sku, bool>,
    /// Items whose proof must be looked at again.
    unproved: BTreeSet<Sku>,
}

impl Page {
    pub fn viewed(&mut self, view: ItemView) {
        self.dirty.entry(view.sku.clone()).or_default();
        self.unproved.insert(view.sku.clone());
        self.views.insert(view.sku.clone(), view);
    }

    pub fn heard(&mut self, heard: Vec<Heard>) {
        self.heard = Some(heard);
        self.unproved.extend(self.views.keys().cloned());
    }

    /// A batch reached the disk.
    pub fn synced(&mut self, batch: &Batch) {
        for record in &batch.records {
            let Record::Change(change) = record else { continue };
            for raise in &change.rows {
                // Units may come, and go on, before the setting that makes the item known here.
                let moved = change.cause == Cause::Credit || change.cause.is_gift();
                *self.dirty.entry(raise.sku.clone()).or_default() |= !moved;
            }
        }
    }

    /// All that may leave has left; `durable` is what the node's disk has.
    ///
    /// # Errors
    /// When the page shows anything but that.
    pub fn check(&mut self, node: usize, durable: &Ledger) -> Checked {
        for (sku, is_known) in std::mem::take(&mut self.dirty) {
            let free = durable.rows.get(&sku).map_or(0, |row| row.available());
            // As much as the mark leaves; at least as much as was confirmed when the row was written.
            let taken = durable.rows.get(&sku).map_or(0, |row| row.of(Cell::Taken));
            let (mark, limit) = durable.marks.get(&sku).copied().unwrap_or((u64::MAX, u64::MAX));
            let below = |bound: u64| free.min(i128::from(bound) - taken);
            let view = self.views.get(&sku);
            if view.is_none() && !is_known {
                continue;
            }
            let here = view.map_or(0, |view| i128::from(view.here.0));
            ensure(here <= below(mark), Property::Pages, || {
                format!("n-{node}'s page shows {here} of {sku}, its row has {free}, {taken} taken of {mark}")
            })?;
            ensure(here >= below(limit), Property::Pages, || {
                format!("n-{node}'s page shows {here} of {sku} after answers left; its row has {free}")
            })?;
            let everywhere = view.map_or(0, |view| i128::from(view.everywhere.0));
            ensure(here <= everywhere, Property::Pages, || {
                format!("n-{node}'s page shows {here} of {sku} here and {everywhere} everywhere")
            })?;
        }
        Ok(())
    }

    /// Items that the page calls sold out at `clock` and did not when it was last looked at, or
    /// for another reason; and how old its rows may be.
    pub fn sold_out(&mut self, clock: Timestamp) -> (Vec<Sku>, Timestamp) {
        let unproved = std::mem::take(&mut self.unproved);
        let heard = self.heard.iter().flatten();
        let as_of =
            heard.map(|heard| heard.as_of.unwrap_or(Timestamp::ZERO)).min().unwrap_or(Timestamp::ZERO);
        if clock.since(as_of) > FRESH {
            return (Vec::new(), as_of);
        }
        let is_out = |sku: &Sku| self.views.get(sku).is_some_and(|v| v.everywhere.is_zero() && v.closed);
        (unproved.into_iter().filter(is_out).collect(), as_of.min(clock))
    }
}

#[cfg(test)]
mod tests {
    use stockade::types::{Cell, NodeName, Units};

    use super::*;
    use crate::ghost::tests::row;

    fn sku() -> Sku {
        Sku::new("TEE").unwrap()
    }

    fn view(here: u64, everywhere: u64) -> ItemView {
        let everywhere = Units(everywhere);
        ItemView { sku: sku(), here: Units(here), everywhere, low_stock: None, closed: true }
    }

    fn durable(free: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.rows.insert(sku(), row(&[(Cell::Received, free)]));
        ledger
    }

    fn checked(view: ItemView, free: u64) -> Checked {
        let mut page = Page::default();
        page.viewed(view);
        page.check(0, &durable(free))
    }

    #[test]
    fn a_page_shows_what_the_disk_has_no_more_and_no_less() {
        assert_eq!(checked(view(5, 5), 5), Ok(()));
        assert!(checked(view(6, 6), 5).is_err());
        assert!(checked(view(4, 9), 5).is_err());
        assert!(checked(view(5, 4), 5).is_err());
    }

    #[test]
    fn a_change_without_a_view_is_found() {
        let mut page = Page::default();
        page.dirty.insert(sku(), true);
        assert!(page.check(0, &durable(5)).is_err());
        page.dirty.insert(sku(), false);
        assert_eq!(page.check(0, &durable(5)), Ok(()));
    }

    #[test]
    fn a_page_says_sold_out_by_closed_fresh_views_alone() {
        let heard = |at: u64| vec![Heard { node: NodeName::new("n-1").unwrap(), as_of: Some(Timestamp(at)) }];
        let mut page = Page::default();
        page.viewed(view(0, 0));
        assert_eq!(page.sold_out(Timestamp(9_000)).0, []);
        page.heard(heard(6_999));
        assert_eq!(page.sold_out(Timestamp(9_000)).0, []);
        page.heard(heard(7_000));
        assert_eq!(page.sold_out(Timestamp(9_000)), (vec![sku()], Timestamp(7_000)));
        assert_eq!(page.sold_out(Timestamp(9_000)).0, []);
        page.viewed(ItemView { closed: false, ..view(0, 0) });
        assert_eq!(page.sold_out(Timestamp(9_000)).0, []);
        page.viewed(view(0, 1));
        assert_eq!(page.sold_out(Timestamp(9_000)).0, []);
    }
}
