//! Sales in one step, and units that come back.

use axum::extract::State;
use hyper::{HeaderMap, StatusCode};

use super::call::{Answered, Api, Call};
use super::fields::{Fields, read_body};
use super::lines::{self, Lines};
use super::model::{ReturnView, json};
use super::problem::Errors;
use super::{headers, reservations};
use crate::types::units::MAX_QUANTITY;
use crate::types::{Answer, Command, Movement, Sell, Sku, Units};

/// `POST /v1/sales`
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

/// `POST /v1/returns`
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
