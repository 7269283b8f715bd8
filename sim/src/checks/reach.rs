//! After the heal every free unit can be sold through any one node, to exactly zero, and then the
//! node knows that it is sold out.

use stockade::types::{Outcome, Refusal, Sku, Verdict};

use super::{Checked, Property, Violation, ensure};

/// # Errors
/// When a sale of units that are free somewhere was not made.
pub fn check_sale(sku: &Sku, free: i128, outcome: &Outcome) -> Checked {
    match outcome {
        Ok(_) => ensure(free > 0, Property::Reach, || format!("{sku}: sold with {free} free")),
        Err(no) => Err(Violation::of(Property::Reach, format!("{sku}: {free} are free, refused: {no:?}"))),
    }
}

/// # Errors
/// When a sale with nothing left anywhere got another answer than that all is sold out.
pub fn check_end(sku: &Sku, outcome: &Outcome) -> Checked {
    let known = match outcome {
        Err(Refusal::InsufficientStock(short)) => short.iter().all(|s| s.verdict == Verdict::SoldOut),
        _ => false,
    };
    ensure(known, Property::Reach, || format!("{sku}: all is sold, but the answer is {outcome:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_out_of_reach_is_found() {
        let sku = Sku::new("TEE").unwrap();
        assert!(check_sale(&sku, 1, &Err(Refusal::InsufficientStock(vec![]))).is_err());
        assert!(check_end(&sku, &Err(Refusal::NotReady)).is_err());
        assert_eq!(check_end(&sku, &Err(Refusal::InsufficientStock(vec![]))), Ok(()));
    }
}
