//! Shapes of answers that no single type of the model has: pages, results of a batch, problems,
//! and the words that answers use.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AllOfBuilder, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::shape::{self, shapes};
use crate::http::model::{BooksView, CappedView, ReservationView, ShortfallView};
use crate::http::problem::{Code, FieldError};
use crate::node::StockStatus;
use crate::types::{Rebalance, ReservationState, Verdict};

/// The states a reservation can be in.
pub const STATES: [ReservationState; 4] = [
    ReservationState::Held,
    ReservationState::Confirmed,
    ReservationState::Cancelled,
    ReservationState::Expired,
];
const VERDICTS: [Verdict; 3] = [Verdict::SoldOut, Verdict::Elsewhere, Verdict::Unknown];
const STATUSES: [StockStatus; 5] = [
    StockStatus::InStock,
    StockStatus::LowStock,
    StockStatus::SoldOut,
    StockStatus::Uncertain,
    StockStatus::NoSuchItem,
];

pub fn words(words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

shapes! {
    /// Where a reservation stands. Only a held one can change: it is confirmed, cancelled, or it
    /// expires; an expired one can be held anew by a PUT and is sold by a confirm if there are units.
    State = words(STATES.map(ReservationState::as_str));

    /// Why a line is short. `sold_out`: proved, no node had a free unit. `elsewhere`: reachable nodes
    /// had free units that could not be brought here in time. `unknown`: a node is silent, or units
    /// are on their way.
    VerdictWord = words(VERDICTS.map(Verdict::as_str));

    /// What to tell a buyer. `low_stock`: no more everywhere than the item's `low_stock`. `sold_out`:
    /// proved, no node has a free unit. `uncertain`: none is known to be free, and it is not proved.
    /// `no_such_item`: this node has never heard of the sku.
    StatusWord = words(STATUSES.map(StockStatus::as_str));

    /// Who moves an item's units: the nodes themselves, or only an admin.
    RebalanceWord = words([Rebalance::Auto, Rebalance::Manual].map(Rebalance::as_str));

    /// A page of reservations.
    ReservationPage = shape::page::<ReservationView>("The `cursor` of the next page; null on the last.");

    /// A page of items.
    ItemPage = shape::page::<BooksView>("The `cursor` of the next page; null on the last.");

    /// What became of each operation of a batch.
    BatchResults = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("results", ArrayBuilder::new().items(shape::reference::<BatchResult>()))
        .required("results");

    /// What the call of its own would have answered: the reservation, or the problem; either with the
    /// `status`.
    BatchResult = AnyOfBuilder::new().item(done()).item(shape::reference::<Problem>());

    /// Why a request was refused: RFC 9457 problem details. Branch on `code`; `title`, `detail` and
    /// messages are for people and may change.
    Problem = problem();
}

fn done() -> AllOfBuilder {
    let status = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .enum_values(Some([200, 201]))
        .description(Some("The status of the call of its own."));
    let status = ObjectBuilder::new().schema_type(Type::Object).property("status", status).required("status");
    AllOfBuilder::new().item(shape::reference::<ReservationView>()).item(status)
}

fn problem() -> ObjectBuilder {
    let text =
        |description: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    let names = |description: &str| {
        let name = ObjectBuilder::new().schema_type(Type::String);
        ArrayBuilder::new().items(name).description(Some(description))
    };
    let codes = Code::ALL.iter().map(|code| code.row().code);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("type", text("The code as a URN.").pattern(Some("^urn:stockade:error:[a-z_]+$")))
        .property("title", text("The kind of problem."))
        .property("status", shape::integer(400, 599).description(Some("The HTTP status.")))
        .property("code", words(codes).description(Some("What happened; stable.")))
        .property("detail", text("What happened this time."))
        .property(
            "errors",
            ArrayBuilder::new()
                .items(shape::reference::<FieldError>())
                .description(Some("The fields that are wrong; the first 32 of them.")),
        )
        .property(
            "shortfalls",
            ArrayBuilder::new()
                .items(shape::reference::<ShortfallView>())
                .description(Some("With `insufficient_stock` and `expired`: all short lines, in the order of the request.")),
        )
        .property(
            "capped",
            ArrayBuilder::new()
                .items(shape::reference::<CappedView>())
                .description(Some("With `autonomy_spent`: the lines whose units are here and may not all be sold yet.")),
        )
        .property("unreachable", names("With `owner_unreachable` and `node_unreachable`: the silent nodes."))
        .property("reasons", names("With `not_ready` and `rolled_back`: why, as in `/readyz`."))
        .property(
            "current_version",
            shape::count().description(Some("With `version_mismatch`: the version it has; left out when this node has no such reservation.")),
        )
        .property("free", shape::count().description(Some("With `not_free_here`: how many units are free.")))
        .required("type")
        .required("title")
        .required("status")
        .required("code")
}

/// What a node is doing, in `GET /v1/nodes`.
pub fn node_state() -> ObjectBuilder {
    words(["active", "draining", "drained"]).description(Some(
        "`draining`: it hands its free units to the others and takes no new reservations; `drained`: it has none left.",
    ))
}

/// The link to a node, in `GET /v1/nodes`.
pub fn link() -> ObjectBuilder {
    words(["up", "connecting", "down"]).description(Some("The connection between the two nodes."))
}
