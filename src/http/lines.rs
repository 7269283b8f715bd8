//! The lines of a reservation or sale: skus given more than once are added up.

use std::collections::HashMap;

use super::fields::Fields;
use crate::types::reservation::MAX_LINES;
use crate::types::units::MAX_QUANTITY;
use crate::types::{Line, Sku, Units};

/// Lines as the replica takes them, each sku once, in the order of their first mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    /// For each line, its place in the request.
    pub(super) places: Vec<usize>,
}

/// Takes the field `lines`.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Lines> {
    let given = fields.required_objects("lines", MAX_LINES, |line| {
        let sku = line.required_id("sku", Sku::new);
        let quantity = line.required_integer("quantity", 1..=MAX_QUANTITY);
        Some((sku?, quantity?))
    })?;
    // At most MAX_LINES times MAX_QUANTITY: it fits.
    let total: u64 = given.iter().map(|(_, quantity)| quantity).sum();
    if total > MAX_QUANTITY {
        fields.wrong("lines", format_args!("the quantities must add up to at most {MAX_QUANTITY}"));
        return None;
    }
    Some(added_up(given))
}

fn added_up(given: Vec<(Sku, u64)>) -> Lines {
    let mut merged = Lines::default();
    let mut known: HashMap<Sku, usize> = HashMap::with_capacity(given.len());
    for (place, (sku, quantity)) in given.into_iter().enumerate() {
        match known.get(&sku) {
            // Within MAX_QUANTITY, as the sum of all lines is.
            Some(&at) => merged.lines[at].quantity.0 += quantity,
            None => {
                known.insert(sku.clone(), merged.lines.len());
                merged.lines.push(Line { sku, quantity: Units(quantity) });
                merged.places.push(place);
            }
        }
    }
    merged
}
