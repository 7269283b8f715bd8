//! The OpenAPI 3.1 documents: one for each listener, made from the routes it really has.
//!
//! A handler carries its description (`#[utoipa::path]`: method, path, parameters, body,
//! answers), and [`Routes`] takes handlers only together with it, so a call cannot be served
//! without being described. What every call has in common is added at the end, by [`completed`].
//!
//! Bodies: [`requests`]; what is around them: [`parameters`]; answers: [`responses`], whose shapes
//! are those of the model, and [`views`]; the small parts of all: [`shape`]. [`described`] has
//! the shapes of the calls whose answers no type of the handlers describes.
//!
//! Promises: the document is the same for every node of one version, and is made once. It leaves to
//! the handlers to be as it says; tests and `.ci/schemathesis` hold the two together.

pub mod described;
pub mod parameters;
pub mod requests;
pub mod responses;
pub mod shape;
#[cfg(test)]
mod tests;
pub mod views;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::response::Response;
use axum::{Extension, Router};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder, OpenApiVersion, RefOr, Required};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::call::Api;
use super::problem::{Code, Problem};
use super::{health, model};

/// Which of the two a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Storefront,
    Admin,
}

/// The text of a listener's document, set once all its routes are known.
#[derive(Clone, Debug, Default)]
struct Text(Arc<OnceLock<Bytes>>);

/// The calls of one listener, each with its description.
pub(super) struct Routes {
    calls: OpenApiRouter<Api>,
    text: Text,
}

impl Routes {
    /// What both listeners serve.
    pub(super) fn new(side: Side) -> Routes {
        let text = Text::default();
        let calls = OpenApiRouter::with_openapi(frame(side))
            .routes(routes!(health::livez))
            .routes(routes!(health::readyz))
            .routes(routes!(health::version))
            .routes(routes!(document).layer(Extension(text.clone())));
        Routes { calls, text }
    }

    /// Adds the handlers of one path.
    pub(super) fn with(self, calls: UtoipaMethodRouter<Api>) -> Routes {
        Routes { calls: self.calls.routes(calls), ..self }
    }

    /// A router of these calls and nothing else; whatever is asked beside them is refused.
    pub(super) fn served(self, api: Api) -> Router {
        let (router, document) = self.calls.split_for_parts();
        // Set here and nowhere else, and `self` is gone now: it cannot be set already.
        let _ = self.text.0.set(text(&completed(document)).into());
        router
            .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
            .fallback(|| async { Problem::new(Code::NotFound) })
            .with_state(api)
    }

    #[cfg(test)]
    fn document(self) -> OpenApi {
        completed(self.calls.into_openapi())
    }
}

/// This document
///
/// What this listener serves, as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "openapi",
    tag = "node",
    responses(responses::Document)
)]
async fn document(Extension(text): Extension<Text>) -> Response {
    let bytes = text.0.get().cloned().unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A document as it is served and committed.
fn text(document: &OpenApi) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("its maps have text keys");
    text.push('\n');
    text
}

const STOREFRONT: &str = "\
Reserve, confirm and sell stock, and read what a product page needs.

A reservation belongs to the node that took it: send retries there. A retry to another node carries \
`Stockade-Retry: 1`. Every refusal is `application/problem+json` with a stable `code`; every 503 comes with \
`Retry-After` and means that nothing was done. A 504, or a connection that closes without an answer, means \
that nobody knows: send the same request again, it is safe under the same reservation id or `Idempotency-Key`.

Bodies are strict JSON: unknown and repeated fields, `null`, and numbers with a fraction or an exponent are \
refused. A path with a method that it does not have answers 405 with `Allow`, an unknown path 404 `not_found`.";

const ADMIN: &str = "\
Items and their settings, deliveries, write-offs, transfers, and the state of the cluster.

Keep this listener from the public: whoever reaches it may change stock. Every refusal is \
`application/problem+json` with a stable `code`; every 503 comes with `Retry-After` and means that nothing was \
done. A 504, or a connection that closes without an answer, means that nobody knows: send the same request \
again, it is safe under the same `Idempotency-Key`.

Bodies are strict JSON: unknown and repeated fields, `null`, and numbers with a fraction or an exponent are \
refused. A path with a method that it does not have answers 405 with `Allow`, an unknown path 404 `not_found`.";

/// A document without calls.
fn frame(side: Side) -> OpenApi {
    let (title, description) = match side {
        Side::Storefront => ("Stockade storefront", STOREFRONT),
        Side::Admin => ("Stockade admin", ADMIN),
    };
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description))
        .license(Some(license))
        .build();
    OpenApiBuilder::new().openapi(OpenApiVersion::Version31).info(info).build()
}

/// Calls whose body may be left out.
const BODY_OPTIONAL: [&str; 3] = ["confirm_reservation", "cancel_reservation", "rebalance"];

/// Adds what all calls have in common, and the components that any of it refers to.
fn completed(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            if operation.operation_id.as_deref().is_some_and(|id| BODY_OPTIONAL.contains(&id))
                && let Some(RefOr::T(body)) = &mut operation.request_body
            {
                body.required = Some(Required::False);
            }
            operation.parameters.get_or_insert_default().push(parameters::request_id().into());
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response
                        .headers
                        .insert("X-Request-Id".to_owned(), RefOr::Ref(responses::header("X-Request-Id")));
                }
            }
        }
    }
    let mut components = components();
    // Macros put some of these there already; ours is the whole list.
    document.components = None;
    retain_used(&document, &mut components);
    document.components = Some(components);
    document
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post].into_iter().filter_map(Option::as_mut)
}

/// Every schema and header there is.
fn components() -> utoipa::openapi::Components {
    fn add<T: ToSchema>(builder: ComponentsBuilder) -> ComponentsBuilder {
        let mut within = Vec::new();
        T::schemas(&mut within);
        let builder =
            within.into_iter().fold(builder, |builder, (name, schema)| builder.schema(name, schema));
        builder.schema(T::name(), T::schema())
    }
    let mut builder = ComponentsBuilder::new();
    macro_rules! add_all {
        ($($schema:ty),+ $(,)?) => { $(builder = add::<$schema>(builder);)+ };
    }
    add_all![
        shape::Sku,
        shape::ReservationId,
        shape::NodeName,
        shape::RegionName,
        shape::Time,
        shape::TimeGiven,
        shape::Quantity,
        shape::Text,
        shape::Lines,
        requests::Line,
        requests::HoldRequest,
        requests::ConfirmRequest,
        requests::CancelRequest,
        requests::ExtendRequest,
        requests::SaleRequest,
        requests::ReturnRequest,
        requests::BatchRequest,
        requests::ItemRequest,
        requests::Quota,
        requests::Launch,
        requests::MovementRequest,
        requests::TransferRequest,
        requests::RebalanceRequest,
        requests::Operation,
        views::State,
        views::VerdictWord,
        views::StatusWord,
        views::RebalanceWord,
        views::ReservationPage,
        views::ItemPage,
        views::BatchResults,
        views::BatchResult,
        views::Problem,
        super::problem::FieldError,
        model::ReservationView,
        model::CappedView,
        model::ShortfallView,
        model::ReturnView,
        model::AvailabilityView,
        model::BooksView,
        model::QuotaView,
        model::LaunchView,
        super::rebalance::MovesView,
        model::NodesView,
        model::CheckView,
        health::Live,
        health::Ready,
        health::Version,
        described::Cause,
        described::HistoryPage,
        described::Change,
        described::Amounts,
        described::ImportCsv,
        described::ImportLines,
        described::ImportResult,
        described::ReloadResult,
        described::LastRefusal,
        described::Events,
    ];
    let mut components = builder.build();
    components.headers = responses::headers();
    components
}

/// Drops the components that nothing in the document leads to.
fn retain_used(document: &OpenApi, components: &mut utoipa::openapi::Components) {
    let all = serde_json::to_value(&*components).expect("its maps have text keys");
    let mut used = BTreeSet::new();
    let mut open = vec![serde_json::to_value(document).expect("its maps have text keys")];
    while let Some(value) = open.pop() {
        for name in references(&value) {
            if let Some(component) = all.pointer(name.trim_start_matches("#/components"))
                && used.insert(name)
            {
                open.push(component.clone());
            }
        }
    }
    components.schemas.retain(|name, _| used.contains(&format!("#/components/schemas/{name}")));
    components.headers.retain(|name, _| used.contains(&format!("#/components/headers/{name}")));
}

/// Every `$ref` in a value.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(target) if name == "$ref" => vec![target.clone()],
                other => references(other),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
