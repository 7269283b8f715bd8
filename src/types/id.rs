//! Names and ids. Each checks its own form, also when it is decoded from disk or network.

use std::fmt;
use std::sync::Arc;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};
use uuid::Uuid;

/// Longest sku, reservation id or idempotency key, in bytes.
pub const MAX_CODE_BYTES: usize = 128;
/// Longest node or region name, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// A text that is not a valid name; the message says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub &'static str);

const CODE_FORM: InvalidName =
    InvalidName("must be 1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit");
const NAME_FORM: InvalidName = InvalidName("must be 1 to 63 of a-z 0-9 -");

/// Checks the form of skus, reservation ids and idempotency keys.
///
/// # Errors
/// When `text` is empty, longer than 128 bytes or holds anything but `A-Za-z0-9._:-`,
/// beginning with a letter or digit.
pub fn check_code(text: &str) -> Result<(), InvalidName> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    let bytes = text.as_bytes();
    let good = bytes.len() <= MAX_CODE_BYTES
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| allowed(*b));
    if good { Ok(()) } else { Err(CODE_FORM) }
}

/// Checks the form of node and region names.
///
/// # Errors
/// When `text` is empty, longer than 63 bytes or holds anything but `a-z0-9-`.
pub fn check_name(text: &str) -> Result<(), InvalidName> {
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let good = !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(|b| allowed(&b));
    if good { Ok(()) } else { Err(NAME_FORM) }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text of the right form.
            ///
            /// # Errors
            /// When the form is wrong; the message says what is allowed.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                Self::new(d.str()?).map_err(|e| DecodeError::message(e.0))
            }
        }
    };
}

checked_text!(
    /// What is sold: the item's name at the border. 1 to 128 of `A-Za-z0-9._:-`.
    Sku, check_code
);
checked_text!(
    /// A reservation's id, usually an order code chosen by the shop. Same form as a [`Sku`].
    ReservationId, check_code
);
checked_text!(
    /// A node's human name, such as `eu-1`. 1 to 63 of `a-z0-9-`.
    NodeName, check_name
);
checked_text!(
    /// The label of a region, such as `eu`. Several nodes may share one.
    Region, check_name
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
                e.bytes(self.0.as_bytes())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                let id = Uuid::from_slice(d.bytes()?).map_err(|_| DecodeError::message("an id has 16 bytes"))?;
                Ok(Self(id))
            }
        }
    };
}

uuid_id!(
    /// One incarnation of one disk. Rights belong to it; it is never reused.
    ReplicaId
);
uuid_id!(
    /// The cluster a node belongs to; nodes of different clusters refuse each other.
    ClusterId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_allow_what_the_contract_allows() {
        for good in ["A", "9", "TEE-RED-M", "a.b_c:d-e", &"x".repeat(128)] {
            assert!(Sku::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-A", ".a", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(Sku::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_lower_case() {
        assert!(NodeName::new("eu-1").is_ok());
        for bad in ["", "EU", "eu_1", &"x".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn decoding_refuses_what_new_refuses() {
        let bytes = minicbor::to_vec("not a sku").unwrap();
        assert!(minicbor::decode::<Sku>(&bytes).is_err());
        assert!(minicbor::decode::<ReplicaId>(&minicbor::to_vec("short").unwrap()).is_err());
    }
}
