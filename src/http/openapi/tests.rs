//! The documents are what is served: every route, every field, every bound.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::http::tests::Listener;
use crate::http::{admin_routes, storefront_routes};

/// Both documents, as values.
fn documents() -> [(Listener, Value); 2] {
    let value = |routes: Routes| serde_json::to_value(routes.document()).unwrap();
    [(Listener::Storefront, value(storefront_routes())), (Listener::Admin, value(admin_routes()))]
}

/// Method (in capitals), path and description of each call.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'_ Value)| {
        let path = path.clone();
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
            .collect::<Vec<_>>()
    };
    let _ = of_path;
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

#[test]
fn the_committed_documents_are_those_that_are_served() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference/openapi");
    for (name, routes) in [("storefront.json", storefront_routes()), ("admin.json", admin_routes())] {
        let (path, made) = (folder.join(name), text(&routes.document()));
        if std::env::var_os("STOCKADE_BLESS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == made,
            "{} is not what the handlers say. If the change is meant, write it anew with\n  \
             STOCKADE_BLESS=1 cargo test --lib http::openapi",
            path.display()
        );
    }
}
