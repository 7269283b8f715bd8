//! Reloading the configuration, seen from a client.

use std::path::Path;

use serde_json::json;

use super::Listener::{Admin, Storefront};
use super::*;
use crate::config::Config;
use crate::reload::Reloaded;

/// Asks for a reload and lets it end so; what was answered.
async fn reloaded(answer: Result<Reloaded, crate::config::ConfigError>) -> Response {
    let mut served = knowing_nothing().await;
    let mut client = Client::to(served.admin).await;
    client.send(&request("POST /v1/config/reload", "", "")).await;
    let reply = served.reload_requests.next().await.expect("a request");
    reply.send(answer).unwrap();
    client.response(false).await
}

#[tokio::test]
async fn what_was_applied_and_what_needs_a_restart_is_told() {
    let applied = vec!["limits.idle_timeout_ms".to_owned()];
    let response = reloaded(Ok(Reloaded { applied, restart_needed: Vec::new() })).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.json(), json!({"applied": ["limits.idle_timeout_ms"], "restart_needed": []}));
}

#[tokio::test]
async fn a_bad_file_is_refused_with_its_keys() {
    let text = include_str!("../../../examples/config/stockade.toml");
    let text = text.replace("request_queue = 4096", "request_queue = 0").replace("\"eu-1\"", "\"EU\"");
    let error = Config::parse(&text, Path::new("/etc/stockade.toml")).unwrap_err();
    let response = reloaded(Err(error)).await;
    assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"));
    assert_eq!(response.fields(), ["node.name", "limits.request_queue"]);

    let error = Config::parse("what = ", Path::new("/etc/stockade.toml")).unwrap_err();
    let response = reloaded(Err(error)).await;
    assert_eq!(response.fields(), ["file"]);
    assert!(response.json()["errors"][0]["message"].as_str().unwrap().starts_with("line 1: "));
}

#[tokio::test]
async fn a_reload_is_for_admins_and_takes_no_fields() {
    let served = knowing_nothing().await;
    assert_eq!(served.send(Storefront, "POST /v1/config/reload", "", "").await.code(), "not_found");
    assert_eq!(served.send(Admin, "GET /v1/config/reload", "", "").await.code(), "method_not_allowed");
    let response = served.send(Admin, "POST /v1/config/reload?x=1", "", "{\"y\":1}").await;
    assert_eq!(response.fields(), ["x", "y"]);
}
