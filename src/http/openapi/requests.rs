//! What request bodies look like. Handlers read bodies field by field, so that every mistake gets
//! its name; these shapes say the same to those who have not sent anything yet, and tests
//! compare the two.

#![expect(dead_code, reason = "these are described, and never made")]

use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use super::shape;
use crate::http::batch::MAX_OPERATIONS;
use crate::http::rebalance::MAX_MOVES;
use crate::http::reservations::{DEFAULT_TTL_SECONDS, DEFAULT_WAIT_MS, MAX_TTL_SECONDS, MAX_WAIT_MS};
use crate::types::item::MAX_WEIGHT;
use crate::types::units::MAX_QUANTITY;

fn ttl_seconds() -> ObjectBuilder {
    shape::integer(1, MAX_TTL_SECONDS).default(Some(DEFAULT_TTL_SECONDS.into())).description(Some(
        "For how many seconds the units are held. Then the reservation expires and they are for sale again.",
    ))
}

fn new_ttl_seconds() -> ObjectBuilder {
    shape::integer(1, MAX_TTL_SECONDS)
        .description(Some("From now on, the reservation is held for so many seconds."))
        .examples([900])
}

fn wait_ms() -> ObjectBuilder {
    shape::integer(0, MAX_WAIT_MS).default(Some(DEFAULT_WAIT_MS.into())).description(Some(
        "For how many milliseconds the node may fetch units from other nodes before it says no. With 0 it \
         decides at once on what it has.",
    ))
}

fn quantity_setting(least: u64, description: &str) -> ObjectBuilder {
    shape::integer(least, MAX_QUANTITY).description(Some(description))
}

/// So many units of one item.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    #[schema(value_type = shape::Sku)]
    sku: String,
    #[schema(value_type = shape::Quantity)]
    quantity: u64,
}

/// Units to hold.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "lines": [{"sku": "TEE-RED-M", "quantity": 2}, {"sku": "MUG", "quantity": 1}],
    "ttl_seconds": 600,
    "wait_ms": 300
})))]
pub struct HoldRequest {
    #[schema(value_type = shape::Lines)]
    lines: Vec<Line>,
    #[schema(required = false, schema_with = ttl_seconds)]
    ttl_seconds: u64,
    #[schema(required = false, schema_with = wait_ms)]
    wait_ms: u64,
}

/// How a reservation is to be confirmed; the body may be left out.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"wait_ms": 300})))]
pub struct ConfirmRequest {
    #[schema(required = false, schema_with = wait_ms)]
    wait_ms: u64,
}

/// Nothing can be said here; the body may be left out.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({})))]
pub struct CancelRequest {}

/// A new deadline.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"ttl_seconds": 900})))]
pub struct ExtendRequest {
    #[schema(schema_with = new_ttl_seconds)]
    ttl_seconds: u64,
}

/// Units to sell at once.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "lines": [{"sku": "MUG", "quantity": 1}],
    "wait_ms": 300,
    "reference": "till 4, receipt 20931"
})))]
pub struct SaleRequest {
    #[schema(value_type = shape::Lines)]
    lines: Vec<Line>,
    #[schema(required = false, schema_with = wait_ms)]
    wait_ms: u64,
    /// Kept in the item's history.
    #[schema(required = false, value_type = shape::Text)]
    reference: String,
}

/// Units that a buyer sends back.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"sku": "MUG", "quantity": 1, "reference": "RMA-88"})))]
pub struct ReturnRequest {
    #[schema(value_type = shape::Sku)]
    sku: String,
    #[schema(value_type = shape::Quantity)]
    quantity: u64,
    /// Kept in the item's history.
    #[schema(required = false, value_type = shape::Text)]
    reference: String,
}

fn operations() -> utoipa::openapi::schema::ArrayBuilder {
    utoipa::openapi::schema::ArrayBuilder::new()
        .items(shape::reference::<Operation>())
        .min_items(Some(1))
        .max_items(Some(MAX_OPERATIONS))
        .description(Some("Done in this order; each sees what those before it did, and each fails alone."))
}

/// Many operations in one request.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"operations": [
    {"op": "reserve", "id": "A-1", "lines": [{"sku": "MUG", "quantity": 1}], "ttl_seconds": 600},
    {"op": "confirm", "id": "A-1"},
    {"op": "sell", "id": "A-2", "lines": [{"sku": "TEE-RED-M", "quantity": 1}]},
    {"op": "cancel", "id": "A-3"}
]})))]
pub struct BatchRequest {
    #[schema(schema_with = operations)]
    operations: Vec<Operation>,
}

/// One step of a batch. There is no `wait_ms`: a batch decides on what the node has.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Operation {
    Reserve(ReserveOperation),
    Sell(SellOperation),
    Confirm(ConfirmOperation),
    Cancel(CancelOperation),
}

macro_rules! word {
    ($function:ident, $word:literal) => {
        fn $function() -> ObjectBuilder {
            ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String).enum_values(Some([$word]))
        }
    };
}

word!(reserve, "reserve");
word!(sell, "sell");
word!(confirm, "confirm");
word!(cancel, "cancel");

/// As `PUT /v1/reservations/{id}`.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveOperation {
    #[schema(schema_with = reserve)]
    op: String,
    #[schema(value_type = shape::ReservationId)]
    id: String,
    #[schema(value_type = shape::Lines)]
    lines: Vec<Line>,
    #[schema(required = false, schema_with = ttl_seconds)]
    ttl_seconds: u64,
}

/// As `POST /v1/sales`, under an id of yours: a repeat is harmless.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SellOperation {
    #[schema(schema_with = sell)]
    op: String,
    #[schema(value_type = shape::ReservationId)]
    id: String,
    #[schema(value_type = shape::Lines)]
    lines: Vec<Line>,
}

/// As `POST /v1/reservations/{id}/confirm`.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOperation {
    #[schema(schema_with = confirm)]
    op: String,
    #[schema(value_type = shape::ReservationId)]
    id: String,
}

/// As `POST /v1/reservations/{id}/cancel`.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOperation {
    #[schema(schema_with = cancel)]
    op: String,
    #[schema(value_type = shape::ReservationId)]
    id: String,
}

fn low_stock() -> ObjectBuilder {
    quantity_setting(0, "With so many units everywhere or fewer, product pages say `low_stock`.")
}

fn max_per_order() -> ObjectBuilder {
    quantity_setting(1, "Most units of this item in one reservation or sale.")
}

fn rebalance() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(["auto", "manual"]))
        .default(Some("auto".into()))
        .description(Some("Whether nodes move units as demand moves, or only an admin's transfers do."))
}

fn quotas() -> ObjectBuilder {
    shape::by_node::<Quota>().description(Some("How much of the item each node should have, by node name."))
}

fn weight() -> ObjectBuilder {
    shape::integer(0, MAX_WEIGHT).description(Some(format!(
        "Scales the node's share, from 0 to {MAX_WEIGHT}; 1 when left out, and with 0 it gets none of its own accord.",
    )))
}

fn min() -> ObjectBuilder {
    quantity_setting(0, "Units that other nodes may not ask away. Not above `max`.")
}

fn max() -> ObjectBuilder {
    quantity_setting(0, "With so many units the node asks for no more.")
}

fn pinned() -> ObjectBuilder {
    quantity_setting(0, "Exactly so many, in place of `min` and `max`. Not above `max` nor below `min`.")
}

/// What an admin sets about an item. It replaces what was set before, as a whole: a field that is left
/// out is unset.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "name": "Red tee, M",
    "low_stock": 10,
    "max_per_order": 5,
    "rebalance": "auto",
    "quotas": {"eu-1": {"weight": 3, "min": 10, "max": 500}},
    "launch": {"until": "2030-11-29T09:00:00Z", "expected": {"eu-1": 500}},
    "autonomy": "1%"
})))]
pub struct ItemRequest {
    #[schema(required = false, value_type = shape::Text)]
    name: String,
    #[schema(required = false, schema_with = low_stock)]
    low_stock: u64,
    #[schema(required = false, schema_with = max_per_order)]
    max_per_order: u64,
    #[schema(required = false, schema_with = rebalance)]
    rebalance: String,
    #[schema(required = false, schema_with = quotas)]
    quotas: u64,
    /// What buyers are expected to ask for.
    #[schema(required = false)]
    launch: Launch,
    #[schema(required = false, value_type = shape::Autonomy)]
    autonomy: u64,
}

fn expected() -> ObjectBuilder {
    shape::by_node::<shape::Quantity>().min_properties(Some(1)).description(Some(
        "Units that buyers are expected to ask for at each node; none at a node that is not named.",
    ))
}

/// What buyers are expected to ask for when an item is launched. It stands in for what nodes have seen of its
/// demand, so that units are where the buyers will be before the first has come.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// It counts until then; afterwards it is as if it were not set. A time in the past is refused, unless this
    /// launch is the one that is set.
    #[schema(value_type = shape::TimeGiven)]
    until: String,
    #[schema(schema_with = expected)]
    expected: u64,
}

/// How much of an item a node should have. A wish that guides the moving of units.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    #[schema(required = false, schema_with = weight)]
    weight: u64,
    #[schema(required = false, schema_with = min)]
    min: u64,
    #[schema(required = false, schema_with = max)]
    max: u64,
    #[schema(required = false, schema_with = pinned)]
    pinned: u64,
}

/// Units that arrive or leave.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"quantity": 100, "reason": "delivery", "reference": "delivery 7731"})))]
pub struct MovementRequest {
    #[schema(value_type = shape::Quantity)]
    quantity: u64,
    /// Kept in the item's history.
    #[schema(required = false, value_type = shape::Text)]
    reason: String,
    /// Kept in the item's history.
    #[schema(required = false, value_type = shape::Text)]
    reference: String,
}

// Each with an example of its own, because the two must differ.
fn from() -> ObjectBuilder {
    shape::name(&["eu-1"]).description(Some("The node that gives."))
}

fn to() -> ObjectBuilder {
    shape::name(&["us-1"]).description(Some("The node that gets; another than `from`."))
}

/// Units to move from one node to another.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"from": "eu-1", "to": "us-1", "quantity": 5, "reference": "before the sale"})))]
pub struct TransferRequest {
    #[schema(schema_with = from)]
    from: String,
    #[schema(schema_with = to)]
    to: String,
    #[schema(value_type = shape::Quantity)]
    quantity: u64,
    /// Kept in the item's history.
    #[schema(required = false, value_type = shape::Text)]
    reference: String,
}

fn dry_run() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::Boolean)
        .default(Some(false.into()))
        .description(Some("With `true` nothing is begun: only the plan is told."))
}

fn only() -> ObjectBuilder {
    shape::code(&["MUG"]).description(Some("Only this item; all when left out."))
}

fn cursor() -> ObjectBuilder {
    shape::code(&["MUG"]).description(Some("The `next` of the page before."))
}

fn limit() -> ObjectBuilder {
    shape::integer(1, MAX_MOVES)
        .default(Some(MAX_MOVES.into()))
        .description(Some("Most moves in the answer."))
}

/// What is to be moved; the body may be left out, and then all that this node can move is.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"dry_run": true}), json!({"sku": "MUG"})))]
pub struct RebalanceRequest {
    #[schema(required = false, schema_with = dry_run)]
    dry_run: bool,
    #[schema(required = false, schema_with = only)]
    sku: String,
    #[schema(required = false, schema_with = cursor)]
    cursor: String,
    #[schema(required = false, schema_with = limit)]
    limit: u64,
}
