//! Whether this replica may answer, and who its peers are.

use std::collections::BTreeSet;

use super::Replica;
use super::draft::Draft;
use super::effects::{Effects, Output};
use super::input::Evidence;
use super::log::Log;
use super::marks::Ceilings;
use super::placing::Placing;
use crate::planted::{self, Bug};
use crate::types::{NodeName, NodeStatus, Refusal, ReplicaId, Seq, Timestamp};
use crate::wire::message::{Hello, PROTOCOL};
use crate::wire::{Body, Cause, Key, Session};

/// How a replica stands with its own past.
#[derive(Debug)]
pub enum Standing {
    /// The journal is being read.
    Loading,
    /// Waits for every member to say what it knows of this replica's log: one that knows more
    /// than the disk does proves that the disk went back in time.
    Unproven {
        /// When it serves all the same; `None`: not before everyone was heard.
        until: Option<Timestamp>,
        silent: BTreeSet<ReplicaId>,
    },
    Ready,
    /// A clean stop was written.
    Stopped,
    /// The disk went back in time. It answers nothing more.
    RolledBack,
}

impl Standing {
    pub fn is_ready(&self) -> bool {
        matches!(self, Standing::Ready)
    }

    /// Whether the disk may be believed.
    pub fn is_proven(&self) -> bool {
        matches!(self, Standing::Ready | Standing::Stopped)
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Standing::Unproven { until, .. } => *until,
            _ => None,
        }
    }
}

impl Replica {
    pub(super) fn start(&mut self, now: Timestamp, nonce: u64, evidence: Evidence, out: &mut Effects) {
        assert!(matches!(self.standing, Standing::Loading), "a replica starts once");
        self.next_number = nonce;
        if planted::is_on(Bug::LimitForgotten) {
            self.state.ceilings = Ceilings::default();
        }
        let is_proven = match evidence {
            // Without a session: nothing is written, and no member is told anything.
            Evidence::Behind(proof) if !planted::is_on(Bug::WitnessIgnored) => {
                return self.rolled_back(proof, out);
            }
            Evidence::Behind(_) | Evidence::Unproven(_) => false,
            Evidence::Proven => true,
        };
        let others = self.state.others().filter(|_| !is_proven);
        let silent: BTreeSet<_> = others.map(|member| member.replica).collect();
        let first = self.state.own_watermark().next();
        let mut draft = Draft::new(&self.state, now, Cause::Start);
        draft.write(Key::Session, Body::Session(Session { nonce, first }));
        let change = draft.seal(|_| None);
        self.commit(now, change, out);
        self.views.extend(self.state.items.keys().cloned());
        self.tell_draining(out);
        self.links.tell_heard();
        let until = self.state.limits().start_wait.map(|wait| now.after(wait));
        self.standing = Standing::Unproven { until, silent };
        self.stand(now, out);
        self.tell_awaited(out);
    }

    /// Who must be heard before this replica is ready.
    fn tell_awaited(&mut self, out: &mut Effects) {
        if let Standing::Unproven { silent, .. } = &self.standing {
            let name = |replica: &ReplicaId| self.state.roster.get(replica).map(|member| member.name.clone());
            self.emit(Output::Awaits(silent.iter().filter_map(name).collect()), out);
        }
    }

    pub(super) fn stop(&mut self, now: Timestamp, out: &mut Effects) {
        if matches!(self.standing, Standing::Unproven { .. } | Standing::Ready) {
            let mut draft = Draft::new(&self.state, now, Cause::Stop);
            draft.write(Key::Closed, Body::Closed);
            let change = draft.seal(|_| None);
            self.commit(now, change, out);
            self.standing = Standing::Stopped;
        }
    }

    /// Goes from unproven to ready when everyone was heard or the wait is over.
    pub(super) fn stand(&mut self, now: Timestamp, out: &mut Effects) {
        if let Standing::Unproven { until, silent } = &self.standing
            && (silent.is_empty() || until.is_some_and(|until| now >= until))
        {
            self.stats.started_unheard = u64::from(!silent.is_empty());
            self.standing = Standing::Ready;
            self.look_at_owed(now);
            self.review_dials();
            self.emit(Output::Ready, out);
            self.links.changed(now);
        }
    }

    /// A member said what it knows of this replica's log, and it was no more than is here.
    pub(super) fn vouched(&mut self, now: Timestamp, by: ReplicaId, out: &mut Effects) {
        let Standing::Unproven { silent, .. } = &mut self.standing else { return };
        let is_news = silent.remove(&by);
        self.stand(now, out);
        if is_news {
            self.tell_awaited(out);
        }
    }

    /// Proof that this disk is older than what it once told others: stop, for good.
    pub(super) fn rolled_back(&mut self, proof: String, out: &mut Effects) {
        if !matches!(self.standing, Standing::RolledBack) {
            self.standing = Standing::RolledBack;
            self.emit(Output::RolledBack(proof), out);
            self.placing = Placing::default();
            for job in self.jobs.take_all() {
                // What was sent to another node, or done already, cannot be denied.
                let is_open = job.is_forwarded() || !job.done.is_empty();
                let refusal = if is_open { Refusal::OutcomeUnknown } else { Refusal::RolledBack };
                self.finish(job, Err(refusal), out);
            }
        }
    }

    pub(super) fn is_rolled_back(&self) -> bool {
        matches!(self.standing, Standing::RolledBack)
    }

    pub(super) fn alarm(&mut self, text: String, out: &mut Effects) {
        self.stats.alarms += 1;
        self.emit(Output::Alarm(text), out);
    }

    pub(super) fn hello(&self, now: Timestamp, to: &NodeName) -> Option<Hello> {
        let receiver = self.state.member_named(to).map(|member| member.replica);
        let of_receiver = receiver.and_then(|replica| self.state.logs.get(&replica));
        let known = of_receiver.and_then(|log| log.session);
        let held = of_receiver.map_or(Seq::ZERO, Log::newest);
        let log = &self.state.logs[&self.state.me()];
        Some(Hello {
            protocol: PROTOCOL,
            cluster: self.state.genesis.cluster,
            node: self.state.genesis.name.clone(),
            replica: self.state.me(),
            session: log.session?,
            watermark: log.watermark,
            digest: self.digest(now, None),
            known,
            held,
        })
    }

    /// Who says this hello, if it may be believed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check_hello(&self, node: &NodeName, hello: &Hello) -> Result<ReplicaId, String> {
        if hello.protocol != PROTOCOL {
            return Err(format!("{node} speaks protocol {}, this node {PROTOCOL}", hello.protocol));
        }
        if hello.cluster != self.state.genesis.cluster {
            return Err(format!("{node} belongs to another cluster, {}", hello.cluster));
        }
        if hello.node != *node {
            return Err(format!("{node}'s certificate is used by a node that calls itself {}", hello.node));
        }
        match self.state.roster.get(&hello.replica) {
            Some(member) if member.name == *node && hello.replica != self.state.me() => Ok(hello.replica),
            _ => Err(format!("{node} runs replica {}, which is no member", hello.replica)),
        }
    }

    pub(super) fn node_statuses(&self) -> Vec<NodeStatus> {
        let mut nodes: Vec<NodeStatus> =
            self.state.roster.keys().filter_map(|replica| self.node_status(*replica)).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }

    /// What is known of a member.
    pub(super) fn node_status(&self, replica: ReplicaId) -> Option<NodeStatus> {
        let member = self.state.roster.get(&replica)?;
        let is_self = replica == self.state.me();
        Some(NodeStatus {
            name: member.name.clone(),
            region: member.region.clone(),
            replica_id: replica,
            is_self,
            linked: is_self || self.links.is_up(replica),
            lag: self.links.lag(replica, &self.state),
            last_heard: if is_self { None } else { self.links.heard(replica) },
            watermark: self.state.logs.get(&replica).map_or(Seq::ZERO, |log| log.watermark),
            state: self.state.node_state(replica),
        })
    }
}
