//! The item that a new cluster begins with, so that there is something to sell.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::cli::client::{BaseUrl, Call, Client};
use crate::cli::cluster::Cluster;
use crate::cli::node::{Availability, AvailableItem, Item};

pub const SKU: &str = "DEMO";
const UNITS: u64 = 300;
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Creates the item and receives its units, once: a cluster that has it keeps what it has.
///
/// # Errors
/// When the node does not do it.
pub async fn stock(client: &Client, admin: &BaseUrl) -> anyhow::Result<()> {
    let path = format!("/v1/items/{SKU}");
    let known = client.send(&Call::get(admin, &path)).await?;
    if known.status == 404 {
        done(client, Call::put(admin, &path, &json!({"name": "Demo item"}))).await?;
    } else {
        ensure!(known.status == 200, "{admin}{path}: {}", known.brief());
        let item: Item = known.json().map_err(anyhow::Error::msg)?;
        if item.totals.received > 0 {
            return Ok(());
        }
    }
    // The key guards against a start that ended between here and the answer.
    let receipt = json!({"quantity": UNITS, "reason": "stockade dev"});
    done(client, Call::post(admin, &format!("{path}/receipts"), &receipt).with_key("stockade-dev-demo")).await
}

/// Returns when every node has heard of the item, so that what is printed works at once.
pub async fn until_known(client: &Client, cluster: &Cluster) {
    let path = format!("/v1/availability?sku={SKU}");
    for node in &cluster.nodes {
        let is_known = |seen: Availability| seen.items.iter().all(AvailableItem::is_known);
        while !client.read(&node.storefront(), &path).await.is_ok_and(is_known) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

async fn done(client: &Client, call: Call) -> anyhow::Result<()> {
    let answer = client.send(&call).await?;
    ensure!(answer.is_success(), "{}: {}", call.url, answer.brief());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_node::{FakeNode, Fault};
    use crate::cli::node::items;

    #[tokio::test]
    async fn a_restart_never_adds_units_again() {
        let node = FakeNode::start("us-1").await;
        let client = Client::new(Duration::from_secs(5));
        node.fail_next("receipts", Fault::AnswerLost);
        stock(&client, &node.url()).await.unwrap_err();
        for _ in 0..2 {
            stock(&client, &node.url()).await.unwrap();
        }
        let items = items(&client, &node.url()).await.unwrap();
        assert_eq!((items.len(), items[0].totals.received), (1, UNITS));
    }
}
