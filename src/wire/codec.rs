//! Versioned bodies: one version byte, then CBOR.

use minicbor::{Decode, Encode};

/// Bytes that are not what they should be. Nothing was taken from them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("empty")]
    Empty,
    /// Written by a newer release: refused, never guessed at.
    #[error("version {found} of this format is not known here (known: {known})")]
    Version { found: u8, known: u8 },
    #[error("{0}")]
    Body(String),
    #[error("{0} bytes follow the end")]
    Trailing(usize),
}

/// The version that this release writes, and the newest that it reads.
pub const VERSION: u8 = 1;

/// Version byte and body.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    minicbor::encode(value, &mut bytes).expect("writing to memory cannot fail");
    bytes
}

/// How many bytes a value's body takes.
pub fn encoded_len<T: Encode<()>>(value: &T) -> usize {
    struct Count(usize);
    impl minicbor::encode::Write for Count {
        type Error = std::convert::Infallible;
        fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
            self.0 += bytes.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    minicbor::encode(value, &mut count).expect("counting cannot fail");
    count.0
}

/// The value in `bytes`, all of which it must fill.
///
/// # Errors
/// When the version is unknown or the bytes are not exactly one value of this type.
pub fn decode<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, Malformed> {
    let (version, body) = bytes.split_first().ok_or(Malformed::Empty)?;
    if *version != VERSION {
        return Err(Malformed::Version { found: *version, known: VERSION });
    }
    let mut decoder = minicbor::Decoder::new(body);
    let value = decoder.decode().map_err(|e| Malformed::Body(e.to_string()))?;
    match body.len() - decoder.position() {
        0 => Ok(value),
        rest => Err(Malformed::Trailing(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_versions_and_trailing_bytes_are_refused() {
        let mut bytes = encode(&7u64);
        assert_eq!(decode::<u64>(&bytes), Ok(7));
        bytes.push(0);
        assert_eq!(decode::<u64>(&bytes), Err(Malformed::Trailing(1)));
        bytes[0] = VERSION + 1;
        assert!(matches!(decode::<u64>(&bytes), Err(Malformed::Version { .. })));
        assert_eq!(decode::<u64>(&[]), Err(Malformed::Empty));
    }
}
