//! The bytes of the journal's head, its batches and its anchor.
//!
//! All numbers are little-endian. Everything ends in, or carries, a crc32c of its own, though
//! the engine below has checksums too: those are verified when a file is opened, these when a
//! value is used, and only these say that a value is the right one in the right place.
//!
//! ```text
//! head     magic "STKDHEAD" | format u32 | cluster 16 | replica 16 | length u16 | node name | crc32c u32
//! batch    number u64 | checksum of the batch before u32 | checksum u32 | body
//! anchor   number u64 | checksum of that batch u32 | crc32c u32
//! ```
//!
//! A batch's checksum is the crc32c of its number, the checksum before and its body, so each
//! checksum stands for all batches up to its own: a chain that begins at the checksum of the
//! head. The anchor says where the journal's chain begins after older batches were trimmed.

use super::{BatchNumber, Head, StoreError};
use crate::types::{ClusterId, NodeName, ReplicaId};
use std::path::Path;

/// The newest layout of journal and checkpoints that is read, and the one that is written.
pub(super) const FORMAT: u32 = 1;
/// Bytes before a batch's body.
pub(super) const BATCH_HEADER_BYTES: usize = 16;

const HEAD_MAGIC: &[u8; 8] = b"STKDHEAD";

/// A place in the chain: a batch and the checksum that stands for all up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub number: BatchNumber,
    pub checksum: u32,
}

/// Bytes that are not what they should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadFrame {
    Format(u32),
    Wrong(String),
}

impl BadFrame {
    pub fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Format(found) => StoreError::Format { path: path.into(), found, known: FORMAT },
            Self::Wrong(what) => StoreError::Damaged { path: path.into(), what },
        }
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, BadFrame> {
    Err(BadFrame::Wrong(what.into()))
}

/// Takes fixed-size pieces off the front of a slice.
pub(super) struct Pieces<'a>(pub &'a [u8]);

impl<'a> Pieces<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

pub(super) fn encode_head(head: &Head) -> Vec<u8> {
    let name = head.node.as_str().as_bytes();
    let length = u16::try_from(name.len()).expect("a node name has at most 63 bytes");
    let mut bytes = Vec::with_capacity(50 + name.len());
    bytes.extend_from_slice(HEAD_MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(head.cluster.0.as_bytes());
    bytes.extend_from_slice(head.replica.0.as_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The head in `bytes`. A format of a later release is told from damage by the checksum, which
/// is the last four bytes in every format.
pub(super) fn decode_head(bytes: &[u8]) -> Result<Head, BadFrame> {
    let Some((body, checksum)) = bytes.split_last_chunk::<4>() else { return wrong("the head is too short") };
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return wrong("the head fails its checksum");
    }
    let mut pieces = Pieces(body);
    if pieces.take(HEAD_MAGIC.len()) != Some(HEAD_MAGIC) {
        return wrong("the head does not begin as one");
    }
    match pieces.u32() {
        Some(FORMAT) => {}
        Some(format) => return Err(BadFrame::Format(format)),
        None => return wrong("the head is too short"),
    }
    match decode_identity(&mut pieces) {
        Some(head) if pieces.0.is_empty() => Ok(head),
        _ => wrong("the head's cluster, replica or node name is not one"),
    }
}

fn decode_identity(pieces: &mut Pieces<'_>) -> Option<Head> {
    let cluster = ClusterId(uuid::Uuid::from_bytes(pieces.array()?));
    let replica = ReplicaId(uuid::Uuid::from_bytes(pieces.array()?));
    let length = pieces.u16()?;
    let name = std::str::from_utf8(pieces.take(length.into())?).ok()?;
    Some(Head { cluster, node: NodeName::new(name).ok()?, replica })
}

/// Where a journal's chain begins: its head.
pub(super) fn root(head: &Head) -> Link {
    Link { number: BatchNumber(0), checksum: crc32c::crc32c(&encode_head(head)) }
}

/// The link of the batch that follows `before`, and its bytes before the body.
pub(super) fn batch_header(before: Link, body: &[u8]) -> (Link, [u8; BATCH_HEADER_BYTES]) {
    let number = before.number.0 + 1;
    let mut header = [0; BATCH_HEADER_BYTES];
    header[..8].copy_from_slice(&number.to_le_bytes());
    header[8..12].copy_from_slice(&before.checksum.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), body);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    (Link { number: BatchNumber(number), checksum }, header)
}

/// The body in `bytes`, which must be the batch that follows `before`.
pub(super) fn decode_batch(before: Link, bytes: &[u8]) -> Result<(Link, &[u8]), BadFrame> {
    let expected = before.number.0 + 1;
    let Some((found, body)) = bytes.split_first_chunk::<BATCH_HEADER_BYTES>() else {
        return wrong(format!("batch {expected} is too short to be one"));
    };
    let (link, header) = batch_header(before, body);
    if found[..8] != header[..8] {
        return wrong(format!("where batch {expected} should be, there is another"));
    }
    if found[8..12] != header[8..12] {
        return wrong(format!("batch {expected} does not follow the one before it"));
    }
    if found != &header {
        return wrong(format!("batch {expected} fails its checksum"));
    }
    Ok((link, body))
}

pub(super) fn encode_anchor(anchor: Link) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend_from_slice(&anchor.number.0.to_le_bytes());
    bytes.extend_from_slice(&anchor.checksum.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

pub(super) fn decode_anchor(bytes: &[u8]) -> Result<Link, BadFrame> {
    let mut pieces = Pieces(bytes);
    match (pieces.u64(), pieces.u32(), pieces.u32()) {
        (Some(number), Some(checksum), Some(own))
            if pieces.0.is_empty() && own == crc32c::crc32c(&bytes[..12]) =>
        {
            Ok(Link { number: BatchNumber(number), checksum })
        }
        _ => wrong("the mark of how far batches were trimmed fails its checksum"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            cluster: ClusterId(uuid::Uuid::from_u128(0x0102_0304)),
            node: NodeName::new("eu-1").unwrap(),
            replica: ReplicaId(uuid::Uuid::from_u128(0x0506_0708)),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn format_1_stays_readable() {
        let head_bytes = encode_head(&head());
        assert_eq!(
            hex(&head_bytes),
            "53544b4448454144010000000000000000000000000000000102030400000000000000000000000005060708\
             040065752d31"
                .to_owned()
                + &hex(&crc32c::crc32c(&head_bytes[..head_bytes.len() - 4]).to_le_bytes())
        );
        assert_eq!(decode_head(&head_bytes), Ok(head()));
        let (link, header) = batch_header(Link { number: BatchNumber(6), checksum: 0xdead_beef }, b"body");
        assert_eq!(hex(&header), format!("0700000000000000efbeadde{}", hex(&link.checksum.to_le_bytes())));
        assert_eq!(link.number, BatchNumber(7));
        let anchor = Link { number: BatchNumber(9), checksum: 5 };
        assert_eq!(hex(&encode_anchor(anchor)[..12]), "090000000000000005000000");
        assert_eq!(decode_anchor(&encode_anchor(anchor)), Ok(anchor));
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let mut bytes = encode_head(&head());
        bytes[8] = 2;
        let end = bytes.len() - 4;
        let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&checksum);
        assert_eq!(decode_head(&bytes), Err(BadFrame::Format(2)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let before = root(&head());
        let (_, header) = batch_header(before, b"body");
        let batch = [&header[..], b"body"].concat();
        let anchor = encode_anchor(before);
        let head_bytes = encode_head(&head());
        refuses_all_but(&batch, |b| decode_batch(before, b).is_ok());
        refuses_all_but(&anchor, |b| decode_anchor(b).is_ok());
        refuses_all_but(&head_bytes, |b| decode_head(b).is_ok());
    }

    fn refuses_all_but(bytes: &[u8], accepted: impl Fn(&[u8]) -> bool) {
        assert!(accepted(bytes));
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepted(&altered), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(!accepted(&bytes[..length]), "length {length}");
        }
    }

    #[test]
    fn a_batch_in_anothers_place_is_refused() {
        let first = root(&head());
        let (second, header) = batch_header(first, b"x");
        let batch = [&header[..], b"x"].concat();
        assert!(decode_batch(first, &batch).is_ok());
        assert!(decode_batch(second, &batch).is_err());
        assert!(decode_batch(Link { checksum: 1, ..first }, &batch).is_err());
    }
}
