//! Sales in one step, and units that come back.

use axum::extract::State;
use hyper::{HeaderMap, StatusCode};

use super::call::{Answered, Api, Call};
use super::fields::{Fields, read_body};
use super::lines::{self, Lines};
use super::model::{ReturnView, json};
use super::openapi::{parameters, requests, responses};
use super::problem::Errors;
use super::{headers, reservations};
use crate::types::units::MAX_QUANTITY;
use crate::types::{Answer, Command, Movement, Sell, Sku, Units};

/// Sell units at once
///
/// Reserve and confirm in one durable step, for a till or a checkout that has the money already.
#[utoipa::path(
    post, path = "/v1/sales", operation_id = "sell", tag = "sales",
    params(parameters::RequiredKey),
    request_body = requests::SaleRequest,
    responses(responses::Sell)
)]
pub(super) async fn sell(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    let key = call.required_key(&mut errors)?;
    call.refuse_query(&mut errors);
    headers::refuse_if_match(&call.headers, &mut errors);
    let (Lines { lines, places }, wait, reference) = read_body(body, errors, |fields| {
        let (lines, wait) = (lines::read(fields), reservations::wait(fields));
        let reference = fields.text("reference");
        Some((lines?, wait, reference))
    })?;
    let sell = Sell { id: reservations::minted_id(), lines, wait, reference, minted: true };
    api.decide(Command::Sell(sell), key, &places, reservations::show_minted).await
}

/// Take units back from a buyer
///
/// They are for sale again at this node. A return is not matched to a sale.
#[utoipa::path(
    post, path = "/v1/returns", operation_id = "give_back", tag = "sales",
    params(parameters::RequiredKey),
    request_body = requests::ReturnRequest,
    responses(responses::GiveBack)
)]
pub(super) async fn give_back(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    let key = call.required_key(&mut errors)?;
    call.refuse_query(&mut errors);
    let movement = read_body(body, errors, |fields| {
        let sku = fields.required_id("sku", Sku::new);
        let quantity = quantity(fields);
        let reference = fields.text("reference");
        Some(Movement { sku: sku?, quantity: quantity?, reason: None, reference })
    })?;
    let show = |answer| match answer {
        Answer::Returned { sku, quantity, reference, node, region, at } => {
            let view = ReturnView {
                sku: sku.to_string(),
                quantity: quantity.0,
                reference,
                node: node.to_string(),
                region: region.to_string(),
                returned_at: at,
            };
            Some(json(StatusCode::CREATED, HeaderMap::new(), &view))
        }
        _ => None,
    };
    api.decide(Command::Return(movement), key, &[], show).await
}

/// The quantity of a movement.
pub(super) fn quantity(fields: &mut Fields<'_, '_>) -> Option<Units> {
    fields.required_integer("quantity", 1..=MAX_QUANTITY).map(Units)
}
