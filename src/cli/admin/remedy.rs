//! What helps against a refusal, when more is known of the cluster than the refusal says: who
//! keeps the units that were missing, which nodes there are, or that the node is cut off.
//!
//! The refusal stands whatever comes of it: a node that does not tell in time leaves the usual
//! advice.

use std::time::Duration;

use super::books::{Books, NodeBooks, Shortfall};
use super::desk::Node;
use super::item;
use super::node::{Member, Members, listed, own_name};
use super::problem::Problem;
use crate::cli::client::Answer;
use crate::types::Sku;

/// The refusal is there; nobody waits for longer than that to hear it.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// What to do, without a full stop. `None`: no better than what the code alone advises.
pub async fn remedy(node: &Node, answer: &Answer) -> Option<String> {
    let problem = answer.json::<Problem>().ok()?;
    tokio::time::timeout(TOLD_WITHIN, found(node, &problem)).await.ok().flatten()
}

async fn found(node: &Node, problem: &Problem) -> Option<String> {
    if problem.code.as_deref() == Some("unknown_node") {
        let members = Members::read(node).await.ok()?.all().ok()?;
        return Some(format!("name one of the nodes: {}", listed(&members)));
    }
    if let Some(capped) = problem.capped.first() {
        return cut_off(&Members::read(node).await.ok()?.all().ok()?, capped.sellable);
    }
    let shorts = &problem.shortfalls;
    // Proof that nothing is left anywhere needs no further look.
    let short = shorts.iter().find(|short| short.verdict != "sold_out")?;
    let books = item::books(node, &Sku::new(&short.sku).ok()?).await.ok()??;
    let who = own_name(node).await.ok()?;
    kept(&books, &who, short)
}

/// For an order above the limit of a node that no other can confirm more to. `None`: one can.
fn cut_off(members: &[Member], sellable: u64) -> Option<String> {
    let who = &members.iter().find(|member| member.is_self)?.name;
    if members.iter().any(|member| !member.is_self && member.link == "up") {
        return None;
    }
    let less = if sellable > 0 { format!("take {sellable} at most; or ") } else { String::new() };
    Some(format!(
        "{less}use another node: {who} is linked to none, and sells more once it is (`stockade node list`)"
    ))
}

/// Who keeps the units that `who` lacked, and what an admin can do; `None`: nobody does so by a setting.
fn kept(books: &Books, who: &str, short: &Shortfall) -> Option<String> {
    let sku = &books.sku;
    let others = || books.nodes.iter().filter(|at| at.node != who && at.available > 0);
    let lacks = short.requested.saturating_sub(short.available_here).max(1);
    let transfer = |from: &NodeBooks| {
        let units = lacks.min(from.available);
        format!("stockade transfer {sku} --from {} --to {who} {units}", from.node)
    };
    // Commands stand in lines of their own, to be copied.
    let advice = |why: String, one: String, other: String| {
        format!(
            "a longer wait is of no use: {why}.\n  Take less of it; or, for an admin:\n    {one}\n    {other}\n  \
             `stockade explain {sku}` tells where every unit is"
        )
    };
    if books.policy.rebalance() == "manual" {
        let most = others().max_by_key(|at| at.available)?;
        let has: Vec<String> = others().map(|at| format!("{} has {}", at.node, at.available)).collect();
        let why = format!("nodes do not move {sku} by themselves (rebalance manual), and {}", has.join(", "));
        return Some(advice(why, transfer(most), format!("stockade item set {sku} --rebalance auto")));
    }
    let reserve = |at: &NodeBooks| {
        let quota = books.policy.quotas.get(&at.node);
        quota.and_then(|quota| quota.pinned.or(quota.min)).unwrap_or(0).min(at.available)
    };
    let loose = others().fold(0, |sum: u64, at| sum.saturating_add(at.available - reserve(at)));
    let most = others().filter(|at| reserve(at) > 0).max_by_key(|at| reserve(at))?;
    if loose >= lacks {
        return None;
    }
    let keep: Vec<String> = others()
        .filter(|at| reserve(at) > 0)
        .map(|at| format!("{} keeps {} of {sku}", at.node, reserve(at)))
        .collect();
    let why = format!("too few come, as {} by quota", keep.join(", "));
    Some(advice(why, transfer(most), format!("stockade quota clear {sku} {}", most.node)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::admin::script::{at, books};

    /// What is said to a buyer at eu-1, who has 2 free there, of the 40 at us-1 and 3 at ap-1.
    fn said(policy: &Value, requested: u64) -> Option<String> {
        let nodes = [at("ap-1", 3, 0, 0, 0, 0), at("eu-1", 2, 0, 0, 0, 0), at("us-1", 40, 0, 0, 0, 0)];
        let books: Books = serde_json::from_value(books("MUG", &nodes, policy)).unwrap();
        let short = Shortfall { sku: "MUG".into(), requested, available_here: 2, ..Shortfall::default() };
        kept(&books, "eu-1", &short)
    }

    #[test]
    fn who_keeps_the_units_is_said_with_what_an_admin_can_do() {
        let text = said(&json!({"rebalance": "manual"}), 7).unwrap();
        for wanted in [
            "rebalance manual",
            "ap-1 has 3, us-1 has 40",
            "\n    stockade transfer MUG --from us-1 --to eu-1 5\n",
            "\n    stockade item set MUG --rebalance auto\n",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let quotas = json!({"quotas": {"us-1": {"min": 38}, "ap-1": {"pinned": 5}}});
        let text = said(&quotas, 7).unwrap();
        for wanted in [
            "ap-1 keeps 3 of MUG, us-1 keeps 38 of MUG by quota",
            "\n    stockade transfer MUG --from us-1 --to eu-1 5\n",
            "\n    stockade quota clear MUG us-1\n",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }

    #[test]
    fn a_node_that_is_cut_off_says_so_and_what_it_can_still_sell() {
        let members = |link: &str| -> Vec<Member> {
            let list =
                crate::cli::admin::script::members(&[("eu-1", "active", "up"), ("us-1", "active", link)]);
            serde_json::from_value::<Members>(list).unwrap().all().unwrap()
        };
        assert_eq!(cut_off(&members("up"), 3), None);
        let text = cut_off(&members("down"), 3).unwrap();
        assert!(text.starts_with("take 3 at most; or use another node: eu-1 is linked to none"), "{text}");
        assert!(cut_off(&members("down"), 0).unwrap().starts_with("use another node"));
    }

    #[test]
    fn nothing_is_said_of_settings_that_were_no_obstacle() {
        assert_eq!(said(&json!({}), 7), None);
        let quotas = json!({"quotas": {"us-1": {"min": 38}, "ap-1": {"pinned": 5}}});
        assert_eq!(said(&quotas, 4), None, "us-1 has 2 that it may give");
        assert_eq!(said(&json!({"quotas": {"eu-1": {"min": 2}, "us-1": {"max": 1}}}), 50), None);
    }
}
