//! How points in time look outside: RFC 3339, UTC, milliseconds, `Z`.

use serde::Serializer;

use crate::types::Timestamp;

/// The text of a time. Times past the year 9999 read as its last instant.
pub(super) fn text(time: Timestamp) -> String {
    let instant = i64::try_from(time.0)
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .unwrap_or(jiff::Timestamp::MAX);
    format!("{instant:.3}")
}

pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*time))
}

pub(super) fn serialize_option<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_exactly_milliseconds_and_a_z() {
        assert_eq!(text(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(Timestamp(1_770_000_000_120)), "2026-02-02T02:40:00.120Z");
    }

    #[test]
    fn the_end_of_time_has_a_text_too() {
        assert_eq!(text(Timestamp(u64::MAX)), text(Timestamp(i64::MAX as u64)));
        assert!(text(Timestamp(u64::MAX)).starts_with("9999-12-30T"));
    }
}
