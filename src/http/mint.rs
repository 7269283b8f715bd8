//! Fresh ids: UUIDv7, so that they sort by the time they were made.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

/// An id that was never used before.
pub(super) fn fresh_id() -> Uuid {
    // A clock before 1970 costs the order of ids, not their uniqueness: 74 bits are random.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, now.as_secs(), now.subsec_nanos()))
}
