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

/// Reads a time as [`text`] writes it; the fraction may be shorter, or left out.
///
/// # Errors
/// When it has another form, or is before 1970.
pub(super) fn parse(text: &str) -> Result<Timestamp, &'static str> {
    const WRONG: &str = "must be a time such as 2030-11-29T09:00:00Z: RFC 3339, UTC, from 1970 on";
    let bytes = text.as_bytes();
    let has_form = matches!(bytes, [_, _, _, _, b'-', .., b'Z'])
        && matches!(bytes.len(), 20 | 22..=24)
        && bytes[10] == b'T';
    let time = text.parse::<jiff::Timestamp>().ok().filter(|_| has_form);
    time.and_then(|time| u64::try_from(time.as_millisecond()).ok()).map(Timestamp).ok_or(WRONG)
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
    fn times_are_read_as_they_are_written() {
        for (written, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-02-02T02:40:00.120Z", 1_770_000_000_120),
            ("2026-02-02T02:40:00.12Z", 1_770_000_000_120),
            ("2028-02-29T00:00:00Z", 1_835_395_200_000),
        ] {
            assert_eq!(parse(written), Ok(Timestamp(millis)), "{written}");
            assert_eq!(parse(&text(Timestamp(millis))), Ok(Timestamp(millis)));
        }
        for wrong in [
            "",
            "now",
            "2030-11-29",
            "2030-11-29T09:00Z",
            "2030-11-29T09:00:00",
            "2030-11-29 09:00:00Z",
            "2030-11-29t09:00:00z",
            "2030-11-29T09:00:00+00:00",
            "2030-11-29T09:00:00.Z",
            "2030-11-29T09:00:00.1234Z",
            "2026-02-30T09:00:00Z",
            "2030-11-29T25:00:00Z",
            "1969-12-31T23:59:59.999Z",
            "20261127T090000.000000Z",
            "2030-11-29T09:00:00\u{e9}Z",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_end_of_time_has_a_text_too() {
        assert_eq!(text(Timestamp(u64::MAX)), text(Timestamp(i64::MAX as u64)));
        assert!(text(Timestamp(u64::MAX)).starts_with("9999-12-30T"));
    }
}
