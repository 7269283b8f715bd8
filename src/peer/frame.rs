//! Frames: how messages lie in a stream.
//!
//! ```text
//! length, u32 little-endian | that many bytes: a message as wire::codec writes it
//! ```
//!
//! A length over [`MAX_MESSAGE_BYTES`] is refused on sight, before anything is kept for it.
//! The reader is total and takes the bytes in pieces of any size.

use crate::wire::message::MAX_MESSAGE_BYTES;
use crate::wire::{Malformed, Message, codec};

/// Bytes before each message.
pub const HEADER_BYTES: usize = 4;

const _: () = assert!(MAX_MESSAGE_BYTES <= u32::MAX as usize);

/// Why a frame was not made or not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a message of {bytes} bytes; at most {MAX_MESSAGE_BYTES} are allowed")]
    TooLong { bytes: usize },
    #[error("not a message: {0}")]
    Malformed(#[from] Malformed),
}

/// Appends a message's frame to `out`.
///
/// # Errors
/// When the message is too long. `out` is unchanged then.
pub fn append(message: &Message, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let body = codec::encode(message);
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(FrameError::TooLong { bytes: body.len() });
    }
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Takes a stream's bytes and gives its messages. After [`push`](FrameReader::push), call
/// [`next_message`](FrameReader::next_message) until it has none: what is kept then is less than one frame.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// What lies before is used up.
    start: usize,
}

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, or none until more bytes come.
    ///
    /// # Errors
    /// When the bytes are no frame. The stream is lost then: the same error comes again.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(FrameError::TooLong { bytes: length });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = codec::decode(body)?;
        self.start += HEADER_BYTES + length;
        Ok(Some(message))
    }

    /// Bytes kept for a frame that is not whole yet.
    pub fn kept(&self) -> usize {
        self.bytes.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::types::{ReplicaId, Seq, Sku, Timestamp, Units};
    use crate::wire::message::{Ask, AskLine, Digest, Pass};

    fn any_message() -> impl Strategy<Value = Message> {
        let digest = (proptest::collection::vec((any::<u128>(), any::<u64>()), 0..20), any::<Option<u64>>())
            .prop_map(|(marks, echo)| {
                let watermarks =
                    marks.into_iter().map(|(id, seq)| (ReplicaId(Uuid::from_u128(id)), Seq(seq))).collect();
                Message::Digest(Digest {
                    watermarks,
                    stamp: Timestamp(7),
                    echo: echo.map(Timestamp),
                    demand: None,
                })
            });
        let ask = (any::<u64>(), proptest::collection::vec("[A-Z]{1,12}", 0..9)).prop_map(|(id, skus)| {
            let line = |sku: &String| AskLine {
                sku: Sku::new(sku).unwrap(),
                need: Units(3),
                want: Units(id),
                demand: None,
                seen: None,
            };
            let lines = skus.iter().map(line).collect();
            Message::Ask(Ask { id, lines, stamp: Timestamp(id), since: None })
        });
        let pass = (any::<u64>(), any::<u32>()).prop_map(|(number, frame)| {
            let origin = ReplicaId(Uuid::from_u128(u128::from(number)));
            Message::Pass(Pass { origin, number, from: Seq(1), frame, upto: None, entries: vec![] })
        });
        prop_oneof![digest, ask, pass]
    }

    /// Pushes `bytes` cut at the places that `cuts` gives, as fractions of the rest.
    fn read_in_pieces(bytes: &[u8], cuts: &[u8]) -> Result<Vec<Message>, FrameError> {
        let mut reader = FrameReader::default();
        let mut messages = Vec::new();
        let mut rest = bytes;
        for cut in cuts.iter().copied().chain([255]) {
            let at = if cut == 255 { rest.len() } else { rest.len() * usize::from(cut) / 255 };
            reader.push(&rest[..at]);
            rest = &rest[at..];
            while let Some(message) = reader.next_message()? {
                messages.push(message);
            }
        }
        assert!(reader.kept() < HEADER_BYTES + MAX_MESSAGE_BYTES);
        Ok(messages)
    }

    proptest! {
        #[test]
        fn any_cutting_of_the_stream_gives_the_same_messages(
            sent in proptest::collection::vec(any_message(), 0..12),
            cuts in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = Vec::new();
            for message in &sent {
                append(message, &mut bytes).unwrap();
            }
            prop_assert_eq!(read_in_pieces(&bytes, &cuts).unwrap(), sent);
        }

        #[test]
        fn any_bytes_give_messages_or_an_error_the_same_however_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(any::<u8>(), 0..10),
        ) {
            prop_assert_eq!(read_in_pieces(&bytes, &cuts), read_in_pieces(&bytes, &[]));
        }

        #[test]
        fn a_flipped_byte_never_panics(
            message in any_message(), at in any::<prop::sample::Index>(), with in 1..=255u8,
        ) {
            let mut bytes = Vec::new();
            append(&message, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            let _ = read_in_pieces(&bytes, &[]);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_on_sight() {
        let mut reader = FrameReader::default();
        let length = MAX_MESSAGE_BYTES + 1;
        reader.push(&(length as u32).to_le_bytes());
        assert_eq!(reader.next_message(), Err(FrameError::TooLong { bytes: length }));
        assert_eq!(reader.next_message(), Err(FrameError::TooLong { bytes: length }));
        assert!(reader.bytes.capacity() < 1_024);
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent_and_leaves_no_trace() {
        let watermarks = vec![(ReplicaId(Uuid::nil()), Seq(u64::MAX)); 60_000];
        let digest = Digest { watermarks, stamp: Timestamp(1), echo: None, demand: None };
        let mut out = vec![1, 2, 3];
        assert!(matches!(append(&Message::Digest(digest), &mut out), Err(FrameError::TooLong { .. })));
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn an_empty_frame_is_malformed() {
        let mut reader = FrameReader::default();
        reader.push(&[0, 0, 0, 0]);
        assert_eq!(reader.next_message(), Err(FrameError::Malformed(Malformed::Empty)));
    }
}
