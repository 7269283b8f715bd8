//! Paths between nodes, and the links over them.
//!
//! A path is whole or blocked, by cuts and deaths. A link goes down some time after its path was
//! blocked, and up some time after it is whole again. What is on its way when a path is blocked is
//! lost, and what is sent over a blocked path too.

use crate::time::{Span, Time};

/// Links are down at both ends this long after their path was blocked, or when it is whole again if
/// that is sooner: about how long a transport is silent before it is given up. Longer would have
/// every contender lose more messages to it; the order among them does not hang on it.
pub const NOTICED_AFTER: Span = Span::seconds(1);

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Parcel<M> {
    pub from: usize,
    pub to: usize,
    pub message: M,
    /// How often the path had been blocked when it left.
    blocked_before: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Path {
    /// Cuts and deaths that block it now.
    blocks: u32,
    /// How often it has been blocked.
    blocked: u32,
    /// Since when it is whole.
    whole_since: Time,
    up: bool,
}

#[derive(Debug)]
pub struct Links {
    nodes: usize,
    /// By the pair, the smaller first.
    paths: Vec<Path>,
}

impl Links {
    pub fn new(nodes: usize) -> Links {
        Links { nodes, paths: vec![Path::default(); nodes * nodes] }
    }

    fn place(&self, a: usize, b: usize) -> usize {
        a.min(b) * self.nodes + a.max(b)
    }

    fn path(&self, a: usize, b: usize) -> &Path {
        &self.paths[self.place(a, b)]
    }

    fn path_mut(&mut self, a: usize, b: usize) -> &mut Path {
        let place = self.place(a, b);
        &mut self.paths[place]
    }

    pub fn block(&mut self, a: usize, b: usize) {
        let path = self.path_mut(a, b);
        path.blocks += 1;
        path.blocked += 1;
    }

    pub fn unblock(&mut self, now: Time, a: usize, b: usize) {
        let path = self.path_mut(a, b);
        path.blocks -= 1;
        path.whole_since = now;
    }

    /// True when the link was down and is up now.
    pub fn connect(&mut self, a: usize, b: usize) -> bool {
        let path = self.path_mut(a, b);
        path.blocks == 0 && !std::mem::replace(&mut path.up, true)
    }

    /// True when the link was up and is down now.
    pub fn disconnect(&mut self, a: usize, b: usize) -> bool {
        std::mem::replace(&mut self.path_mut(a, b).up, false)
    }

    pub fn is_up(&self, a: usize, b: usize) -> bool {
        self.path(a, b).up
    }

    pub fn passes(&self, a: usize, b: usize) -> bool {
        self.path(a, b).blocks == 0
    }

    /// Whether the path is whole, and has been since `then`.
    pub fn whole_since(&self, then: Time, a: usize, b: usize) -> bool {
        let path = self.path(a, b);
        path.blocks == 0 && path.whole_since <= then
    }

    /// Takes a message, unless the path is blocked.
    pub fn take<M>(&self, from: usize, to: usize, message: M) -> Option<Parcel<M>> {
        let path = self.path(from, to);
        (path.blocks == 0).then_some(Parcel { from, to, message, blocked_before: path.blocked })
    }

    /// Whether a message that is due was not lost on its way.
    pub fn arrives<M>(&self, parcel: &Parcel<M>) -> bool {
        self.path(parcel.from, parcel.to).blocked == parcel.blocked_before
    }
}
