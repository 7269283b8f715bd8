//! Reloading the configuration on demand.

use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;

use super::call::{Answered, Api, Call, Failure};
use super::fields::read_body;
use super::model::plain;
use super::openapi::described;
use super::problem::{Errors, Problem};
use crate::config::ConfigError;
use crate::reload::{Reloaded, Stopping};

/// Reload the configuration
///
/// Reads the file again, checks all of it, and applies what can change while the node runs:
/// peers' addresses, certificates, limits, the log's level. The rest is named in `restart_needed`.
/// A file with anything wrong in it changes nothing. SIGHUP does the same.
#[utoipa::path(
    post,
    path = "/v1/config/reload",
    operation_id = "reload",
    tag = "node",
    responses(described::Reload)
)]
// It needs no ready node: a bad limit may be what ails it.
pub(super) async fn post(State(api): State<Api>, call: Call) -> Answered {
    #[derive(Serialize)]
    struct View {
        applied: Vec<String>,
        restart_needed: Vec<String>,
    }
    let body = call.optional_json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    read_body(body, errors, |_| Some(()))?;
    match api.reloads.reload().await {
        Ok(Ok(Reloaded { applied, restart_needed })) => {
            Ok(plain(StatusCode::OK, &View { applied, restart_needed }))
        }
        Ok(Err(error)) => Err(bad_file(&error).into()),
        // It may have been done.
        Err(Stopping) => Err(Failure::Unanswered),
    }
}

/// Names the keys, and the lines where they stand.
fn bad_file(error: &ConfigError) -> Problem {
    let mut errors = Errors::default();
    for problem in &error.problems {
        let key = if problem.key.is_empty() { "file" } else { problem.key.as_str() };
        let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        errors.add(key, format!("{line}{}", problem.message));
    }
    let problem = match errors.finish(Some(())) {
        Ok(()) => Problem::field("file", "is not good"),
        Err(problem) => problem,
    };
    problem.detail(format!("{} is not good; nothing was changed.", error.file.display()))
}
