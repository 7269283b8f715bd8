//! A refusal in words: what the node said, all of it, and what to do.

use serde::Deserialize;

use super::books::{Capped, Shortfall};
use crate::cli::client::Answer;

/// A node said no. The exit status is 1, not 2: it was reached, and it understood.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The members of a problem that are told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    title: Option<String>,
    pub code: Option<String>,
    detail: Option<String>,
    errors: Vec<FieldError>,
    pub shortfalls: Vec<Shortfall>,
    pub capped: Vec<Capped>,
    unreachable: Vec<String>,
    reasons: Vec<String>,
    current_version: Option<u64>,
    free: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

/// Whether it is a node's own word, and not that of somebody between.
pub fn has_code(answer: &Answer) -> bool {
    answer.json::<Problem>().is_ok_and(|problem| problem.code.is_some())
}

/// The whole story of a refusal, its first line without an indent. `node` is who refused.
pub fn story(node: &str, answer: &Answer) -> String {
    story_of(node, "", answer, None)
}

/// The same of a request for `path`, which some advice depends on; `remedy` is better advice than
/// what the code has.
pub fn story_of(node: &str, path: &str, answer: &Answer, remedy: Option<String>) -> String {
    let Ok(problem) = answer.json::<Problem>() else {
        return format!("{node} answered {} without saying why", answer.status);
    };
    let code = problem.code.as_deref().unwrap_or("no code");
    let title = problem.title.as_deref().unwrap_or("no");
    let mut lines = vec![format!("{node} refused: {title} ({}, {code})", answer.status)];
    // A detail that only repeats a field's error is left out.
    let repeated: Vec<String> =
        problem.errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
    // So are numbers that the detail says already.
    let is_said = problem.detail.is_some();
    lines.extend(problem.detail.filter(|detail| !repeated.contains(detail)));
    lines.extend(repeated);
    lines.extend(problem.shortfalls.iter().map(Shortfall::sentence));
    // The detail tells the first.
    lines.extend(problem.capped.iter().skip(usize::from(is_said)).map(Capped::sentence));
    if problem.shortfalls.is_empty() && !problem.unreachable.is_empty() {
        lines.push(format!("not reached: {}", problem.unreachable.join(", ")));
    }
    if !problem.reasons.is_empty() {
        lines.push(format!("reasons: {}", problem.reasons.join(", ")));
    }
    if !is_said {
        lines.extend(problem.current_version.map(|version| format!("its version now: {version}")));
        lines.extend(problem.free.map(|free| format!("free there now: {free}")));
    }
    lines.dedup();
    let wait = answer.retry_after.map(|wait| format!(" in {} s", wait.as_secs())).unwrap_or_default();
    let advice = if problem.shortfalls.is_empty() {
        match code {
            "already_confirmed" if path.ends_with("/extend") => {
                Some("it is sold; there is nothing to extend".to_owned())
            }
            _ => advice(code).map(str::to_owned),
        }
    } else {
        Some(shortfall_advice(&problem.shortfalls))
    };
    let advice = remedy.or(advice);
    lines.extend(advice.map(|advice| match advice.strip_prefix("try again") {
        Some(rest) => format!("What to do: try again{wait}{rest}."),
        None => format!("What to do: {advice}."),
    }));
    lines.join("\n  ")
}

/// A longer wait helps only where units are known to be, or may be.
fn shortfall_advice(shortfalls: &[Shortfall]) -> String {
    let is_hopeless = shortfalls.iter().all(|short| short.verdict == "sold_out");
    let first =
        if is_hopeless { "take less of it" } else { "take less, or try again with a longer --wait-ms" };
    let sku = shortfalls.first().map_or("SKU", |short| short.sku.as_str());
    format!("{first}; `stockade explain {sku}` tells where every unit is")
}

/// What a person does about a code.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_request" => "correct what is named and send it again",
        "idempotency_key_required" => "give it a --key",
        "not_found" => {
            "check the address (admin and storefront calls are on different ports), and that the node \
             is of this release"
        }
        "unknown_sku" => "check the sku, or create the item: `stockade item set SKU --name NAME`",
        "unknown_node" => "check the name: `stockade node list` has them all",
        "reservation_not_found" => "check the id; ended reservations are forgotten after a day",
        "method_not_allowed" => "check that node and `stockade` are of the same release",
        "request_timeout" => "try again; the request came too slowly",
        "insufficient_stock" => "take less; `stockade explain SKU` tells where every unit is",
        "already_confirmed" => "it is sold; goods that come back are `stockade stock return SKU QTY`",
        "already_cancelled" => "choose another id; a cancelled reservation stays cancelled",
        "max_per_order" => "take fewer, or raise it: `stockade item set SKU --max-per-order N`",
        "not_free_here" => {
            "take fewer, wait until reservations end, or bring units there first: \
                            `stockade transfer`"
        }
        "expired" => "put the reservation again, if units are left",
        "version_mismatch" => "look at it again (`stockade reserve show ID`) and decide anew",
        "body_too_large" => "send less at once",
        "unsupported_media_type" => "check that node and `stockade` are of the same release",
        "key_reused" => "choose another --key: this one was used for another request",
        "overloaded" => "try again",
        "not_ready" => "try again, or use another node",
        "draining" => "use another node, or `stockade node resume NAME`",
        "memory_full" => "try again later, or raise remember_max_bytes in the configuration",
        "owner_unreachable" => "try again when the silent node is back; nothing was done",
        "node_unreachable" => "try again when `stockade node list` shows its link as up; nothing was done",
        "autonomy_spent" => {
            "try again, with a --wait-ms above 0; `stockade explain SKU` tells what it may sell, and \
             `stockade node list` whether it is linked"
        }
        "rolled_back" => "use another node, and read this one's log: its disk is too old",
        "outcome_unknown" => "send the same again, with the same id or key: that is safe",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::http::problem::Code;

    fn answer(status: u16, body: &serde_json::Value) -> Answer {
        Answer { status, body: body.to_string().into(), retry_after: None, replayed: false, waited: false }
    }

    #[test]
    fn every_code_has_advice() {
        for code in Code::ALL {
            assert!(advice(code.row().code).is_some(), "{}", code.row().code);
        }
        assert_eq!(advice("made_up"), None);
    }

    #[test]
    fn every_field_and_every_shortfall_is_told() {
        let body = json!({"title": "The request is not valid", "code": "invalid_request",
            "detail": "a: is wrong", "errors": [{"field": "a", "message": "is wrong"}, {"field": "b", "message": "too"}]});
        let text = story("us-1", &answer(400, &body));
        assert_eq!(
            text,
            "us-1 refused: The request is not valid (400, invalid_request)\n  a: is wrong\n  b: too\n  \
             What to do: correct what is named and send it again."
        );
        let body = json!({"title": "Not enough stock", "code": "insufficient_stock", "shortfalls": [
            {"sku": "MUG", "requested": 5, "available_here": 2, "verdict": "elsewhere", "elsewhere": 3, "unreachable": [], "as_of": ""},
            {"sku": "TEE", "requested": 1, "available_here": 0, "verdict": "sold_out", "elsewhere": 0, "unreachable": [], "as_of": ""},
            {"sku": "CAP", "requested": 1, "available_here": 0, "verdict": "unknown", "elsewhere": 0, "unreachable": ["ap-1"], "as_of": ""}]});
        let text = story("us-1", &answer(409, &body));
        for wanted in ["MUG: 5 wanted, 2 free", "3 free at other nodes", "TEE", "sold out", "ap-1"] {
            assert!(text.contains(wanted), "{wanted}:\n{text}");
        }
    }

    #[test]
    fn what_else_an_answer_says_is_told() {
        let mut busy = answer(503, &json!({"title": "No", "code": "not_ready", "reasons": ["starting"]}));
        busy.retry_after = Some(Duration::from_secs(7));
        let text = story("us-1", &busy);
        assert!(
            text.contains("reasons: starting") && text.contains("try again in 7 s, or use another node."),
            "{text}"
        );
        let sold = answer(409, &json!({"code": "already_confirmed"}));
        let text = story_of("us-1", "/v1/reservations/A/extend", &sold, None);
        assert!(text.ends_with("What to do: it is sold; there is nothing to extend."), "{text}");
        assert!(story_of("us-1", "/v1/reservations/A/cancel", &sold, None).contains("stock return"));
        let text = story("us-1", &answer(409, &json!({"code": "not_free_here", "free": 3})));
        assert!(text.contains("free there now: 3"), "{text}");
        let line = |sku: &str| json!({"sku": sku, "requested": 3, "available_here": 95, "sellable": 1});
        let capped =
            json!({"code": "autonomy_spent", "detail": "3 of A wanted", "capped": [line("A"), line("B")]});
        let text = story("us-1", &answer(503, &capped));
        assert!(text.contains("  B: 3 wanted, 95 free there, 1 may be sold now\n"), "{text}");
        assert!(!text.contains("  A: 3 wanted") && text.contains("What to do: try again, with a"), "{text}");
        let text = story("us-1", &answer(503, &json!({"code": "node_unreachable", "unreachable": ["eu-1"]})));
        assert!(text.contains("not reached: eu-1"), "{text}");
    }

    #[test]
    fn an_answer_that_is_no_problem_is_still_told() {
        let odd =
            Answer { status: 502, body: "<html>".into(), retry_after: None, replayed: false, waited: false };
        assert_eq!(story("us-1", &odd), "us-1 answered 502 without saying why");
    }
}
