//! What a quota reserves for a node gets there: long after the last change of any kind, no node has
//! less than half of its floor while another has more than is reserved for it and all are linked.

use super::{Checked, Property, ensure};

/// One host's units of an item.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub available: u64,
    pub floor: u64,
}

/// All hosts are linked, none drains, nothing is in flight, and the item is moved by nodes themselves.
///
/// # Errors
/// When one lacks what another has free.
pub fn check(what: &str, hosts: &[Held]) -> Checked {
    let can_give = hosts.iter().any(|held| held.available > held.floor);
    for (host, held) in hosts.iter().enumerate() {
        ensure(held.available * 2 >= held.floor || !can_give, Property::Floors, || {
            format!("n-{host} has {} of {what}, a quota reserves {}: {hosts:?}", held.available, held.floor)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(units: [(u64, u64); 3]) -> Vec<Held> {
        units.map(|(available, floor)| Held { available, floor }).to_vec()
    }

    #[test]
    fn a_floor_that_could_be_filled_is_found() {
        assert!(check("a", &held([(20, 0), (0, 0), (0, 8)])).is_err());
        assert!(check("a", &held([(20, 9), (0, 0), (3, 8)])).is_err());
        assert!(check("a", &held([(20, 0), (0, 0), (4, 8)])).is_ok(), "half is there");
        assert!(check("a", &held([(1, 0), (0, 0), (0, 8)])).is_err(), "a part of it");
        assert!(check("a", &held([(5, 5), (0, 0), (0, 8)])).is_ok(), "nobody has any to spare");
    }
}
