//! What the cluster says about an item: its books, the members, who sent to whom, and the
//! refusals that each node remembers.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::books::{Books, Refusal};
use super::super::desk::Node;
use super::super::history::Entry;
use super::super::item::path;
use super::super::node::{Member, Members};
use super::super::target::Side;
use crate::cli::client::{BaseUrl, Call, Client};
use crate::types::Sku;

/// Entries of the history that are looked through for units in flight.
const MOST_ENTRIES: u64 = 10_000;

/// Moves that are told, and entries of the history that they are looked for in.
const MOST_MOVES: usize = 5;
const ENTRIES_FOR_MOVES: u64 = 200;

/// All that is told.
#[derive(Debug)]
pub struct Facts {
    /// The node that was asked.
    pub teller: String,
    pub books: Books,
    pub members: Vec<Member>,
    /// Units on their way, when the history accounts for all of them.
    pub flights: Vec<Flight>,
    /// What nodes gave to each other lately, newest first, as far as it is known.
    pub moves: Vec<Entry>,
    pub told: Vec<Told>,
    pub raw_item: Box<RawValue>,
    pub raw_cluster: Box<RawValue>,
}

/// Units that one node has sent and the other has not taken in yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flight {
    pub from: String,
    pub to: String,
    pub units: u64,
}

/// What a node says about refusals.
#[derive(Debug)]
pub struct Told {
    pub node: String,
    pub last: Last,
    pub raw: Option<Box<RawValue>>,
}

#[derive(Debug)]
pub enum Last {
    Refusal(Refusal),
    /// It has refused none since it started.
    None,
    /// It is of a release that does not say.
    Untold,
    /// It did not answer.
    Silent,
}

impl Facts {
    /// # Errors
    /// When the node that is asked is silent or refuses. Others may be silent.
    pub async fn gather(node: &Node, sku: &Sku) -> anyhow::Result<Facts> {
        let side = Side::Admin;
        let answer = node.get(side, &path(sku)).await?;
        let books: Books = node.understood(side, &answer)?;
        let raw_item: Box<RawValue> = node.understood(side, &answer)?;
        let raw_cluster: Box<RawValue> = node.read(side, "/v1/nodes").await?;
        let members: Members = serde_json::from_str(raw_cluster.get()).context("the list of nodes")?;
        let teller = members.node.clone();
        let mut told = vec![Told::of(&teller, raw_item.get())];
        told.extend(asked(node.target.all_admins(), &teller, sku).await);
        let flights =
            if books.totals.in_flight > 0 { flights(node, sku, books.totals.in_flight).await } else { None };
        let members = members.all()?;
        let flights = flights.unwrap_or_default();
        let moves = moves(node, sku).await.unwrap_or_default();
        Ok(Facts { teller, books, members, flights, moves, told, raw_item, raw_cluster })
    }
}

impl Told {
    fn of(node: &str, body: &str) -> Told {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            last_refusal: Option<Box<RawValue>>,
        }
        let last = match serde_json::from_str::<Books>(body).map(|books| books.last_refusal) {
            Ok(Some(Some(refusal))) => Last::Refusal(refusal),
            Ok(Some(None)) => Last::None,
            Ok(None) | Err(_) => Last::Untold,
        };
        let raw = serde_json::from_str::<Raw>(body).ok().and_then(|raw| raw.last_refusal);
        Told { node: node.to_owned(), last, raw: raw.filter(|raw| raw.get() != "null") }
    }
}

/// The other nodes' memory, all asked at once.
async fn asked(admins: &[(String, BaseUrl)], teller: &str, sku: &Sku) -> Vec<Told> {
    let client = Client::new(std::time::Duration::from_secs(5));
    let others = admins.iter().filter(|(name, _)| name != teller);
    let running: Vec<_> = others
        .map(|(name, admin)| {
            let (client, call) = (client.clone(), Call::get(admin, &path(sku)));
            (name, tokio::spawn(async move { client.send(&call).await }))
        })
        .collect();
    let mut told = Vec::new();
    for (name, answer) in running {
        told.push(match answer.await {
            Ok(Ok(answer)) => Told::of(name, &String::from_utf8_lossy(&answer.body)),
            _ => Told { node: name.clone(), last: Last::Silent, raw: None },
        });
    }
    told
}

/// The last moves from one node to another. `None`: the histories do not tell.
async fn moves(node: &Node, sku: &Sku) -> Option<Vec<Entry>> {
    let path = format!("{}/history?nodes=all", path(sku));
    let page = node.pages(Side::Admin, path, Some(ENTRIES_FOR_MOVES)).next().await.ok()??;
    let all = page.items.iter().map(|raw| serde_json::from_str::<Entry>(raw.get()).ok());
    let all: Vec<Entry> = all.collect::<Option<_>>()?;
    Some(all.into_iter().filter(|entry| entry.amounts.contains_key("sent")).take(MOST_MOVES).collect())
}

/// Who sent what to whom, from all nodes' histories. `None`: they do not account for exactly
/// the units that the books have in flight, so nothing is claimed.
async fn flights(node: &Node, sku: &Sku, in_flight: u64) -> Option<Vec<Flight>> {
    let mut moved: BTreeMap<(String, String), i128> = BTreeMap::new();
    let mut pages = node.pages(Side::Admin, format!("{}/history?nodes=all", path(sku)), Some(MOST_ENTRIES));
    while let Some(page) = pages.next().await.ok()? {
        for raw in &page.items {
            let entry: Entry = serde_json::from_str(raw.get()).ok()?;
            let Some(peer) = entry.peer else { continue };
            let amount = |cell: &str| i128::from(entry.amounts.get(cell).copied().unwrap_or(0));
            let (sent, given) = (amount("sent"), amount("given"));
            *moved.entry((entry.node.clone(), peer.clone())).or_default() += sent;
            *moved.entry((peer, entry.node)).or_default() -= given;
        }
    }
    let flights: Option<Vec<Flight>> = moved
        .into_iter()
        .filter(|(_, units)| *units != 0)
        .map(|((from, to), units)| Some(Flight { from, to, units: u64::try_from(units).ok()? }))
        .collect();
    flights.filter(|flights| {
        flights.iter().map(|flight| u128::from(flight.units)).sum::<u128>() == in_flight.into()
    })
}
