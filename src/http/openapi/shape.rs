//! The small shapes of which requests and answers are made, with the bounds that the parser has.
//!
//! Bounds are taken from the constants that the parser uses; the forms of names are patterns
//! here and code there, and a test compares the two.

use utoipa::openapi::schema::{
    AllOfBuilder, AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Ref, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{RefOr, schema::AdditionalProperties};
use utoipa::{PartialSchema, ToSchema};

use crate::http::fields::MAX_TEXT_CHARS;
use crate::http::json::MAX_MEMBERS;
use crate::types::id::{MAX_CODE_BYTES, MAX_NAME_BYTES};
use crate::types::reservation::MAX_LINES;
use crate::types::units::MAX_QUANTITY;

/// The form of skus, reservation ids and idempotency keys.
pub const CODE_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";
/// The form of node and region names.
pub const NAME_PATTERN: &str = "^[a-z0-9-]{1,63}$";
/// How much a node may take unknown to others, where it is no plain number.
pub const AUTONOMY_PATTERN: &str = "^(all|[1-9][0-9]{0,8}|1000000000|([1-9][0-9]?|100)%)$";
/// No control character.
pub const TEXT_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// A point in time.
pub const TIME_PATTERN: &str = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$";

/// A point in time as a request may give it: any day of the calendar from 1970 to 2999 but a 29 February.
pub const TIME_GIVEN_PATTERN: &str = r"^(19[7-9][0-9]|2[0-9]{3})-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?Z$";

/// With so much on each of its lines, even the longest request adds up to no more than it may.
const MAX_QUANTITY_OF_MANY: u64 = MAX_QUANTITY / MAX_LINES as u64;

/// A reference to a schema among the components.
pub fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

fn text(pattern: &str, most: usize, examples: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(most))
        .pattern(Some(pattern))
        .examples(examples.iter().copied().map(serde_json::Value::from))
}

/// The form of a sku, a reservation id or an idempotency key.
pub fn code(examples: &[&str]) -> ObjectBuilder {
    text(CODE_PATTERN, MAX_CODE_BYTES, examples)
}

pub fn name(examples: &[&str]) -> ObjectBuilder {
    text(NAME_PATTERN, MAX_NAME_BYTES, examples)
}

/// An integer within bounds.
pub fn integer(least: u64, most: u64) -> ObjectBuilder {
    count().minimum(Some(least)).maximum(Some(most))
}

/// An integer that an answer holds.
pub fn count() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0u64))
}

/// Defines components that are built by hand.
macro_rules! shapes {
    ($($(#[doc = $doc:literal])+ $name:ident = $build:expr;)+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let description = [$($doc.trim()),+].join("\n");
                $build.description(Some(description)).into()
            }
        }

        impl ToSchema for $name {}
    )+ };
}

pub(super) use shapes;

shapes! {
    /// What is sold: the item's name at the border.
    Sku = code(&["TEE-RED-M", "MUG"]);

    /// A reservation's id: an order code of yours, or a UUIDv7 where the node chose it.
    ReservationId = code(&["ORDER-1001"]);

    /// A node of the cluster.
    NodeName = name(&["eu-1", "us-1"]);

    /// The region of a node, as its configuration says; several nodes may share one.
    RegionName = name(&["eu", "us"]);

    /// A point in time: RFC 3339, UTC, with milliseconds.
    Time = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(TIME_PATTERN))
        .examples(["2026-02-02T02:40:00.000Z"]);

    /// A point in time: RFC 3339, UTC, with milliseconds or without. A 29 February is taken, too.
    TimeGiven = text(TIME_GIVEN_PATTERN, 24, &["2030-11-29T09:00:00Z"]);

    /// A number of units.
    Quantity = integer(1, MAX_QUANTITY).examples([1, 2]);

    /// How many units of the item a node may take (hold, sell, write off) that no other node has been told of:
    /// a number, or `"1%"` to `"100%"` of the item's units on hand everywhere, and one at least, or `"all"`. A node
    /// that is cut off sells at most so many. Left out: as is set for the cluster.
    Autonomy = AnyOfBuilder::new()
        .item(integer(1, MAX_QUANTITY).description(Some("So many units.")))
        .item(autonomy_text());

    /// Free text, without control characters.
    Text = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(MAX_TEXT_CHARS))
        .pattern(Some(TEXT_PATTERN))
        .examples(["delivery 7731"]);

    /// What to hold or sell: 1 to 1,000 lines whose quantities add up to at most 1,000,000,000.
    /// Lines of the same sku are added up.
    ///
    /// A schema cannot add. This one names requests that are within the sum whatever they hold:
    /// one line of any quantity, or many of up to 1,000,000 each. The node also takes every
    /// other mixture that is within the sum.
    Lines = AnyOfBuilder::new().item(one_line()).item(many_lines());
}

fn autonomy_text() -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(AUTONOMY_PATTERN));
    text.description(Some("All, a percentage, or a number written as a text.")).examples(["1%", "all", "250"])
}

fn one_line() -> ArrayBuilder {
    ArrayBuilder::new()
        .description(Some("One line."))
        .items(reference::<super::requests::Line>())
        .min_items(Some(1))
        .max_items(Some(1))
}

fn many_lines() -> ArrayBuilder {
    let quantity = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .maximum(Some(MAX_QUANTITY_OF_MANY))
        .description(Some("Units of it, fewer than in a single line: the sum over lines is bounded, too."));
    let bounded = ObjectBuilder::new().schema_type(Type::Object).property("quantity", quantity);
    let line = AllOfBuilder::new().item(reference::<super::requests::Line>()).item(bounded);
    ArrayBuilder::new()
        .description(Some("Many lines."))
        .items(line)
        .min_items(Some(1))
        .max_items(Some(MAX_LINES))
}

/// An object whose names are the names of nodes.
pub fn by_node<T: ToSchema>() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(Schema::Object(name(&[]).build())))
        .additional_properties(Some(AdditionalProperties::RefOr(reference::<T>())))
        .max_properties(Some(MAX_MEMBERS))
        .description(Some("By node name."))
}

/// A page of a list.
pub fn page<T: ToSchema>(cursor: &str) -> ObjectBuilder {
    let next = ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(cursor));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("items", ArrayBuilder::new().items(reference::<T>()))
        .property("next", next)
        .required("items")
        .required("next")
}
