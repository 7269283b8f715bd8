//! What goes into the path, the query and the headers of requests.

use utoipa::IntoParams;
use utoipa::openapi::RefOr;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};

use super::shape;
use super::views::STATES;
use crate::http::availability::MAX_SKUS;
use crate::http::reservations::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::types::ReservationState;

/// One version as in an ETag, of at most 19 digits so that it fits 64 bits.
pub const VERSION_PATTERN: &str = r#"^"[0-9]{1,19}"$"#;

pub fn parameter(
    place: ParameterIn,
    name: &str,
    is_required: bool,
    schema: impl Into<RefOr<Schema>>,
    description: &str,
) -> Parameter {
    ParameterBuilder::new()
        .parameter_in(place)
        .name(name)
        .required(if is_required { Required::True } else { Required::False })
        .schema(Some(schema))
        .description(Some(description))
        .build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Taken by every call.
pub fn request_id() -> Parameter {
    parameter(
        ParameterIn::Header,
        "X-Request-Id",
        false,
        text().examples(["order-1001-try-1"]),
        "A name of yours for this request, for the node's log; the answer repeats it. Taken when it is 1 to \
         128 printable ASCII characters; else, and when there is none, the node makes one.",
    )
}

/// Defines groups of parameters, to be named at the handlers that take them.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($parameter:expr),+ $(,)?];)+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),+]
            }
        }
    )+ };
}

pub(super) use parameters;

parameters! {
    /// The reservation a call is about.
    Id = [parameter(
        ParameterIn::Path,
        "id",
        true,
        shape::code(&["ORDER-1001"]),
        "The reservation. You choose its id when you put it: an order code is a good one.",
    )];

    /// The item a call is about.
    Item = [parameter(ParameterIn::Path, "sku", true, shape::code(&["TEE-RED-M"]), "The item.")];

    /// A key that a call may have.
    Key = [idempotency_key(
        false,
        "Names the effect you want; a repeat under the same key, at this node and path, gets the first \
         answer again instead of a second effect. The reservation's id does the same already.",
    )];

    /// A key that a call may have, where no id makes repeats harmless.
    UsefulKey = [idempotency_key(
        false,
        "Names the effect you want; a repeat under the same key, at this node and path, gets the first \
         answer again instead of a second effect.",
    )];

    /// A key that a call must have.
    RequiredKey = [idempotency_key(
        true,
        "Names the effect you want, such as an order code or a delivery's number. Send the same key with \
         every retry: a repeat, at this node and path, gets the first answer again instead of a second \
         effect.",
    )];

    /// Only if the reservation has this version.
    IfMatch = [parameter(
        ParameterIn::Header,
        "If-Match",
        false,
        AnyOfBuilder::new()
            .item(text().pattern(Some(VERSION_PATTERN)).examples(["\"1\""]))
            .item(text().enum_values(Some(["*"]))),
        "Go on only if the reservation has this version (the `ETag` of its last answer, with the quotes); \
         `*`: only if it exists. So a late payment cannot confirm a basket that was changed meanwhile. \
         Else 412.",
    )];

    /// This may have been sent to another node before.
    Retry = [parameter(
        ParameterIn::Header,
        "Stockade-Retry",
        false,
        text().enum_values(Some(["1", "0"])),
        "Send `1` when you repeat at this node what you first sent to another one and got no answer: the \
         node asks all others for the id first, so that it is not taken twice.",
    )];

    /// What is already at hand.
    IfNoneMatch = [parameter(
        ParameterIn::Header,
        "If-None-Match",
        false,
        text().examples(["W/\"0f3a\""]),
        "The `ETag` of the answer you have. If it still holds: 304 and no body.",
    )];

    /// The items of a product page.
    Skus = [parameter(
        ParameterIn::Query,
        "sku",
        true,
        ArrayBuilder::new()
            .items(shape::code(&[]))
            .min_items(Some(1))
            .max_items(Some(MAX_SKUS))
            .examples([serde_json::json!(["TEE-RED-M", "MUG"])]),
        "An item; give it once for each item, up to 200 times.",
    )];

    /// Where in a list of reservations to begin, and how much of it to tell.
    ReservationPageQuery = [limit(), cursor("The `next` of the page before.", &["ORDER-1001"])];

    /// Which reservations a list holds.
    ReservationFilter = [
        parameter(
            ParameterIn::Query,
            "state",
            false,
            text().enum_values(Some(STATES.map(ReservationState::as_str))),
            "Only those in this state.",
        ),
        parameter(
            ParameterIn::Query,
            "sku",
            false,
            shape::code(&["TEE-RED-M"]),
            "Only those with a line of this item.",
        ),
    ];

    /// Where in a list of items to begin, and how much of it to tell.
    ItemPageQuery = [limit(), cursor("The `next` of the page before.", &["MUG"])];
}

fn idempotency_key(is_required: bool, description: &str) -> Parameter {
    let schema = shape::code(&["ORDER-1001-PAID"]);
    parameter(ParameterIn::Header, "Idempotency-Key", is_required, schema, description)
}

pub fn limit() -> Parameter {
    let schema = shape::integer(1, MAX_LIMIT).default(Some(DEFAULT_LIMIT.into()));
    parameter(
        ParameterIn::Query,
        "limit",
        false,
        schema,
        "Most entries on the page; it may have fewer, and a `next`.",
    )
}

fn cursor(description: &str, examples: &[&str]) -> Parameter {
    parameter(ParameterIn::Query, "cursor", false, shape::code(examples), description)
}
