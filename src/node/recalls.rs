//! Questions about items' histories that are under way, each to one node or to all of them.
//!
//! History is no part of the replicated state: each node keeps its own, and a page over all of
//! them is put together here. A node that cannot be asked or is late is named as missing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::handle::CallError;
use super::historian::Question;
use crate::types::{NodeName, ReplicaId, Sku, Timestamp};
use crate::wire::history::{Before, Numbered};

/// A node that has not answered by then is missing from the page.
pub const RECALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Questions under way; more are refused.
pub const MAX_RECALLS: usize = 256;

/// Which page of an item's history is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    pub sku: Sku,
    /// The page goes on after this entry.
    pub after: Option<HistoryPlace>,
    pub limit: usize,
    /// Of every node, not only of this one.
    pub all: bool,
}

/// An entry's place among those of all nodes: the newest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryPlace {
    pub time: Timestamp,
    pub node: NodeName,
    pub number: u64,
}

/// A page, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    pub entries: Vec<(NodeName, Numbered)>,
    pub next: Option<HistoryPlace>,
    /// Nodes whose entries may be lacking.
    pub missing: Vec<NodeName>,
    /// What to call the replicas that entries name.
    pub names: BTreeMap<ReplicaId, NodeName>,
}

pub type HistoryReply = oneshot::Sender<Result<HistoryPage, CallError>>;

impl HistoryQuery {
    /// What to ask `node` for.
    pub fn question(&self, node: &NodeName) -> Question {
        let before = match &self.after {
            None => Before::End,
            Some(place) if place.node == *node => Before::Number(place.number),
            // Entries of one moment are in order of their nodes' names.
            Some(place) if place.node > *node => Before::Time(Timestamp(place.time.0.saturating_add(1))),
            Some(place) => Before::Time(place.time),
        };
        Question { sku: self.sku.clone(), before, limit: self.limit }
    }
}

/// A page in the making.
#[derive(Debug)]
struct Gathering {
    query: HistoryQuery,
    names: BTreeMap<ReplicaId, NodeName>,
    awaited: BTreeSet<NodeName>,
    parts: Vec<(NodeName, Vec<Numbered>, bool)>,
    missing: Vec<NodeName>,
    deadline: Instant,
    reply: HistoryReply,
}

/// All pages in the making.
#[derive(Debug, Default)]
pub struct Recalls {
    open: BTreeMap<u64, Gathering>,
}

impl Recalls {
    pub fn is_full(&self) -> bool {
        self.open.len() >= MAX_RECALLS
    }

    /// Begins a page; `awaited` will be asked, `missing` cannot be.
    pub fn begin(
        &mut self,
        number: u64,
        query: HistoryQuery,
        names: BTreeMap<ReplicaId, NodeName>,
        awaited: BTreeSet<NodeName>,
        missing: Vec<NodeName>,
        reply: HistoryReply,
    ) {
        let deadline = Instant::now() + RECALL_TIMEOUT;
        let gathering = Gathering { query, names, awaited, parts: Vec::new(), missing, deadline, reply };
        self.open.insert(number, gathering);
        self.finish_if_whole(number);
    }

    /// `node` answered, or (`None`) will not.
    pub fn answered(&mut self, number: u64, node: &NodeName, answer: Option<(Vec<Numbered>, bool)>) {
        let Some(gathering) = self.open.get_mut(&number) else { return };
        if !gathering.awaited.remove(node) {
            return;
        }
        match answer {
            Some((entries, more)) => gathering.parts.push((node.clone(), entries, more)),
            None => gathering.missing.push(node.clone()),
        }
        self.finish_if_whole(number);
    }

    /// This node cannot be asked at present: a page without its own entries would pass for the end.
    pub fn refuse(&mut self, number: u64) {
        if let Some(gathering) = self.open.remove(&number) {
            // Whoever asked may have gone away.
            let _ = gathering.reply.send(Err(CallError::Overloaded));
        }
    }

    pub fn lost_contact(&mut self, node: &NodeName) {
        let numbers: Vec<u64> = self.open.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.answered(number, node, None));
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|gathering| gathering.deadline).min()
    }

    /// Who has not answered by now is missing.
    pub fn give_up(&mut self, now: Instant) {
        let late: Vec<u64> =
            self.open.iter().filter(|(_, g)| g.deadline <= now).map(|(number, _)| *number).collect();
        for number in late {
            if let Some(mut gathering) = self.open.remove(&number) {
                gathering.missing.extend(std::mem::take(&mut gathering.awaited));
                gathering.finish();
            }
        }
    }

    fn finish_if_whole(&mut self, number: u64) {
        if self.open.get(&number).is_some_and(|gathering| gathering.awaited.is_empty())
            && let Some(gathering) = self.open.remove(&number)
        {
            gathering.finish();
        }
    }
}

impl Gathering {
    fn finish(mut self) {
        self.missing.sort();
        let (entries, next) = merged(self.parts, self.query.limit);
        let page = HistoryPage { entries, next, missing: self.missing, names: self.names };
        // Whoever asked may have gone away.
        let _ = self.reply.send(Ok(page));
    }
}

type Entries = Vec<(NodeName, Numbered)>;

/// Puts the nodes' newest entries in one order, as far back as all parts reach.
fn merged(parts: Vec<(NodeName, Vec<Numbered>, bool)>, limit: usize) -> (Entries, Option<HistoryPlace>) {
    // A part that ends early says nothing of what lies before its oldest entry.
    let ends =
        parts.iter().filter(|(.., more)| *more).filter_map(|(node, told, _)| Some(place(node, told.last()?)));
    let horizon = ends.max();
    let mut more = horizon.is_some();
    let all =
        parts.into_iter().flat_map(|(node, told, _)| told.into_iter().map(move |one| (node.clone(), one)));
    let mut entries: Entries =
        all.filter(|(node, told)| horizon.as_ref().is_none_or(|end| place(node, told) >= *end)).collect();
    entries.sort_by_cached_key(|(node, told)| Reverse(place(node, told)));
    more |= entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|(node, told)| place(node, told));
    (entries, next)
}

fn place(node: &NodeName, told: &Numbered) -> HistoryPlace {
    HistoryPlace { time: told.entry.time, node: node.clone(), number: told.number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Cause, HistoryEntry};

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn told(time: u64, number: u64) -> Numbered {
        let entry = HistoryEntry {
            time: Timestamp(time),
            cause: Cause::Receive,
            actor: None,
            reference: None,
            reason: None,
            reservation: None,
            raised: vec![],
            policy: None,
        };
        Numbered { number, entry }
    }

    /// All entries of nodes, read page by page, as (time, node, number).
    fn pages(all: &BTreeMap<NodeName, Vec<Numbered>>, limit: usize) -> Vec<HistoryPlace> {
        let sku = Sku::new("TEE").unwrap();
        let mut query = HistoryQuery { sku, after: None, limit, all: true };
        let mut seen = Vec::new();
        loop {
            let parts = all.iter().map(|(node, entries)| {
                let question = query.question(node);
                let mut found: Vec<_> =
                    entries.iter().rev().filter(|told| question.before.admits(told)).cloned().collect();
                let more = found.len() > limit;
                found.truncate(limit);
                (node.clone(), found, more)
            });
            let (entries, next) = merged(parts.collect(), limit);
            assert!(entries.len() <= limit);
            seen.extend(entries.iter().map(|(node, told)| place(node, told)));
            match next {
                Some(next) => query.after = Some(next),
                None => return seen,
            }
        }
    }

    #[test]
    fn pages_over_all_nodes_leave_nothing_out_and_repeat_nothing() {
        let mut all = BTreeMap::new();
        all.insert(node("a"), vec![told(1, 1), told(5, 2), told(5, 3), told(9, 4)]);
        all.insert(node("b"), vec![told(5, 1), told(5, 2), told(6, 3)]);
        all.insert(node("c"), vec![]);
        all.insert(node("d"), (1..20).map(|n| told(5, n)).collect());
        let mut expected: Vec<HistoryPlace> =
            all.iter().flat_map(|(node, entries)| entries.iter().map(|told| place(node, told))).collect();
        expected.sort_by(|a, b| b.cmp(a));
        for limit in 1..30 {
            assert_eq!(pages(&all, limit), expected, "{limit} a page");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_or_lost_is_missing() {
        let mut recalls = Recalls::default();
        let (reply, answer) = oneshot::channel();
        let query = HistoryQuery { sku: Sku::new("TEE").unwrap(), after: None, limit: 9, all: true };
        let awaited = ["a", "b", "c"].map(node).into();
        recalls.begin(1, query, BTreeMap::new(), awaited, vec![node("d")], reply);
        recalls.answered(1, &node("a"), Some((vec![told(1, 1)], false)));
        recalls.answered(1, &node("a"), Some((vec![told(2, 2)], false)));
        recalls.lost_contact(&node("b"));
        recalls.give_up(Instant::now());
        assert!(recalls.next_deadline().is_some());
        tokio::time::advance(RECALL_TIMEOUT).await;
        recalls.give_up(Instant::now());
        let page = answer.await.unwrap().unwrap();
        assert_eq!((page.entries.len(), page.missing), (1, ["b", "c", "d"].map(node).to_vec()));
        assert!(recalls.next_deadline().is_none());
    }
}
