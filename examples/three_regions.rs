//! Three regions sell the same 100 mugs; one is cut off, one is killed, and the books balance.
//!
//! ```text
//! cargo run --example three_regions
//! ```
//!
//! It starts three real nodes on free ports, with a network between them that can be cut, plays
//! the story, prints each step with what the nodes answered, and ends by itself: with status 0 if
//! everything was as promised, else with 1 and what was not. Nothing stays behind.
//!
//! It counts what it was told is sold, and compares that with the nodes' books in the end.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the bans are for the pure modules

#[allow(dead_code)] // each example uses its own part
mod stage;

use std::process::ExitCode;

use anyhow::ensure;
use serde_json::{Value, json};
use stage::client::{self, Answer, get, post, put};
use stage::{Cluster, until};

const US: usize = 0;
const EU: usize = 1;
const AP: usize = 2;
const STOCK: u64 = 100;

fn main() -> ExitCode {
    // Called with arguments, this is the command `stockade`: so the nodes need no other program.
    if std::env::args().len() > 1 {
        return stockade::cli::main();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    match runtime.block_on(story()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("not as promised: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn story() -> anyhow::Result<()> {
    println!("Three nodes start: us-1, eu-1 and ap-1.");
    let cluster = Cluster::start(&[("us-1", "us"), ("eu-1", "eu"), ("ap-1", "ap")]).await?;
    let mut shop = Shop { cluster, sold: 0 };

    say("A delivery of 100 mugs arrives in Europe. All may sell them at once.");
    shop.receive().await?;
    shop.show_rights().await?;
    shop.sell(EU, "EU-1", 12).await?;
    shop.sell(US, "US-1", 30).await?;
    shop.sell(AP, "AP-1", 8).await?;

    say("An admin expects a busy evening in America, and moves 10 there.");
    shop.transfer(EU, US, 10).await?;
    shop.show_rights().await?;

    say("The sea cable breaks: America hears nobody, and nobody hears America.");
    shop.cluster.cut_off(US, true);
    shop.cluster.linked(US, 1).await?;
    shop.cluster.linked(EU, 2).await?;

    say("Both sides go on selling what they hold rights to, until they have no more.");
    let (american, verdict) = shop.sell_out(US, "US-CUT").await?;
    ensure!(american > 0, "America was cut off with rights and sold nothing");
    ensure!(verdict == "unknown", "America cannot know what the others have: {verdict}");
    let (_, verdict) = shop.sell_out(EU, "EU-CUT").await?;
    ensure!(verdict == "unknown", "nobody can know what America has: {verdict}");

    say("The cable is mended. A return arrives in Asia, and America can sell it.");
    shop.cluster.cut_off(US, false);
    shop.cluster.linked(US, 3).await?;
    shop.bring_back(AP, "AP-1", 3).await?;
    shop.sell(US, "US-2", 2).await?;
    shop.hold(AP, "AP-2", 1).await?;

    say("Asia loses power while a buyer there pays. Nobody else can confirm that order.");
    shop.cluster.kill(AP)?;
    shop.cluster.linked(US, 2).await?;
    let answer = shop.confirm(US, "AP-2").await?;
    ensure!(answer.code() == "owner_unreachable", "{}", answer.body);

    say("Asia comes back. What it had answered is there, and America confirms it.");
    shop.cluster.start_node(AP).await?;
    shop.cluster.nodes[AP].ready().await?;
    for node in [US, EU, AP] {
        shop.cluster.linked(node, 3).await?;
    }
    let answer = shop.confirm(US, "AP-2").await?;
    ensure!(answer.status == 200, "{}", answer.body);
    shop.sold += 1;

    say("Everything is sold now, what came back too, and each node can prove it.");
    for node in [US, EU, AP] {
        // One that was on its way when the cable broke has arrived, and is for sale.
        let (_, verdict) = shop.sell_out(node, &format!("LATE-{node}")).await?;
        ensure!(verdict == "sold_out", "{verdict}");
    }
    shop.balance().await
}

fn say(text: &str) {
    println!("\n{text}");
}

/// A shop with a till in each region, and books of its own.
struct Shop {
    cluster: Cluster,
    /// Units that an answer said are sold.
    sold: u64,
}

impl Shop {
    async fn receive(&self) -> anyhow::Result<()> {
        let eu = &self.cluster.nodes[EU];
        eu.admin_call(put("/v1/items/MUG", json!({"name": "Mug"}))).await?;
        let delivery = post("/v1/items/MUG/receipts", json!({"quantity": STOCK}));
        eu.admin_call(delivery.header("idempotency-key", "delivery-1")).await?;
        for node in &self.cluster.nodes {
            until(&format!("{} to know of the mugs", node.name), async || {
                let item = node.admin_call(get("/v1/items/MUG")).await.ok()?;
                (item["totals"]["received"] == STOCK).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// A sale that must succeed.
    async fn sell(&mut self, node: usize, key: &str, quantity: u64) -> anyhow::Result<()> {
        let answer = self.try_sell(node, key, quantity, 5_000).await?;
        ensure!(answer.status == 201, "{}: {}", self.name(node), answer.body);
        println!("  {} sells {quantity}", self.name(node));
        Ok(())
    }

    async fn try_sell(
        &mut self,
        node: usize,
        key: &str,
        quantity: u64,
        wait_ms: u64,
    ) -> anyhow::Result<Answer> {
        let body = json!({"lines": [{"sku": "MUG", "quantity": quantity}], "wait_ms": wait_ms});
        let call = post("/v1/sales", body).header("idempotency-key", key);
        let answer = client::send(&self.cluster.nodes[node].storefront(), &call).await?;
        if answer.status == 201 {
            self.sold += quantity;
        }
        Ok(answer)
    }

    /// Sells one by one until refused: how many, and the verdict.
    async fn sell_out(&mut self, node: usize, key: &str) -> anyhow::Result<(u64, String)> {
        for sold in 0..=STOCK {
            let answer = self.try_sell(node, &format!("{key}-{sold}"), 1, 1_000).await?;
            if answer.status == 201 {
                continue;
            }
            ensure!(answer.code() == "insufficient_stock", "{}: {}", self.name(node), answer.body);
            if sold > 0 {
                println!("  {} sells {sold}, one by one", self.name(node));
            }
            return Ok((sold, self.show_refusal(node, &answer.body["shortfalls"][0])));
        }
        anyhow::bail!("{} sold more than there was", self.name(node))
    }

    /// Says why one more was refused, and returns the verdict.
    fn show_refusal(&self, node: usize, short: &Value) -> String {
        let silent = short["unreachable"].as_array().into_iter().flatten();
        let silent: Vec<_> = silent.filter_map(|name| name.as_str()).collect();
        let why = if silent.is_empty() { String::new() } else { format!(", silent: {}", silent.join(", ")) };
        let verdict = short["verdict"].as_str().unwrap_or("");
        println!("  {} refuses one more: {verdict}{why}", self.name(node));
        verdict.to_owned()
    }

    /// Moves rights, and waits until the other node has taken them in.
    async fn transfer(&self, from: usize, to: usize, quantity: u64) -> anyhow::Result<()> {
        let body = json!({"from": self.name(from), "to": self.name(to), "quantity": quantity});
        let call = post("/v1/items/MUG/transfers", body).header("idempotency-key", "busy-evening");
        let before = self.given(to).await.unwrap_or_default();
        self.cluster.nodes[from].admin_call(call).await?;
        until("the transfer to arrive", async || {
            let given = self.given(to).await?;
            (given >= before + quantity).then_some(())
        })
        .await
    }

    /// What a node has taken in from others, by its own books.
    async fn given(&self, node: usize) -> Option<u64> {
        let item = self.cluster.nodes[node].admin_call(get("/v1/items/MUG")).await.ok()?;
        let of_node = item["nodes"].as_array()?.iter().find(|row| row["node"] == self.name(node))?;
        of_node["given"].as_u64()
    }

    async fn hold(&self, node: usize, id: &str, quantity: u64) -> anyhow::Result<()> {
        let body = json!({"lines": [{"sku": "MUG", "quantity": quantity}], "wait_ms": 5_000});
        let call = put(format!("/v1/reservations/{id}"), body);
        let answer = client::send(&self.cluster.nodes[node].storefront(), &call).await?;
        ensure!(answer.status == 201, "{}: {}", self.name(node), answer.body);
        println!("  {} holds {quantity} for order {id}", self.name(node));
        Ok(())
    }

    async fn confirm(&self, node: usize, id: &str) -> anyhow::Result<Answer> {
        let call = post(format!("/v1/reservations/{id}/confirm"), json!({}));
        let answer = client::send(&self.cluster.nodes[node].storefront(), &call).await?;
        let what = if answer.status == 200 { "confirmed" } else { answer.code() };
        println!("  {} asked to confirm order {id}: {} {what}", self.name(node), answer.status);
        Ok(answer)
    }

    async fn bring_back(&self, node: usize, key: &str, quantity: u64) -> anyhow::Result<()> {
        let call = post("/v1/returns", json!({"sku": "MUG", "quantity": quantity, "reference": key}));
        let call = call.header("idempotency-key", format!("{key}-return"));
        let answer = client::send(&self.cluster.nodes[node].storefront(), &call).await?;
        ensure!(answer.status == 201, "{}: {}", self.name(node), answer.body);
        println!("  {} takes {quantity} back", self.name(node));
        Ok(())
    }

    /// What each node may sell, by its own word.
    async fn show_rights(&self) -> anyhow::Result<()> {
        let mut rights = Vec::new();
        for node in &self.cluster.nodes {
            let answer = client::send(&node.storefront(), &get("/v1/availability?sku=MUG")).await?;
            rights.push(format!("{} {}", node.name, answer.body["items"][0]["here"]));
        }
        println!("  rights: {}", rights.join(", "));
        Ok(())
    }

    /// The nodes agree, nothing is violated, and their books say what this shop was told.
    async fn balance(&self) -> anyhow::Result<()> {
        until("the nodes to have the same books", async || {
            let mut digests = Vec::new();
            for node in &self.cluster.nodes {
                let check = node.admin_call(get("/v1/check")).await.ok()?;
                let is_clean = check["violations"].as_array()?.is_empty();
                digests.push(is_clean.then(|| check["books_digest"].clone())?);
            }
            digests.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        })
        .await?;
        say("The books, the same at all three nodes:");
        let item = self.cluster.nodes[US].admin_call(get("/v1/items/MUG")).await?;
        let totals = &item["totals"];
        for term in ["received", "returned", "sold", "held", "available", "in_flight"] {
            println!("  {term:<9} {:>4}", totals[term].as_u64().unwrap_or_default());
        }
        ensure!(item["balanced"] == true, "the books do not balance: {item}");
        ensure!(totals["sold"] == self.sold, "this shop was told that {} are sold: {item}", self.sold);
        println!("received + returned = sold + held + available + in flight");
        println!("and {} sold is what the shop counted.", self.sold);
        Ok(())
    }

    fn name(&self, node: usize) -> &'static str {
        self.cluster.nodes[node].name
    }
}
