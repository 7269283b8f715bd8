//! What calls answer: successes with their headers and links, and every problem a call can end in.
//!
//! Problems come from the one table of codes ([`Code::row`]), so that a status and what may be
//! in it cannot differ from what is sent.

use std::collections::BTreeMap;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use super::shape;
use super::views::{BatchResults, ItemPage, ReservationPage};
use crate::http::health::{Live, Ready, Version};
use crate::http::model::{AvailabilityView, BooksView, CheckView, NodesView, ReservationView, ReturnView};
use crate::http::problem::Code;
use crate::http::problem::Code::{
    AlreadyCancelled, AlreadyConfirmed, AutonomySpent, BodyTooLarge, Draining, Expired,
    IdempotencyKeyRequired, InsufficientStock, InvalidRequest, KeyReused, MaxPerOrder, MemoryFull,
    NodeUnreachable, NotFreeHere, NotReady, OutcomeUnknown, Overloaded, OwnerUnreachable, RequestTimeout,
    ReservationNotFound, RolledBack, UnknownNode, UnknownSku, UnsupportedMediaType, VersionMismatch,
};
use crate::http::rebalance::MovesView;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// What any call that looks at the node's state can end in.
pub const ANY: &[Code] = &[InvalidRequest, NotReady, RolledBack];
/// What any call that the replica decides can end in, beyond that.
pub const ASKED: &[Code] = &[Overloaded];
/// What any call with a body can end in.
pub const BODY: &[Code] = &[RequestTimeout, BodyTooLarge, UnsupportedMediaType, Overloaded];
/// What any call with a key can end in.
pub const KEYED: &[Code] = &[KeyReused, MemoryFull];
/// What any call can end in that may be about another node's reservation.
const ELSEWHERE: &[Code] = &[OwnerUnreachable, OutcomeUnknown];

/// The headers that answers have, by name.
pub fn headers() -> BTreeMap<String, RefOr<Header>> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let header = |schema: ObjectBuilder, description: &str| -> RefOr<Header> {
        HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build().into()
    };
    let version = text().pattern(Some(r#"^"[0-9]+"$"#)).examples(["\"1\""]);
    let all = [
        (
            "X-Request-Id",
            header(text().examples(["order-1001-try-1"]), "The request's id: yours, or one made here."),
        ),
        ("ETag", header(version, "The reservation's version, for `If-Match`.")),
        (
            "View-ETag",
            header(
                text().pattern(Some(r#"^W/"[^"]+"$"#)).examples(["W/\"0f3a\""]),
                "Stands for all of the answer but `as_of` and `stale_ms`; for `If-None-Match`.",
            ),
        ),
        (
            "Location",
            header(
                text()
                    .pattern(Some("^/v1/reservations/"))
                    .examples(["/v1/reservations/01994d2e-6a3f-7c55-9d0e-2f6c1a0b9e11"]),
                "Where the reservation is: its id was chosen here.",
            ),
        ),
        (
            "Retry-After",
            header(shape::integer(1, 60).examples([1]), "After how many seconds a retry makes sense."),
        ),
        (
            "Idempotent-Replayed",
            header(
                text().enum_values(Some(["true"])),
                "There when this is the first answer to the same `Idempotency-Key` again.",
            ),
        ),
        (
            "Server-Timing",
            header(
                text().pattern(Some("^peers;dur=[0-9]+\\.[0-9]$")).examples(["peers;dur=81.2"]),
                "There when the request could not be decided at once: it waited for units from other nodes, or for \
                 the node that owns the reservation. How long it took at this node, in ms.",
            ),
        ),
        (
            "Cache-Control",
            header(text().examples(["public, max-age=1"]), "For how long the answer may be kept."),
        ),
    ];
    all.into_iter().map(|(name, header)| (name.to_owned(), header)).collect()
}

/// A reference to one of [`headers`].
pub fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// All that one call can answer, as it is put together.
#[derive(Default)]
pub struct Answers {
    responses: BTreeMap<String, Response>,
    is_keyed: bool,
    may_wait: bool,
}

impl Answers {
    pub fn one(mut self, status: u16, response: ResponseBuilder) -> Answers {
        self.responses.insert(status.to_string(), response.build());
        self
    }

    /// A success with a JSON body.
    pub fn json<T: ToSchema>(self, status: u16, description: &str) -> Answers {
        self.one(status, json::<T>(description))
    }

    /// A success with a reservation.
    fn reservation(self, status: u16, description: &str) -> Answers {
        self.one(status, reservation(description))
    }

    /// A success with an item's books.
    fn books(self, status: u16, description: &str) -> Answers {
        let link = |operation: &str| {
            LinkBuilder::new().operation_id(operation).parameter("sku", "$response.body#/sku").build()
        };
        let response = json::<BooksView>(description)
            .link("books", link("get_item"))
            .link("receive", link("receive"))
            .link("writeOff", link("write_off"))
            .link("transfer", link("transfer"));
        self.one(status, response)
    }

    /// These problems, each status once with all its codes.
    pub fn problems(mut self, codes: &[&[Code]]) -> Answers {
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in codes.iter().copied().flatten() {
            let of_status = by_status.entry(code.row().status).or_default();
            if !of_status.contains(code) {
                of_status.push(*code);
            }
        }
        self.is_keyed = by_status.contains_key(&KeyReused.row().status);
        let waits = |code: &&Code| matches!(code, InsufficientStock | OutcomeUnknown);
        self.may_wait |= codes.iter().copied().flatten().any(|code| waits(&code));
        by_status
            .into_iter()
            .fold(self, |answers, (status, codes)| answers.one(status, problem(status, &codes)))
    }

    /// Other nodes may be asked before it is answered. Told by the codes as well.
    fn may_wait(mut self) -> Answers {
        self.may_wait = true;
        self
    }

    pub fn done(mut self) -> BTreeMap<String, RefOr<Response>> {
        if self.is_keyed {
            // What a key remembers: see `Refusal::is_remembered`.
            let is_remembered =
                |status: &str| status.starts_with('2') || ["404", "409", "410"].contains(&status);
            for (_, response) in self.responses.iter_mut().filter(|(status, _)| is_remembered(status)) {
                response
                    .headers
                    .insert("Idempotent-Replayed".to_owned(), RefOr::Ref(header("Idempotent-Replayed")));
            }
        }
        if self.may_wait {
            let is_decided = |status: &str| {
                status.starts_with('2') || ["404", "409", "410", "412", "503", "504"].contains(&status)
            };
            for (_, response) in self.responses.iter_mut().filter(|(status, _)| is_decided(status)) {
                response.headers.insert("Server-Timing".to_owned(), RefOr::Ref(header("Server-Timing")));
            }
        }
        self.responses.into_iter().map(|(status, response)| (status, response.into())).collect()
    }
}

fn json<T: ToSchema>(description: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(shape::reference::<T>()));
    ResponseBuilder::new().description(description).content(JSON, content.build())
}

fn reservation(description: &str) -> ResponseBuilder {
    let link =
        |operation: &str| LinkBuilder::new().operation_id(operation).parameter("id", "$response.body#/id");
    let unchanged = link("confirm_reservation")
        .parameter("header.If-Match", "$response.header.ETag")
        .description("Sell it, unless it was changed meanwhile.");
    json::<ReservationView>(description)
        .header_ref("ETag", header("ETag"))
        .link("read", link("get_reservation").build())
        .link("confirm", link("confirm_reservation").build())
        .link("confirmUnchanged", unchanged.build())
        .link("cancel", link("cancel_reservation").build())
        .link("extend", link("extend_reservation").build())
}

fn minted(description: &str) -> ResponseBuilder {
    reservation(description).header_ref("Location", header("Location"))
}

fn problem(status: u16, codes: &[Code]) -> ResponseBuilder {
    let lines: Vec<String> =
        codes.iter().map(|code| format!("- `{}`: {}", code.row().code, code.row().title)).collect();
    let words = codes.iter().map(|code| code.row().code);
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    let number = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status]));
    let narrowed =
        ObjectBuilder::new().schema_type(Type::Object).property("status", number).property("code", code);
    let schema: Schema =
        AllOfBuilder::new().item(shape::reference::<super::views::Problem>()).item(narrowed).into();
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description(lines.join("\n")).content(PROBLEM, content);
    match codes.iter().any(|code| code.row().retry_after.is_some()) {
        true => response.header_ref("Retry-After", header("Retry-After")),
        false => response,
    }
}

/// Defines all that a call can answer, to be named at its handler.
macro_rules! answers {
    ($($name:ident = $answers:expr;)+) => { $(
        #[doc = concat!("What `", stringify!($name), "` can answer.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                $answers.done()
            }
        }
    )+ };
}

pub(super) use answers;

answers! {
    ListReservations = Answers::default()
        .one(200, json::<ReservationPage>("A page of this node's reservations, in order of their ids."))
        .problems(&[ANY, ASKED]);

    PostReservation = Answers::default()
        .one(201, minted("All lines are held."))
        .problems(&[ANY, ASKED, BODY, KEYED, &[
            UnknownSku, InsufficientStock, AutonomySpent, MaxPerOrder, Draining,
        ]]);

    GetReservation = Answers::default()
        .reservation(200, "The reservation.")
        .problems(&[ANY, ASKED, ELSEWHERE, &[ReservationNotFound]]);

    PutReservation = Answers::default()
        .reservation(200, "It was there: unchanged if its lines are the same, else replaced or held anew.")
        .reservation(201, "All lines are held.")
        .problems(&[ANY, ASKED, BODY, KEYED, ELSEWHERE, &[
            UnknownSku, InsufficientStock, AutonomySpent, AlreadyConfirmed, AlreadyCancelled, MaxPerOrder,
            VersionMismatch, Draining,
        ]]);

    Confirm = Answers::default()
        .reservation(200, "It is sold.")
        .problems(&[ANY, ASKED, BODY, KEYED, ELSEWHERE, &[
            ReservationNotFound, UnknownSku, MaxPerOrder, AutonomySpent, AlreadyCancelled, Expired, VersionMismatch,
        ]]);

    Cancel = Answers::default()
        .reservation(200, "Its units are for sale again.")
        .problems(&[ANY, ASKED, BODY, KEYED, ELSEWHERE, &[ReservationNotFound, AlreadyConfirmed]]);

    Extend = Answers::default()
        .reservation(200, "It has a new deadline.")
        .problems(&[ANY, ASKED, BODY, KEYED, ELSEWHERE, &[
            ReservationNotFound, AlreadyConfirmed, AlreadyCancelled, Expired,
        ]]);

    Batch = Answers::default()
        .may_wait()
        .json::<BatchResults>(200, "One result for each operation, in the same order.")
        .problems(&[ANY, ASKED, BODY, KEYED]);

    Sell = Answers::default()
        .one(201, minted("The units are sold."))
        .problems(&[ANY, ASKED, BODY, KEYED, &[
            IdempotencyKeyRequired, UnknownSku, InsufficientStock, AutonomySpent, MaxPerOrder, Draining,
        ]]);

    GiveBack = Answers::default()
        .json::<ReturnView>(201, "The units are for sale again, at this node.")
        .problems(&[ANY, ASKED, BODY, KEYED, &[IdempotencyKeyRequired, UnknownSku]]);

    Availability = Answers::default()
        .one(200, json::<AvailabilityView>("Each item once, in the order asked for.")
            .header_ref("ETag", header("View-ETag"))
            .header_ref("Cache-Control", header("Cache-Control")))
        .one(304, ResponseBuilder::new()
            .description("Nothing but `as_of` and `stale_ms` has changed.")
            .header_ref("ETag", header("View-ETag"))
            .header_ref("Cache-Control", header("Cache-Control")))
        .problems(&[ANY]);

    ListItems = Answers::default()
        .json::<ItemPage>(200, "A page of the items, in order of their skus.")
        .problems(&[ANY, ASKED]);

    GetItem = Answers::default()
        .books(200, "The item's books.")
        .problems(&[ANY, ASKED, &[UnknownSku]]);

    PutItem = Answers::default()
        .books(200, "The item was there; these are its settings now.")
        .books(201, "The item is new.")
        .problems(&[ANY, ASKED, BODY, KEYED, &[UnknownNode]]);

    Receive = Answers::default()
        .books(201, "The units are for sale at this node.")
        .problems(&[ANY, ASKED, BODY, KEYED, &[IdempotencyKeyRequired, UnknownSku]]);

    WriteOff = Answers::default()
        .books(201, "The units are gone from this node.")
        .problems(&[ANY, ASKED, BODY, KEYED, &[
            IdempotencyKeyRequired, UnknownSku, NotFreeHere, AutonomySpent,
        ]]);

    Transfer = Answers::default()
        .books(200, "The giver's debit is durable; the other node gets the units when it hears of it.")
        .problems(&[ANY, ASKED, BODY, KEYED, &[
            IdempotencyKeyRequired, UnknownSku, UnknownNode, NotFreeHere, NodeUnreachable, OutcomeUnknown,
        ]]);

    Rebalance = Answers::default()
        .json::<MovesView>(200, "The moves that the policy wants; an empty list when all is where it should be.")
        .problems(&[ANY, ASKED, BODY, &[UnknownSku]]);

    Nodes = Answers::default()
        .json::<NodesView>(200, "Every node of the cluster, as this one sees it.")
        .problems(&[ANY, ASKED]);

    Check = Answers::default()
        .json::<CheckView>(200, "What was found; an empty list of violations is good.")
        .problems(&[ANY, ASKED]);

    Livez = Answers::default().json::<Live>(200, "The process answers.");

    Readyz = Answers::default()
        .json::<Ready>(200, "The node takes requests.")
        .one(503, json::<Ready>("The node takes no requests now.").header_ref("Retry-After", header("Retry-After")));

    VersionAnswer = Answers::default().json::<Version>(200, "What runs here.");

    Metrics = Answers::default().one(200, ResponseBuilder::new()
        .description("OpenMetrics text.")
        .content(
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build(),
        ));

    Document = Answers::default().one(200, ResponseBuilder::new()
        .description("OpenAPI 3.1, in JSON.")
        .content(JSON, ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::Object))).build()));
}
