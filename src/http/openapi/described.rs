//! The shapes of calls whose answers or bodies no type of the handlers describes: histories,
//! imports, drain and resume, reload, the stream of availability.

#![allow(dead_code, reason = "of these types only the shape is used")]

use std::collections::BTreeMap;

use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, RefOr};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use super::parameters::{self, parameter, parameters};
use super::requests;
use super::responses::{ANY, ASKED, Answers, BODY, KEYED, answers};
use super::shape::{self, shapes};
use super::views::words;
use crate::http::problem::Code;

/// Why a node's own counters rose.
const CAUSES: [&str; 18] = [
    "reserve",
    "replace",
    "confirm",
    "cancel",
    "extend",
    "expire",
    "sell",
    "return",
    "receive",
    "write_off",
    "set_item",
    "transfer",
    "give_for_buyer",
    "give_for_balance",
    "give_for_drain",
    "give_unasked",
    "credit",
    "import",
];

shapes! {
    /// Why a change was made. `give_..` and `credit` are the two ends of units on the move.
    Cause = words(CAUSES);

    /// A page of changes, newest first.
    HistoryPage = shape::page::<Change>("The `cursor` of the next page; null on the last.")
        .property("missing_nodes", ArrayBuilder::new().items(shape::reference::<shape::NodeName>()).description(Some(
            "With `nodes=all`: the nodes that could not be asked, whose changes are missing here.",
        )))
        .required("missing_nodes");

    /// Text, of any kind: each line is judged alone. One line each: `sku,name,quantity`, with or without these names as the first line. Without a
    /// quantity the item is created without stock.
    ImportCsv = ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .examples(["sku,name,quantity\nMUG,Mug,100\nTEE-RED-M,\"Red tee, M\",40\n"]);

    /// Text, of any kind: each line is judged alone. One JSON object on each line: `{"sku":..,"name"?:..,"quantity"?:..}`. Without a quantity the item
    /// is created without stock.
    ImportLines = ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .examples(["{\"sku\":\"MUG\",\"name\":\"Mug\",\"quantity\":100}\n{\"sku\":\"TEE-RED-M\"}\n"]);

    /// Server-sent events: `event: availability`, an `id`, and one entry of `GET /v1/availability` as
    /// `data`. The state of each item first, then each change, at most 10 a second an item; a comment
    /// every 15 s.
    Events = ObjectBuilder::new().schema_type(Type::String);
}

/// One change of an item at one node.
#[derive(Debug, ToSchema)]
pub struct Change {
    #[schema(value_type = shape::Time)]
    time: String,
    /// Where it was made.
    #[schema(value_type = shape::NodeName)]
    node: String,
    #[schema(value_type = Cause)]
    cause: String,
    /// Who asked for it: `storefront` or `admin` by the listener, `.. via NODE` when another node passed it
    /// on, a node's name when that node asked for units; null when the node did it by itself.
    actor: Option<String>,
    /// The client's reference: an order code, a delivery note, an import's key.
    reference: Option<String>,
    /// The client's reason.
    reason: Option<String>,
    #[schema(value_type = Option<shape::ReservationId>)]
    reservation: Option<String>,
    /// The other node of units on the move.
    #[schema(value_type = Option<shape::NodeName>)]
    peer: Option<String>,
    amounts: Amounts,
    /// By how much the units that are for sale at this node changed.
    available: i64,
    /// By how much the units that reservations hold at this node changed.
    held: i64,
    /// With `set_item`: what was set.
    policy: Option<requests::ItemRequest>,
}

/// Which of the node's own counters rose, and by how much. Those that did not are left out.
#[derive(Debug, ToSchema)]
pub struct Amounts {
    /// Units that arrived.
    #[schema(required = false)]
    received: u64,
    /// Units that came back from buyers.
    #[schema(required = false)]
    returned: u64,
    /// Units that left unsold.
    #[schema(required = false)]
    retired: u64,
    /// Units taken from what was free: held, sold, or about to leave.
    #[schema(required = false)]
    taken: u64,
    /// Units let go again.
    #[schema(required = false)]
    released: u64,
    /// Units confirmed.
    #[schema(required = false)]
    sold: u64,
    /// Units given away to `peer`.
    #[schema(required = false)]
    sent: u64,
    /// Units credited from `peer`.
    #[schema(required = false)]
    given: u64,
}

/// What became of an import.
#[derive(Debug, ToSchema)]
pub struct ImportResult {
    /// Lines with data.
    lines: u64,
    /// Those applied, now or before under the same key.
    applied: u64,
    /// The first 1,000 that were not.
    failed: Vec<ImportFailure>,
    /// How many more were not; left out when all are listed.
    #[schema(required = false)]
    failed_more: u64,
}

/// A line that was not applied.
#[derive(Debug, ToSchema)]
pub struct ImportFailure {
    /// Its number in the body, from 1.
    #[schema(minimum = 1)]
    line: u64,
    /// As in a problem.
    code: String,
    /// What is wrong with the line, for people.
    message: String,
}

/// What reading the configuration again has changed.
#[derive(Debug, ToSchema)]
pub struct ReloadResult {
    /// Keys whose new value holds now.
    #[schema(examples(json!(["limits.idle_timeout_ms"])))]
    applied: Vec<String>,
    /// Keys whose new value holds after a restart.
    #[schema(examples(json!(["node.data_dir"])))]
    restart_needed: Vec<String>,
}

/// The newest line of this item that this node refused since it started.
#[derive(Debug, ToSchema)]
pub struct LastRefusal {
    #[schema(value_type = shape::Time)]
    at: String,
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// Units that the request wanted of it.
    requested: u64,
    /// Free units at this node at that moment.
    available_here: u64,
    #[schema(value_type = super::views::VerdictWord)]
    verdict: String,
    /// Free units that reachable nodes were known to have.
    elsewhere: u64,
    #[schema(value_type = Vec<shape::NodeName>)]
    unreachable: Vec<String>,
}

parameters! {
    /// The node a call is about.
    Node = [parameter(ParameterIn::Path, "name", true, shape::name(&["eu-1"]), "The node.")];

    /// How much of an item's history, and whose.
    HistoryQuery = [
        parameter(
            ParameterIn::Query,
            "nodes",
            false,
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["all"])),
            "`all`: also what the other nodes know of their own changes. Else this node's only.",
        ),
        parameters::limit(),
        parameter(
            ParameterIn::Query,
            "cursor",
            false,
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r"^[0-9]{1,19}\.[0-9]{1,19}\.[a-z0-9-]{1,63}$")),
            "The `next` of the page before.",
        ),
    ];

    /// Where a stream of events was broken off.
    LastEventId = [parameter(
        ParameterIn::Header,
        "Last-Event-ID",
        false,
        ObjectBuilder::new().schema_type(Type::String),
        "The `id` of the last event you got, to go on from there. Browsers send it by themselves.",
    )];
}

answers! {
    History = Answers::default()
        .json::<HistoryPage>(200, "A page of changes, newest first.")
        .problems(&[ANY, ASKED, &[Code::UnknownSku]]);

    Import = Answers::default()
        .json::<ImportResult>(200, "All lines were looked at; `failed` says which of them were not applied.")
        .problems(&[ANY, ASKED, BODY, KEYED]);

    DrainOrResume = Answers::default()
        .json::<crate::http::model::NodeView>(202, "It has begun; the node's entry as in `GET /v1/nodes`.")
        .problems(&[ANY, ASKED, KEYED, &[Code::UnknownNode, Code::NodeUnreachable, Code::OutcomeUnknown]]);

    Reload = Answers::default()
        .json::<ReloadResult>(200, "The file was read and is right.")
        .problems(&[&[Code::InvalidRequest]]);

    Stream = Answers::default()
        .one(200, ResponseBuilder::new()
            .description("The stream; it ends when you close it, or when the node stops.")
            .content("text/event-stream", ContentBuilder::new().schema(Some(shape::reference::<Events>())).build()))
        .problems(&[ANY, ASKED]);
}
