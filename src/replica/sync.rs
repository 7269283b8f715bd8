//! Logs travel: hellos, digests and passes.
//!
//! A digest says how far each log is here, durably and without a gap, and nothing else. A
//! pass carries the current version of every key of one log that changed past `from`, in one or
//! more frames; only the last bears `upto`, and it makes the receiver claim `upto` if and only
//! if it stored every frame, refused nothing, and had claimed at least `from` before. Keys that
//! change while a pass goes on move to its end and travel with it, so no superseded version
//! leaves a hole below a claim.
//!
//! At most [`PASS_WINDOW_BYTES`] of passes are on their way to one member: a digest sent after
//! them whose stamp comes back as an echo tells that they arrived, or never will.
//!
//! Own changes are pushed to every linked member after [`PASS_INTERVAL`]; what a member still
//! lacks by its next digest but one, whoever wrote it, is relayed by everyone who has it.

use std::collections::BTreeMap;

use super::Replica;
use super::effects::Effects;
use super::escrow::Row;
use super::state::State;
use super::transfers::sku_of;
use crate::limits::{
    DIGEST_INTERVAL, MAX_REPLICAS, PASS_ENTRIES, PASS_FRAMES, PASS_INTERVAL, PASS_WINDOW_BYTES,
    USUAL_ROUND_TRIP,
};
use crate::planted::{self, Bug};
use crate::types::{Cell, Gauge, Heard, Millis, NodeName, ReplicaId, Seq, Timestamp};
use crate::wire::message::{Digest, Hello, Holds, Pass};
use crate::wire::record::Claim;
use crate::wire::{Body, Entry, Key, Merge, Message, codec};

/// A frame of a pass is closed when its entries reach this many bytes.
const FRAME_BYTES: usize = 128 << 10;
/// What a frame takes beyond its entries, about.
const FRAME_OVERHEAD: usize = 64;

/// The links that are up, and what is known through them.
#[derive(Debug, Default)]
pub struct Links {
    /// Members that said a good hello, by replica.
    up: BTreeMap<ReplicaId, Link>,
    /// The newest moment at which each member's rows here were known to be current.
    heard: BTreeMap<ReplicaId, Timestamp>,
    heard_changed: bool,
    /// Kept when a link goes down: the next one will be about as long.
    round_trips: BTreeMap<ReplicaId, Millis>,
    demands: BTreeMap<ReplicaId, Gauge>,
    /// The own log is durable at each member to here. Kept when a link goes down.
    confirmed: BTreeMap<ReplicaId, Seq>,
    pass_at: Option<Timestamp>,
    digest_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Link {
    name: NodeName,
    /// The nonce of the other side's session.
    session: u64,
    /// The other side's newest digest.
    theirs: BTreeMap<ReplicaId, Seq>,
    /// Its newest stamp: echoed, so that it knows how fresh what we say is.
    stamp: Timestamp,
    /// What was here of each log at its digest before this one: lacking that, it is behind.
    seen: BTreeMap<ReplicaId, Seq>,
    outgoing: BTreeMap<ReplicaId, Outgoing>,
    incoming: BTreeMap<ReplicaId, Incoming>,
    /// Its own log was at this sequence at that echo; becomes "heard" when the log is here.
    announced: Option<(Seq, Timestamp)>,
    /// The last digest sent after a push, and how far that push went.
    push_check: Option<(Timestamp, Seq)>,
    passes: u64,
    /// Bytes of passes sent and not known to have arrived.
    in_flight: u64,
    /// The last digest sent after passes, and how many of those bytes were before it.
    window_check: Option<(Timestamp, u64)>,
}

/// How far one log was sent over a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outgoing {
    number: u64,
    /// Where the running pass began; between passes, how far the last one went.
    from: Seq,
    cursor: Seq,
    frame: u32,
    /// The running pass lifts the receiver's watermark to here: the sender's own when it began.
    /// (Not when it ends: 1. the walk is past key 15, a row from an ask, at watermark 10; 2. keys
    /// 11 to 14 come in, and the watermark rises to 20; 3. they are never sent.)
    upto: Seq,
}

/// The pass over one log that is coming in.
#[derive(Clone, Copy, Debug, Default)]
struct Incoming {
    number: u64,
    next_frame: u32,
    whole: bool,
    /// Its sender waits to hear that it arrived.
    is_awaited: bool,
}

impl Links {
    pub fn is_up(&self, replica: ReplicaId) -> bool {
        self.up.contains_key(&replica)
    }

    pub fn any_up(&self) -> bool {
        !self.up.is_empty()
    }

    pub fn count_up(&self) -> usize {
        self.up.len()
    }

    /// Bytes of passes on their way to the member that has most of them coming.
    pub fn most_in_flight(&self) -> u64 {
        self.up.values().map(|link| link.in_flight).max().unwrap_or(0)
    }

    pub fn name(&self, replica: ReplicaId) -> Option<NodeName> {
        self.up.get(&replica).map(|link| link.name.clone())
    }

    fn named(&self, name: &NodeName) -> Option<ReplicaId> {
        self.up.iter().find(|(_, link)| link.name == *name).map(|(replica, _)| *replica)
    }

    /// The session that a linked member is in.
    pub fn session(&self, replica: ReplicaId) -> u64 {
        self.up.get(&replica).map_or(0, |link| link.session)
    }

    pub fn heard(&self, replica: ReplicaId) -> Option<Timestamp> {
        self.heard.get(&replica).copied()
    }

    /// Entries of a member's log that it has announced and that are not here yet.
    pub fn lag(&self, replica: ReplicaId, state: &State) -> u64 {
        let announced = self.up.get(&replica).and_then(|link| link.theirs.get(&replica));
        let here = state.logs.get(&replica).map_or(Seq::ZERO, |log| log.watermark);
        announced.map_or(0, |seq| seq.0.saturating_sub(here.0))
    }

    /// As it was measured last; a guess for a member that was never linked.
    pub fn round_trip(&self, replica: ReplicaId) -> Millis {
        self.round_trips.get(&replica).copied().unwrap_or(USUAL_ROUND_TRIP)
    }

    /// To the nearest member that is linked.
    pub fn nearest_round_trip(&self) -> Millis {
        let all = self.up.keys().map(|replica| self.round_trip(*replica));
        all.min().unwrap_or(USUAL_ROUND_TRIP)
    }

    /// What buyers ask of a member, all items together, as it said last.
    pub fn demand_of(&self, replica: ReplicaId) -> Gauge {
        self.demands.get(&replica).copied().unwrap_or_default()
    }

    /// Something was recorded: it will be pushed soon.
    pub fn changed(&mut self, now: Timestamp) {
        if self.any_up() && self.pass_at.is_none() {
            self.pass_at = Some(now.after(PASS_INTERVAL));
        }
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.pass_at, self.digest_at].into_iter().flatten().min()
    }

    /// Have it said that nobody was heard yet, so that no page takes silence for proof.
    pub fn tell_heard(&mut self) {
        self.heard_changed = true;
    }

    pub fn take_heard(&mut self, state: &State) -> Option<Vec<Heard>> {
        if !std::mem::take(&mut self.heard_changed) {
            return None;
        }
        let heard = |m: &crate::wire::Member| Heard { node: m.name.clone(), as_of: self.heard(m.replica) };
        Some(state.others().map(heard).collect())
    }

    /// How far a member holds the own log.
    pub fn confirmed(&self, replica: ReplicaId) -> Seq {
        self.confirmed.get(&replica).copied().unwrap_or_default()
    }

    pub fn note_confirmed(&mut self, replica: ReplicaId, upto: Seq) {
        let known = self.confirmed.entry(replica).or_default();
        *known = upto.max(*known);
    }

    fn note_heard(&mut self, replica: ReplicaId, time: Timestamp) {
        let heard = self.heard.entry(replica).or_default();
        *heard = time.max(*heard);
        self.heard_changed = true;
    }
}

impl Replica {
    pub(super) fn link_up(&mut self, now: Timestamp, node: &NodeName, out: &mut Effects) {
        self.link_down(now, node, out);
        // What a disk that went back knows of itself is of no use to anybody.
        if self.is_rolled_back() {
            return;
        }
        // The link counts as up once the other side's hello is in.
        if let Some(hello) = self.hello(now, node) {
            let output = super::Output::Send { node: node.clone(), message: Message::Hello(hello) };
            self.emit(output, out);
        }
    }

    /// How long a message and its answer take. It is told when the link is up, which may be before the
    /// hello has come.
    pub(super) fn round_trip_measured(&mut self, node: &NodeName, time: Millis) {
        if let Some(member) = self.state.member_named(node) {
            self.links.round_trips.insert(member.replica, time);
        }
    }

    pub(super) fn link_down(&mut self, now: Timestamp, node: &NodeName, out: &mut Effects) {
        let Some(replica) = self.links.named(node) else { return };
        self.links.up.remove(&replica);
        self.shortages.lost_contact(replica);
        self.lost_contact(now, replica, out);
    }

    pub(super) fn message(&mut self, now: Timestamp, node: &NodeName, message: Message, out: &mut Effects) {
        if self.is_rolled_back() {
            return;
        }
        if let Message::Hello(hello) = message {
            return self.greeted(now, node, hello, out);
        }
        let Some(from) = self.links.named(node) else { return };
        if let Err(what) = message.check_bounds() {
            return self.alarm(format!("{node} sent too much at once: {what}"), out);
        }
        match message {
            // Never given to a replica: see the message's own text.
            Message::Recall(_) | Message::Recalled(_) => {}
            Message::Hello(_) => unreachable!("greeted above"),
            Message::Digest(digest) => self.digested(now, from, digest, out),
            Message::Pass(pass) => self.passed(now, from, pass, out),
            Message::Ask(ask) => self.asked(now, from, ask, out),
            Message::Given(given) => self.given(now, from, given, out),
            Message::Forward(forward) => self.forwarded_here(now, from, forward, out),
            Message::Forwarded(answer) => self.forwarded_back(now, from, answer, out),
            Message::Holds(holds) => self.held_by(from, holds.upto),
        }
    }

    fn greeted(&mut self, now: Timestamp, node: &NodeName, hello: Hello, out: &mut Effects) {
        let from = match self.check_hello(node, &hello) {
            Ok(from) => from,
            Err(what) => return self.alarm(what, out),
        };
        if let Some(proof) = self.proof_of_old_disk(&hello) {
            return self.rolled_back(proof, out);
        }
        if let Some(what) = self.other_session_past_start(from, &hello) {
            // It has our hello, so it will find out; nothing it says is believed.
            return self.alarm(what, out);
        }
        let link = Link {
            name: node.clone(),
            session: hello.session.nonce,
            theirs: BTreeMap::new(),
            stamp: hello.digest.stamp,
            seen: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            announced: None,
            push_check: None,
            // An answer to a pass of an earlier link must not fit one of this link's.
            passes: self.number(),
            in_flight: 0,
            window_check: None,
        };
        self.links.up.insert(from, link);
        self.links.digest_at = Some(now);
        self.links.pass_at = Some(now);
        self.shortages.linked(now);
        self.digested(now, from, hello.digest, out);
        if !self.is_rolled_back() {
            self.vouched(now, from, out);
        }
    }

    /// What a peer holds of the own log at or past the start of this session can only be of this
    /// session. (Its length alone proves nothing: the lost end may be as long as what was
    /// written since.)
    fn proof_of_old_disk(&self, hello: &Hello) -> Option<String> {
        let me = self.state.me();
        let session = self.state.logs[&me].session?;
        let held = hello.held;
        let of_this_session = hello.known.is_some_and(|known| known.nonce == session.nonce);
        if held < session.first || of_this_session || planted::is_on(Bug::OldDiskBelieved) {
            return None;
        }
        let here = session.first.0 - 1;
        Some(format!("{} holds this replica's log up to {held}, the disk ended at {here}", hello.node))
    }

    /// What is known here of the sender's log at or past the start of its session can only be of
    /// this session. When it is of another, the sender's disk went back.
    fn other_session_past_start(&self, from: ReplicaId, hello: &Hello) -> Option<String> {
        let log = self.state.logs.get(&from)?;
        let known = log.session.filter(|known| known.nonce != hello.session.nonce)?;
        (log.watermark >= hello.session.first).then(|| {
            let here = hello.session.first.0.saturating_sub(1);
            format!(
                "{}'s disk went back from {} (session {}) to {here}",
                hello.node, log.watermark, known.nonce
            )
        })
    }

    pub(super) fn digest(&self, now: Timestamp, to: Option<ReplicaId>) -> Digest {
        let watermarks = self.state.logs.iter().map(|(id, log)| (*id, log.watermark)).collect();
        // An echo vouches that the own log ends where this digest says. Until the disk is proven it
        // may have gone on: 1. the disk went back; 2. a member hears through another exactly as much
        // of this log as is left; 3. it would take the rows that it has for the newest. Without echoes
        // the receiver lets only a window of passes go and repeats none: until the wait at the start ends.
        let to = to.filter(|_| self.standing.is_proven());
        let echo = to.and_then(|to| self.links.up.get(&to)).map(|link| link.stamp);
        Digest { watermarks, stamp: now, echo, demand: Some(self.demand.all()) }
    }

    fn digested(&mut self, now: Timestamp, from: ReplicaId, digest: Digest, out: &mut Effects) {
        let theirs: BTreeMap<ReplicaId, Seq> = digest.watermarks.into_iter().take(MAX_REPLICAS).collect();
        let of = |replica: ReplicaId| theirs.get(&replica).copied().unwrap_or_default();
        if of(self.state.me()) > self.state.own_watermark() && !planted::is_on(Bug::OldDiskBelieved) {
            let proof = format!(
                "{} holds this replica's log up to {}, but the disk here ends at {}",
                self.state.name_of(from),
                of(self.state.me()),
                self.state.own_watermark()
            );
            return self.rolled_back(proof, out);
        }
        let newest = self.state.logs.get(&from).map_or(Seq::ZERO, super::log::Log::newest);
        if planted::is_on(Bug::OvertakenDigestBelieved) && of(from) < newest {
            let name = self.state.name_of(from);
            return self.alarm(format!("{name}'s disk went back from {newest} to {}", of(from)), out);
        }
        // Less than it said before is an older digest that was overtaken: old news, and no proof of
        // anything. (Less than is *known* of it is none either: 1. it says a digest; 2. the network
        // holds that back; 3. it sells on, and a third member relays that; 4. the digest arrives.)
        let said = self.links.up.get(&from).and_then(|link| link.theirs.get(&from)).copied();
        if said.is_some_and(|said| of(from) < said) {
            return;
        }
        let own = self.state.own_watermark();
        let state = &self.state;
        let Some(link) = self.links.up.get_mut(&from) else { return };
        link.stamp = link.stamp.max(digest.stamp);
        if let Some(echo) = digest.echo {
            let current = if planted::is_on(Bug::HeardOnArrival) { now } else { echo };
            link.announced = Some((of(from), current));
            if let Some((_, bytes)) = link.window_check.take_if(|(sent, _)| echo >= *sent) {
                link.in_flight -= bytes;
                self.links.pass_at.get_or_insert(now);
            }
            // It has read our digest of `echo`, hence every push before it: one that it does not
            // claim by now was lost on the way.
            if let Some((sent, upto)) = link.push_check
                && echo >= sent
            {
                link.push_check = None;
                if of(state.me()) < upto && !planted::is_on(Bug::LostPushNotRepeated) {
                    link.outgoing.remove(&state.me());
                }
            }
        }
        link.theirs.clone_from(&theirs);
        // What one that may run on an old disk holds may be gone with that disk tomorrow.
        let held = if digest.echo.is_some() { of(state.me()) } else { Seq::ZERO };
        self.links.demands.extend(digest.demand.map(|gauge| (from, gauge)));
        // What it lacked by the digest before is not on its way: send it.
        for (origin, log) in &state.logs {
            let lacked = link.seen.get(origin).is_some_and(|before| of(*origin) < *before);
            let lacked = lacked && !planted::is_on(Bug::NoRelay);
            if lacked && *origin != from && *origin != state.me() {
                link.outgoing.entry(*origin).or_insert(Outgoing::starting(of(*origin)));
            }
            link.seen.insert(*origin, log.watermark);
        }
        link.outgoing.entry(state.me()).or_insert(Outgoing::starting(of(state.me())));
        if of(state.me()) < own || link.outgoing.len() > 1 {
            self.links.pass_at = Some(self.links.pass_at.map_or(now, |at| at.min(now)));
        }
        self.note_if_current(from);
        self.confirmed_by(from, held);
    }

    /// A member whose log is here as far as it announced was heard at that announcement.
    fn note_if_current(&mut self, member: ReplicaId) {
        let here = self.state.logs.get(&member).map_or(Seq::ZERO, |log| log.watermark);
        if let Some(link) = self.links.up.get_mut(&member)
            && let Some((upto, echo)) = link.announced
            && (here >= upto || planted::is_on(Bug::HeardBeforeRows))
        {
            link.announced = None;
            self.links.note_heard(member, echo);
        }
    }

    pub(super) fn sync_tick(&mut self, now: Timestamp, out: &mut Effects) {
        if self.is_rolled_back() {
            return;
        }
        if self.links.pass_at.is_some_and(|at| at <= now) {
            self.links.pass_at = None;
            let members: Vec<ReplicaId> = self.links.up.keys().copied().collect();
            let mut more = false;
            for member in members {
                more |= self.send_passes(member, out);
            }
            if more {
                self.links.pass_at = Some(now.after(PASS_INTERVAL));
            }
        }
        if self.links.digest_at.is_some_and(|at| at <= now) {
            self.send_digests(now, out);
        }
    }

    fn send_digests(&mut self, now: Timestamp, out: &mut Effects) {
        let members: Vec<ReplicaId> = self.links.up.keys().copied().collect();
        for member in &members {
            let digest = self.digest(now, Some(*member));
            let me = self.state.me();
            if let Some(link) = self.links.up.get_mut(member)
                && link.push_check.is_none()
                && let Some(pushed) = link.outgoing.get(&me)
            {
                link.push_check = Some((now, pushed.from));
            }
            if let Some(link) = self.links.up.get_mut(member)
                && link.window_check.is_none()
                && link.in_flight > 0
            {
                link.window_check = Some((now, link.in_flight));
            }
            self.send(*member, Message::Digest(digest), out);
        }
        self.links.digest_at = if members.is_empty() { None } else { Some(now.after(DIGEST_INTERVAL)) };
    }

    /// Sends what a member lacks, a bounded number of frames. True when there is more.
    fn send_passes(&mut self, to: ReplicaId, out: &mut Effects) -> bool {
        let Some(link) = self.links.up.get(&to) else { return false };
        let mut budget = PASS_FRAMES;
        let mut in_flight = link.in_flight;
        let mut more = false;
        for (origin, mut outgoing) in link.outgoing.clone() {
            if origin == self.state.me() && !self.standing.is_proven() {
                // What an old disk writes must not spread: it would hide what it once wrote.
                continue;
            }
            let mut done = self.nothing_after(origin, &outgoing);
            while !done && budget > 0 && in_flight < PASS_WINDOW_BYTES {
                budget -= 1;
                let (pass, bytes) = self.next_frame(to, origin, &mut outgoing);
                in_flight += bytes;
                done = pass.upto.is_some();
                self.send(to, Message::Pass(pass), out);
            }
            more |= !done && in_flight < PASS_WINDOW_BYTES;
            let relayed = done && origin != self.state.me();
            if let Some(link) = self.links.up.get_mut(&to) {
                link.in_flight = in_flight;
                if relayed {
                    link.outgoing.remove(&origin);
                } else {
                    link.outgoing.insert(origin, outgoing);
                }
            }
        }
        more
    }

    fn nothing_after(&self, origin: ReplicaId, outgoing: &Outgoing) -> bool {
        let watermark = self.state.logs.get(&origin).map_or(Seq::ZERO, |log| log.watermark);
        outgoing.frame == 0 && outgoing.from >= watermark
    }

    pub(super) fn next_frame(
        &mut self,
        to: ReplicaId,
        origin: ReplicaId,
        outgoing: &mut Outgoing,
    ) -> (Pass, u64) {
        if outgoing.frame == 0
            && let Some(link) = self.links.up.get_mut(&to)
        {
            link.passes += 1;
            outgoing.number = link.passes;
            outgoing.cursor = outgoing.from;
        }
        let log = &self.state.logs[&origin];
        if outgoing.frame == 0 {
            outgoing.upto = log.watermark;
        }
        // What a session wrote is taken in only once its beginning is known, and that may lie far
        // down the log.
        let begun = log.session.is_some_and(|session| outgoing.frame == 0 && session.first > outgoing.from);
        let session = if begun { self.state.entry(origin, &Key::Session) } else { None };
        let mut entries: Vec<Entry> = session.into_iter().collect();
        let mut exhausted = true;
        let mut bytes = FRAME_OVERHEAD + entries.iter().map(codec::encoded_len).sum::<usize>();
        for (seq, key) in log.keys_after(outgoing.cursor) {
            if entries.len() >= PASS_ENTRIES || bytes >= FRAME_BYTES {
                exhausted = false;
                break;
            }
            if let Some(entry) = self.state.entry(origin, key) {
                bytes += codec::encoded_len(&entry);
                entries.push(entry);
            }
            outgoing.cursor = seq;
        }
        let (from, frame) = (outgoing.from, outgoing.frame);
        let upto = exhausted.then_some(outgoing.upto);
        match upto {
            Some(upto) => *outgoing = Outgoing { from: upto, cursor: upto, frame: 0, ..*outgoing },
            None => outgoing.frame += 1,
        }
        (Pass { origin, number: outgoing.number, from, frame, upto, entries }, bytes as u64)
    }

    fn passed(&mut self, now: Timestamp, from: ReplicaId, mut pass: Pass, out: &mut Effects) {
        let mut origin = pass.origin;
        if planted::is_on(Bug::RowOfBearer) && origin != self.state.me() {
            origin = from;
            pass.entries.iter_mut().for_each(|entry| entry.origin = from);
        }
        if origin == self.state.me() {
            return self.own_rows_from_others(from, &pass.entries, out);
        }
        let Some(watermark) = self.state.logs.get(&origin).map(|log| log.watermark) else { return };
        let Some(link) = self.links.up.get_mut(&from) else { return };
        let incoming = link.incoming.entry(origin).or_insert(Incoming::default());
        if pass.frame == 0 {
            *incoming = Incoming { number: pass.number, whole: true, ..Incoming::default() };
        }
        incoming.whole &= incoming.number == pass.number && incoming.next_frame == pass.frame;
        incoming.next_frame = pass.frame.saturating_add(1);
        incoming.is_awaited |= origin == from && pass.entries.iter().any(is_marked);
        let (whole, is_awaited) = (incoming.whole, incoming.is_awaited);
        let fits = whole && watermark >= pass.from || planted::is_on(Bug::ClaimOverHole);
        self.stats.passes_unclaimed += u64::from(pass.upto.is_some() && !fits);
        let claim = pass.upto.filter(|upto| fits && *upto > watermark);
        let entries = pass.entries.into_iter().filter(|entry| entry.origin == origin).collect();
        let all_good = self.merge(now, from, entries, claim.map(|upto| Claim { origin, upto }), out);
        let may_confirm = self.standing.is_proven();
        if let Some(upto) = claim.filter(|_| all_good && is_awaited && may_confirm) {
            self.send(from, Message::Holds(Holds { upto }), out);
        }
        if !all_good && let Some(link) = self.links.up.get_mut(&from) {
            link.incoming.remove(&origin);
            if planted::is_on(Bug::SyncStopsAfterError) {
                self.links.up.remove(&from);
            }
        }
        self.note_if_current(origin);
    }

    /// Rows of the own log come back from others only as old news. A newer one is proof that
    /// this disk went back.
    fn own_rows_from_others(&mut self, from: ReplicaId, entries: &[Entry], out: &mut Effects) {
        let newest = entries.iter().map(|entry| entry.seq).max().unwrap_or_default();
        if newest > self.state.own_watermark() && !planted::is_on(Bug::OldDiskBelieved) {
            let name = self.state.name_of(from);
            self.rolled_back(
                format!("{name} holds entry {newest} of this replica's log; the disk here does not"),
                out,
            );
        }
    }

    /// Takes in entries of others. With `claim`, lifts the log's watermark if none was refused.
    /// True when none was.
    pub(super) fn merge(
        &mut self,
        now: Timestamp,
        from: ReplicaId,
        entries: Vec<Entry>,
        claim: Option<Claim>,
        out: &mut Effects,
    ) -> bool {
        let mut fresh = Vec::new();
        let mut all_good = true;
        for entry in entries {
            match self.judge(&entry) {
                // A session's rows are judged by its beginning, which comes first.
                Judgement::New if matches!(entry.body, Body::Session(_)) => {
                    self.take_in(now, Merge { entries: vec![entry], claim: None }, out);
                }
                Judgement::New => fresh.push(entry),
                Judgement::Known => {}
                Judgement::Early => {
                    all_good = false;
                    self.stats.entries_early += 1;
                }
                Judgement::RolledBack(proof) => return self.halt(proof, out),
                Judgement::Refused(why) => {
                    all_good = false;
                    self.stats.entries_rejected += 1;
                    let name = self.state.name_of(from);
                    self.alarm(format!("{name} sent an entry that cannot be: {why}: {:?}", entry.key), out);
                }
            }
        }
        let claim = claim.filter(|_| all_good);
        if !fresh.is_empty() || claim.is_some() {
            self.take_in(now, Merge { entries: fresh, claim }, out);
        }
        all_good
    }

    fn halt(&mut self, proof: String, out: &mut Effects) -> bool {
        self.rolled_back(proof, out);
        false
    }

    /// Whether an entry of another's log may be believed.
    fn judge(&self, entry: &Entry) -> Judgement {
        let Some(log) = self.state.logs.get(&entry.origin) else {
            return Judgement::Refused("its origin is no member".into());
        };
        if !entry.body.fits(&entry.key) || entry.seq == Seq::ZERO {
            return Judgement::Refused("body, key and sequence do not fit".into());
        }
        if !log.admits(entry.session, entry.seq) && !matches!(entry.body, Body::Session(_)) {
            return Judgement::Early;
        }
        match (&entry.body, sku_of(entry)) {
            (Body::Item(body), Some(sku)) => {
                self.judge_row(entry, sku, &Row::from_body(entry.seq, entry.session, body))
            }
            (Body::Session(session), _)
                if entry.seq <= log.watermark && log.session.as_ref() != Some(session) =>
            {
                match log.session {
                    Some(known) if known.first > session.first => Judgement::Known,
                    _ => Judgement::Refused("its log went on from an older disk".into()),
                }
            }
            _ => match log.other(&entry.key) {
                Some(known) if known.seq == entry.seq && known != entry => {
                    Judgement::Refused("another version has the same sequence: a forked log".into())
                }
                Some(known) if known.seq >= entry.seq => Judgement::Known,
                _ => Judgement::New,
            },
        }
    }

    fn judge_row(&self, entry: &Entry, sku: &crate::types::Sku, row: &Row) -> Judgement {
        let me = self.state.me();
        let given =
            self.state.own_row(sku).map_or(crate::types::Units::ZERO, |own| own.sent_to(entry.origin));
        if row.credited_from(me) > given {
            let name = self.state.name_of(entry.origin);
            return Judgement::RolledBack(format!(
                "{name} took in {} units of {sku} from this replica, but its own row says {given}",
                row.credited_from(me)
            ));
        }
        let peers = row.cells().filter(|c| matches!(c.cell, Cell::Sent(_) | Cell::Credited(_))).count();
        if peers > 2 * MAX_REPLICAS {
            return Judgement::Refused("too many counters".into());
        }
        if let Err(unbalanced) = row.validate() {
            return Judgement::Refused(unbalanced.to_string());
        }
        let Some(known) = self.state.items.get(sku).and_then(|item| item.rows.get(&entry.origin)) else {
            return Judgement::New;
        };
        if planted::is_on(Bug::ShrinkingRowAccepted) {
            return Judgement::New;
        }
        if row.seq == known.seq && row != known {
            return Judgement::Refused("another version has the same sequence: a forked log".into());
        }
        if row.seq <= known.seq {
            return Judgement::Known;
        }
        if row.has_grown_from(known) {
            Judgement::New
        } else {
            Judgement::Refused("its counters shrank".into())
        }
    }
}

/// Whether the entry is a row whose owner may take no more before others hold it.
fn is_marked(entry: &Entry) -> bool {
    matches!(&entry.body, Body::Item(row) if row.limit.is_some())
}

enum Judgement {
    New,
    Known,
    /// Of a session that has not been heard of; its log will tell.
    Early,
    Refused(String),
    RolledBack(String),
}

impl Outgoing {
    pub(super) fn starting(from: Seq) -> Outgoing {
        Outgoing { number: 0, from, cursor: from, frame: 0, upto: from }
    }
}
