//! The documents are what is served: every route, every field, every bound.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use super::*;
use crate::http::tests::{Client, Listener, Served, knowing_nothing, request};
use crate::http::{HttpLimits, LiveLimits, admin_routes, storefront_routes};

fn document(listener: Listener) -> Value {
    let routes = match listener {
        Listener::Storefront => storefront_routes(),
        Listener::Admin => admin_routes(),
    };
    serde_json::to_value(routes.document()).unwrap()
}

const LISTENERS: [Listener; 2] = [Listener::Storefront, Listener::Admin];

/// The methods of each path, in capitals.
fn methods(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let of_path = |item: &Value| item.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), of_path(item))).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
}

/// A path with its parameters filled in.
fn filled(path: &str) -> String {
    path.replace("{id}", "ORDER-1001").replace("{sku}", "MUG").replace("{name}", "eu-1")
}

async fn answer(
    served: &Served,
    listener: Listener,
    method: &str,
    path: &str,
) -> crate::http::tests::Response {
    let mut client = Client::to(served.address(listener)).await;
    client.send(&request(&format!("{method} {path}"), "", "")).await;
    client.response(method == "HEAD").await
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

#[tokio::test]
async fn each_listener_serves_its_own_document() {
    let served = knowing_nothing().await;
    for listener in LISTENERS {
        let answer = served.get(listener, "/v1/openapi.json").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let sent = answer.json();
        assert_eq!(sent["openapi"], "3.1.0");
        assert_eq!(sent, document(listener));
    }
}

/// The router lists its paths when it is printed for debugging; there is no other way to ask it.
#[tokio::test]
async fn no_route_is_without_a_description() {
    let served = knowing_nothing().await;
    let api = Api {
        handle: served.handle.clone(),
        registry: Default::default(),
        caller: crate::types::Caller::Admin,
        imports: Arc::new(tokio::sync::Semaphore::new(1)),
        limits: LiveLimits::fixed(HttpLimits::default()),
        reloads: crate::reload::Reloads::new().0,
        hub: crate::http::hub::Hub::new(served.handle.clone(), LiveLimits::fixed(HttpLimits::default())),
    };
    for (listener, routes) in [(Listener::Storefront, storefront_routes()), (Listener::Admin, admin_routes())]
    {
        let shown = format!("{:?}", routes.served(api.clone()));
        let quoted = shown.split('"').skip(1).step_by(2);
        let routed: BTreeSet<&str> = quoted.filter(|text| text.starts_with('/')).collect();
        let documented = methods(&document(listener));
        let fallbacks = |path: &&str| !path.contains("__private__axum") && **path != *"/";
        let routed: BTreeSet<&str> = routed.into_iter().filter(fallbacks).collect();
        let documented: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
        assert_eq!(routed, documented, "{listener:?}: {shown}");
    }
}

#[tokio::test]
async fn each_documented_call_answers_and_no_other_method_does() {
    let mut served = knowing_nothing().await;
    let mut reloads = std::mem::replace(&mut served.reload_requests, crate::reload::Reloads::new().1);
    tokio::spawn(async move {
        while let Some(reply) = reloads.next().await {
            let nothing = crate::reload::Reloaded { applied: vec![], restart_needed: vec![] };
            reply.send(Ok(nothing)).unwrap();
        }
    });
    for listener in LISTENERS {
        for (path, documented) in methods(&document(listener)) {
            let mut allowed = documented.clone();
            if documented.contains("GET") {
                allowed.insert("HEAD".to_owned());
            }
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "FROB"] {
                let answer = answer(&served, listener, method, &filled(&path)).await;
                if allowed.contains(method) {
                    assert!(answer.status != 405, "{method} {path}: {answer:?}");
                    let is_not_found =
                        answer.status == 404 && method != "HEAD" && answer.code() == "not_found";
                    assert!(!is_not_found, "{method} {path}: {answer:?}");
                    continue;
                }
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                let allow = answer.header("allow").unwrap_or_default();
                let allow: BTreeSet<String> = allow.split(',').map(|m| m.trim().to_owned()).collect();
                assert_eq!(allow, allowed, "{method} {path}");
            }
        }
    }
}

#[test]
fn every_call_is_described_whole() {
    for listener in LISTENERS {
        let document = document(listener);
        let mut ids = BTreeSet::new();
        for operation in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            for field in ["summary", "description"] {
                assert!(operation[field].as_str().is_some_and(|text| !text.is_empty()), "{id}: no {field}");
            }
            assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{id}");
            for response in operation["responses"].as_object().unwrap().values() {
                assert!(response["headers"]["X-Request-Id"].is_object(), "{id}: {response}");
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(status != "503" || response["headers"]["Retry-After"].is_object(), "{id} {status}");
            }
        }
        for target in references(&document) {
            assert!(document.pointer(&target[1..]).is_some(), "{listener:?}: {target} leads nowhere");
        }
        for operation in operations(&document) {
            let links = operation["responses"].as_object().unwrap().values().flat_map(|response| {
                response["links"].as_object().cloned().unwrap_or_default().into_iter().map(|(_, link)| link)
            });
            for link in links {
                let to = link["operationId"].as_str().unwrap();
                assert!(ids.contains(to), "{listener:?}: a link to {to}");
            }
        }
    }
}

/// A schema with its reference followed.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(target) => resolved(document, document.pointer(&target[1..]).unwrap()),
        None => schema,
    }
}

/// A value that a schema describes, as small as can be.
fn sample(document: &Value, name: &str, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    if let Some(first) = schema["enum"].get(0).or(schema["anyOf"].get(0)).or(schema["oneOf"].get(0)) {
        return if first.is_object() { sample(document, name, first) } else { first.clone() };
    }
    match schema["type"].as_str() {
        Some("integer") => schema["minimum"].clone(),
        Some("boolean") => json!(true),
        Some("string") if name == "to" => json!("us-1"),
        Some("string") if schema["pattern"] == shape::TIME_GIVEN_PATTERN => schema["examples"][0].clone(),
        Some("string") => json!("a"),
        Some("array") => json!([sample(document, name, &schema["items"])]),
        Some("object") if schema["additionalProperties"].is_object() => {
            json!({"eu-1": sample(document, name, &schema["additionalProperties"])})
        }
        Some("object") => {
            let whole = properties(schema);
            let whole =
                whole.into_iter().map(|(name, schema)| (name.clone(), sample(document, name, schema)));
            whole.collect::<Map<_, _>>().into()
        }
        other => panic!("{name}: {other:?} in {schema}"),
    }
}

/// Every place of an object in a value whose shape the schema gives: the way to it, and its schema.
fn objects(document: &Value, schema: &Value, way: &str, found: &mut Vec<(String, Value)>) {
    let schema = resolved(document, schema);
    for choice in ["anyOf", "oneOf"] {
        if let Some(first) = schema[choice].get(0) {
            return objects(document, first, way, found);
        }
    }
    if schema["items"].is_object() {
        objects(document, &schema["items"], &format!("{way}/0"), found);
    } else if schema["additionalProperties"].is_object() {
        objects(document, &schema["additionalProperties"], &format!("{way}/eu-1"), found);
    } else if schema["type"] == "object" {
        found.push((way.to_owned(), schema.clone()));
        for (name, schema) in properties(schema) {
            objects(document, schema, &format!("{way}/{name}"), found);
        }
    }
}

/// The fields of an object's schema; there may be none.
fn properties(schema: &Value) -> Vec<(&String, &Value)> {
    schema["properties"].as_object().map(|fields| fields.iter().collect()).unwrap_or_default()
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)))
}

/// What a call says to a body, with every header it may need.
async fn said(served: &Served, listener: Listener, call: &str, body: &Value) -> (u16, Vec<String>) {
    let answer = served.send(listener, call, "Idempotency-Key: K\r\n", &body.to_string()).await;
    (answer.status, if answer.status == 400 { answer.fields() } else { Vec::new() })
}

/// The calls with a body, and the schema of that.
fn bodies(document: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let schemas = match resolved(document, schema)["properties"]["operations"]["items"].is_object() {
                // Each kind of operation, in a batch of its own.
                true => operations_of_a_batch(document, schema),
                false => vec![schema.clone()],
            };
            let call = format!("{} {}", method.to_uppercase(), filled(path));
            found.extend(
                schemas.into_iter().filter(|schema| !schema.is_null()).map(|schema| (call.clone(), schema)),
            );
        }
    }
    found
}

fn operations_of_a_batch(document: &Value, batch: &Value) -> Vec<Value> {
    let batch = resolved(document, batch);
    let kinds = resolved(document, &batch["properties"]["operations"]["items"])["oneOf"].as_array().unwrap();
    let only = |kind: &Value| {
        let mut batch = batch.clone();
        batch["properties"]["operations"]["items"] = kind.clone();
        batch
    };
    kinds.iter().map(only).collect()
}

/// The parser takes a body with every field that the schema has, and misses the required ones and no
/// others; it refuses any field that the schema has not.
#[tokio::test]
async fn schemas_and_parser_know_the_same_fields() {
    let served = knowing_nothing().await;
    let mut calls = 0;
    for listener in LISTENERS {
        let document = document(listener);
        for (call, schema) in bodies(&document) {
            calls += 1;
            let whole = sample(&document, "", &schema);
            let (status, fields) = said(&served, listener, &call, &whole).await;
            assert_ne!(status, 400, "{call}: {fields:?} in {whole}");
            let mut places = Vec::new();
            objects(&document, &schema, "", &mut places);
            for (way, object) in places {
                assert_eq!(object["additionalProperties"], json!(false), "{call} {way}");
                let mut more = whole.clone();
                more.pointer_mut(&way).unwrap()["surprise"] = json!(1);
                assert_eq!(said(&served, listener, &call, &more).await.0, 400, "{call} {way}");
                for name in properties(&object).into_iter().map(|(name, _)| name) {
                    let is_required = is_required(&object, name);
                    let mut less = whole.clone();
                    less.pointer_mut(&way).unwrap().as_object_mut().unwrap().remove(name);
                    let (status, fields) = said(&served, listener, &call, &less).await;
                    assert_eq!(status == 400, is_required, "{call} without {way}/{name}: {fields:?}");
                }
            }
        }
    }
    assert_eq!(calls, 16, "calls with a body, each kind of a batch's operations counted");
}

/// What is just within a bound of the schema is taken, and what is just beyond is not.
#[tokio::test]
async fn schemas_and_parser_have_the_same_bounds() {
    let served = knowing_nothing().await;
    let mut bounds = 0;
    for listener in LISTENERS {
        let document = document(listener);
        for (call, schema) in bodies(&document) {
            let whole = sample(&document, "", &schema);
            let mut places = Vec::new();
            objects(&document, &schema, "", &mut places);
            for (way, object) in places {
                for (name, field) in properties(&object) {
                    for (value, is_within) in edges(resolved(&document, field)) {
                        let mut body = whole.clone();
                        let around = body.pointer_mut(&way).unwrap();
                        // Optional fields may bound each other, such as a quota's min and max.
                        around.as_object_mut().unwrap().retain(|name, _| is_required(&object, name));
                        around[name] = value.clone();
                        let (status, fields) = said(&served, listener, &call, &body).await;
                        bounds += 1;
                        assert_eq!(status != 400, is_within, "{call} {way}/{name}: {value}: {fields:?}");
                    }
                }
            }
        }
    }
    assert!(bounds > 100, "only {bounds} values tried");
}

/// Values at the edge of a schema, and whether they are within.
fn edges(schema: &Value) -> Vec<(Value, bool)> {
    let mut edges = vec![(Value::Null, false), (json!(1.5), false), (json!([[]]), false)];
    match schema["type"].as_str() {
        Some("integer") => {
            let (least, most) = (schema["minimum"].as_i64().unwrap(), schema["maximum"].as_i64().unwrap());
            edges.extend([(json!(least), true), (json!(least - 1), false)]);
            edges.extend([(json!(most), true), (json!(most + 1), false), (json!("1"), false)]);
        }
        Some("boolean") => {
            edges.extend([
                (json!(true), true),
                (json!(false), true),
                (json!(0), false),
                (json!("true"), false),
            ]);
        }
        Some("string") if schema["enum"].is_array() => edges.push((json!("surprise"), false)),
        Some("string") if schema["pattern"] == shape::TIME_GIVEN_PATTERN => {
            let days = ["2026-01-31", "2026-02-28", "2026-04-30", "1970-01-01", "2999-12-31", "2028-02-29"];
            edges.extend(days.map(|day| (json!(format!("{day}T23:59:59.999Z")), true)));
            let others = ["2026-02-30", "2026-04-31", "2026-13-01", "1969-12-31", "2026-00-01", "2026-1-1"];
            edges.extend(others.map(|day| (json!(format!("{day}T00:00:00Z")), false)));
            let others = ["2026-01-01", "2026-01-01T00:00:00+01:00", "2026-01-01T24:00:00Z", ""];
            edges.extend(others.map(|text| (json!(text), false)));
        }
        None if schema["anyOf"][1]["pattern"] == shape::AUTONOMY_PATTERN => {
            let most = crate::types::units::MAX_QUANTITY;
            edges.extend([1, most].map(|units| (json!(units), true)));
            edges.extend([0, most + 1].map(|units| (json!(units), false)));
            edges.extend(["all", "1", "250", "1000000000", "1%", "100%"].map(|text| (json!(text), true)));
            let others = ["", "ALL", "0", "1000000001", "0%", "101%", "1.5%", "1 %", "-1", "some"];
            edges.extend(others.map(|text| (json!(text), false)));
        }
        Some("object") => edges.extend(schema["minProperties"].as_u64().map(|_| (json!({}), false))),
        Some("string") => {
            let most = schema["maxLength"].as_u64().unwrap() as usize;
            edges.extend([(json!("b".repeat(most)), true), (json!("b".repeat(most + 1)), false)]);
            edges.push((json!(""), schema["minLength"].is_null()));
            edges.extend([(json!("a\u{1}"), false), (json!("a\u{85}"), false), (json!(1), false)]);
            let is_free = schema["pattern"] == shape::TEXT_PATTERN;
            edges.extend([(json!("a b"), is_free), (json!("-_"), is_free), (json!("é"), is_free)]);
            edges.push((json!("A"), schema["pattern"] != shape::NAME_PATTERN));
        }
        _ => {}
    }
    edges
}

#[tokio::test]
async fn keys_are_required_where_the_documents_say_so() {
    let served = knowing_nothing().await;
    for listener in LISTENERS {
        let document = document(listener);
        for (call, schema) in bodies(&document) {
            let body = sample(&document, "", &schema).to_string();
            let answer = served.send(listener, &call, "", &body).await;
            let (method, path) = call.split_once(' ').unwrap();
            let path = methods(&document).into_keys().find(|known| filled(known) == path).unwrap();
            let operation = &document["paths"][&path][method.to_lowercase()];
            let key =
                operation["parameters"].as_array().unwrap().iter().find(|p| p["name"] == "Idempotency-Key");
            let is_required = key.is_some_and(|key| key["required"] == json!(true));
            let is_refused = answer.status == 400 && answer.code() == "idempotency_key_required";
            assert_eq!(is_refused, is_required, "{call}");
        }
    }
}

#[test]
fn one_way_to_write_lines_is_within_the_sum_and_one_is_any_single_line() {
    let lines = serde_json::to_value(shape::Lines::schema()).unwrap();
    let (one, many) = (&lines["anyOf"][0], &lines["anyOf"][1]);
    assert_eq!(one["maxItems"], 1);
    let quantity = many["items"]["allOf"][1]["properties"]["quantity"]["maximum"].as_u64().unwrap();
    let sum = many["maxItems"].as_u64().unwrap() * quantity;
    assert_eq!(sum, crate::types::units::MAX_QUANTITY);
}

/// Problems are made in one place and described in another.
#[test]
fn every_member_of_a_problem_is_described() {
    let described = serde_json::to_value(views::Problem::schema()).unwrap();
    let described: BTreeSet<&String> = described["properties"].as_object().unwrap().keys().collect();
    for problem in crate::http::problem::one_of_each_kind() {
        let problem = serde_json::to_value(&problem).unwrap();
        for member in problem.as_object().unwrap().keys() {
            assert!(described.contains(member), "{member} in {problem}");
        }
    }
}
