//! Nobody is given more than it asked for: what an answer to an ask gives, and what was given since
//! the ask was sent, together are no more than the asker needed and wished for.

use stockade::types::Sku;
use stockade::wire::message::AskLine;

use super::{Checked, Property, ensure};

/// All that the giver ever gave the asker: `before` it answered `line`, and `after`.
///
/// # Errors
/// When units went twice.
pub fn check(line: &AskLine, before: u64, after: u64) -> Checked {
    let (sku, seen): (&Sku, _) = (&line.sku, line.seen.map_or(before, |seen| seen.0));
    let most = seen.saturating_add(line.need.0).saturating_add(line.want.0);
    ensure(after <= before.max(most), Property::Gifts, || {
        format!("{sku}: {} are given for {line:?}, and {before} were before", after - before)
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::Units;

    use super::*;

    #[test]
    fn a_gift_that_crossed_the_ask_counts() {
        let sku = Sku::new("a").unwrap();
        let line = AskLine { sku, need: Units(2), want: Units(3), demand: None, seen: Some(Units(10)) };
        assert!(check(&line, 10, 15).is_ok());
        assert!(check(&line, 10, 16).is_err());
        assert!(check(&line, 14, 15).is_ok());
        assert!(check(&line, 14, 16).is_err());
        assert!(check(&line, 20, 20).is_ok());
    }
}
