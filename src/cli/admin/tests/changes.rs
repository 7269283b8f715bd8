//! Commands that change something: the one request each sends, the merging, the asking.

use serde_json::{Value, json};

use crate::cli::admin::script::{Script, at, books, cut, directory, members, problem, reply, run};
use crate::cli::admin::target::Surroundings;

fn mug() -> Value {
    books("MUG", &[at("eu-1", 100, 40, 0, 10, 3), at("us-1", 0, 0, 40, 2, 0)], &json!({"name": "Mug"}))
}

fn reservation() -> Value {
    json!({"id": "O-1", "state": "held", "version": 1, "node": "eu-1", "region": "eu",
        "created_at": "2026-05-03T10:00:00.000Z", "expires_at": "2026-05-03T10:10:00.000Z",
        "lines": [{"sku": "MUG", "quantity": 2}]})
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[tokio::test]
async fn each_change_is_one_request() {
    let returned = json!({"sku": "MUG", "quantity": 1, "node": "eu-1", "region": "eu", "returned_at": "t"});
    let member = members(&[("eu-1", "active", "up")])["nodes"][0].clone();
    let reloaded = json!({"applied": ["limits.idle_timeout_ms"], "restart_needed": ["node.data_dir"]});
    let table: Vec<(&str, &str, Value, Value)> = vec![
        (
            "stock receive MUG 5 --key k --reason r --reference d-1",
            "POST /v1/items/MUG/receipts",
            json!({"quantity": 5, "reason": "r", "reference": "d-1"}),
            mug(),
        ),
        (
            "stock write-off MUG 5 --yes --key k",
            "POST /v1/items/MUG/write-offs",
            json!({"quantity": 5}),
            mug(),
        ),
        ("stock return MUG 1 --key k", "POST /v1/returns", json!({"sku": "MUG", "quantity": 1}), returned),
        (
            "transfer MUG --from eu-1 --to us-1 20 --yes --key k --reference m",
            "POST /v1/items/MUG/transfers",
            json!({"from": "eu-1", "to": "us-1", "quantity": 20, "reference": "m"}),
            mug(),
        ),
        (
            "reserve put O-1 MUG=2 TEE --ttl 900 --wait-ms 0",
            "PUT /v1/reservations/O-1",
            json!({"lines": [{"sku": "MUG", "quantity": 2}, {"sku": "TEE", "quantity": 1}], "ttl_seconds": 900, "wait_ms": 0}),
            reservation(),
        ),
        (
            "reserve put O-1 MUG --retry --if-version 3",
            "PUT /v1/reservations/O-1",
            json!({"lines": [{"sku": "MUG", "quantity": 1}]}),
            reservation(),
        ),
        (
            "reserve confirm O-1 --if-version 2 --wait-ms 9",
            "POST /v1/reservations/O-1/confirm",
            json!({"wait_ms": 9}),
            reservation(),
        ),
        ("reserve cancel O-1", "POST /v1/reservations/O-1/cancel", json!({}), reservation()),
        (
            "reserve extend O-1 --ttl 60",
            "POST /v1/reservations/O-1/extend",
            json!({"ttl_seconds": 60}),
            reservation(),
        ),
        (
            "reserve sell MUG=2 --key k --reference till",
            "POST /v1/sales",
            json!({"lines": [{"sku": "MUG", "quantity": 2}], "reference": "till"}),
            reservation(),
        ),
        ("node drain eu-1 --yes", "POST /v1/nodes/eu-1/drain", json!({}), member.clone()),
        ("node resume eu-1", "POST /v1/nodes/eu-1/resume", json!({}), member),
        ("node reload", "POST /v1/config/reload", json!({}), reloaded),
    ];
    for (line, target, body, answer) in table {
        let node = Script::start(vec![reply(target, 200, &answer)]).await;
        for format in ["table", "json", "csv"] {
            let mut all = words(line);
            all.extend(["-o", format]);
            let ran = node.run(&all).await;
            assert_eq!(ran.status(), 0, "{line}: {ran:?}");
            match format {
                "json" => assert_eq!(ran.json(), answer, "{line}"),
                _ => assert!(!ran.fitting().is_empty(), "{line}"),
            }
            let seen = node.seen();
            assert_eq!(seen.len(), 1, "{line}: {seen:?}");
            assert_eq!(seen[0].target, target, "{line}");
            assert_eq!(serde_json::from_str::<Value>(&seen[0].body).unwrap(), body, "{line}");
            assert_eq!(seen[0].key.as_deref(), line.contains("--key k").then_some("k"), "{line}");
            let version = if line.contains("--if-version 3") { "\"3\"" } else { "\"2\"" };
            assert_eq!(seen[0].header("if-match"), line.contains("--if-version").then_some(version));
            assert_eq!(seen[0].header("stockade-retry"), line.contains("--retry").then_some("1"));
        }
    }
}

#[tokio::test]
async fn a_setting_is_read_changed_and_put_back() {
    let policy = json!({"name": "Mug", "low_stock": 5, "rebalance": "auto",
        "quotas": {"eu-1": {"min": 10, "max": 50}, "us-1": {"weight": 3}}});
    let table = [
        ("item set MUG --max-per-order 4", "max_per_order", json!(4)),
        ("item set MUG --unset low-stock", "low_stock", Value::Null),
        ("item set MUG --rebalance manual", "rebalance", json!("manual")),
        ("item set MUG --name Cup", "name", json!("Cup")),
        (
            "quota set MUG eu-1 --min 20 --unset max",
            "quotas",
            json!({"eu-1": {"min": 20}, "us-1": {"weight": 3}}),
        ),
        (
            "quota set MUG ap-1 --pinned 5",
            "quotas",
            json!({"ap-1": {"pinned": 5}, "eu-1": {"min": 10, "max": 50}, "us-1": {"weight": 3}}),
        ),
        ("quota set MUG us-1 --unset weight", "quotas", json!({"eu-1": {"min": 10, "max": 50}})),
        ("quota clear MUG us-1", "quotas", json!({"eu-1": {"min": 10, "max": 50}})),
        ("quota clear MUG", "quotas", Value::Null),
        (
            "item set MUG --launch-until 2030-11-29T09:00:00Z --expect eu-1=500 --expect us-1=300",
            "launch",
            json!({"until": "2030-11-29T09:00:00.000Z", "expected": {"eu-1": 500, "us-1": 300}}),
        ),
        ("item set MUG --autonomy 1%", "autonomy", json!("1%")),
        ("item set MUG --autonomy all", "autonomy", json!("all")),
        ("item set MUG --autonomy 250", "autonomy", json!(250)),
    ];
    let there = books("MUG", &[at("eu-1", 1, 0, 0, 0, 0)], &policy);
    for (line, field, value) in table {
        let node = Script::start(vec![
            reply("GET /v1/items/MUG", 200, &there),
            reply("PUT /v1/items/MUG", 200, &there),
        ])
        .await;
        node.run(&words(line)).await.good();
        let seen = node.seen();
        assert_eq!(seen.len(), 2, "{line}");
        let mut wanted = policy.clone();
        wanted[field] = value.clone();
        if value.is_null() {
            wanted.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(serde_json::from_str::<Value>(&seen[1].body).unwrap(), wanted, "{line}");
    }
}

#[tokio::test]
async fn an_autonomy_is_kept_by_other_changes_and_taken_back_in_two_ways() {
    let there = books("MUG", &[at("eu-1", 1, 0, 0, 0, 0)], &json!({"rebalance": "auto", "autonomy": 5}));
    for (line, autonomy) in [
        ("item set MUG --rebalance auto", json!(5)),
        ("item set MUG --unset autonomy", Value::Null),
        ("item set MUG --autonomy default", Value::Null),
    ] {
        let node = Script::start(vec![
            reply("GET /v1/items/MUG", 200, &there),
            reply("PUT /v1/items/MUG", 200, &there),
        ])
        .await;
        let out = node.run(&words(line)).await.good();
        assert!(out.contains("set: autonomy 5"), "{out}");
        let put: Value = serde_json::from_str(&node.seen()[1].body).unwrap();
        assert_eq!(put["autonomy"], autonomy, "{line}");
    }
    use clap::Parser;
    for wrong in ["0", "0%", "101%", "some", "-1"] {
        let line = ["stockade", "item", "set", "MUG", "--autonomy", wrong];
        let text = crate::cli::Cli::try_parse_from(line).unwrap_err().to_string();
        assert!(text.contains("a percentage from 1% to 100%, or default"), "{text}");
    }
}

#[tokio::test]
async fn an_item_that_is_not_there_is_made_but_has_no_quotas_to_change() {
    let node = Script::start(vec![
        reply("GET /v1/items/NEW", 404, problem(404, "unknown_sku")),
        reply("PUT /v1/items/NEW", 201, books("NEW", &[], &json!({"name": "New"}))),
    ])
    .await;
    let out = node.run(&["item", "set", "NEW", "--name", "New"]).await.good();
    assert!(out.contains("NEW (New)"), "{out}");
    assert_eq!(node.seen()[1].body, r#"{"name":"New"}"#);
    let ran = node.run(&["quota", "set", "NEW", "eu-1", "--min", "1"]).await;
    assert_eq!(ran.status(), 1);
    assert!(ran.error().contains("item set NEW"), "{}", ran.error());
    let out = node.run(&["item", "set", "NEW", "--name", "New", "--dry-run"]).await.good();
    assert!(out.contains("none -> created") && out.contains("not set -> \"New\""), "{out}");
}

#[tokio::test]
async fn a_dry_run_tells_before_and_after_and_sends_nothing() {
    let nodes = members(&[("eu-1", "active", "up"), ("us-1", "active", "up")]);
    let list = json!({"items": [mug()], "next": null});
    let node = Script::start(vec![
        reply("GET /v1/items/MUG", 200, mug()),
        reply("GET /v1/nodes", 200, &nodes),
        reply("GET /v1/items?limit=500", 200, &list),
    ])
    .await;
    let table = [
        ("stock write-off MUG 5", "free at eu-1     47 -> 42", 0),
        ("stock receive MUG 5", "received at eu-1  100 -> 105", 0),
        ("stock return MUG 5", "free at eu-1      47 -> 52", 0),
        ("transfer MUG --from eu-1 --to us-1 20", "free at us-1, once taken in  38 -> 58", 0),
        ("node drain eu-1", "47 (of 1 items) -> 0", 0),
        ("stock write-off MUG 48", "only 47 of MUG are free at eu-1", 1),
        ("transfer MUG --from us-1 --to eu-1 39", "only 38 of MUG are free at us-1", 1),
        ("node drain xx-9", "there is no node xx-9", 1),
    ];
    for (line, wanted, status) in table {
        let mut all = words(line);
        all.push("--dry-run");
        let ran = node.run(&all).await;
        assert_eq!(ran.status(), status, "{line}: {ran:?}");
        let out = ran.fitting();
        assert!(out.contains(wanted) && out.contains("Nothing was sent."), "{line}:\n{out}");
        assert!(node.seen().iter().all(|seen| seen.target.starts_with("GET ")), "{line}");
        all.extend(["-o", "json"]);
        let report = node.run(&all).await.json();
        assert_eq!(report["dry_run"], true);
        assert_eq!(report["concern"].is_string(), status == 1, "{report}");
    }
}

#[tokio::test]
async fn units_leave_only_after_a_yes() {
    let nodes = members(&[("eu-1", "active", "up"), ("us-1", "active", "up")]);
    let node = Script::start(vec![
        reply("GET /v1/items/MUG", 200, mug()),
        reply("GET /v1/nodes", 200, &nodes),
        reply("GET /v1/items?limit=500", 200, json!({"items": [], "next": null})),
        reply("POST /v1/items/MUG/write-offs", 201, mug()),
        reply("POST /v1/items/MUG/transfers", 200, mug()),
        reply("POST /v1/nodes/eu-1/drain", 202, &nodes["nodes"][0]),
    ])
    .await;
    let posts = || node.seen().iter().filter(|seen| seen.target.starts_with("POST ")).count();
    for line in ["stock write-off MUG 5", "transfer MUG --from eu-1 --to us-1 5", "node drain eu-1"] {
        let ran = node.run(&words(line)).await;
        assert_eq!(ran.status(), 2, "{line}");
        assert!(ran.error().contains("--yes") && ran.error().contains("--dry-run"), "{}", ran.error());
        assert_eq!(posts(), 0, "{line}");
        for no in ["n\n", "\n", "", "yep\n"] {
            let ran = node.run_with(&words(line), Some(no)).await;
            assert_eq!(ran.status(), 1, "{line} {no:?}");
            assert!(ran.notes.contains("->") && ran.notes.contains("Nothing was done."), "{}", ran.notes);
            assert_eq!(posts(), 0, "{line} {no:?}");
        }
        for yes in ["y\n", "YES\n"] {
            let ran = node.run_with(&words(line), Some(yes)).await;
            assert_eq!(ran.status(), 0, "{line} {yes:?}");
            assert!(ran.notes.contains("[y/N]"), "{}", ran.notes);
            assert_eq!(posts(), 1, "{line} {yes:?}");
        }
    }
}

#[tokio::test]
async fn a_repeat_says_that_nothing_more_was_done() {
    let replayed = reply("POST /v1/items/MUG/receipts", 201, mug()).with("idempotent-replayed", "true");
    let node = Script::start(vec![replayed]).await;
    let ran = node.run(&["stock", "receive", "MUG", "5", "--key", "k"]).await;
    assert!(ran.notes.contains("nothing more was done"), "{}", ran.notes);
    ran.good();
}

#[tokio::test]
async fn a_reload_that_finds_a_bad_file_names_every_key() {
    let bad = json!({"title": "The request is not valid", "status": 400, "code": "invalid_request",
        "errors": [{"field": "limits.idle", "message": "is not a key"}, {"field": "peers", "message": "is empty"}]});
    let node = Script::start(vec![reply("POST /v1/config/reload", 400, bad)]).await;
    let ran = node.run(&["node", "reload"]).await;
    assert_eq!(ran.status(), 1);
    let error = ran.error();
    assert!(error.contains("limits.idle: is not a key") && error.contains("peers: is empty"), "{error}");
}

#[tokio::test]
async fn a_new_item_is_waited_for_at_the_other_nodes() {
    let unknown = reply("GET /v1/items/MUG", 404, problem(404, "unknown_sku"));
    let first = Script::start(vec![
        unknown.clone(),
        reply("PUT /v1/items/MUG", 201, mug()),
        reply("GET /v1/items/MUG", 200, mug()),
    ])
    .await;
    let late = Script::start(vec![unknown.clone(), unknown, reply("GET /v1/items/MUG", 200, mug())]).await;
    let dir = directory(&[&first, &late]);
    let words = ["item", "set", "MUG", "--dev", dir.path().to_str().unwrap()];
    let ran = run(&words, Surroundings::default(), None).await;
    assert_eq!(late.seen().len(), 3, "{ran:?}");
    assert_eq!(ran.notes, "eu-2 has not heard of MUG yet\n");
    ran.good();
}

fn moves(dry_run: bool, moves: &[(&str, bool)], next: Option<&str>) -> Value {
    let why = "us-1 sells 3.2 a minute and has 4 free, enough for 75 s; eu-1 has 60 more than it should";
    let planned = |(sku, begun): &(&str, bool)| json!({"sku": sku, "from": "eu-1", "to": "us-1", "quantity": 12, "why": why, "begun": begun});
    let moves: Vec<Value> = moves.iter().map(planned).collect();
    json!({"node": "eu-1", "dry_run": dry_run, "moves": moves, "next": next})
}

#[tokio::test]
async fn a_rebalance_is_told_with_its_reasons_and_begins_only_without_dry_run() {
    let both = &[("MUG", false), ("TEE", false)];
    let node = Script::start(vec![reply("POST /v1/rebalance", 200, moves(true, both, None))]).await;
    let out = node.run(&["rebalance", "--dry-run"]).await.good();
    let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.starts_with("sku from to quantity why MUG eu-1 us-1 12 us-1 sells 3.2"), "{out}");
    let closing = "this is the plan as far as eu-1 sees; nothing was begun. Without --dry-run eu-1\n  \
                   begins the moves that it takes part in\n";
    assert!(out.ends_with(closing), "{out}");
    assert_eq!(node.seen()[0].body, r#"{"dry_run":true}"#);

    for (begun, closing) in [
        (
            &[("MUG", true), ("TEE", false)][..],
            "eu-1 has begun 1 of 2; the others are for the nodes they name\n",
        ),
        (&[("MUG", true)], "eu-1 has begun all of them\n"),
        (
            &[("MUG", false)],
            "eu-1 has begun none of them: they are between other nodes. Ask one of those:\n  \
             --admin with the address of eu-1\n",
        ),
        (&[], "nothing to move, as far as eu-1 sees\n"),
    ] {
        let node = Script::start(vec![reply("POST /v1/rebalance", 200, moves(false, begun, None))]).await;
        let out = node.run(&["rebalance", "--sku", "MUG"]).await.good();
        assert!(out.ends_with(closing), "{out}");
        let seen = node.seen();
        assert_eq!((seen[0].body.as_str(), &seen[0].key), (r#"{"dry_run":false,"sku":"MUG"}"#, &None));
    }
    let node = Script::start(vec![reply("POST /v1/rebalance", 200, moves(true, &[], None))]).await;
    assert_eq!(
        node.run(&["rebalance", "--dry-run"]).await.good(),
        "nothing would move, as far as eu-1 sees\n"
    );
    let node = Script::start(vec![reply("POST /v1/rebalance", 404, problem(404, "unknown_sku"))]).await;
    assert_eq!(node.run(&["rebalance", "--dry-run", "--sku", "NO"]).await.status(), 1);
}

#[tokio::test]
async fn a_rebalance_that_is_for_other_nodes_names_one_of_them() {
    let plan = json!({"node": "us-1", "dry_run": false, "next": null, "moves": [{"sku": "MUG", "from": "eu-1",
        "to": "eu-2", "quantity": 12, "why": "it is low", "begun": false}]});
    let node = Script::start(vec![reply("POST /v1/rebalance", 200, plan)]).await;
    let dir = directory(&[&node]);
    let words = ["rebalance", "--sku", "MUG", "--dev", dir.path().to_str().unwrap()];
    let out = run(&words, Surroundings::default(), None).await.good();
    let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.ends_with("between other nodes. Ask one of those: --node eu-1"), "{out}");
}

#[tokio::test]
async fn a_rebalance_of_a_manual_item_says_what_moves_it() {
    let there = books("MUG", &[at("eu-1", 1, 0, 0, 0, 0)], &json!({"rebalance": "manual"}));
    let node = Script::start(vec![
        reply("POST /v1/rebalance", 200, moves(true, &[], None)),
        reply("GET /v1/items/MUG", 200, there),
    ])
    .await;
    for line in ["rebalance --sku MUG", "rebalance --sku MUG --dry-run"] {
        let text = node.run(&words(line)).await.good();
        for wanted in
            ["rebalance manual", "\n  stockade transfer MUG --from NODE", "(POST /v1/items/MUG/transfers"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}

#[tokio::test]
async fn a_quota_of_no_node_is_refused_with_those_that_there_are() {
    let policy = json!({"quotas": {"gone-1": {"min": 1}}});
    let there = books("MUG", &[at("eu-1", 1, 0, 0, 0, 0)], &policy);
    let unknown = json!({"title": "There is no such node", "code": "unknown_node",
        "errors": [{"field": "quotas.eu", "message": "there is no node eu"}]});
    let node = Script::start(vec![
        reply("GET /v1/items/MUG", 200, &there),
        reply("GET /v1/nodes", 200, members(&[("eu-1", "active", "up"), ("eu-2", "active", "down")])),
        reply("PUT /v1/items/MUG", 404, unknown),
    ])
    .await;
    for line in ["quota clear MUG mars", "quota set MUG eu --min 1"] {
        let ran = node.run(&words(line)).await;
        assert_eq!(ran.status(), 1, "{line}: {ran:?}");
        let error = ran.error();
        let name = line.split(' ').nth(3).unwrap();
        assert!(error.contains(&format!("there is no node {name}")), "{error}");
        assert!(error.ends_with("name one of the nodes: eu-1 (region eu), eu-2 (region eu)."), "{error}");
    }
    let puts = || node.seen().iter().filter(|seen| seen.target.starts_with("PUT ")).count();
    assert_eq!(puts(), 1, "nothing was put for the clear");
    // A quota that is there can be taken back, whatever became of its node.
    let ran = node.run(&words("quota clear MUG gone-1 --dry-run")).await.good();
    assert!(ran.contains("quota of gone-1  min 1 -> none"), "{ran}");
}

#[tokio::test]
async fn a_drain_is_foreseen_also_of_the_last_node_and_of_one_that_is_cut_off() {
    let list = json!({"items": [mug()], "next": null});
    for (states, drained, wanted, status) in [
        ([("eu-1", "active", "up"), ("us-1", "drained", "up")], "eu-1", "no other active node is linked", 0),
        ([("eu-1", "active", "up"), ("us-1", "active", "down")], "us-1", "us-1 cannot be reached", 1),
    ] {
        let node = Script::start(vec![
            reply("GET /v1/nodes", 200, members(&states)),
            reply("GET /v1/items?limit=500", 200, &list),
        ])
        .await;
        let ran = node.run(&["node", "drain", drained, "--dry-run"]).await;
        assert_eq!(ran.status(), status, "{ran:?}");
        let out = ran.fitting().replace('\n', " ");
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains(wanted), "{out}");
    }
}

#[tokio::test]
async fn a_quota_that_sets_nothing_or_the_opposite_is_refused_before_anything_is_asked() {
    let node = Script::start(Vec::new()).await;
    for (line, wanted) in [
        ("quota set MUG eu-1", "nothing to set: add --weight, --min, --max or --pinned"),
        ("quota set MUG eu-1 --min 5 --unset min", "--min 5 and --unset min contradict each other"),
        ("quota set MUG eu-1 --max 5 --unset pinned --unset max", "--max 5 and --unset max"),
        ("item set MUG --name Mug --unset name", "--name and --unset name contradict each other"),
        ("item set MUG --expect us-1=5 --expect us-1=6", "--expect us-1=5 and --expect us-1=6"),
    ] {
        let ran = node.run(&words(line)).await;
        assert!(ran.status() == 2 && ran.error().contains(wanted), "{line}: {}", ran.error());
        assert!(node.seen().is_empty(), "{line}");
    }
}

#[tokio::test]
async fn after_a_quota_is_set_it_is_said_how_to_see_the_moves() {
    let item =
        |policy: Value| books("MUG", &[at("eu-1", 100, 40, 0, 10, 3), at("us-1", 0, 0, 40, 2, 0)], &policy);
    let auto = item(json!({"quotas": {"eu-1": {"max": 10}, "us-1": {"max": 1}}}));
    let manual = item(json!({"rebalance": "manual", "quotas": {"eu-1": {"max": 50}}}));
    for (there, wanted, unwanted) in [
        (
            auto,
            vec![
                "eu-1 has 47 free, more than max 10: it asks for no more, but keeps these until\n  others ask.\n",
                "\n  stockade rebalance --dry-run --sku MUG\n  stockade explain MUG\n",
            ],
            "us-1",
        ),
        (manual, vec!["counts for nothing while rebalance is manual"], "keeps these"),
    ] {
        let node = Script::start(vec![
            reply("GET /v1/items/MUG", 200, &there),
            reply("PUT /v1/items/MUG", 200, &there),
        ])
        .await;
        let ran = node.run(&words("quota set MUG eu-1 --max 10")).await;
        assert!(wanted.iter().all(|wanted| ran.notes.contains(wanted)), "{}", ran.notes);
        assert!(!ran.notes.contains(unwanted), "{}", ran.notes);
        assert!(ran.notes.lines().all(|line| line.chars().count() <= 80), "{}", ran.notes);
        ran.good();
        let ran = node.run(&words("quota set MUG eu-1 --max 10 -o json")).await;
        assert_eq!((ran.status(), ran.notes.as_str()), (0, ""));
    }
}

#[tokio::test]
async fn quotas_are_shown_with_all_else_that_says_where_units_should_be() {
    let nodes = [at("eu-1", 100, 40, 0, 10, 3), at("us-1", 0, 0, 40, 2, 0)];
    let shown = async |policy: Value| {
        let node = Script::start(vec![reply("GET /v1/items/MUG", 200, books("MUG", &nodes, &policy))]).await;
        node.run(&["quota", "show", "MUG"]).await.good()
    };
    let table = "node  free  held  weight  min  max  pinned\n";
    assert_eq!(
        shown(json!({"name": "Mug"})).await,
        format!(
            "{table}eu-1    47     3\nus-1    38     0\nnothing set: any free unit can be sold anywhere\n"
        )
    );
    let over = json!({"until": "2020-11-29T09:00:00.000Z", "expected": {"eu-1": 500}});
    let out = shown(json!({"launch": over})).await;
    assert!(out.contains("launch until 2020-11-29 09:00:00: eu-1 500, which is over"), "{out}");
    let launch = json!({"until": "2030-11-29T09:00:00.000Z", "expected": {"eu-1": 500}});
    let out =
        shown(json!({"rebalance": "manual", "launch": launch, "quotas": {"us-1": {"pinned": 7}}})).await;
    for wanted in [
        "us-1 has 38 free, more than pinned 7: it asks for no more",
        "launch until 2030-11-29 09:00:00: eu-1 500\n",
        "rebalance manual: quotas and a launch count for nothing",
    ] {
        assert!(out.contains(wanted), "{wanted}: {out}");
    }
    assert!(!out.contains("nothing set"), "{out}");
}

#[tokio::test]
async fn a_refusal_says_who_keeps_the_units() {
    let short = json!({"sku": "MUG", "requested": 50, "available_here": 38, "verdict": "elsewhere",
        "elsewhere": 47, "unreachable": []});
    let refusal = json!({"title": "Not enough stock", "code": "insufficient_stock", "shortfalls": [short]});
    let nodes = [at("eu-1", 100, 40, 0, 10, 3), at("us-1", 0, 0, 40, 2, 0)];
    let kept = books("MUG", &nodes, &json!({"quotas": {"eu-1": {"min": 40}}}));
    let members = members(&[("us-1", "active", "up"), ("eu-1", "active", "up")]);
    let node = Script::start(vec![
        reply("POST /v1/sales", 409, &refusal),
        reply("GET /v1/items/MUG", 200, kept),
        reply("GET /v1/nodes", 200, members),
    ])
    .await;
    let ran = node.run(&words("reserve sell MUG=50 --key k")).await;
    assert_eq!(ran.status(), 1);
    let error = ran.error();
    for wanted in [
        "eu-1 keeps 40 of MUG by quota",
        "\n    stockade transfer MUG --from eu-1 --to us-1 12\n    stockade quota clear MUG eu-1\n",
        "explain MUG",
    ] {
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    assert!(!error.contains("--wait-ms"), "{error}");
    // An admin listener that does not answer leaves the usual advice.
    let node = Script::start(vec![reply("POST /v1/sales", 409, &refusal), cut("GET /v1/items/MUG")]).await;
    let error = node.run(&words("reserve sell MUG=50 --key k")).await.error();
    assert!(error.contains("or try again with a longer --wait-ms; `stockade explain MUG`"), "{error}");
}

#[tokio::test]
async fn a_rebalance_is_read_to_its_end() {
    let node = Script::start(vec![
        reply("POST /v1/rebalance", 200, moves(true, &[("A", false)], Some("A"))),
        reply("POST /v1/rebalance", 200, moves(true, &[("B", false)], None)),
    ])
    .await;
    let json = node.run(&["rebalance", "--dry-run", "-o", "json"]).await.json();
    assert_eq!(json, moves(true, &[("A", false), ("B", false)], None));
    assert_eq!(node.seen()[1].body, r#"{"cursor":"A","dry_run":true}"#);
    let endless = reply("POST /v1/rebalance", 200, moves(true, &[("A", false)], Some("A")));
    let ran = Script::start(vec![endless]).await.run(&["rebalance", "--dry-run"]).await;
    assert!(ran.status() == 2 && ran.error().contains("no end"), "{}", ran.error());
}

#[tokio::test]
async fn a_launch_is_changed_node_by_node_and_taken_back_whole() {
    let policy = json!({"rebalance": "auto",
        "launch": {"until": "2030-11-29T09:00:00.000Z", "expected": {"eu-1": 500, "us-1": 300}}});
    let launch = |until: &str, expected: Value| json!({"rebalance": "auto", "launch": {"until": until, "expected": expected}});
    let was = "2030-11-29T09:00:00.000Z";
    let there = books("MUG", &[at("eu-1", 1, 0, 0, 0, 0)], &policy);
    for (line, wanted) in [
        ("--expect us-1=400", launch(was, json!({"eu-1": 500, "us-1": 400}))),
        ("--expect us-1=0 --expect ap-1=7", launch(was, json!({"ap-1": 7, "eu-1": 500}))),
        (
            "--launch-until 2026-12-01T00:00:00.5Z",
            launch("2026-12-01T00:00:00.500Z", json!({"eu-1": 500, "us-1": 300})),
        ),
        ("--unset launch", json!({"rebalance": "auto"})),
        (
            "--unset launch --launch-until 2026-12-01T00:00:00Z --expect ap-1=7",
            launch("2026-12-01T00:00:00.000Z", json!({"ap-1": 7})),
        ),
    ] {
        let node = Script::start(vec![
            reply("GET /v1/items/MUG", 200, &there),
            reply("PUT /v1/items/MUG", 200, &there),
        ])
        .await;
        let out = node.run(&words(&format!("item set MUG {line}"))).await.good();
        assert!(out.contains("set: launch until 2030-11-29 09:00:00: eu-1 500, us-1 300"), "{out}");
        assert_eq!(serde_json::from_str::<Value>(&node.seen()[1].body).unwrap(), wanted, "{line}");
    }
    let node = Script::start(vec![reply("GET /v1/items/MUG", 200, &there)]).await;
    let out = node.run(&words("item set MUG --unset launch --dry-run")).await.good();
    assert!(out.contains("launch  until 2030-11-29 09:00:00: eu-1 500, us-1 300 -> none"), "{out}");
    let ran = node.run(&words("item set MUG --expect eu-1=0 --expect us-1=0")).await;
    assert!(ran.status() == 2 && ran.error().contains("--unset launch"), "{}", ran.error());

    let node = Script::start(vec![reply("GET /v1/items/MUG", 200, mug())]).await;
    for (line, missing) in
        [("--expect eu-1=5", "--launch-until TIME"), ("--launch-until 2026-12-01T00:00:00Z", "--expect")]
    {
        let ran = node.run(&words(&format!("item set MUG {line}"))).await;
        assert!(ran.status() == 2 && ran.error().contains(missing), "{line}: {}", ran.error());
        assert_eq!(node.seen().len(), 1, "{line}: nothing is sent");
    }
}
