//! What happened in a run, beside its charts: bands (something was wrong for a while) and marks
//! (somebody did something), numbered by time. What recurs under one label has one number. Each chart
//! over time shows them above itself, with their words where there is room; a list tells the rest.

use std::collections::BTreeMap;

use super::axis::Time;
use super::{Size, TEXT, line, path, px, rect, text, width_of};
use crate::recording::{Mark, Recording};
use crate::report::html::{Text, short};
use crate::report::numbers;

/// Everything that happened, by label, in the order of first times.
pub struct Events {
    groups: Vec<Group>,
}

struct Group {
    key: String,
    label: String,
    band: bool,
    times: Vec<Span>,
}

/// From, to and the nodes concerned (none named: all).
type Span = (f64, f64, Vec<usize>);

/// Labels that are listed: beyond that nobody keeps them apart.
const MOST: usize = 30;

impl Events {
    pub fn of(recording: &Recording) -> Events {
        let bands = recording.bands.iter();
        let bands =
            bands.map(|band| (band.label.as_str(), (band.from, band.to.max(band.from), band.nodes.clone())));
        // A deed that lasts may come as both: it is told once.
        let told = |mark: &&Mark| {
            !recording.bands.iter().any(|band| band.label == mark.label && band.from == mark.at)
        };
        let marks = recording.marks.iter().filter(told);
        let marks = marks.map(|mark| (mark.label.as_str(), (mark.at, mark.at, Vec::new())));
        let mut groups = grouped(bands, true);
        groups.extend(grouped(marks, false));
        let mut groups = together(groups);
        groups.sort_by(|a, b| a.times[0].0.total_cmp(&b.times[0].0));
        groups.iter_mut().enumerate().for_each(|(at, group)| group.key = (at + 1).to_string());
        Events { groups }
    }

    /// The shading of bands over a plot: of all nodes, or of one.
    pub fn shade(&self, time: &Time, top: f64, bottom: f64, node: Option<usize>) -> String {
        let mut bands = String::new();
        for (from, to, nodes) in self.groups.iter().filter(|group| group.band).flat_map(|group| &group.times)
        {
            if nodes.is_empty() || node.is_none_or(|node| nodes.contains(&node)) {
                let width = px((time.x(*to) - time.x(*from)).max(1.0));
                bands += &format!("M{} {}h{width}V{}h-{width}z", px(time.x(*from)), px(top), px(bottom));
            }
        }
        path(&bands, "band")
    }

    /// The lanes above a chart: each event at its time. Gives its height and what is in it.
    pub fn header(&self, time: &Time, size: Size) -> (f64, String) {
        let mut lanes: Vec<f64> = Vec::new();
        let mut out = String::new();
        let mut stems = Vec::new();
        let mut places: Vec<(f64, &Group, f64)> = Vec::new();
        for group in &self.groups {
            places.extend(group.times.iter().map(|(from, to, _)| (time.x(*from), group, time.x(*to))));
        }
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        let most = if size == Size::Full { 4 } else { 3 };
        for (x, group, to) in places {
            let words = format!("{} {}", group.key, short(&group.label, 36));
            let labels =
                if size == Size::Phone { vec![group.key.clone()] } else { vec![words, group.key.clone()] };
            for label in labels {
                let width = width_of(&label) + 8.0;
                // Where there is no room to the right of its time, a label stands to the left of it.
                let back = x + width > time.right && x > width;
                let left = if back { x - width } else { x };
                let Some(lane) = free(&mut lanes, left, most) else { continue };
                let top = lane as f64 * LANE;
                if group.band {
                    out += &rect(x, top + LANE - 4.0, (to - x).max(2.0), 3.0, "span");
                }
                let class = if group.band { "wrong" } else { "done" };
                out += &match back {
                    true => text(x - 4.0, top + TEXT, &format!("end {class}"), &label),
                    false => text(x + 4.0, top + TEXT, class, &label),
                };
                stems.extend((!group.band).then_some((x, top)));
                lanes[lane] = (left + width).max(to) + 4.0;
                break;
            }
        }
        let height = lanes.len() as f64 * LANE + 4.0;
        let stems: String =
            stems.iter().map(|(x, top)| line((*x, top + 2.0), (*x, height), "stem")).collect();
        (height, stems + &out)
    }

    /// Lines that lead from the lanes through what lies between plots.
    pub fn stems(&self, time: &Time, top: f64, bottom: f64) -> String {
        let marks = self.groups.iter().filter(|group| !group.band).flat_map(|group| &group.times);
        marks.map(|(at, ..)| line((time.x(*at), top), (time.x(*at), bottom), "stem")).collect()
    }

    /// The list of what happened, in words.
    pub fn list(&self, name: impl Fn(usize) -> String) -> String {
        if self.groups.is_empty() {
            return "<p class=\"more\">Nothing was wrong and nobody did anything.</p>".to_owned();
        }
        let items: String = self.groups.iter().take(MOST).map(|group| group.tell(&name)).collect();
        let more = match self.groups.len().saturating_sub(MOST) {
            0 => String::new(),
            more => format!("<li>and {}</li>", numbers::of(more as u64, "more kind", "more kinds")),
        };
        format!("<ul class=\"events\">{items}{more}</ul>")
    }
}

const LANE: f64 = TEXT + 8.0;

/// The first lane with room from `left` on.
fn free(lanes: &mut Vec<f64>, left: f64, most: usize) -> Option<usize> {
    if let Some(lane) = lanes.iter().position(|end| *end <= left) {
        return Some(lane);
    }
    (lanes.len() < most).then(|| {
        lanes.push(f64::MIN);
        lanes.len() - 1
    })
}

/// What has one label, by time.
fn grouped<'a>(events: impl Iterator<Item = (&'a str, Span)>, band: bool) -> Vec<Group> {
    let mut labels: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for (label, event) in events {
        labels.entry(label).or_default().push(event);
    }
    let group = |(label, mut times): (&str, Vec<Span>)| {
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        // One label at one time is one event, such as a cable that is several links.
        times.dedup_by(|later, first| {
            let same = (later.0, later.1) == (first.0, first.1);
            if same {
                join_nodes(&mut first.2, std::mem::take(&mut later.2));
            }
            same
        });
        Group { key: String::new(), label: label.to_owned(), band, times }
    };
    labels.into_iter().map(group).collect()
}

/// What always happens together is one: a cable's cut is told as one, not link by link.
fn together(groups: Vec<Group>) -> Vec<Group> {
    let mut joined: Vec<Group> = Vec::new();
    for group in groups {
        let when =
            |group: &Group| -> Vec<(f64, f64)> { group.times.iter().map(|time| (time.0, time.1)).collect() };
        match joined.iter_mut().find(|other| other.band == group.band && when(other) == when(&group)) {
            Some(other) => other.join(group),
            None => joined.push(group),
        }
    }
    joined
}

/// None named: all are concerned.
fn join_nodes(own: &mut Vec<usize>, nodes: Vec<usize>) {
    match own.is_empty() || nodes.is_empty() {
        true => own.clear(),
        false => own.extend(nodes),
    }
}

impl Group {
    fn join(&mut self, other: Group) {
        self.label = format!("{}, {}", self.label, other.label);
        for (own, (.., nodes)) in self.times.iter_mut().zip(other.times) {
            join_nodes(&mut own.2, nodes);
        }
    }

    fn tell(&self, name: &impl Fn(usize) -> String) -> String {
        let from = self.times.first().map_or(0.0, |time| time.0);
        let to = self.times.iter().map(|time| time.1).fold(0.0, f64::max);
        let when = match (self.times.len(), self.band) {
            (1, false) => format!("at {}", numbers::elapsed(from)),
            (1, true) => {
                format!(
                    "from {} to {} ({})",
                    numbers::elapsed(from),
                    numbers::elapsed(to),
                    numbers::elapsed(to - from)
                )
            }
            (times, _) => {
                let times = numbers::count(times as u64);
                format!("{times} times, {} to {}", numbers::elapsed(from), numbers::elapsed(to))
            }
        };
        let mut nodes: Vec<usize> = self.times.iter().flat_map(|time| time.2.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut names: Vec<String> = nodes.iter().take(6).map(|node| name(*node)).collect();
        if nodes.len() > 6 {
            names.push(format!("{} more", nodes.len() - 6));
        }
        let concerns =
            if names.is_empty() { String::new() } else { format!("; concerns {}", numbers::listed(&names)) };
        let class = if self.band { "wrong" } else { "done" };
        let label = short(&self.label, 160);
        let (key, label, when) = (&self.key, Text(&label), Text(&when));
        format!("<li><b class=\"{class}\">{key}</b> {label} <span>{when}{}</span></li>\n", Text(&concerns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Band;

    fn flapping(times: usize) -> Recording {
        let band = |n: usize| {
            let from = n as f64 * 60.0;
            Band { from, to: from + 20.0, label: "link flaps".into(), nodes: vec![1] }
        };
        let marks = vec![Mark { at: 100.0, label: "restock <b>".into() }];
        Recording { seconds: 86_400.0, bands: (0..times).map(band).collect(), marks, ..Recording::default() }
    }

    #[test]
    fn what_recurs_is_told_once() {
        let list = Events::of(&flapping(500)).list(|node| format!("node {node}"));
        assert_eq!(list.matches("<li>").count(), 2);
        assert!(list.contains("500 times, 0 to 8 h 19 min 20 s; concerns node 1"), "{list}");
        assert!(list.contains("<b class=\"done\">2</b> restock &lt;b&gt; <span>at 1 min 40 s"), "{list}");
    }

    #[test]
    fn only_the_nodes_concerned_are_shaded() {
        let events = Events::of(&flapping(1));
        let time = Time::new(Size::Full, 86_400.0);
        assert!(events.shade(&time, 0.0, 10.0, Some(1)).contains("band"));
        assert!(!events.shade(&time, 0.0, 10.0, Some(0)).contains("band"));
        assert!(events.shade(&time, 0.0, 10.0, None).contains("band"));
    }

    #[test]
    fn labels_do_not_run_over_each_other() {
        for size in [Size::Phone, Size::Half, Size::Full] {
            let (height, lanes) = Events::of(&flapping(500)).header(&Time::new(size, 86_400.0), size);
            assert!(height <= 4.0 * LANE + 4.0);
            assert!(lanes.contains(">1"));
        }
    }

    #[test]
    fn what_happens_together_is_told_as_one() {
        let mut recording = flapping(3);
        let other = |band: &Band| Band { label: "link b flaps".into(), nodes: vec![0, 1], ..band.clone() };
        recording.bands.extend(recording.bands.clone().iter().map(other));
        let list = Events::of(&recording).list(|node| format!("node {node}"));
        assert_eq!(list.matches("<li>").count(), 2, "{list}");
        assert!(list.contains("link b flaps, link flaps <span>3 times"), "{list}");
        assert!(list.contains("concerns node 0 and node 1"), "{list}");
    }

    #[test]
    fn kinds_beyond_what_can_be_kept_apart_are_counted() {
        let mark = |n: usize| Mark { at: n as f64, label: format!("mark {n}") };
        let recording = Recording { marks: (0..40).map(mark).collect(), ..Recording::default() };
        assert!(Events::of(&recording).list(|_| String::new()).contains("and 10 more kinds"));
        assert!(Events::of(&Recording::default()).list(|_| String::new()).contains("Nothing"));
    }
}
