//! What requests would do and what answers say, taken apart for the oracle.

use stockade::types::{
    Answer, Claimed, Command, Operation, Outcome, Refusal, Request, ReservationId, Shortfall, Sku,
};

use crate::checks::overselling::{Kind, MovementId};
use crate::workload::reservation_of;

/// Reservations that a command would make.
pub fn makes(command: &Command) -> Vec<&ReservationId> {
    match command {
        Command::Put(put) => vec![&put.id],
        Command::Sell(sell) => vec![&sell.id],
        Command::Batch(operations) => {
            let makes = |op: &&Operation| matches!(op, Operation::Reserve(_) | Operation::Sell(_));
            operations.iter().filter(makes).map(reservation_of).collect()
        }
        _ => Vec::new(),
    }
}

/// Which movement of units a request is, of which item, and how many.
pub fn movement(node: usize, request: &Request) -> Option<(MovementId, &Sku, i128)> {
    let key = request.key.as_ref().map_or("", |key| key.key.as_str());
    let (kind, sku, units) = match &request.command {
        Command::Import { key, lines } => {
            // All lines of one are about one item; see the workload.
            let units = lines.iter().filter_map(|line| line.quantity).map(|units| i128::from(units.0)).sum();
            let id = format!("{}/import", key.as_deref().unwrap_or_default());
            return Some(((Kind::Receipt, node, id), &lines.first()?.sku, units));
        }
        Command::Receive(movement) => (Kind::Receipt, &movement.sku, movement.quantity),
        Command::Return(movement) => (Kind::Return, &movement.sku, movement.quantity),
        Command::WriteOff(movement) => (Kind::WriteOff, &movement.sku, movement.quantity),
        Command::Transfer(transfer) => (Kind::Transfer, &transfer.sku, transfer.quantity),
        _ => return None,
    };
    Some(((kind, node, format!("{key}/{}", units.0)), sku, i128::from(units.0)))
}

pub fn claims(outcome: &Outcome) -> Box<dyn Iterator<Item = &Claimed> + '_> {
    match outcome {
        Ok(Answer::Reservation(claimed)) => Box::new(std::iter::once(claimed)),
        Ok(Answer::Batch(results)) => Box::new(results.iter().filter_map(|result| result.as_ref().ok())),
        _ => Box::new(std::iter::empty()),
    }
}

/// Every no in an answer: its own, or those of a batch's operations and an import's lines.
pub fn refusals(outcome: &Outcome) -> Box<dyn Iterator<Item = &Refusal> + '_> {
    match outcome {
        Err(refusal) => Box::new(std::iter::once(refusal)),
        Ok(Answer::Batch(results)) => Box::new(results.iter().filter_map(|result| result.as_ref().err())),
        Ok(Answer::Imported(results)) => Box::new(results.iter().filter_map(|result| result.as_ref().err())),
        _ => Box::new(std::iter::empty()),
    }
}

pub fn shortfalls(outcome: &Outcome) -> impl Iterator<Item = &Shortfall> {
    refusals(outcome).flat_map(|refusal| match refusal {
        Refusal::InsufficientStock(short) | Refusal::Expired(short) => short.as_slice(),
        _ => &[],
    })
}
