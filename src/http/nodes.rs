//! The cluster as this node sees it, and the check of everything.

use axum::extract::State;
use hyper::StatusCode;

use super::call::{Answered, Api, Call};
use super::model::{CheckView, NodeView, NodesView, plain};
use super::problem::Errors;
use crate::types::{Answer, Command};

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
