//! The cluster as this node sees it, and the check of everything.

use axum::extract::State;
use hyper::StatusCode;

use super::call::{Answered, Api, Call};
use super::model::{CheckView, NodeView, NodesView, plain};
use super::openapi::responses;
use super::problem::Errors;
use crate::types::{Answer, Command};

/// List the nodes
///
/// With the state of the links to them, as this node sees it.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "nodes", tag = "cluster", responses(responses::Nodes))]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    errors.finish(Some(()))?;
    let show = |answer| match answer {
        Answer::Nodes { node, nodes } => {
            let view = |status| NodeView::new(status, api.handle.rtt(&status.name));
            let nodes = nodes.iter().map(view).collect();
            Some(plain(StatusCode::OK, &NodesView { node: node.to_string(), nodes }))
        }
        _ => None,
    };
    api.decide(Command::Nodes, None, &[], show).await
}

/// Check the books
///
/// Recomputes every invariant over the whole state. Takes a while with many items.
#[utoipa::path(get, path = "/v1/check", operation_id = "check", tag = "cluster", responses(responses::Check))]
pub(super) async fn check(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    errors.finish(Some(()))?;
    let show = |answer| match answer {
        Answer::Check(report) => Some(plain(StatusCode::OK, &CheckView::new(report))),
        _ => None,
    };
    api.decide(Command::Check, None, &[], show).await
}
