//! What the policy would move between nodes, and to have it moved now.

use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::{Answered, Api, Call};
use super::fields::{Fields, read_body};
use super::model::plain;
use super::openapi::{requests, responses, shape};
use super::problem::Errors;
use crate::types::{Answer, Command, NodeName, PlannedMove, Sku};

/// Most moves in one answer, and how many when the request does not say.
pub(super) const MAX_MOVES: u64 = 1_000;

/// Move units now, or tell what would move
///
/// The moves that the policy wants, by what this node knows, item by item in order of their skus. Unless it is
/// a dry run, those that this node can begin are begun at once: it gives what it should give, and asks for what
/// it should get. The others are for the nodes they name. Nodes do the same by themselves all the time; this is
/// for those who do not want to wait. Safe to repeat: what is needed is worked out anew.
#[utoipa::path(
    post, path = "/v1/rebalance", operation_id = "rebalance", tag = "stock",
    request_body = requests::RebalanceRequest,
    responses(responses::Rebalance)
)]
pub(super) async fn post(State(api): State<Api>, call: Call) -> Answered {
    let body = call.optional_json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let (command, dry_run) = read_body(body, errors, |fields| Some(rebalance(fields)))?;
    let show = |answer| match answer {
        Answer::Moves { node, moves, next } => {
            Some(plain(StatusCode::OK, &MovesView::new(&node, dry_run, &moves, next.as_ref())))
        }
        _ => None,
    };
    api.decide(command, None, &[], show).await
}

fn rebalance(fields: &mut Fields<'_, '_>) -> (Command, bool) {
    let dry_run = fields.boolean("dry_run").unwrap_or_default();
    let sku = fields.id("sku", Sku::new);
    let after = fields.id("cursor", Sku::new);
    let limit = fields.integer("limit", 1..=MAX_MOVES).unwrap_or(MAX_MOVES) as u32;
    (Command::Rebalance { sku, dry_run, after, limit }, dry_run)
}

/// What the policy wants moved, as one node sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Moves)]
pub(super) struct MovesView {
    /// The node that answers.
    #[schema(value_type = shape::NodeName)]
    node: String,
    /// Whether nothing was begun, because only the plan was asked for.
    dry_run: bool,
    moves: Vec<MoveView>,
    /// The `cursor` of the next page; null on the last.
    #[schema(value_type = Option<shape::Sku>)]
    next: Option<String>,
}

/// Units that one node should give to another.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Move, examples(json!({
    "sku": "MUG", "from": "eu-1", "to": "us-1", "quantity": 12,
    "why": "us-1 sells 3 a minute and has 4 free; eu-1 has 60 more than it should",
    "begun": false
})))]
struct MoveView {
    #[schema(value_type = shape::Sku)]
    sku: String,
    /// The node that gives.
    #[schema(value_type = shape::NodeName)]
    from: String,
    /// The node that gets.
    #[schema(value_type = shape::NodeName)]
    to: String,
    /// Units to move.
    quantity: u64,
    /// The numbers that led to it, for people.
    why: String,
    /// Whether this node has begun it.
    begun: bool,
}

impl MovesView {
    fn new(node: &NodeName, dry_run: bool, moves: &[PlannedMove], next: Option<&Sku>) -> MovesView {
        let view = |planned: &PlannedMove| MoveView {
            sku: planned.sku.to_string(),
            from: planned.from.to_string(),
            to: planned.to.to_string(),
            quantity: planned.quantity.0,
            why: planned.why.clone(),
            begun: planned.begun,
        };
        MovesView {
            node: node.to_string(),
            dry_run,
            moves: moves.iter().map(view).collect(),
            next: next.map(Sku::to_string),
        }
    }
}
