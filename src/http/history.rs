//! An item's history: each change with its time, cause, actor and amounts, newest first.

use std::collections::BTreeMap;

use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;

use super::call::{Answered, Api, Call, Failure};
use super::model::{PolicyView, plain, policy};
use super::openapi::{described, parameters};
use super::problem::{Code, Errors, Problem};
use super::{reservations, time};
use crate::node::{CallError, HistoryPage, HistoryPlace, HistoryQuery, StockStatus};
use crate::types::{Cell, NodeName, Refusal, ReplicaId, Sku, Timestamp};
use crate::wire::history::Numbered;
use crate::wire::{Actor, HistoryEntry};

/// Read an item's history
///
/// Each change of this node's, or of all nodes', with its cause, actor and amounts, newest first.
/// Kept for 30 days or 10,000 entries an item and node, unless configured otherwise.
#[utoipa::path(
    get,
    path = "/v1/items/{sku}/history",
    operation_id = "history",
    tag = "items",
    params(parameters::Item, described::HistoryQuery),
    responses(described::History)
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.query.allow(&["nodes", "limit", "cursor"], &[], &mut errors);
    let sku = call.path_id("sku", Sku::new, &mut errors);
    let all = match call.query.first("nodes") {
        None => false,
        Some("all") => true,
        Some(_) => {
            errors.add("nodes", "must be all; leave it out for this node's own history");
            false
        }
    };
    let after = call.query.first("cursor").and_then(|text| errors.check("cursor", place(text)));
    let limit = reservations::limit(&call, &mut errors) as usize;
    let query = errors.finish(sku.map(|sku| HistoryQuery { sku, after, limit, all }))?;
    api.demand_ready()?;
    let known = api.handle.availability(std::slice::from_ref(&query.sku));
    if known.iter().any(|item| item.status == StockStatus::NoSuchItem) {
        let refusal = Refusal::UnknownSku { sku: query.sku, line: None };
        return Err(Problem::refused(refusal, &[]).into());
    }
    let page = api.handle.history(query).await.map_err(|e| match e {
        CallError::Overloaded => Problem::new(Code::Overloaded).into(),
        CallError::Gone => Failure::Unanswered,
    })?;
    Ok(plain(StatusCode::OK, &HistoryView::new(&page)))
}

/// A cursor names the last entry of the page before.
fn cursor(place: &HistoryPlace) -> String {
    format!("{}.{}.{}", place.time.0, place.number, place.node)
}

fn place(text: &str) -> Result<HistoryPlace, &'static str> {
    let mut parts = text.splitn(3, '.');
    let mut number = || parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let (time, number) = (number().map(Timestamp), number());
    let node = parts.next().and_then(|name| NodeName::new(name).ok());
    let place = time.zip(number).zip(node).map(|((time, number), node)| HistoryPlace { time, node, number });
    place.ok_or("must be the next of an earlier page")
}

#[derive(Debug, Serialize)]
struct HistoryView {
    items: Vec<EntryView>,
    next: Option<String>,
    missing_nodes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EntryView {
    #[serde(serialize_with = "time::serialize")]
    time: Timestamp,
    node: String,
    cause: &'static str,
    actor: Option<String>,
    reference: Option<String>,
    reason: Option<String>,
    reservation: Option<String>,
    peer: Option<String>,
    amounts: BTreeMap<&'static str, u64>,
    available: i128,
    held: i128,
    policy: Option<PolicyView>,
}

impl HistoryView {
    fn new(page: &HistoryPage) -> HistoryView {
        let view = |(node, told): &(NodeName, Numbered)| EntryView::new(node, &told.entry, &page.names);
        HistoryView {
            items: page.entries.iter().map(view).collect(),
            next: page.next.as_ref().map(cursor),
            missing_nodes: page.missing.iter().map(NodeName::to_string).collect(),
        }
    }
}

impl EntryView {
    fn new(node: &NodeName, entry: &HistoryEntry, names: &BTreeMap<ReplicaId, NodeName>) -> EntryView {
        let name =
            |replica: ReplicaId| names.get(&replica).map_or_else(|| replica.to_string(), NodeName::to_string);
        let actor = |actor| match actor {
            Actor::Caller(caller) => caller.as_str().to_owned(),
            Actor::Forwarded { caller, via } => format!("{} via {}", caller.as_str(), name(via)),
            Actor::Peer(replica) => name(replica),
        };
        let balances = entry.raised.iter().map(|rise| effect(rise.cell, i128::from(rise.value)));
        let (available, held) = balances.fold((0, 0), |sum, (a, h)| (sum.0 + a, sum.1 + h));
        EntryView {
            time: entry.time,
            node: node.to_string(),
            cause: entry.cause.as_str(),
            actor: entry.actor.map(actor),
            reference: entry.reference.clone(),
            reason: entry.reason.clone(),
            reservation: entry.reservation.as_ref().map(ToString::to_string),
            peer: entry.counterpart().map(name),
            amounts: entry.raised.iter().map(|rise| (word(rise.cell), rise.value)).collect(),
            available,
            held,
            policy: entry.policy.as_ref().map(policy),
        }
    }
}

/// What a cell is called in the books.
fn word(cell: Cell) -> &'static str {
    match cell {
        Cell::Received => "received",
        Cell::Returned => "returned",
        Cell::Taken => "taken",
        Cell::Released => "released",
        Cell::Sold => "sold",
        Cell::Retired => "retired",
        Cell::Sent(_) => "sent",
        Cell::Credited(_) => "given",
        Cell::Reclaimed(_) => "reclaimed",
    }
}

/// What a rise of a cell does to the balances: (available, held).
fn effect(cell: Cell, by: i128) -> (i128, i128) {
    match cell {
        Cell::Received | Cell::Returned | Cell::Credited(_) | Cell::Reclaimed(_) => (by, 0),
        Cell::Taken => (-by, by),
        Cell::Released => (by, -by),
        Cell::Sold | Cell::Retired => (0, -by),
        Cell::Sent(_) => (-by, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_where_to_go_on_and_anything_else_is_refused() {
        let at = HistoryPlace { time: Timestamp(7), node: NodeName::new("eu-1").unwrap(), number: 9 };
        assert_eq!(place(&cursor(&at)), Ok(at));
        for bad in
            ["", "7", "7.9", "7.9.", "7.9.EU", "+7.9.eu", "7.-1.eu", "99999999999999999999.1.eu", "a.b.c"]
        {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
