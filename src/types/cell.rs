//! The cells of a row: each is a counter that only grows and that one replica writes.

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::id::ReplicaId;

/// One counter of one replica's row about one item.
///
/// The order is part of the format: a row is encoded in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// Units that came in here as deliveries.
    Received,
    /// Units that buyers gave back here.
    Returned,
    /// Units ever held, sold at once or written off.
    Taken,
    /// Units that cancel and expiry let go.
    Released,
    /// Units confirmed.
    Sold,
    /// Units written off.
    Retired,
    /// Units given to that replica.
    Sent(ReplicaId),
    /// How much of what that replica sent has been taken in here.
    Credited(ReplicaId),
    /// Units recovered from that lost replica.
    Reclaimed(ReplicaId),
}

/// A cell with its absolute value: what a record holds, and what a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellValue {
    pub cell: Cell,
    pub value: u64,
}

impl Cell {
    /// The cell's number on disk and wire, and whose column it is.
    fn code(self) -> (u8, Option<ReplicaId>) {
        match self {
            Cell::Received => (0, None),
            Cell::Returned => (1, None),
            Cell::Taken => (2, None),
            Cell::Released => (3, None),
            Cell::Sold => (4, None),
            Cell::Retired => (5, None),
            Cell::Sent(id) => (6, Some(id)),
            Cell::Credited(id) => (7, Some(id)),
            Cell::Reclaimed(id) => (8, Some(id)),
        }
    }

    fn from_code(code: u8, id: Option<ReplicaId>) -> Option<Cell> {
        Some(match (code, id) {
            (0, None) => Cell::Received,
            (1, None) => Cell::Returned,
            (2, None) => Cell::Taken,
            (3, None) => Cell::Released,
            (4, None) => Cell::Sold,
            (5, None) => Cell::Retired,
            (6, Some(id)) => Cell::Sent(id),
            (7, Some(id)) => Cell::Credited(id),
            (8, Some(id)) => Cell::Reclaimed(id),
            _ => return None,
        })
    }
}

/// `[code, value]` or `[code, value, replica]`.
impl<C> Encode<C> for CellValue {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), EncodeError<W::Error>> {
        let (code, id) = self.cell.code();
        e.array(if id.is_some() { 3 } else { 2 })?.u8(code)?.u64(self.value)?;
        if let Some(id) = id {
            id.encode(e, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for CellValue {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let fields = d.array()?;
        let (code, value) = (d.u8()?, d.u64()?);
        let id = match fields {
            Some(2) => None,
            Some(3) => Some(ReplicaId::decode(d, ctx)?),
            _ => return Err(DecodeError::message("a cell has two or three fields")),
        };
        let cell = Cell::from_code(code, id).ok_or(DecodeError::message("unknown cell"))?;
        Ok(CellValue { cell, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_survive_the_round_trip_and_unknown_ones_are_refused() {
        let id = ReplicaId(uuid::Uuid::from_u128(7));
        let all = [
            Cell::Received,
            Cell::Returned,
            Cell::Taken,
            Cell::Released,
            Cell::Sold,
            Cell::Retired,
            Cell::Sent(id),
            Cell::Credited(id),
            Cell::Reclaimed(id),
        ];
        for cell in all {
            let value = CellValue { cell, value: u64::MAX };
            let bytes = minicbor::to_vec(value).unwrap();
            assert_eq!(minicbor::decode::<CellValue>(&bytes).unwrap(), value);
        }
        let unknown = minicbor::to_vec((9u8, 1u64)).unwrap();
        assert!(minicbor::decode::<CellValue>(&unknown).is_err());
        let column_missing = minicbor::to_vec((6u8, 1u64)).unwrap();
        assert!(minicbor::decode::<CellValue>(&column_missing).is_err());
    }
}
