//! The file's events: each is one thing at one time, and none contradicts another.

use std::ops::Range;

use super::check::Names;
use super::file::{EventEntry, File, RestockEntry, SetEntry, TransferEntry};
use super::lapse::Lapse;
use super::problem::Findings;
use super::script::{Deed, Item, Planned, Wish};
use super::stock::{MOST_UNITS, policy};

/// Every event, in order of time. A run that is cut short has only those before its end.
pub fn events(
    raw: &File,
    names: &Names,
    items: &[Item],
    duration: Lapse,
    is_cut_short: bool,
    findings: &mut Findings<'_>,
) -> Vec<Planned> {
    let mut events: Vec<(Planned, Range<usize>)> = Vec::new();
    for spanned in &raw.event {
        let (entry, place) = (spanned.get_ref(), spanned.span());
        if is_cut_short && entry.at >= duration {
            continue;
        }
        findings.must(entry.at < duration, place.clone(), "event.at", {
            format!("{} is not before the end, {duration}: it would never happen", entry.at)
        });
        let at = Lapse(entry.at.0 + raw.warm_up().0);
        let reading = Reading { entry, names, items, place: place.clone() };
        let Some((deed, label)) = reading.deed(findings) else { continue };
        let end = entry.lasts.map(|lasts| Lapse(at.0 + lasts.0));
        let label = entry.label.clone().unwrap_or(label);
        events.push((Planned { at, end, label, deed }, place));
    }
    events.sort_by_key(|(planned, _)| planned.at);
    for (number, (later, place)) in events.iter().enumerate() {
        for (earlier, _) in &events[..number] {
            if let Some(what) = contradiction(earlier, later) {
                findings.add(place.clone(), "event", what);
            }
        }
    }
    events.into_iter().map(|(planned, _)| planned).collect()
}

/// What is wrong with `later` because of `earlier`.
fn contradiction(earlier: &Planned, later: &Planned) -> Option<String> {
    let over = earlier.end.is_some_and(|end| end <= later.at);
    let name = &earlier.label;
    match (&earlier.deed, &later.deed) {
        (Deed::Down { node }, deed) if earlier.end.is_none() => {
            let theirs = match deed {
                Deed::Down { node } | Deed::Drain { node } | Deed::Restock { node, .. } => vec![*node],
                Deed::Transfer { from, to, .. } => vec![*from, *to],
                _ => Vec::new(),
            };
            theirs.contains(node).then(|| format!("comes after `{name}`; that node never returns"))
        }
        (Deed::Down { node: a }, Deed::Down { node: b })
        | (Deed::Drain { node: a }, Deed::Drain { node: b }) => {
            (a == b && !over).then(|| format!("overlaps `{name}`"))
        }
        (
            Deed::Cut { ways: a } | Deed::Flap { ways: a, .. },
            Deed::Cut { ways: b } | Deed::Flap { ways: b, .. },
        )
        | (Deed::Slow { ways: a, .. }, Deed::Slow { ways: b, .. }) => {
            (!over && a.iter().any(|way| b.contains(way))).then(|| format!("overlaps `{name}`"))
        }
        _ => None,
    }
}

struct Reading<'a> {
    entry: &'a EventEntry,
    names: &'a Names,
    items: &'a [Item],
    place: Range<usize>,
}

impl Reading<'_> {
    fn deed(&self, findings: &mut Findings<'_>) -> Option<(Deed, String)> {
        let entry = self.entry;
        let said = self.said();
        if said.len() != 1 {
            let what = match said.len() {
                0 => "says nothing; write one of cut, isolate, flap, slow, crash, lose, drain, restock, set, transfer"
                    .to_owned(),
                _ => format!("says {}; write an [[event]] for each", said.join(" and ")),
            };
            findings.add(self.place.clone(), "event", what);
            return None;
        }
        self.companions(said[0], findings);
        match said[0] {
            "cut" => {
                let (ways, label) = self.pair(entry.cut.as_ref()?, findings)?;
                Some((Deed::Cut { ways }, format!("{label} cut")))
            }
            "flap" => {
                let (ways, label) = self.pair(entry.flap.as_ref()?, findings)?;
                Some((Deed::Flap { ways, every: entry.every? }, format!("{label} flapping")))
            }
            "slow" => {
                let (ways, label) = self.pair(entry.slow.as_ref()?, findings)?;
                let factor = (entry.factor?.clamp(1.0, 100.0) * 1_000.0) as u64;
                Some((Deed::Slow { ways, factor }, format!("{label} slow")))
            }
            "isolate" => {
                let (node, name) = self.node(entry.isolate.as_ref()?, findings)?;
                let others = (0..self.names.nodes.len()).filter(|other| *other != node);
                let one_way = entry.one_way == Some(true);
                let ways =
                    others.flat_map(|other| [Some((node, other)), (!one_way).then_some((other, node))]);
                Some((Deed::Cut { ways: ways.flatten().collect() }, format!("{name} isolated")))
            }
            "crash" => {
                let (node, name) = self.node(entry.crash.as_ref()?, findings)?;
                Some((Deed::Down { node }, format!("{name} down")))
            }
            "lose" => {
                let (node, name) = self.node(entry.lose.as_ref()?, findings)?;
                Some((Deed::Down { node }, format!("{name} lost")))
            }
            "drain" => {
                let (node, name) = self.node(entry.drain.as_ref()?, findings)?;
                Some((Deed::Drain { node }, format!("{name} draining")))
            }
            "restock" => self.restock(entry.restock.as_ref()?, findings),
            "set" => self.set(entry.set.as_ref()?, findings),
            _ => self.transfer(entry.transfer.as_ref()?, findings),
        }
    }

    /// The things that this entry says are to happen.
    fn said(&self) -> Vec<&'static str> {
        let entry = self.entry;
        let all = [
            ("cut", entry.cut.is_some()),
            ("isolate", entry.isolate.is_some()),
            ("flap", entry.flap.is_some()),
            ("slow", entry.slow.is_some()),
            ("crash", entry.crash.is_some()),
            ("lose", entry.lose.is_some()),
            ("drain", entry.drain.is_some()),
            ("restock", entry.restock.is_some()),
            ("set", entry.set.is_some()),
            ("transfer", entry.transfer.is_some()),
        ];
        all.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect()
    }

    /// The keys that go with it, no fewer and no more.
    fn companions(&self, what: &str, findings: &mut Findings<'_>) {
        let entry = self.entry;
        let lasting = ["cut", "isolate", "flap", "slow", "crash"].contains(&what);
        let keys = [
            ("for", entry.lasts.is_some(), lasting, lasting || what == "drain"),
            ("every", entry.every.is_some(), what == "flap", what == "flap"),
            ("factor", entry.factor.is_some(), what == "slow", what == "slow"),
            ("one_way", entry.one_way.is_some(), false, ["cut", "isolate", "flap", "slow"].contains(&what)),
        ];
        for (key, given, needed, allowed) in keys {
            findings.must(given || !needed, self.place.clone(), "event", format!("{what} needs `{key}`"));
            findings.must(!given || allowed, self.place.clone(), "event", format!("{what} has no `{key}`"));
        }
        let nothing = [entry.lasts, entry.every].contains(&Some(Lapse(0)));
        findings.must(!nothing, self.place.clone(), "event", "`for` and `every` must be more than nothing");
        let factor = entry.factor.unwrap_or(1.0);
        let what = format!("factor {factor} must be 1 to 100");
        findings.must((1.0..=100.0).contains(&factor), self.place.clone(), "event", what);
    }

    fn node(&self, name: &str, findings: &mut Findings<'_>) -> Option<(usize, String)> {
        let node = self.names.find(findings, self.place.clone(), "event", name)?;
        Some((node, name.to_owned()))
    }

    fn pair(
        &self,
        (a, b): &(String, String),
        findings: &mut Findings<'_>,
    ) -> Option<(Vec<(usize, usize)>, String)> {
        let (from, to) = (self.node(a, findings), self.node(b, findings));
        let (from, to) = (from?.0, to?.0);
        findings.must(from != to, self.place.clone(), "event", format!("{a} and {b} are one node"));
        if self.entry.one_way == Some(true) {
            return Some((vec![(from, to)], format!("{a}>{b}")));
        }
        Some((vec![(from, to), (to, from)], format!("{a}-{b}")))
    }

    /// The places of one item, or of all.
    fn items(&self, sku: &str, findings: &mut Findings<'_>) -> Option<Range<usize>> {
        if sku == "*" {
            return Some(0..self.items.len());
        }
        let place = self.items.iter().position(|item| item.sku.as_str() == sku);
        let what = format!("there is no item `{sku}`; \"*\" means all");
        findings.must(place.is_some(), self.place.clone(), "event", what);
        place.map(|place| place..place + 1)
    }

    fn restock(&self, entry: &RestockEntry, findings: &mut Findings<'_>) -> Option<(Deed, String)> {
        let node = self.node(&entry.region, findings);
        let items = self.items(&entry.sku, findings)?;
        let one = entry.quantity.is_some() != entry.share.is_some();
        findings.must(one, self.place.clone(), "event", "restock needs `quantity` or `share`, and not both");
        let share = entry.share.unwrap_or(0.0);
        let good = (0.0..=100.0).contains(&share)
            && entry.quantity.is_none_or(|units| (1..=1_000_000_000).contains(&units));
        findings.must(good, self.place.clone(), "event", {
            "restock's `quantity` must be 1 to 1000000000, its `share` 0 to 100"
        });
        let of = |item: usize| {
            let first: u64 = self.items[item].stock.iter().sum();
            entry.quantity.unwrap_or((first as f64 * share.clamp(0.0, 100.0)) as u64)
        };
        let wishes = items.map(|item| Wish { item, units: of(item) }).filter(|wish| wish.units > 0);
        let units: Vec<Wish> = wishes.collect();
        let sum: u64 = units.iter().map(|wish| wish.units).sum();
        let label = format!("{} +{sum} {}", entry.region, named(&entry.sku));
        Some((Deed::Restock { node: node?.0, units }, label))
    }

    fn set(&self, entry: &SetEntry, findings: &mut Findings<'_>) -> Option<(Deed, String)> {
        let items = self.items(&entry.sku, findings)?;
        let place = (&self.place, "event.set");
        let policy =
            policy(self.names, entry.max_per_order, entry.rebalance, Some(&entry.quotas), place, findings);
        Some((Deed::Set { items, policy }, format!("set {}", named(&entry.sku))))
    }

    fn transfer(&self, entry: &TransferEntry, findings: &mut Findings<'_>) -> Option<(Deed, String)> {
        let (from, to) = (self.node(&entry.from, findings), self.node(&entry.to, findings));
        let item = self.items(&entry.sku, findings)?;
        let (from, to) = (from?.0, to?.0);
        let good = from != to && entry.sku != "*" && entry.quantity > 0;
        findings.must(good, self.place.clone(), "event", {
            "transfer moves 1 or more units of one item between two nodes"
        });
        findings.must(entry.quantity <= MOST_UNITS, self.place.clone(), "event", {
            format!("transfer's `quantity` must be {MOST_UNITS} at most")
        });
        let label = format!("{}>{} {} {}", entry.from, entry.to, entry.quantity, entry.sku);
        let wish = Wish { item: item.start, units: entry.quantity };
        Some((Deed::Transfer { from, to, wish }, label))
    }
}

fn named(sku: &str) -> &str {
    if sku == "*" { "all items" } else { sku }
}
