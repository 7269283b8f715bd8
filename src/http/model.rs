//! What answers look like: the JSON of the contract, made from the vocabulary's types.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::{described, shape, views};
use super::time;
use crate::node::Availability;
use crate::types::{
    Autonomy, Books, Capped, CheckReport, Claimed, LastRefusal, Launch, Line, NodeBooks, NodeName,
    NodeStatus, Policy, Quota, Region, Reservation, Shortfall, Timestamp, Totals, Violation,
};

/// A JSON response.
pub(super) fn json(status: StatusCode, mut headers: HeaderMap, view: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(view).expect("views serialise: their maps have text keys");
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A JSON response without headers of its own.
pub(super) fn plain(status: StatusCode, view: &impl Serialize) -> Response {
    json(status, HeaderMap::new(), view)
}

/// 201 for what was not there before, else 200.
pub(super) fn created_or_ok(created: bool) -> StatusCode {
    if created { StatusCode::CREATED } else { StatusCode::OK }
}

/// Text of a page's entries after which it ends before its limit: so much more than that, and
/// one entry, a client can make the node hold with one request.
pub const PAGE_BYTES: usize = 256 * 1024;

/// A list, and where the next page begins.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

impl<T: Serialize> Page<T> {
    /// As many of the entries as fit on a page, one at least. `cursor`: where the page after an
    /// entry begins; `next`: where the one after all of them does.
    pub(super) fn of<E>(
        entries: &[E],
        next: Option<String>,
        view: impl Fn(&E) -> T,
        cursor: impl Fn(&E) -> String,
    ) -> Page<T> {
        let (mut items, mut size) = (Vec::new(), Counted(0));
        for entry in entries {
            let item = view(entry);
            let before = size.0;
            serde_json::to_writer(&mut size, &item).expect("views serialise: their maps have text keys");
            if size.0 > PAGE_BYTES && before > 0 {
                break;
            }
            items.push(item);
        }
        let rest_begins = (items.len() < entries.len()).then(|| items.len().checked_sub(1)).flatten();
        let next = rest_begins.and_then(|last| entries.get(last)).map(cursor).or(next);
        Page { items, next }
    }
}

/// Bytes that were written to nowhere.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// So many units of one item; each item once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReservedLine)]
struct LineView {
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// Units of it.
    quantity: u64,
}

/// A reservation, as the node that has it sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reservation)]
pub(super) struct ReservationView {
    #[schema(value_type = shape::ReservationId)]
    id: String,
    #[schema(value_type = views::State)]
    state: &'static str,
    /// Goes up with each change of lines; the `ETag` is the same.
    version: u64,
    /// The node that took it, and where retries belong.
    #[schema(value_type = shape::NodeName)]
    node: String,
    #[schema(value_type = shape::RegionName)]
    region: String,
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    created_at: Timestamp,
    /// Until then its units are held.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    expires_at: Timestamp,
    lines: Vec<LineView>,
}

impl ReservationView {
    pub(super) fn new(claimed: &Claimed) -> ReservationView {
        ReservationView::of(&claimed.reservation, &claimed.node, &claimed.region)
    }

    /// A reservation of this home.
    pub(super) fn of(reservation: &Reservation, node: &NodeName, region: &Region) -> ReservationView {
        let line = |line: &Line| LineView { sku: line.sku.to_string(), quantity: line.quantity.0 };
        ReservationView {
            id: reservation.id.to_string(),
            state: reservation.state.as_str(),
            version: reservation.version,
            node: node.to_string(),
            region: region.to_string(),
            created_at: reservation.created_at,
            expires_at: reservation.deadline,
            lines: reservation.lines.iter().map(line).collect(),
        }
    }
}

/// A line for which there were not enough units.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Shortfall)]
pub(super) struct ShortfallView {
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// Units that the request wanted of it.
    requested: u64,
    /// Free units at this node.
    available_here: u64,
    #[schema(value_type = views::VerdictWord)]
    verdict: &'static str,
    /// Free units that reachable nodes were known to have.
    elsewhere: u64,
    /// Nodes that were silent.
    #[schema(value_type = Vec<shape::NodeName>)]
    unreachable: Vec<String>,
    /// The oldest thing this rests on is at least as new.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    as_of: Timestamp,
}

impl ShortfallView {
    pub(super) fn new(shortfall: &Shortfall) -> ShortfallView {
        ShortfallView {
            sku: shortfall.sku.to_string(),
            requested: shortfall.requested.0,
            available_here: shortfall.available_here.0,
            verdict: shortfall.verdict.as_str(),
            elsewhere: shortfall.elsewhere.0,
            unreachable: shortfall.unreachable.iter().map(ToString::to_string).collect(),
            as_of: shortfall.as_of,
        }
    }
}

/// A line whose units are here, of which this node may not sell so many before others know.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Capped)]
pub(super) struct CappedView {
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// Units that the request wanted of it.
    requested: u64,
    /// Free units at this node.
    available_here: u64,
    /// How many of those it may sell now.
    sellable: u64,
}

impl CappedView {
    pub(super) fn new(capped: &Capped) -> CappedView {
        CappedView {
            sku: capped.sku.to_string(),
            requested: capped.requested.0,
            available_here: capped.available_here.0,
            sellable: capped.sellable.0,
        }
    }
}

/// Units that came back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Return)]
pub(super) struct ReturnView {
    #[schema(value_type = shape::Sku)]
    pub(super) sku: String,
    /// Units that came back.
    pub(super) quantity: u64,
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reference: Option<String>,
    #[schema(value_type = shape::NodeName)]
    pub(super) node: String,
    #[schema(value_type = shape::RegionName)]
    pub(super) region: String,
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    pub(super) returned_at: Timestamp,
}

/// What a product page needs, as this node knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Availability)]
pub(super) struct AvailabilityView {
    #[schema(value_type = shape::NodeName)]
    pub(super) node: String,
    #[schema(value_type = shape::RegionName)]
    pub(super) region: String,
    pub(super) items: Vec<AvailableItem>,
}

/// One item on a product page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AvailableItem)]
pub(super) struct AvailableItem {
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// What this node could sell now without asking.
    here: u64,
    /// `here`, and what this node last heard of the others.
    everywhere: u64,
    #[schema(value_type = views::StatusWord)]
    status: &'static str,
    /// The oldest thing this rests on is at least as new.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    as_of: Timestamp,
    /// How old that is, in milliseconds.
    stale_ms: u64,
}

impl AvailableItem {
    pub(super) fn new(item: &Availability) -> AvailableItem {
        AvailableItem {
            sku: item.sku.to_string(),
            here: item.here.0,
            everywhere: item.everywhere.0,
            status: item.status.as_str(),
            as_of: item.as_of,
            stale_ms: item.stale.0,
        }
    }
}

/// An item's books.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Books)]
pub(super) struct BooksView {
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// The name that an admin set.
    name: Option<String>,
    /// Whether the books add up, with everything at hand that they rest on.
    balanced: bool,
    totals: TotalsView,
    nodes: Vec<NodeBooksView>,
    policy: PolicyView,
    /// The newest line about it that this node refused for want of stock, since its start.
    #[schema(value_type = Option<described::LastRefusal>)]
    last_refusal: Option<LastRefusalView>,
}

#[derive(Debug, Serialize)]
struct LastRefusalView {
    #[serde(serialize_with = "time::serialize")]
    at: Timestamp,
    #[serde(flatten)]
    shortfall: ShortfallView,
}

/// Sums over all nodes. received + returned - retired = sold + held + available + in_flight.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Totals)]
struct TotalsView {
    /// Units that arrived.
    received: u64,
    /// Units that came back from buyers.
    returned: u64,
    /// Units that left unsold.
    retired: u64,
    /// Units confirmed.
    sold: u64,
    /// Units in held reservations.
    held: u64,
    /// Units that are free.
    available: u64,
    /// Units that one node has sent and the other has not credited yet.
    in_flight: u64,
}

/// One node's part of an item's books.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeBooks)]
struct NodeBooksView {
    #[schema(value_type = shape::NodeName)]
    node: String,
    #[schema(value_type = shape::RegionName)]
    region: String,
    /// Which disk of the node this is; another one after the node started over.
    replica_id: String,
    /// Units that arrived at this node.
    received: u64,
    /// Units that buyers gave back at this node.
    returned: u64,
    /// Units written off at this node.
    retired: u64,
    /// Units confirmed by this node.
    sold: u64,
    /// Units in reservations that this node holds.
    held: u64,
    /// Units that this node can sell.
    available: u64,
    /// What it has credited from others.
    given: u64,
    /// All that it has given away.
    sent: u64,
    /// Units that it ever held, sold at once or wrote off, those that were let go again among them.
    taken: u64,
    /// It takes no more than this before it has told others of a higher mark; null: without bound.
    mark: Option<u64>,
    /// What of its mark enough others have confirmed: it takes no more than this; null: without bound. Of
    /// another node, as it was when that one last changed its part.
    limit: Option<u64>,
    /// What is known of the node's part is at least as new.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    as_of: Timestamp,
}

/// What an admin has set, in the form in which it is set: it can be put back as it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
pub(super) struct PolicyView {
    /// What people call the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// At or under so many units everywhere a product page says `low_stock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    low_stock: Option<u64>,
    /// Most units of it in one reservation or sale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_per_order: Option<u64>,
    #[schema(value_type = views::RebalanceWord)]
    rebalance: &'static str,
    /// How much of it nodes should have, by their names.
    #[schema(schema_with = shape::by_node::<QuotaView>)]
    quotas: BTreeMap<String, QuotaView>,
    /// What buyers are expected to ask for at its launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    launch: Option<LaunchView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = shape::Autonomy)]
    autonomy: Option<AutonomyView>,
}

/// A number where it is one, else a text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum AutonomyView {
    Units(u64),
    Text(String),
}

impl AutonomyView {
    fn new(autonomy: Autonomy) -> AutonomyView {
        match autonomy {
            Autonomy::Units(units) => AutonomyView::Units(units.0),
            Autonomy::All | Autonomy::Percent(_) => AutonomyView::Text(autonomy.to_string()),
        }
    }
}

/// What buyers are expected to ask for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LaunchSet)]
pub(super) struct LaunchView {
    /// It counts until then.
    #[serde(serialize_with = "time::serialize")]
    #[schema(value_type = shape::Time)]
    until: Timestamp,
    /// Units, by the name of the node that buyers are expected to ask for them.
    #[schema(schema_with = shape::by_node::<shape::Quantity>)]
    expected: BTreeMap<String, u64>,
}

/// How much of an item a node should have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuotaSet)]
pub(super) struct QuotaView {
    /// Scales the node's share; 1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    weight: Option<u64>,
    /// Units that others may not ask away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min: Option<u64>,
    /// Units beyond which the node asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max: Option<u64>,
    /// Exactly so many: `min` and `max` at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pinned: Option<u64>,
}

impl BooksView {
    pub(super) fn new(books: &Books) -> BooksView {
        BooksView {
            sku: books.sku.to_string(),
            name: books.policy.name.clone(),
            balanced: books.balanced,
            totals: totals(&books.totals),
            nodes: books.nodes.iter().map(node_books).collect(),
            policy: policy(&books.policy),
            last_refusal: books.last_refusal.as_deref().map(last_refusal),
        }
    }
}

fn last_refusal(refusal: &LastRefusal) -> LastRefusalView {
    LastRefusalView { at: refusal.at, shortfall: ShortfallView::new(&refusal.shortfall) }
}

fn totals(totals: &Totals) -> TotalsView {
    TotalsView {
        received: totals.received.0,
        returned: totals.returned.0,
        retired: totals.retired.0,
        sold: totals.sold.0,
        held: totals.held.0,
        available: totals.available.0,
        in_flight: totals.in_flight.0,
    }
}

fn node_books(books: &NodeBooks) -> NodeBooksView {
    NodeBooksView {
        node: books.node.to_string(),
        region: books.region.to_string(),
        replica_id: books.replica_id.to_string(),
        received: books.received.0,
        returned: books.returned.0,
        retired: books.retired.0,
        sold: books.sold.0,
        held: books.held.0,
        available: books.available.0,
        given: books.given.0,
        sent: books.sent.0,
        taken: books.taken.0,
        mark: books.mark.map(|units| units.0),
        limit: books.limit.map(|units| units.0),
        as_of: books.as_of,
    }
}

pub(super) fn policy(policy: &Policy) -> PolicyView {
    let quota = |quota: &Quota| QuotaView {
        weight: quota.weight,
        min: quota.min.map(|units| units.0),
        max: quota.max.map(|units| units.0),
        pinned: quota.pinned.map(|units| units.0),
    };
    let launch = |launch: &Launch| LaunchView {
        until: launch.until,
        expected: launch.expected.iter().map(|(node, units)| (node.to_string(), units.0)).collect(),
    };
    PolicyView {
        name: policy.name.clone(),
        low_stock: policy.low_stock.map(|units| units.0),
        max_per_order: policy.max_per_order.map(|units| units.0),
        rebalance: policy.rebalance.as_str(),
        quotas: policy.quotas.iter().map(|(node, set)| (node.to_string(), quota(set))).collect(),
        launch: policy.launch.as_ref().map(launch),
        autonomy: policy.autonomy.map(AutonomyView::new),
    }
}

/// The cluster as one node sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Nodes)]
pub(super) struct NodesView {
    #[schema(value_type = shape::NodeName)]
    pub(super) node: String,
    pub(super) nodes: Vec<NodeView>,
}

/// One node as another sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeView {
    #[schema(value_type = shape::NodeName)]
    name: String,
    #[schema(value_type = shape::RegionName)]
    region: String,
    /// Which disk of the node this is.
    replica_id: String,
    /// Whether this is the node that answers.
    #[serde(rename = "self")]
    is_self: bool,
    #[schema(schema_with = views::node_state)]
    state: &'static str,
    #[schema(schema_with = views::link)]
    link: &'static str,
    /// With microseconds, because nodes of one region are closer than a millisecond.
    rtt_ms: Option<f64>,
    /// Changes that it has announced and that are not here yet.
    lag: u64,
    #[serde(serialize_with = "time::serialize_option")]
    #[schema(value_type = Option<shape::Time>)]
    last_heard: Option<Timestamp>,
}

impl NodeView {
    pub(super) fn new(status: &NodeStatus, rtt: Option<Duration>) -> NodeView {
        NodeView {
            name: status.name.to_string(),
            region: status.region.to_string(),
            replica_id: status.replica_id.to_string(),
            is_self: status.is_self,
            state: status.state.as_str(),
            link: if status.is_self || status.linked { "up" } else { "down" },
            rtt_ms: rtt
                .filter(|_| status.linked && !status.is_self)
                .map(|rtt| rtt.as_micros() as f64 / 1000.0),
            lag: status.lag,
            last_heard: status.last_heard,
        }
    }
}

/// What recomputing every invariant has found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
pub(super) struct CheckView {
    #[schema(value_type = shape::NodeName)]
    node: String,
    /// Items checked.
    items: u64,
    /// Over all rows, in hexadecimal; equal on nodes that know the same.
    books_digest: String,
    violations: Vec<ViolationView>,
}

/// An invariant that does not hold: always a defect or damage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Violation)]
struct ViolationView {
    /// Its name.
    invariant: String,
    #[schema(value_type = Option<shape::Sku>)]
    sku: Option<String>,
    /// What was found, for people.
    detail: String,
}

impl CheckView {
    pub(super) fn new(report: CheckReport) -> CheckView {
        let violation = |violation: Violation| ViolationView {
            invariant: violation.invariant,
            sku: violation.sku.map(|sku| sku.to_string()),
            detail: violation.detail,
        };
        CheckView {
            node: report.node.to_string(),
            items: report.items,
            books_digest: report.books_digest,
            violations: report.violations.into_iter().map(violation).collect(),
        }
    }
}
