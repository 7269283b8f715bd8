//! Which of several connections between two nodes is the link. Pure: told what was heard,
//! it answers.
//!
//! Both nodes dial, so two connections may cross, and a node that restarts dials anew while
//! its peer still believes in the old connection. If each side judged for itself, they could
//! choose differently, or one could refuse a fresh connection for the sake of a dead one.
//! So one node of each pair chooses, the *arbiter*: the one with the smaller name. It gives
//! the connection that it chose the next *generation*; the other node, the *follower*, uses a
//! connection only once it has heard its generation. That also proves both directions.
//!
//! Each side begins a connection with a [`Greeting`]: which process it is, and the generation
//! of the last link it had and lost. While it has a link, the arbiter takes a new connection
//! in its place only when the greeting proves that the follower is done with the old one:
//!
//! - it comes from another process: the follower restarted;
//! - it says that the old link's generation, or a later one, was had and lost.
//!
//! Otherwise the greeting was sent before the follower heard of the link, or while it used it:
//! the dials crossed, and the new connection is refused. If the link's verdict never arrives,
//! the link is silent, and ends. The follower takes a verdict unless it is older than one it
//! has heard:
//!
//! 1. the arbiter chooses connection 1 (generation 1), then connection 2 (generation 2);
//! 2. the verdict on 2 overtakes the one on 1: they are different connections;
//! 3. without the order, the follower would end 2, which the arbiter uses, for 1, which it closed.

use crate::types::NodeName;

/// What each side says first on a connection. On the wire 24 bytes: the three fields in this
/// order, each a little-endian u64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Random for each start of a node's links.
    pub process: u64,
    /// The arbiter's process that chose the `lost` link; zero if none.
    pub lost_from: u64,
    /// The last link that the follower had, if it has none now; zero if it has one, or had none.
    pub lost: Generation,
}

/// Numbers the links that one arbiter's process chose. Grows; zero is none.
pub(super) type Generation = u64;

impl Greeting {
    pub(super) const BYTES: usize = 24;

    pub(super) fn encode(&self) -> [u8; Greeting::BYTES] {
        let mut bytes = [0; Greeting::BYTES];
        let fields = [self.process, self.lost_from, self.lost];
        for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Any bytes are a greeting.
    pub(super) fn decode(bytes: &[u8; Greeting::BYTES]) -> Greeting {
        let field =
            |at: usize| bytes[at..at + 8].iter().rev().fold(0, |n: u64, byte| n << 8 | u64::from(*byte));
        Greeting { process: field(0), lost_from: field(8), lost: field(16) }
    }
}

/// Which part a node plays in a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Chooses.
    Arbiter,
    /// Takes what was chosen.
    Follower,
}

impl Part {
    pub(super) fn of(me: &NodeName, peer: &NodeName) -> Part {
        if me < peer { Part::Arbiter } else { Part::Follower }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is the link, in place of any other.
    Take,
    /// The connection is not needed: close it.
    Refuse,
}

/// What one node knows of a pair's connections.
#[derive(Debug)]
pub(super) struct Choice {
    process: u64,
    /// The other side's process and the generation of the link that is up.
    link: Option<(u64, Generation)>,
    /// Follower: the latest verdict taken, and the process it came from.
    heard: (u64, Generation),
}

impl Choice {
    pub(super) fn new(process: u64) -> Choice {
        Choice { process, link: None, heard: (0, 0) }
    }

    /// What to greet a new connection with.
    pub(super) fn greeting(&self) -> Greeting {
        let (lost_from, lost) = if self.link.is_none() { self.heard } else { (0, 0) };
        Greeting { process: self.process, lost_from, lost }
    }

    /// The arbiter judges a connection by its greeting. `next` becomes its generation if it is
    /// taken.
    pub(super) fn arbitrate(&mut self, greeting: &Greeting, next: Generation) -> Verdict {
        let needed = match self.link {
            None => true,
            Some((process, _)) if process != greeting.process => true,
            Some((_, generation)) => greeting.lost_from == self.process && greeting.lost >= generation,
        };
        if !needed {
            return Verdict::Refuse;
        }
        self.link = Some((greeting.process, next));
        Verdict::Take
    }

    /// The follower hears the arbiter's verdict on a connection.
    pub(super) fn follow(&mut self, arbiter: &Greeting, generation: Generation) -> Verdict {
        let (process, heard) = self.heard;
        if process == arbiter.process && generation <= heard {
            return Verdict::Refuse;
        }
        self.heard = (arbiter.process, generation);
        self.link = Some(self.heard);
        Verdict::Take
    }

    /// The link is no more.
    pub(super) fn ended(&mut self) {
        self.link = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn greetings_survive_the_wire() {
        let greeting = Greeting { process: u64::MAX - 1, lost_from: 0x0102_0304_0506_0708, lost: 9 };
        assert_eq!(Greeting::decode(&greeting.encode()), greeting);
        assert_eq!(greeting.encode()[..8], (u64::MAX - 1).to_le_bytes());
    }

    #[test]
    fn of_two_crossing_connections_the_first_greeted_wins() {
        let (mut arbiter, mut follower) = (Choice::new(1), Choice::new(2));
        let crossing = [follower.greeting(), follower.greeting()];
        assert_eq!(arbiter.arbitrate(&crossing[0], 1), Verdict::Take);
        assert_eq!(arbiter.arbitrate(&crossing[1], 2), Verdict::Refuse);
        assert_eq!(follower.follow(&arbiter.greeting(), 1), Verdict::Take);
    }

    #[test]
    fn a_follower_that_lost_the_link_replaces_it() {
        let (mut arbiter, mut follower) = (Choice::new(1), Choice::new(2));
        assert_eq!(arbiter.arbitrate(&follower.greeting(), 5), Verdict::Take);
        assert_eq!(follower.follow(&arbiter.greeting(), 5), Verdict::Take);
        follower.ended();
        assert_eq!(arbiter.arbitrate(&follower.greeting(), 6), Verdict::Take);
    }

    #[test]
    fn a_follower_that_uses_the_link_does_not_replace_it() {
        let (mut arbiter, mut follower) = (Choice::new(1), Choice::new(2));
        assert_eq!(arbiter.arbitrate(&follower.greeting(), 5), Verdict::Take);
        assert_eq!(follower.follow(&arbiter.greeting(), 5), Verdict::Take);
        // The arbiter had dialled, too, and that connection is only greeted now.
        assert_eq!(arbiter.arbitrate(&follower.greeting(), 6), Verdict::Refuse);
    }

    #[test]
    fn a_follower_that_restarted_replaces_the_link() {
        let mut arbiter = Choice::new(1);
        assert_eq!(arbiter.arbitrate(&Choice::new(2).greeting(), 1), Verdict::Take);
        assert_eq!(arbiter.arbitrate(&Choice::new(3).greeting(), 2), Verdict::Take);
    }

    #[test]
    fn an_arbiter_that_restarted_is_followed_though_it_counts_anew() {
        let mut follower = Choice::new(2);
        assert_eq!(follower.follow(&Choice::new(1).greeting(), 40), Verdict::Take);
        assert_eq!(follower.follow(&Choice::new(7).greeting(), 1), Verdict::Take);
    }

    #[test]
    fn what_was_heard_from_an_earlier_arbiter_proves_nothing_to_the_next() {
        let (mut old, mut follower) = (Choice::new(1), Choice::new(2));
        assert_eq!(follower.follow(&old.greeting(), 40), Verdict::Take);
        old.ended();
        follower.ended();
        let mut arbiter = Choice::new(7);
        let crossing = [follower.greeting(), follower.greeting()];
        assert_eq!(arbiter.arbitrate(&crossing[0], 1), Verdict::Take);
        assert_eq!(arbiter.arbitrate(&crossing[1], 2), Verdict::Refuse);
    }

    #[test]
    fn a_verdict_that_was_overtaken_is_not_followed() {
        let mut follower = Choice::new(2);
        assert_eq!(follower.follow(&Choice::new(1).greeting(), 2), Verdict::Take);
        assert_eq!(follower.follow(&Choice::new(1).greeting(), 1), Verdict::Refuse);
    }

    /// A connection on its way: greeted by the follower, then judged, then heard.
    #[derive(Clone, Copy, Debug)]
    enum Travelling {
        Greeting(Greeting),
        Verdict(Generation),
    }

    proptest! {
        /// Whatever the order in which greetings and verdicts arrive, once all have arrived
        /// and nobody restarted, both nodes hold the same connection.
        #[test]
        fn both_nodes_end_with_the_same_link(
            steps in proptest::collection::vec((0..4u8, any::<prop::sample::Index>()), 1..60),
        ) {
            let (mut arbiter, mut follower) = (Choice::new(1), Choice::new(2));
            let mut travelling = vec![Travelling::Greeting(follower.greeting())];
            let mut next = 0;
            let mut arrive = |at: usize, travelling: &mut Vec<Travelling>,
                              arbiter: &mut Choice, follower: &mut Choice| {
                match travelling.swap_remove(at) {
                    Travelling::Greeting(greeting) => {
                        next += 1;
                        if arbiter.arbitrate(&greeting, next) == Verdict::Take {
                            travelling.push(Travelling::Verdict(next));
                        }
                    }
                    Travelling::Verdict(generation) => {
                        follower.follow(&arbiter.greeting(), generation);
                    }
                }
            };
            for (kind, at) in steps {
                match kind {
                    // Either side dialled: the follower greets the new connection.
                    0 => travelling.push(Travelling::Greeting(follower.greeting())),
                    // The follower loses its link.
                    1 if follower.link.is_some() => follower.ended(),
                    _ if travelling.is_empty() => {}
                    _ => arrive(at.index(travelling.len()), &mut travelling, &mut arbiter, &mut follower),
                }
            }
            while !travelling.is_empty() {
                arrive(0, &mut travelling, &mut arbiter, &mut follower);
            }
            if let Some((_, generation)) = follower.link {
                prop_assert_eq!(arbiter.link.map(|l| l.1), Some(generation));
            }
        }
    }
}
