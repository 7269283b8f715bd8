//! An admin's items: settings, books, deliveries, write-offs, transfers.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;

use super::call::{Answered, Api, Call, Failure};
use super::fields::{Fields, read_body};
use super::model::{BooksView, Page, created_or_ok, plain};
use super::openapi::{parameters, requests, responses};
use super::problem::{Errors, Problem};
use super::{reservations, sales, time};
use crate::types::item::MAX_WEIGHT;
use crate::types::units::MAX_QUANTITY;
use crate::types::{
    Answer, Command, Launch, Movement, NodeName, Policy, Quota, Rebalance, Refusal, Sku, Transfer, Units,
};

const REBALANCE: [(&str, Rebalance); 2] = [("auto", Rebalance::Auto), ("manual", Rebalance::Manual)];

/// Create an item, or set what is said about it
///
/// Connected nodes know within a second. Of two admins at once, the later one's settings hold, whole. A
/// `launch` that has run out is refused, unless it is the one that is set: what was read may be put back.
#[utoipa::path(
    put, path = "/v1/items/{sku}", operation_id = "put_item", tag = "items",
    params(parameters::Item, parameters::Key),
    request_body = requests::ItemRequest,
    responses(responses::PutItem)
)]
pub(super) async fn put(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let sku = call.path_id("sku", Sku::new, &mut errors);
    let key = call.key(&mut errors);
    let (sku, policy) = read_body(body, errors, |fields| sku.zip(policy(fields)))?;
    refuse_launch_that_is_over(&api, &sku, policy.launch.as_ref()).await?;
    let show = |answer| books(answer, created_or_ok);
    api.decide(Command::SetItem { sku, policy }, key, &[], show).await
}

/// A launch in the past counts for nothing: whoever sets one has mistaken the time. The one that is set
/// already may come back, as clients read an item, change something else, and put all of it back.
async fn refuse_launch_that_is_over(api: &Api, sku: &Sku, launch: Option<&Launch>) -> Result<(), Failure> {
    let now = api.handle.now();
    let Some(launch) = launch.filter(|launch| launch.until <= now) else { return Ok(()) };
    let reply = api.ask(Command::Books { sku: sku.clone() }, None).await?;
    match reply.outcome {
        Ok(Answer::Books { books, .. }) if books.policy.launch.as_ref() == Some(launch) => return Ok(()),
        Ok(_) | Err(Refusal::UnknownSku { .. }) => {}
        Err(refusal) => return Err(Problem::refused(refusal, &[]).into()),
    }
    let message = format!("must be later than now, {}; leave the launch out if it is over", time::text(now));
    Err(Problem::field("launch.until", message).into())
}

fn policy(fields: &mut Fields<'_, '_>) -> Option<Policy> {
    let name = fields.text("name");
    let low_stock = fields.integer("low_stock", 0..=MAX_QUANTITY).map(Units);
    let max_per_order = fields.integer("max_per_order", 1..=MAX_QUANTITY).map(Units);
    let rebalance = fields.word("rebalance", &REBALANCE).unwrap_or_default();
    let quotas = fields.named_objects("quotas", |node, fields| {
        let node = NodeName::new(node).map_err(|e| fields.wrong_here(e)).ok();
        node.zip(quota(fields))
    });
    let quotas: BTreeMap<NodeName, Quota> = quotas.unwrap_or_default().into_iter().collect();
    let launch = fields.object("launch", launch);
    let autonomy = fields.autonomy("autonomy");
    Some(Policy { name, low_stock, max_per_order, rebalance, quotas, launch, autonomy })
}

fn launch(fields: &mut Fields<'_, '_>) -> Option<Launch> {
    let until = fields.required_time("until");
    let expected = fields.required_integers("expected", 1..=MAX_QUANTITY, NodeName::new)?;
    let expected = expected.into_iter().map(|(node, units)| (node, Units(units))).collect();
    Some(Launch { until: until?, expected })
}

fn quota(fields: &mut Fields<'_, '_>) -> Option<Quota> {
    let weight = fields.integer("weight", 0..=MAX_WEIGHT);
    let min = fields.integer("min", 0..=MAX_QUANTITY).map(Units);
    let max = fields.integer("max", 0..=MAX_QUANTITY).map(Units);
    let pinned = fields.integer("pinned", 0..=MAX_QUANTITY).map(Units);
    if let Some((field, message)) = contradiction(min, max, pinned) {
        fields.wrong(field, message);
        return None;
    }
    Some(Quota { weight, min, max, pinned })
}

/// Which field of a quota cannot hold beside the others, and why.
fn contradiction(
    min: Option<Units>,
    max: Option<Units>,
    pinned: Option<Units>,
) -> Option<(&'static str, String)> {
    let instead = "pinned counts in place of min and max, so leave them out";
    match (min, max, pinned) {
        (Some(min), Some(max), _) if min > max => Some(("min", format!("must not be above max, {max}"))),
        (_, Some(max), Some(pinned)) if pinned > max => {
            Some(("pinned", format!("must not be above max, {max}; {instead}")))
        }
        (Some(min), _, Some(pinned)) if pinned < min => {
            Some(("pinned", format!("must not be below min, {min}; {instead}")))
        }
        _ => None,
    }
}

/// Read an item's books
///
/// Where every unit is, as this node knows it. `as_of` says how old its knowledge of each node is.
#[utoipa::path(
    get,
    path = "/v1/items/{sku}",
    operation_id = "get_item",
    tag = "items",
    params(parameters::Item),
    responses(responses::GetItem)
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let sku = call.path_id("sku", Sku::new, &mut errors);
    let sku = errors.finish(sku)?;
    api.decide(Command::Books { sku }, None, &[], |answer| books(answer, |_| StatusCode::OK)).await
}

/// List items
///
/// With their books, in order of their skus.
#[utoipa::path(
    get,
    path = "/v1/items",
    operation_id = "list_items",
    tag = "items",
    params(parameters::ItemPageQuery),
    responses(responses::ListItems)
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.query.allow(&["limit", "cursor"], &[], &mut errors);
    let after = call.query.first("cursor").and_then(|text| errors.check("cursor", Sku::new(text)));
    let limit = reservations::limit(&call, &mut errors);
    let command = errors.finish(Some(Command::Items { after, limit }))?;
    let page = |answer| match answer {
        Answer::Items { items, next } => {
            let next = next.map(|sku| sku.to_string());
            let page = Page::of(&items, next, BooksView::new, |books| books.sku.to_string());
            Some(plain(StatusCode::OK, &page))
        }
        _ => None,
    };
    api.decide(command, None, &[], page).await
}

/// Take in a delivery
///
/// The units are for sale at this node at once, and other nodes may fetch some.
#[utoipa::path(
    post, path = "/v1/items/{sku}/receipts", operation_id = "receive", tag = "stock",
    params(parameters::Item, parameters::RequiredKey),
    request_body = requests::MovementRequest,
    responses(responses::Receive)
)]
pub(super) async fn receive(State(api): State<Api>, call: Call) -> Answered {
    moved(&api, &call, Command::Receive).await
}

/// Take units out unsold
///
/// Broken, lost or given away. Only units that are free at this node.
#[utoipa::path(
    post, path = "/v1/items/{sku}/write-offs", operation_id = "write_off", tag = "stock",
    params(parameters::Item, parameters::RequiredKey),
    request_body = requests::MovementRequest,
    responses(responses::WriteOff)
)]
pub(super) async fn write_off(State(api): State<Api>, call: Call) -> Answered {
    moved(&api, &call, Command::WriteOff).await
}

async fn moved(api: &Api, call: &Call, command: fn(Movement) -> Command) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    let key = call.required_key(&mut errors)?;
    call.refuse_query(&mut errors);
    let sku = call.path_id("sku", Sku::new, &mut errors);
    let movement = read_body(body, errors, |fields| {
        let quantity = sales::quantity(fields);
        let (reason, reference) = (fields.text("reason"), fields.text("reference"));
        Some(Movement { sku: sku?, quantity: quantity?, reason, reference })
    })?;
    api.decide(command(movement), key, &[], |answer| books(answer, |_| StatusCode::CREATED)).await
}

/// Move units between nodes
///
/// Ask any node; the one that gives does it, all units or none. Only units that are free there.
#[utoipa::path(
    post, path = "/v1/items/{sku}/transfers", operation_id = "transfer", tag = "stock",
    params(parameters::Item, parameters::RequiredKey),
    request_body = requests::TransferRequest,
    responses(responses::Transfer)
)]
pub(super) async fn transfer(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    let key = call.required_key(&mut errors)?;
    call.refuse_query(&mut errors);
    let sku = call.path_id("sku", Sku::new, &mut errors);
    let transfer = read_body(body, errors, |fields| {
        let from = fields.required_id("from", NodeName::new);
        let to = fields.required_id("to", NodeName::new);
        let quantity = sales::quantity(fields);
        let reference = fields.text("reference");
        Some(Transfer { sku: sku?, from: from?, to: to?, quantity: quantity?, reference })
    })?;
    api.decide(Command::Transfer(transfer), key, &[], |answer| books(answer, |_| StatusCode::OK)).await
}

fn books(answer: Answer, status: impl FnOnce(bool) -> StatusCode) -> Option<Response> {
    match answer {
        Answer::Books { books, created } => Some(plain(status(created), &BooksView::new(&books))),
        _ => None,
    }
}
