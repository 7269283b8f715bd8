//! The files beside the simulator: they fit the schema, the schema and the reference fit the code,
//! and every scenario runs.
#![allow(clippy::disallowed_methods, reason = "reads the files that are tested")]

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::{Overrides, load, read};
use super::file;
use super::stage::run;
use crate::trace::Detail;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    assert!(files.len() >= 8);
    files
}

fn schema() -> Value {
    let text = std::fs::read_to_string(folder().join("scenario.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What of a value does not fit a schema; the few words of JSON Schema that ours uses.
fn misfit(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return misfit(root, root.pointer(name.strip_prefix('#')?).expect("the definition is there"), value);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| misfit(root, schema, value).is_none());
        return (!fits).then(|| format!("{value} fits none of {any:?}"));
    }
    if let Some(all) = schema["enum"].as_array() {
        return (!all.contains(value)).then(|| format!("{value} is none of {all:?}"));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        _ => value.is_number(),
    };
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    if !kinds.iter().any(|kind| is(kind.as_str().expect("a type"))) {
        return Some(format!("{value} is not of {kinds:?}"));
    }
    let below = schema["minimum"].as_f64().zip(value.as_f64()).is_some_and(|(least, number)| number < least);
    let above = schema["maximum"].as_f64().zip(value.as_f64()).is_some_and(|(most, number)| number > most);
    if below || above {
        return Some(format!("{value} is out of range"));
    }
    let items =
        value.as_array().into_iter().flatten().filter_map(|item| misfit(root, &schema["items"], item));
    let fields = value.as_object().into_iter().flatten();
    let fields = fields.filter_map(|(key, value)| {
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => Some(format!("{key} is unknown")),
            (Value::Null, schema) | (schema, _) => misfit(root, schema, value),
        }
    });
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|key| value.get(key).is_none()).map(|key| format!("{key} is missing"));
    items.chain(fields).chain(missing).next()
}

/// The keys that the code takes, as its complaint about another one lists them.
fn keys<T: DeserializeOwned>() -> Vec<String> {
    let complaint = match toml::from_str::<T>("no-such-key = 1") {
        Ok(_) => panic!("an unknown key is taken"),
        Err(e) => e.message().to_owned(),
    };
    let (_, list) = complaint.split_once("expected").expect("the keys are listed");
    let mut keys: Vec<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    keys.sort();
    keys
}

/// The schema's definition has the code's keys, and demands what it demands.
fn same<T: DeserializeOwned>(schema: &Value) {
    let reference = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let of_schema: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let of_code = keys::<T>();
    let mut sorted = of_schema.clone();
    sorted.sort();
    assert_eq!(sorted, of_code);
    for key in of_code {
        let named = [
            format!("`{key}`"),
            format!(" {key} = "),
            format!("`{key} ="),
            format!("[{key}]"),
            format!(".{key}]"),
        ];
        assert!(named.iter().any(|name| reference.contains(name)), "README.md does not explain {key}");
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match toml::from_str::<T>("") {
        Ok(_) => assert!(required.is_empty(), "the code does not need {required:?}"),
        Err(e) => assert!(required.iter().any(|key| e.message().contains(&format!("`{key}`"))), "{e}"),
    }
}

#[test]
fn the_schema_and_the_reference_have_the_keys_of_the_code() {
    let schema = schema();
    let of = |name: &str| schema["$defs"][name].clone();
    same::<file::File>(&schema);
    same::<file::RegionEntry>(&of("region"));
    same::<file::RttEntry>(&of("rtt"));
    same::<file::QuotaEntry>(&of("quota"));
    same::<file::ItemEntry>(&of("item"));
    same::<file::ItemsEntry>(&of("items"));
    same::<file::DemandEntry>(&of("demand"));
    same::<file::GenerateEntry>(&of("generate"));
    same::<file::PeakEntry>(&of("peak"));
    same::<file::DropEntry>(&of("drop"));
    same::<file::BuyersEntry>(&of("buyers"));
    same::<file::EventEntry>(&of("event"));
    same::<file::RestockEntry>(&of("event")["properties"]["restock"]);
    same::<file::SetEntry>(&of("event")["properties"]["set"]);
    same::<file::TransferEntry>(&of("event")["properties"]["transfer"]);
}

#[test]
fn shipped_files_fit_the_schema_and_others_do_not() {
    let schema = schema();
    for path in shipped() {
        let value: Value = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(misfit(&schema, &schema, &value), None, "{}", path.display());
    }
    let bad = [
        "title = 5\nregion = []",
        "region = []",
        "title = \"a\"\nregion = [{}]",
        "title = \"a\"\nregion = []\nx = 1",
    ];
    for text in bad {
        let value: Value = toml::from_str(text).unwrap();
        assert!(misfit(&schema, &schema, &value).is_some(), "{text}");
    }
}

#[test]
fn the_examples_of_the_reference_run() {
    let reference = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let example = reference.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let script = read(Path::new("README.md"), example, &Overrides::default()).unwrap();
    let recording = run(script, Detail::Hash, &mut |_, _| {});
    assert_eq!(recording.violation, None);
    assert!(recording.totals.unknown > 0, "{:?}", recording.totals);
}

/// With an eighth of its orders in an eighth of its time, and all of its events.
#[test]
fn shipped_scenarios_run_and_break_nothing() {
    for path in shipped() {
        let mut script = load(&path, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!script.about.is_empty() && script.about.lines().count() == 1, "{}", path.display());
        script.compress *= 8;
        let mut number = 0;
        script.orders.retain(|_| {
            number += 1;
            number % 8 == 0
        });
        let asked: usize = script.orders.len();
        let recording = run(script, Detail::Hash, &mut |_, _| {});
        assert_eq!(recording.violation, None, "{}", path.display());
        assert!(asked > 5 && recording.totals.units_served > 0, "{}: nothing went on", path.display());
    }
}
