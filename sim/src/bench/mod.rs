//! The bench: policies of moving rights, put to the same buyers over the same network, and
//! measured against the optimum.
//!
//! A [`Course`] is everything that is given: places, round trips, stock, buyers, faults. The
//! [`arena`] plays it for one [`Contender`], which decides what nodes do; the contender that counts
//! is the replica that ships. The arena alone keeps time, carries messages, and measures.

pub mod arena;
pub mod baselines;
pub mod course;
pub mod figures;
pub mod grid;
pub mod headline;
pub mod hot;
#[cfg(test)]
pub mod made_up;
mod marks;
pub mod measure;
pub mod optimum;
pub mod page;
pub mod policy;
pub mod stockade;
pub mod table;
pub mod traces;
pub mod workload;

pub use course::{Course, Cut, Death, Order, Want};

use ::stockade::types::Verdict;

use crate::time::Time;

/// What a node does in a step, for the arena to carry out and to count.
#[derive(Debug)]
pub enum Act<M> {
    Send {
        to: usize,
        message: M,
    },
    /// The buyer got everything, from the rights of node `by` (the node asked, or another that the
    /// order was sent to).
    Serve {
        order: usize,
        by: usize,
    },
    Refuse {
        order: usize,
        verdict: Verdict,
    },
    /// Rights left this node for another: counted where they are given.
    Moved {
        item: usize,
        to: usize,
        units: u64,
    },
}

/// A policy under test: the nodes of a cluster, and what each does when something reaches it.
///
/// Nodes share nothing: what one does may rest on nothing but what reached it.
pub trait Contender {
    /// What its nodes say to each other.
    type Message: Clone;

    /// Its name in tables, such as `static split`.
    fn name(&self) -> &'static str;

    /// Links come up right after the beginning, and go down and up with cuts and deaths.
    fn link(&mut self, now: Time, at: usize, to: usize, up: bool, acts: &mut Vec<Act<Self::Message>>);

    /// A buyer asks node `order.node`. It must be served or refused once, and not later than
    /// `order.patience` after `now`; what is late counts as refused.
    fn order(&mut self, now: Time, number: usize, order: &Order, acts: &mut Vec<Act<Self::Message>>);

    fn message(
        &mut self,
        now: Time,
        at: usize,
        from: usize,
        message: Self::Message,
        acts: &mut Vec<Act<Self::Message>>,
    );

    /// The time of `next_tick` has come.
    fn tick(&mut self, now: Time, at: usize, acts: &mut Vec<Act<Self::Message>>);

    /// When the node wants a tick; never before now.
    fn next_tick(&self, at: usize) -> Option<Time>;

    /// Bytes of the message on the wire, without the transport's own.
    fn bytes(&self, message: &Self::Message) -> usize;

    /// Units of the item that node could sell now: to tell which refusals were avoidable.
    fn free(&self, at: usize, item: usize) -> u64;

    /// The node loses everything but its disk and is not heard of again.
    fn dies(&mut self, at: usize);

    /// Units of the item that all nodes have sold, by their own books. Without it, what was served
    /// counts as sold: short by what is still to be told to a buyer.
    fn sold(&self, _item: usize) -> Option<u64> {
        None
    }
}
