//! What a replica keeps in memory stays within the bounds of `src/limits.rs`, what it sends within
//! those of the protocol; and when nobody wants anything any more, nothing is left in the tables of
//! those who wait: what is never taken out of one would fill it, slowly.

use stockade::limits::{
    Limits, MAX_DOUBLY_SOLD, MAX_JOBS, MAX_LAST_REFUSALS, MAX_REPLICAS, MAX_TWINS, MAX_WAITING_FOR_ITEM,
    PASS_WINDOW_BYTES,
};
use stockade::replica::{Sizes, Stats};
use stockade::wire::Message;
use stockade::wire::message::MAX_MESSAGE_BYTES;

use super::{Checked, Property, Violation, ensure};

/// # Errors
/// When a table is larger than it may be.
pub fn check(node: usize, sizes: &Sizes, stats: &Stats, limits: &Limits) -> Checked {
    let bounded = [
        ("requests that wait", sizes.jobs as u64, MAX_JOBS as u64),
        ("requests that wait for one item", sizes.waiting_for_one as u64, MAX_WAITING_FOR_ITEM as u64),
        ("repeats under one key", sizes.twins_of_one as u64, MAX_TWINS as u64),
        ("reservations sent elsewhere", sizes.placing as u64, sizes.jobs as u64),
        ("items with a shortage", sizes.shortages as u64, stats.items),
        ("last refusals", sizes.refusals as u64, MAX_LAST_REFUSALS.min(stats.items as usize) as u64),
        ("ids sold twice", sizes.doubly_sold as u64, MAX_DOUBLY_SOLD as u64),
        ("rows of an item", sizes.rows_of_one as u64, MAX_REPLICAS as u64),
        // The frame that overfills the window is sent.
        ("bytes of passes to one member", sizes.pass_bytes_to_one, PASS_WINDOW_BYTES + (256 << 10)),
        // What overfills the memory is remembered; the next thing is refused.
        ("bytes remembered", stats.remembered_bytes, limits.remember_max_bytes + (1 << 20)),
    ];
    for (what, are, may) in bounded {
        ensure(are <= may, Property::Sizes, || format!("n-{node} has {are} {what}, {may} are allowed"))?;
    }
    Ok(())
}

/// # Errors
/// When a table of those who wait is not empty though nobody does.
pub fn check_idle(node: usize, sizes: &Sizes) -> Checked {
    let Sizes { jobs, numbers, placing, shortages, waiting_for_one, .. } = *sizes;
    ensure(jobs + numbers + placing + shortages + waiting_for_one == 0, Property::Sizes, || {
        format!("nobody waits for anything, but n-{node} keeps {sizes:?}")
    })
}

/// # Errors
/// When a message is larger than its receiver would take.
pub fn check_message(node: usize, message: &Message, bytes: usize) -> Checked {
    ensure(bytes <= MAX_MESSAGE_BYTES, Property::Sizes, || {
        format!("n-{node} sends a message of {bytes} bytes")
    })?;
    message
        .check_bounds()
        .map_err(|what| Violation::of(Property::Sizes, format!("n-{node} sends too much at once: {what}")))
}

#[cfg(test)]
mod tests {
    use stockade::types::{Sku, Timestamp};
    use stockade::wire::message::{Given, MAX_ASK_LINES};

    use super::*;

    #[test]
    fn a_table_past_its_bound_is_found() {
        let stats = Stats { items: 3, ..Stats::default() };
        let checked = |sizes: Sizes| check(0, &sizes, &stats, &Limits::default());
        let full = Sizes { jobs: MAX_JOBS, twins_of_one: MAX_TWINS, refusals: 3, ..Sizes::default() };
        assert_eq!(checked(full), Ok(()));
        assert!(checked(Sizes { jobs: MAX_JOBS + 1, ..full }).is_err());
        assert!(checked(Sizes { twins_of_one: MAX_TWINS + 1, ..full }).is_err());
        assert!(checked(Sizes { refusals: 4, ..full }).is_err());
        assert!(checked(Sizes { shortages: 4, ..full }).is_err());
        let memory = Stats { remembered_bytes: (1 << 30) + (1 << 20) + 1, ..stats };
        assert!(check(0, &full, &memory, &Limits::default()).is_err());
    }

    #[test]
    fn what_is_left_behind_is_found() {
        assert_eq!(check_idle(0, &Sizes { refusals: 2, ..Sizes::default() }), Ok(()));
        assert!(check_idle(0, &Sizes { numbers: 1, ..Sizes::default() }).is_err());
        assert!(check_idle(0, &Sizes { shortages: 1, ..Sizes::default() }).is_err());
    }

    #[test]
    fn a_message_past_its_bounds_is_found() {
        let given = |none: usize| {
            let none = vec![Sku::new("TEE").unwrap(); none];
            Message::Given(Given { id: 1, stamp: Timestamp(1), entries: vec![], none })
        };
        assert_eq!(check_message(0, &given(MAX_ASK_LINES), 9), Ok(()));
        assert!(check_message(0, &given(MAX_ASK_LINES + 1), 9).is_err());
        assert!(check_message(0, &given(1), MAX_MESSAGE_BYTES + 1).is_err());
    }
}
