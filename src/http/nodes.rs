//! The cluster as this node sees it, and the check of everything.

use axum::extract::State;
use hyper::StatusCode;

use super::call::{Answered, Api, Call};
use super::fields::read_body;
use super::model::{CheckView, NodeView, NodesView, plain};
use super::problem::Errors;
use crate::types::{Answer, Command, NodeName};

/// `GET /v1/nodes`
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

/// `POST /v1/nodes/{name}/drain`
pub(super) async fn drain(State(api): State<Api>, call: Call) -> Answered {
    set_draining(&api, &call, true).await
}

/// `POST /v1/nodes/{name}/resume`
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

/// `GET /v1/check`
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
