//! What the reference says is what there is: pages are compared with the program, both ways.
//!
//! A test here fails when a command, flag, configuration key, error code or call is not
//! documented, and when something documented does not exist. Pages, or parts of them, that are
//! generated are written anew with
//!
//! ```text
//! STOCKADE_BLESS=1 cargo test --lib docs_tests
//! ```
//!
//! Metrics are compared by `tests/it/docs.rs`, with those that a running node shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::config::Config;
use crate::http::problem::Code;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Compares a generated page with the one that is there, or writes it anew if that is wanted.
fn ensure_generated(path: &str, made: &str) {
    if std::env::var_os("STOCKADE_BLESS").is_some() {
        std::fs::write(file(path), made).unwrap();
    }
    let kept = page(path);
    let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    let line = differs.unwrap_or(kept.lines().count().min(made.lines().count()));
    assert!(
        kept == made,
        "{path} is out of date from line {}:\n  there      {}\n  should be  {}\nIf that is meant: STOCKADE_BLESS=1 \
         cargo test --lib docs_tests",
        line + 1,
        kept.lines().nth(line).unwrap_or("(its end)"),
        made.lines().nth(line).unwrap_or("(its end)"),
    );
}

/// The cells of each table row of a page that begins with a code span, by the text of that.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<String> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let name = cells[0].trim_matches('`').to_owned();
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{name}: an empty cell");
        assert!(found.insert(name.clone(), cells).is_none(), "{name} is there twice");
    }
    found
}

/// Both ways, with what to do about it.
fn ensure_same(page: &str, documented: &BTreeSet<String>, existing: &BTreeSet<String>) {
    let missing: Vec<_> = existing.difference(documented).collect();
    let surplus: Vec<_> = documented.difference(existing).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{page}: add what is not documented, {missing:?}; remove what does not exist, {surplus:?}"
    );
}

mod commands {
    use super::*;

    const HEAD: &str = "\
# Commands

What `stockade COMMAND --help` prints, for every command. This page is generated from the program: change the
help texts in `src/cli`, then run `STOCKADE_BLESS=1 cargo test --lib docs_tests`.
";

    #[test]
    fn cli_md_is_the_help_of_every_command() {
        let mut root = crate::cli::command().term_width(80);
        root.build();
        let mut text = HEAD.to_owned();
        add(&mut root, &mut text);
        let wide: Vec<_> =
            text.lines().skip(HEAD.lines().count()).filter(|l| l.chars().count() > 80).collect();
        assert!(wide.is_empty(), "wider than a terminal: {wide:#?}");
        ensure_generated("docs/reference/cli.md", &text);
    }

    fn add(command: &mut clap::Command, text: &mut String) {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        *text += &format!("\n## {name}\n\n```text\n");
        for line in command.render_long_help().to_string().lines() {
            *text += line.trim_end();
            *text += "\n";
        }
        *text += "```\n";
        let shown = |command: &&mut clap::Command| command.get_name() != "help" && !command.is_hide_set();
        command.get_subcommands_mut().filter(shown).for_each(|command| add(command, text));
    }
}

mod configuration {
    use super::*;

    const PAGE: &str = "docs/reference/config.md";
    const EXAMPLE: &str = include_str!("../examples/config/stockade.toml");

    #[test]
    fn config_md_has_a_row_for_every_key_and_no_other() {
        let rows = rows(&page(PAGE));
        ensure_same(PAGE, &rows.keys().cloned().collect(), &crate::config::tests::keys());
        for (key, cells) in rows {
            assert_eq!(cells.len(), 6, "{key}: write key, type, range, default, reload, what for");
            assert!(
                ["yes", "no"].contains(&cells[4].as_str()),
                "{key}: reload is yes or no, not {}",
                cells[4]
            );
        }
    }

    /// A number's complaint about a value out of range tells range and default.
    #[test]
    fn config_md_tells_the_ranges_and_defaults_that_hold() {
        let rows = rows(&page(PAGE));
        let mut compared = 0;
        for line in EXAMPLE.lines().filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once(" = ") else { continue };
            if value.parse::<u64>().is_err() {
                continue;
            }
            let text = EXAMPLE.replacen(line, &format!("{key} = {}", i64::MAX), 1);
            let said = Config::parse(&text, "stockade.toml".as_ref()).unwrap_err().to_string();
            let (_, said) = said.split_once(" is out of range; write ").expect("a range");
            let said = said.lines().next().expect("a line");
            let (range, default) = said.split_once(", or leave it out for ").expect("a default");
            let cells = rows.iter().find(|(name, _)| name.ends_with(&format!(".{key}"))).expect("a row").1;
            assert_eq!(
                (cells[2].as_str(), cells[3].as_str()),
                (range, default),
                "range and default of {key}"
            );
            compared += 1;
        }
        assert!(compared >= 10, "{compared} numbers");
    }
}

mod errors {
    use super::*;

    const PAGE: &str = "docs/reference/errors.md";

    /// What stands under each heading.
    fn sections() -> BTreeMap<String, String> {
        let page = page(PAGE);
        let section = |part: &str| {
            let (code, text) = part.split_once('\n').expect("a heading and a text");
            (code.to_owned(), text.trim().to_owned())
        };
        page.split("\n## ").skip(1).map(section).collect()
    }

    #[test]
    fn errors_md_says_of_every_code_what_happened_and_what_to_do() {
        let sections = sections();
        let codes = Code::ALL.into_iter().map(|code| code.row().code.to_owned()).collect();
        ensure_same(PAGE, &sections.keys().cloned().collect(), &codes);
        for code in Code::ALL {
            let row = code.row();
            let text = &sections[row.code];
            let begins = format!("{}. ", row.status);
            assert!(text.starts_with(&begins), "{}: begin with its status, {begins:?}", row.code);
            let paragraphs = text.split("\n\n").count();
            assert!(
                paragraphs >= 2,
                "{}: say what happened, and in a paragraph of its own what to do",
                row.code
            );
        }
    }

    #[test]
    fn links_to_codes_lead_somewhere() {
        let sections = sections();
        for path in ["docs/reference/errors.md", "docs/reference/api.md"] {
            for link in page(path).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if let Some(code) = link.strip_prefix("errors.md#").or(link.strip_prefix('#')) {
                    assert!(sections.contains_key(code), "{path} links to {link}");
                }
            }
        }
    }
}

mod calls {
    use super::*;

    const PAGE: &str = "docs/reference/api.md";
    const DOCUMENTS: [&str; 2] = ["storefront", "admin"];
    /// Codes that the page's beginning tells once for all calls.
    const OF_MANY: [Code; 9] = [
        Code::InvalidRequest,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::Overloaded,
        Code::NotReady,
        Code::RolledBack,
    ];

    /// A listener's OpenAPI document; none while the program makes none.
    fn document(name: &str) -> Option<Value> {
        if !file("src/http/openapi").exists() {
            return None;
        }
        let path = format!("docs/reference/openapi/{name}.json");
        Some(serde_json::from_str(&page(&path)).unwrap_or_else(|e| panic!("{path}: {e}")))
    }

    fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
        value.as_object().into_iter().flatten()
    }

    #[test]
    fn api_md_has_every_call_of_both_listeners_with_its_codes() {
        let mut text = page(PAGE);
        for name in DOCUMENTS {
            let Some(document) = document(name) else { return };
            let (begins, ends) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->\n"));
            let (head, rest) = text.split_once(&begins).unwrap_or_else(|| panic!("{PAGE}: no {begins}"));
            let (_, tail) = rest.split_once(&ends).unwrap_or_else(|| panic!("{PAGE}: no {ends}"));
            text = format!("{head}{begins}{}{ends}{tail}", table(&document));
        }
        ensure_generated(PAGE, &text);
    }

    #[test]
    fn api_md_tells_the_codes_of_many_calls_once() {
        let page = page(PAGE);
        let head = page.split("<!-- ").next().expect("a beginning");
        for code in OF_MANY {
            let code = code.row().code;
            assert!(head.contains(&format!("[`{code}`](errors.md#{code})")), "{PAGE} begins without {code}");
        }
    }

    #[test]
    fn every_code_is_an_answer_of_some_call() {
        let mut told: BTreeSet<String> = OF_MANY.map(|code| code.row().code.to_owned()).into();
        for name in DOCUMENTS {
            let Some(document) = document(name) else { return };
            for (_, operation) in object(&document["paths"]).flat_map(|(_, item)| object(item)) {
                codes(&operation["responses"], &mut told);
            }
        }
        let all = Code::ALL.into_iter().map(|code| code.row().code.to_owned()).collect();
        ensure_same("docs/reference/openapi", &told, &all);
    }

    fn table(document: &Value) -> String {
        let mut text = "\n| call | does | good | refusals |\n|---|---|---|---|\n".to_owned();
        for (path, item) in object(&document["paths"]) {
            for (method, operation) in object(item) {
                let (method, does) = (method.to_uppercase(), operation["summary"].as_str().unwrap_or(""));
                assert!(!does.is_empty(), "{method} {path} has no summary");
                let responses = &operation["responses"];
                let good: Vec<&str> =
                    object(responses).map(|(status, _)| status.as_str()).filter(|s| *s < "400").collect();
                let mut refusals = BTreeSet::new();
                codes(responses, &mut refusals);
                refusals.retain(|code| OF_MANY.iter().all(|many| many.row().code != code));
                let links: Vec<String> =
                    refusals.iter().map(|code| format!("[`{code}`](errors.md#{code})")).collect();
                text +=
                    &format!("| `{method} {path}` | {does} | {} | {} |\n", good.join(", "), links.join(" "));
            }
        }
        text
    }

    /// The words that a field `code` may be, anywhere in `value`.
    fn codes(value: &Value, found: &mut BTreeSet<String>) {
        let words = value["properties"]["code"]["enum"].as_array().into_iter().flatten();
        found.extend(words.filter_map(|word| word.as_str().map(str::to_owned)));
        object(value).for_each(|(_, value)| codes(value, found));
        value.as_array().into_iter().flatten().for_each(|value| codes(value, found));
    }

    #[test]
    fn every_field_parameter_and_answer_is_described() {
        let mut bare = Vec::new();
        for name in DOCUMENTS {
            let Some(document) = document(name) else { return };
            for (schema, value) in object(&document["components"]["schemas"]) {
                undescribed(&document, &format!("{name}: {schema}"), value, &mut bare);
            }
            for (path, operation) in object(&document["paths"]).flat_map(|(path, item)| {
                object(item).map(move |(method, operation)| (format!("{name}: {method} {path}"), operation))
            }) {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let parameters = parameters.map(|parameter| (parameter["name"].to_string(), parameter));
                let answers =
                    object(&operation["responses"]).map(|(status, answer)| (status.clone(), answer));
                for (part, value) in parameters.chain(answers) {
                    if !is_described(&document, value) {
                        bare.push(format!("{path} {part}"));
                    }
                }
            }
        }
        assert!(bare.is_empty(), "without a description: {bare:#?}");
    }

    /// Notes properties without a description, here and below.
    fn undescribed(document: &Value, at: &str, value: &Value, bare: &mut Vec<String>) {
        for (field, property) in object(&value["properties"]) {
            if !is_described(document, property) {
                bare.push(format!("{at}.{field}"));
            }
            undescribed(document, &format!("{at}.{field}"), property, bare);
        }
        for part in ["items", "additionalProperties"].map(|part| &value[part]) {
            if part.is_object() {
                undescribed(document, at, part, bare);
            }
        }
        for part in ["allOf", "oneOf", "anyOf"] {
            let parts = value[part].as_array().into_iter().flatten();
            parts.for_each(|value| undescribed(document, at, value, bare));
        }
    }

    /// By itself, or by what it refers to.
    fn is_described(document: &Value, value: &Value) -> bool {
        let referred = value["$ref"].as_str().and_then(|to| document.pointer(to.trim_start_matches('#')));
        let parts =
            ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|part| value[part].as_array()).flatten();
        let items = Some(&value["items"]).filter(|items| items.is_object());
        value["description"].as_str().is_some_and(|text| !text.trim().is_empty())
            // A constant that tells one of several shapes from the others says all there is.
            || value["const"].is_string()
            || value["enum"].as_array().is_some_and(|words| words.len() == 1)
            || referred.into_iter().chain(parts).chain(items).any(|value| is_described(document, value))
    }
}

#[test]
fn the_index_leads_to_every_page_of_the_reference() {
    let index = page("docs/README.md");
    for entry in std::fs::read_dir(file("docs/reference")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_page = name.ends_with(".md");
        assert!(
            !is_page || index.contains(&format!("](reference/{name})")),
            "docs/README.md: no link to {name}"
        );
    }
}
