//! Never oversold, reckoned from what clients were told alone: what was acknowledged as sold, and
//! as held and still live, is no more than what may have come in, less what was acknowledged as
//! written off. And what came in by the rows lies between what was acknowledged and what may
//! have been done: each delivery counts once.

use std::collections::BTreeMap;

use stockade::types::{ReservationId, Sku};

use super::{Checked, Property, ensure};

/// One delivery, return, write-off or transfer: a key at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Receipt,
    Return,
    WriteOff,
    /// An admin's. It moves units, and neither brings nor takes any.
    Transfer,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Receipt, Kind::Return, Kind::WriteOff, Kind::Transfer];
}

/// Which movement: its kind, the node and its key.
pub type MovementId = (Kind, usize, String);

#[derive(Clone, Debug)]
struct Movement {
    sku: Sku,
    units: i128,
    /// Attempts that reached the node and were not answered.
    open: u32,
    done: bool,
}

/// Sums over one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub acknowledged: i128,
    /// Acknowledged, or sent and not answered.
    pub possible: i128,
}

/// What clients know.
#[derive(Debug, Default)]
pub struct Sales {
    movements: BTreeMap<MovementId, Movement>,
    sums: BTreeMap<(Kind, Sku), Sums>,
    sold: BTreeMap<Sku, i128>,
    sales: BTreeMap<(ReservationId, usize), Vec<(Sku, i128)>>,
    /// Acknowledged holds that nothing can have ended since.
    holds: BTreeMap<(ReservationId, usize), Vec<(Sku, i128)>>,
    held: BTreeMap<Sku, i128>,
}

impl Sales {
    /// An attempt reached the node.
    pub fn attempted(&mut self, id: MovementId, sku: &Sku, units: i128) {
        let new = Movement { sku: sku.clone(), units, open: 0, done: false };
        let movement = self.movements.entry(id.clone()).or_insert(new);
        movement.open += 1;
        if movement.open == 1 && !movement.done {
            self.sums.entry((id.0, sku.clone())).or_default().possible += units;
        }
    }

    /// It was answered: done, or certainly without effect.
    pub fn answered(&mut self, id: &MovementId, done: bool) {
        let Some(movement) = self.movements.get_mut(id) else { return };
        let sums = self.sums.entry((id.0, movement.sku.clone())).or_default();
        movement.open = movement.open.saturating_sub(1);
        if done && !movement.done {
            movement.done = true;
            sums.acknowledged += movement.units;
        }
        if movement.open == 0 && !movement.done {
            sums.possible -= movement.units;
        }
    }

    pub fn sold(&mut self, id: &ReservationId, node: usize, lines: Vec<(Sku, i128)>) {
        self.not_held(id, node);
        if self.sales.contains_key(&(id.clone(), node)) {
            return;
        }
        for (sku, units) in &lines {
            *self.sold.entry(sku.clone()).or_default() += units;
        }
        self.sales.insert((id.clone(), node), lines);
    }

    pub fn held(&mut self, id: &ReservationId, node: usize, lines: Vec<(Sku, i128)>) {
        self.not_held(id, node);
        if self.sales.contains_key(&(id.clone(), node)) {
            return;
        }
        for (sku, units) in &lines {
            *self.held.entry(sku.clone()).or_default() += units;
        }
        self.holds.insert((id.clone(), node), lines);
    }

    /// It may have ended.
    pub fn not_held(&mut self, id: &ReservationId, node: usize) {
        for (sku, units) in self.holds.remove(&(id.clone(), node)).unwrap_or_default() {
            *self.held.entry(sku).or_default() -= units;
        }
    }

    fn sums(&self, kind: Kind, sku: &Sku) -> Sums {
        self.sums.get(&(kind, sku.clone())).copied().unwrap_or_default()
    }

    /// # Errors
    /// When more was promised than there can be.
    pub fn check(&self, sku: &Sku) -> Checked {
        let sold = self.sold.get(sku).copied().unwrap_or(0);
        let held = self.held.get(sku).copied().unwrap_or(0);
        let came = self.sums(Kind::Receipt, sku).possible + self.sums(Kind::Return, sku).possible;
        let left = self.sums(Kind::WriteOff, sku).acknowledged;
        ensure(sold + held <= came - left, Property::Overselling, || {
            format!("{sku}: {sold} sold and {held} held were acknowledged, {came} came in and {left} left")
        })
    }

    /// # Errors
    /// When what the rows say came in is not what clients brought.
    pub fn check_rows(&self, sku: &Sku, kind: Kind, by_rows: i128) -> Checked {
        let Sums { acknowledged, possible } = self.sums(kind, sku);
        ensure(acknowledged <= by_rows && by_rows <= possible, Property::Overselling, || {
            format!(
                "{sku}: the rows show {kind:?} of {by_rows}; {acknowledged} are acknowledged, {possible} possible"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku() -> Sku {
        Sku::new("TEE").unwrap()
    }

    fn receipt(sales: &mut Sales, key: &str, units: i128, answer: Option<bool>) {
        let id = (Kind::Receipt, 0, key.to_string());
        sales.attempted(id.clone(), &sku(), units);
        if let Some(done) = answer {
            sales.answered(&id, done);
        }
    }

    fn order(name: &str) -> ReservationId {
        ReservationId::new(name).unwrap()
    }

    #[test]
    fn one_unit_too_many_is_found() {
        let mut sales = Sales::default();
        receipt(&mut sales, "k1", 3, Some(true));
        receipt(&mut sales, "k2", 9, Some(false));
        sales.sold(&order("A"), 0, vec![(sku(), 2)]);
        sales.held(&order("B"), 1, vec![(sku(), 1)]);
        assert_eq!(sales.check(&sku()), Ok(()));
        sales.held(&order("C"), 1, vec![(sku(), 1)]);
        assert!(sales.check(&sku()).is_err());
        sales.not_held(&order("C"), 1);
        sales.sold(&order("A"), 0, vec![(sku(), 2)]);
        sales.held(&order("A"), 0, vec![(sku(), 2)]);
        assert_eq!(sales.check(&sku()), Ok(()));
        sales.sold(&order("A"), 2, vec![(sku(), 2)]);
        assert!(sales.check(&sku()).is_err());
    }

    #[test]
    fn an_unanswered_delivery_may_count_and_a_retry_counts_once() {
        let mut sales = Sales::default();
        receipt(&mut sales, "k1", 3, None);
        receipt(&mut sales, "k1", 3, None);
        assert_eq!(sales.check_rows(&sku(), Kind::Receipt, 0), Ok(()));
        assert_eq!(sales.check_rows(&sku(), Kind::Receipt, 3), Ok(()));
        assert!(sales.check_rows(&sku(), Kind::Receipt, 6).is_err());
        sales.answered(&(Kind::Receipt, 0, "k1".into()), true);
        assert!(sales.check_rows(&sku(), Kind::Receipt, 0).is_err());
    }
}
