//! The network between hosts: delays, each way's own, loss, repeats, old messages, cuts in one
//! direction or both, and links that go up and down over it as the shell's do.
//!
//! A link between two hosts has an epoch. It stands until one of them dies or nothing passes for
//! [`IDLE`]; then what was on its way is lost, and a later link has a new epoch.

use std::collections::VecDeque;
use std::rc::Rc;

use stockade::wire::Message;

use crate::dice::{Dice, Stream};
use crate::plan::{Plan, Transport};
use crate::time::{Span, Time};

/// A link is given up when its path was cut for so long.
pub const IDLE: Span = Span::seconds(4);
/// No message takes longer: the link would be given up.
const LONGEST: Span = Span::seconds(3);
/// Messages remembered for replays, each direction: a fair sample of all since the link began.
const REMEMBERED: usize = 64;
/// A message that is reordered comes so much later, at most.
const HELD_BACK: Span = Span::millis(700);

pub type Bytes = Rc<[u8]>;

/// A message under way.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub from: usize,
    pub to: usize,
    pub epoch: u64,
    /// What kind of message it is.
    pub kind: Kind,
    pub bytes: Bytes,
}

/// How a message is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begins a link. It is never lost, only late: a link that stands has carried it.
    Hello,
    /// Overtakes the others.
    Urgent,
    Bulk,
}

impl Kind {
    pub fn of(message: &Message) -> Kind {
        match message {
            Message::Hello(_) => Kind::Hello,
            other if other.is_urgent() => Kind::Urgent,
            _ => Kind::Bulk,
        }
    }
}

/// How a way's delays spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Spread {
    #[default]
    Constant,
    Jitters,
    HeavyTail,
}

/// A way as a scenario has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub delay: Span,
    /// A message takes up to so much longer.
    pub jitter: Span,
    /// So many in a million are lost once and come a round trip later.
    pub loss: u64,
    /// While it is slow, everything takes so many times as long; in thousandths.
    pub slow: u64,
}

/// One way between two hosts.
#[derive(Debug, Default)]
struct Way {
    delay: Span,
    spread: Spread,
    /// Given by a scenario instead of drawn.
    line: Option<Line>,
    /// Cuts in force: they may overlap.
    cuts: u32,
    slow_until: Time,
    /// Until then so many in a thousand messages are lost.
    burst: (Time, u64),
    /// Until then nothing but urgent messages passes.
    no_bulk_until: Time,
    /// When the newest urgent message, and the newest other one, arrives.
    last: [Time; 2],
    stalled: VecDeque<Parcel>,
    /// A fair sample of the messages of the link that stands, and how many it is of.
    sample: Vec<Bytes>,
    sent: u64,
}

impl Way {
    /// What a message usually takes, without jitter and loss.
    fn typical(&self, now: Time) -> u64 {
        match self.line {
            Some(line) => line.delay.0 * line.slow / 1_000,
            None if now < self.slow_until => self.delay.0 * 20,
            None => self.delay.0,
        }
    }
}

impl Line {
    fn draw(&self, dice: &mut Dice) -> u64 {
        let mut delay = self.delay.0 + dice.below(self.jitter.0 + 1);
        // A stream sends again what was lost, after the round trip in which it was missed.
        while dice.below(1_000_000) < self.loss && delay < LONGEST.0 {
            delay += 2 * self.delay.0.max(1);
        }
        (delay * self.slow / 1_000).min(LONGEST.0)
    }
}

#[derive(Debug, Default)]
struct Link {
    epoch: u64,
    stands: bool,
    cut_since: Option<Time>,
}

#[derive(Debug)]
pub struct Network {
    hosts: usize,
    ways: Vec<Way>,
    links: Vec<Link>,
    transport: Transport,
    calm: bool,
    dice: Dice,
}

impl Network {
    pub fn new(plan: &Plan) -> Network {
        let mut dice = Dice::new(plan.seed, Stream::Network);
        let squared = plan.hosts * plan.hosts;
        let way = |dice: &mut Dice| {
            let delay = Span(dice.between(plan.delay.0 / 2, plan.delay.0 * 3));
            let spread = [Spread::Constant, Spread::Jitters, Spread::HeavyTail, Spread::HeavyTail];
            let spread = spread[dice.place(spread.len())];
            Way { delay, spread: if plan.tails { spread } else { Spread::Constant }, ..Way::default() }
        };
        let ways = (0..squared).map(|_| way(&mut dice)).collect();
        let links = (0..squared).map(|_| Link::default()).collect();
        Network { hosts: plan.hosts, ways, links, transport: plan.transport, calm: false, dice }
    }

    fn way(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.hosts + to]
    }

    fn link(&mut self, a: usize, b: usize) -> &mut Link {
        &mut self.links[a.min(b) * self.hosts + a.max(b)]
    }

    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        self.ways[a * self.hosts + b].cuts > 0 || self.ways[b * self.hosts + a].cuts > 0
    }

    /// The epoch of the link that stands between two hosts.
    pub fn standing(&mut self, a: usize, b: usize) -> Option<u64> {
        let link = self.link(a, b);
        link.stands.then_some(link.epoch)
    }

    /// The slowest way's delay, when nothing is wrong.
    pub fn slowest(&self) -> Span {
        self.ways.iter().map(|way| way.delay).max().unwrap_or_default()
    }

    /// A new link, if none stands and nothing is in the way.
    pub fn connect(&mut self, a: usize, b: usize) -> Option<u64> {
        if self.is_cut(a, b) || self.link(a, b).stands {
            return None;
        }
        for (from, to) in [(a, b), (b, a)] {
            let way = self.way(from, to);
            way.sample.clear();
            way.sent = 0;
            way.last = [Time::ZERO; 2];
        }
        let link = self.link(a, b);
        link.epoch += 1;
        link.stands = true;
        Some(link.epoch)
    }

    /// The link is given up; what was on its way is lost. Its epoch, if it stood.
    pub fn disconnect(&mut self, a: usize, b: usize) -> Option<u64> {
        self.way(a, b).stalled.clear();
        self.way(b, a).stalled.clear();
        let link = self.link(a, b);
        std::mem::take(&mut link.stands).then_some(link.epoch)
    }

    /// Nothing passes from `from` to `to` from now on.
    pub fn cut(&mut self, now: Time, from: usize, to: usize) {
        self.way(from, to).cuts += 1;
        self.link(from, to).cut_since.get_or_insert(now);
    }

    /// Undoes one cut; gives what was stalled by it.
    pub fn mend(&mut self, now: Time, from: usize, to: usize) -> Vec<(Time, Parcel)> {
        let way = self.way(from, to);
        way.cuts = way.cuts.saturating_sub(1);
        if way.cuts > 0 {
            return Vec::new();
        }
        let stalled = std::mem::take(&mut way.stalled);
        if !self.is_cut(from, to) {
            self.link(from, to).cut_since = None;
        }
        let mut arrivals = Vec::new();
        for parcel in stalled {
            let time = self.arrival(now, &parcel);
            arrivals.push((time, parcel));
        }
        arrivals
    }

    pub fn set_line(&mut self, from: usize, to: usize, line: Line) {
        self.way(from, to).line = Some(line);
    }

    /// Messages take so many thousandths of their time from now on.
    pub fn set_pace(&mut self, from: usize, to: usize, slow: u64) {
        if let Some(line) = &mut self.way(from, to).line {
            line.slow = slow;
        }
    }

    pub fn slow(&mut self, from: usize, to: usize, until: Time) {
        self.way(from, to).slow_until = until;
    }

    /// Until then `loss` in a thousand messages are lost.
    pub fn burst(&mut self, from: usize, to: usize, until: Time, loss: u64) {
        self.way(from, to).burst = (until, loss);
    }

    /// Until then digests and passes are lost.
    pub fn lose_bulk(&mut self, from: usize, to: usize, until: Time) {
        self.way(from, to).no_bulk_until = until;
    }

    /// So many messages of the link that stands come once more; when each arrives. `dice`: of
    /// whoever wants it.
    pub fn replay(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        count: u64,
        dice: &mut Dice,
    ) -> Vec<(Time, Parcel)> {
        let Some(epoch) = self.standing(from, to) else { return Vec::new() };
        let sample = &self.ways[from * self.hosts + to].sample;
        if sample.is_empty() || self.transport == Transport::Streams {
            return Vec::new();
        }
        let again = |_| {
            let bytes = sample[dice.place(sample.len())].clone();
            let late = Span(dice.below(200_000));
            (now.after(late), Parcel { from, to, epoch, kind: Kind::Bulk, bytes })
        };
        (0..count).map(again).collect()
    }

    /// Whether the path has been cut without a break since `since`.
    pub fn cut_since(&mut self, a: usize, b: usize, since: Time) -> bool {
        self.link(a, b).cut_since.is_some_and(|time| time <= since)
    }

    /// The faults end: from now on messages are only delayed.
    pub fn calm(&mut self) {
        self.transport = Transport::Streams;
        self.calm = true;
        for way in &mut self.ways {
            way.slow_until = Time::ZERO;
            way.burst = (Time::ZERO, 0);
            way.no_bulk_until = Time::ZERO;
        }
    }

    /// What a message and its answer usually take between two hosts, as things are.
    pub fn round_trip(&self, now: Time, a: usize, b: usize) -> Span {
        let ways = [(a, b), (b, a)].map(|(from, to)| &self.ways[from * self.hosts + to]);
        Span(ways.map(|way| way.typical(now).min(LONGEST.0)).iter().sum())
    }

    fn arrival(&mut self, now: Time, parcel: &Parcel) -> Time {
        let (from, to) = (parcel.from, parcel.to);
        let way = &self.ways[from * self.hosts + to];
        let typical = way.typical(now);
        let delay = match (way.line, way.spread) {
            (Some(line), _) => line.draw(&mut self.dice),
            (None, _) if self.calm => typical,
            (None, Spread::Constant) => typical,
            (None, Spread::Jitters) => typical / 2 + self.dice.below(typical),
            (None, Spread::HeavyTail) => self.dice.tailed(typical),
        };
        let delay = delay.min(LONGEST.0);
        let arrival = now.after(Span(delay));
        if self.transport != Transport::Streams {
            return arrival;
        }
        let way = self.way(from, to);
        let last = &mut way.last[usize::from(parcel.kind == Kind::Urgent)];
        *last = arrival.max(last.after(Span(1)));
        *last
    }

    /// A message leaves over the link that stands: when copies of it, or of older ones, arrive.
    pub fn send(
        &mut self,
        now: Time,
        from: usize,
        to: usize,
        bytes: Bytes,
        kind: Kind,
    ) -> Vec<(Time, Parcel)> {
        let Some(epoch) = self.standing(from, to) else { return Vec::new() };
        let parcel = Parcel { from, to, epoch, kind, bytes };
        if kind == Kind::Bulk && now < self.way(from, to).no_bulk_until {
            return Vec::new();
        }
        match self.transport {
            Transport::Streams => {
                let way = self.way(from, to);
                if way.cuts > 0 || !way.stalled.is_empty() {
                    way.stalled.push_back(parcel);
                    return Vec::new();
                }
                vec![(self.arrival(now, &parcel), parcel)]
            }
            Transport::Datagrams { .. } => self.send_datagram(now, parcel),
        }
    }

    fn send_datagram(&mut self, now: Time, parcel: Parcel) -> Vec<(Time, Parcel)> {
        let Transport::Datagrams { loss, duplicates, replays, reorders } = self.transport else {
            return Vec::new();
        };
        let (from, to) = (parcel.from, parcel.to);
        if self.way(from, to).cuts > 0 {
            if parcel.kind == Kind::Hello {
                self.way(from, to).stalled.push_back(parcel);
            } else {
                self.remember(from, to, parcel.bytes);
            }
            return Vec::new();
        }
        let mut copies = Vec::new();
        let (burst_until, burst) = self.way(from, to).burst;
        let loss = if now < burst_until { burst } else { loss };
        if !self.dice.chance(loss) || parcel.kind == Kind::Hello {
            let mut arrival = self.arrival(now, &parcel);
            if parcel.kind != Kind::Hello && self.dice.chance(reorders) {
                arrival = arrival.after(Span(self.dice.below(HELD_BACK.0)));
            }
            copies.push((arrival, parcel.clone()));
        }
        if self.dice.chance(duplicates) {
            copies.push((self.arrival(now, &parcel), parcel.clone()));
        }
        let sample = &self.ways[from * self.hosts + to].sample;
        if !sample.is_empty() && self.dice.chance(replays) {
            let bytes = sample[self.dice.place(sample.len())].clone();
            let old = Parcel { bytes, kind: Kind::Bulk, ..parcel.clone() };
            copies.push((self.arrival(now, &old), old));
        }
        self.remember(from, to, parcel.bytes);
        copies
    }

    fn remember(&mut self, from: usize, to: usize, bytes: Bytes) {
        let way = &mut self.ways[from * self.hosts + to];
        way.sent += 1;
        if way.sample.len() < REMEMBERED {
            way.sample.push(bytes);
        } else if let Ok(place) = usize::try_from(self.dice.below(way.sent))
            && place < REMEMBERED
        {
            way.sample[place] = bytes;
        }
    }

    /// A message arrives, unless its link is gone or its way was cut meanwhile.
    pub fn arrives(&mut self, parcel: &Parcel) -> bool {
        if self.standing(parcel.from, parcel.to) != Some(parcel.epoch) {
            return false;
        }
        let streams = self.transport == Transport::Streams;
        let way = self.way(parcel.from, parcel.to);
        if way.cuts > 0 {
            if streams || parcel.kind == Kind::Hello {
                way.stalled.push_back(parcel.clone());
            }
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(transport: Transport) -> Network {
        let mut network = Network::new(&Plan { hosts: 2, transport, ..Plan::draw(1) });
        network.connect(0, 1).unwrap();
        network
    }

    fn send(network: &mut Network, byte: u8) -> Vec<(Time, Parcel)> {
        network.send(Time(5), 0, 1, Rc::new([byte]), Kind::Urgent)
    }

    #[test]
    fn streams_keep_their_order_and_stall_at_a_cut() {
        let mut network = network(Transport::Streams);
        let times: Vec<Time> = (0..50).map(|n| send(&mut network, n)[0].0).collect();
        assert!(times.is_sorted());
        network.cut(Time(6), 0, 1);
        assert!(send(&mut network, 1).is_empty() && send(&mut network, 2).is_empty());
        let after = network.mend(Time(9_000_000), 0, 1);
        let bytes: Vec<u8> = after.iter().map(|(_, parcel)| parcel.bytes[0]).collect();
        assert_eq!(bytes, [1, 2]);
    }

    #[test]
    fn a_round_trip_is_both_ways_as_slow_as_they_are() {
        let mut network = network(Transport::Streams);
        let usual = network.round_trip(Time(5), 0, 1);
        assert_eq!(usual, Span(network.ways[1].delay.0 + network.ways[2].delay.0));
        network.slow(0, 1, Time(9));
        assert_eq!(network.round_trip(Time(5), 1, 0), Span(usual.0 + 19 * network.ways[1].delay.0));
        assert_eq!(network.round_trip(Time(9), 0, 1), usual);
        let line = Line { delay: Span::millis(30), jitter: Span::millis(5), loss: 10, slow: 1_000 };
        network.set_line(0, 1, line);
        network.set_line(1, 0, line);
        network.set_pace(1, 0, 4_000);
        assert_eq!(network.round_trip(Time(5), 0, 1), Span::millis(150));
    }

    #[test]
    fn what_is_on_a_link_that_goes_down_is_lost() {
        let mut network = network(Transport::Streams);
        let (_, parcel) = send(&mut network, 1).remove(0);
        assert!(network.arrives(&parcel));
        network.disconnect(0, 1);
        network.connect(1, 0).unwrap();
        assert!(!network.arrives(&parcel));
    }

    #[test]
    fn datagrams_are_lost_and_repeated() {
        let mut network =
            network(Transport::Datagrams { loss: 500, duplicates: 500, replays: 0, reorders: 0 });
        let copies: Vec<usize> = (0..100).map(|n| send(&mut network, n).len()).collect();
        assert!(copies.contains(&0) && copies.contains(&1) && copies.contains(&2));
    }

    #[test]
    fn old_messages_are_of_the_whole_life_of_a_link() {
        let mut network = network(Transport::Datagrams { loss: 0, duplicates: 0, replays: 0, reorders: 0 });
        (0..=255).for_each(|n| drop(send(&mut network, n)));
        let dice = &mut Dice::new(1, Stream::Faults);
        let old = network.replay(Time(9), (0, 1), 200, dice);
        let from = |first: u8, last: u8| {
            old.iter().filter(|(_, parcel)| (first..=last).contains(&parcel.bytes[0])).count()
        };
        assert!(from(0, 63) > 20 && from(192, 255) > 20, "{} and {}", from(0, 63), from(192, 255));
        network.disconnect(0, 1);
        network.connect(0, 1);
        assert!(network.replay(Time(9), (0, 1), 200, dice).is_empty());
    }

    #[test]
    fn lost_bulk_leaves_the_urgent_messages() {
        let mut network = network(Transport::Streams);
        network.lose_bulk(0, 1, Time(10));
        assert!(network.send(Time(5), 0, 1, Rc::new([1]), Kind::Bulk).is_empty());
        assert_eq!(send(&mut network, 1).len(), 1);
        assert_eq!(network.send(Time(10), 0, 1, Rc::new([1]), Kind::Bulk).len(), 1);
    }
}
