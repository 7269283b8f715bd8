//! Before the load: the trace's items, and their units received where most of them are bought.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::order::Shop;
use super::patience::until_answered;
use crate::cli::client::{BaseUrl, Call, Client};
use crate::cli::node::{self, Availability, AvailableItem};
use crate::types::units::MAX_QUANTITY;

/// Items being made at once.
const AT_ONCE: usize = 32;
/// How long every node may take to hear of every item.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(100);
/// What one availability read may ask for.
const MAX_SKUS: usize = 200;
const MAX_QUERY_BYTES: usize = 4_000;
/// The receipts' key. Its scope is one item's path, so one key serves all.
const KEY: &str = "stockade-replay";

/// Makes every item and receives `units` of it at its node, then waits until all nodes know.
/// Running it again does nothing more.
///
/// # Errors
/// When the items are already in use, or a node does not do it.
pub async fn stock(shop: &Shop, nodes: &[usize], units: &[u64]) -> anyhow::Result<()> {
    ensure_untouched(shop, units).await?;
    let mut running = JoinSet::new();
    for (sku, (node, units)) in nodes.iter().zip(units).enumerate() {
        if running.len() >= AT_ONCE {
            one_done(&mut running).await?;
        }
        let (shop, node, units) = (shop.clone(), *node, *units);
        running.spawn(async move { make(&shop, sku, node, units).await });
    }
    while !running.is_empty() {
        one_done(&mut running).await?;
    }
    until_known(shop, units).await
}

async fn one_done(running: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    running.join_next().await.context("nothing runs")?.context("a task failed")?
}

/// The books can only be judged when nobody else has touched these items.
async fn ensure_untouched(shop: &Shop, units: &[u64]) -> anyhow::Result<()> {
    let Some(first) = shop.targets.first() else { return Ok(()) };
    let wanted: HashMap<&str, u64> =
        shop.trace.skus.iter().map(String::as_str).zip(units.iter().copied()).collect();
    let items = node::items(&shop.client, &first.admin).await;
    for item in items.with_context(|| format!("{} did not answer", first.called()))? {
        let Some(units) = wanted.get(item.sku.as_str()) else { continue };
        let totals = item.totals;
        let is_new = totals.sold == 0 && totals.held == 0 && totals.returned == 0;
        ensure!(
            is_new && (totals.received == 0 || totals.received == *units),
            "item {} is already in use in this cluster; replay into a new one: `stockade dev --fresh`",
            item.sku
        );
    }
    Ok(())
}

async fn make(shop: &Shop, sku: usize, node: usize, units: u64) -> anyhow::Result<()> {
    let sku = &shop.trace.skus[sku];
    ensure!(
        units <= MAX_QUANTITY,
        "item {sku}: {units} units are more than one receipt takes ({MAX_QUANTITY}); lower --stock"
    );
    let admin = &shop.targets[node].admin;
    let path = format!("/v1/items/{sku}");
    done(shop, node, &Call::put(admin, &path, &json!({}))).await?;
    if units > 0 {
        let body = json!({"quantity": units, "reason": "stockade replay"});
        done(shop, node, &Call::post(admin, &format!("{path}/receipts"), &body).with_key(KEY)).await?;
    }
    Ok(())
}

async fn done(shop: &Shop, node: usize, call: &Call) -> anyhow::Result<()> {
    let answered = until_answered(&shop.client, &shop.silences, &shop.patience, node, call).await;
    let called = || shop.targets[node].called();
    let silent = || format!("{} did not answer {}; is it running?", called(), call.url);
    let answer = answered.with_context(silent)?.answer;
    ensure!(answer.is_success(), "{} refused {}: {}", called(), call.url, answer.brief());
    Ok(())
}

/// An order at a node that has not heard of an item would be refused for the wrong reason.
async fn until_known(shop: &Shop, units: &[u64]) -> anyhow::Result<()> {
    let deadline = Instant::now() + KNOWN_WITHIN;
    let questions = questions(&shop.trace.skus, units);
    for target in shop.targets.iter() {
        for question in &questions {
            let silent = || format!("{} did not answer", target.called());
            while !knows(&shop.client, &target.storefront, question).await.with_context(silent)? {
                if Instant::now() > deadline {
                    let (called, seconds) = (target.called(), KNOWN_WITHIN.as_secs());
                    bail!(
                        "{called} has not heard of all items after {seconds} s; is it linked to the others?"
                    );
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
    }
    Ok(())
}

/// One availability read, and which of its items have units.
struct Question {
    path: String,
    has_units: Vec<bool>,
}

fn questions(skus: &[String], units: &[u64]) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for (sku, units) in skus.iter().zip(units) {
        let fits = |question: &Question| {
            question.has_units.len() < MAX_SKUS && question.path.len() + sku.len() + 5 <= MAX_QUERY_BYTES
        };
        match questions.last_mut() {
            Some(last) if fits(last) => {
                last.path += &format!("&sku={sku}");
                last.has_units.push(*units > 0);
            }
            _ => questions
                .push(Question { path: format!("/v1/availability?sku={sku}"), has_units: vec![*units > 0] }),
        }
    }
    questions
}

async fn knows(client: &Client, storefront: &BaseUrl, question: &Question) -> anyhow::Result<bool> {
    let seen: Availability = client.read(storefront, &question.path).await?;
    let known =
        |(item, has_units): (&AvailableItem, &bool)| item.is_known() && (!has_units || item.everywhere > 0);
    Ok(seen.items.len() == question.has_units.len() && seen.items.iter().zip(&question.has_units).all(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_asked_in_reads_of_bounded_size() {
        let skus: Vec<String> = (0..450).map(|n| format!("S{n}")).collect();
        let questions = questions(&skus, &vec![1; 450]);
        assert_eq!(questions.iter().map(|q| q.has_units.len()).sum::<usize>(), 450);
        assert!(questions.iter().all(|q| q.has_units.len() <= MAX_SKUS && q.path.len() <= MAX_QUERY_BYTES));
        let long: Vec<String> = (0..100).map(|n| format!("{n:0>128}")).collect();
        assert!(super::questions(&long, &vec![1; 100]).len() > 1);
    }
}
