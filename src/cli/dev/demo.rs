//! The item that a new cluster begins with, so that there is something to sell.

use anyhow::ensure;
use serde_json::json;

use crate::cli::client::{BaseUrl, Call, Client};
use crate::cli::node::Item;

pub const SKU: &str = "DEMO";
const UNITS: u64 = 300;

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

async fn done(client: &Client, call: Call) -> anyhow::Result<()> {
    let answer = client.send(&call).await?;
    ensure!(answer.is_success(), "{}: {}", call.url, answer.brief());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
