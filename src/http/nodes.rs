//! The cluster as this node sees it, and the check of everything.

use axum::extract::State;
use hyper::StatusCode;

use super::call::{Answered, Api, Call};
use super::fields::read_body;
use super::model::{CheckView, NodeView, NodesView, plain};
use super::openapi::{described, parameters, responses};
use super::problem::Errors;
use crate::types::{Answer, Command, NodeName};

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

/// Drain a node
///
/// It takes no new reservations from now on and hands its free rights to the others; what it holds
/// is finished there. `drained` in `GET /v1/nodes` says when nothing is left.
#[utoipa::path(
    post,
    path = "/v1/nodes/{name}/drain",
    operation_id = "drain_node",
    tag = "cluster",
    params(described::Node, parameters::UsefulKey),
    responses(described::DrainOrResume)
)]
pub(super) async fn drain(State(api): State<Api>, call: Call) -> Answered {
    set_draining(&api, &call, true).await
}

/// Resume a node
///
/// Undoes a drain: it takes reservations again, and rights move to it as buyers come.
#[utoipa::path(
    post,
    path = "/v1/nodes/{name}/resume",
    operation_id = "resume_node",
    tag = "cluster",
    params(described::Node, parameters::UsefulKey),
    responses(described::DrainOrResume)
)]
pub(super) async fn resume(State(api): State<Api>, call: Call) -> Answered {
    set_draining(&api, &call, false).await
}

async fn set_draining(api: &Api, call: &Call, draining: bool) -> Answered {
    let body = call.optional_json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let node = call.path_id("name", NodeName::new, &mut errors);
    let key = call.key(&mut errors);
    let node = read_body(body, errors, |_| node)?;
    let show = |answer| match answer {
        Answer::Node(status) => {
            Some(plain(StatusCode::ACCEPTED, &NodeView::new(&status, api.handle.rtt(&status.name))))
        }
        _ => None,
    };
    api.decide(Command::SetDraining { node, draining }, key, &[], show).await
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
