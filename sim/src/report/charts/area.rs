//! The two charts over time: rights, one strip for each node, and sales and refusals. Both have the
//! same time axis and show what happened above themselves. Two runs are drawn on shared axes.

use std::collections::BTreeMap;

use super::axis::{Time, Units, steps};
use super::events::Events;
use super::{Size, TEXT, at_sizes, path, rect, text, width_of};
use crate::recording::{NodeBucket, Recording};
use crate::report::figures::by_node;
use crate::report::html::short;
use crate::report::numbers;
use crate::report::places::Places;

/// More spans of time than this are merged: nobody sees thinner ones.
const SPANS: usize = 240;
/// Strips in one chart.
pub const STRIPS: usize = 8;

/// A recording as drawn over time.
pub struct Series<'a> {
    pub places: &'a Places,
    pub events: &'a Events,
    pub shown: Vec<usize>,
    seconds: f64,
    /// The length of a span, and what each began at and held.
    pub span: f64,
    spans: Vec<(f64, Vec<NodeBucket>)>,
    sums: Vec<NodeBucket>,
}

/// Axes that several charts can have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    seconds: f64,
    /// Each strip has an axis of its own, by the name of its node: most places hold few units, and
    /// when those run out must be seen beside a warehouse.
    rights: BTreeMap<String, Units>,
    asked: Units,
    refused: Units,
}

impl<'a> Series<'a> {
    pub fn of(recording: &Recording, places: &'a Places, events: &'a Events) -> Series<'a> {
        let count = recording.buckets.len();
        let each = count.div_ceil(SPANS).max(1);
        let merged = recording.buckets.chunks(each).map(|chunk| {
            let mut nodes = vec![NodeBucket::default(); places.count()];
            for bucket in chunk {
                nodes.iter_mut().zip(&bucket.nodes).for_each(|(sum, node)| sum.then(node));
            }
            (chunk[0].from, nodes)
        });
        let spans: Vec<_> = merged.collect();
        let last = recording.buckets.last().map_or(0.0, |bucket| bucket.from);
        let seconds = numbers::finite(recording.seconds).max(numbers::finite(last));
        let span = if count > 1 { numbers::finite(last) / (count - 1) as f64 * each as f64 } else { seconds };
        let sum = |(_, nodes): &(f64, Vec<NodeBucket>)| {
            let mut sum = NodeBucket::default();
            nodes.iter().for_each(|node| sum.then(node));
            sum
        };
        let sums = spans.iter().map(sum).collect();
        Series { places, events, shown: places.shown(STRIPS), seconds, span, spans, sums }
    }

    /// Axes that fit this recording.
    pub fn axes(&self) -> Axes {
        let balance = |node: &NodeBucket| node.available.saturating_add(node.held);
        let strip = |node: &usize| {
            let most = self.spans.iter().map(|(_, nodes)| balance(&nodes[*node])).max().unwrap_or(0);
            (self.places.name(*node).to_owned(), Units::up_to(most))
        };
        Axes {
            seconds: self.seconds,
            rights: self.shown.iter().map(strip).collect(),
            asked: Units::up_to(self.sums.iter().map(|sum| sum.wanted()).max().unwrap_or(0)),
            refused: Units::up_to(self.sums.iter().map(NodeBucket::refused).max().unwrap_or(0)),
        }
    }

    /// A step path of what each span comes to.
    fn steps(&self, time: &Time, y: impl Fn(usize) -> f64) -> String {
        let points: Vec<_> =
            self.spans.iter().enumerate().map(|(at, (from, _))| (time.x(*from), y(at))).collect();
        steps(&points, time.x(self.seconds))
    }

    /// The area between two heights.
    fn area(
        &self,
        time: &Time,
        low: impl Fn(usize) -> f64,
        high: impl Fn(usize) -> f64,
        class: &str,
    ) -> String {
        if self.spans.is_empty() {
            return String::new();
        }
        let mut d = self.steps(time, high);
        // Back along the lower edge: the same steps from right to left.
        let low: Vec<String> = (0..self.spans.len()).map(|at| super::px(low(at))).collect();
        for at in (0..low.len()).rev() {
            if at + 1 == low.len() || low[at] != low[at + 1] {
                d += &format!("V{}", low[at]);
            }
            if at == 0 || low[at] != low[at - 1] {
                d += &format!("H{}", super::px(time.x(self.spans[at].0)));
            }
        }
        path(&(d + "z"), class)
    }
}

impl Axes {
    /// Axes on which both can be drawn.
    pub fn both(mut self, other: &Axes) -> Axes {
        let more = |a: Units, b: Units| if a.top >= b.top { a } else { b };
        for (name, units) in &other.rights {
            let own = self.rights.entry(name.clone()).or_insert(*units);
            *own = more(*own, *units);
        }
        Axes {
            seconds: self.seconds.max(other.seconds),
            rights: self.rights,
            asked: more(self.asked, other.asked),
            refused: more(self.refused, other.refused),
        }
    }
}

/// What stands for a chart of nothing.
const NOTHING: &str = "<p class=\"more\">Nothing was recorded.</p>\n";

/// Rights over time: a strip for each node, held units above the available ones, refusals below.
pub fn rights(series: &Series, axes: &Axes, beside: Option<&Series>, sizes: &[Size]) -> String {
    if series.spans.is_empty() || series.shown.is_empty() {
        return NOTHING.to_owned();
    }
    at_sizes(sizes, &format!("Rights by {} over time", series.places.word()), |size| {
        let time = Time::new(size, axes.seconds);
        let (header, lanes) = header(series, beside, &time, size);
        let tall = if series.shown.len() > 4 { 44.0 } else { 64.0 };
        let (mut y, mut strips) = (header, String::new());
        for node in &series.shown {
            let (top, bottom) = (y + TEXT + 8.0, y + TEXT + 8.0 + tall);
            strips += &strip(series, axes, &time, *node, (top, bottom));
            y = bottom + RUG + 8.0;
        }
        let bottom = y - 8.0;
        let axis = time.draw(header + TEXT + 8.0, bottom);
        let stems = series.events.stems(&time, header, bottom);
        (bottom + Time::LABELS, lanes + &axis + &stems + &strips)
    })
}

/// What happened, above a chart; with as much room as the chart beside it needs.
fn header(series: &Series, beside: Option<&Series>, time: &Time, size: Size) -> (f64, String) {
    let (own, lanes) = series.events.header(time, size);
    let other = beside.map_or(0.0, |beside| beside.events.header(time, size).0);
    if other <= own {
        return (own, lanes);
    }
    (other, format!("<g transform=\"translate(0 {})\">{lanes}</g>", super::px(other - own)))
}

/// How high the row below a strip is that tells refusals.
const RUG: f64 = 7.0;

fn strip(series: &Series, axes: &Axes, time: &Time, node: usize, (top, bottom): (f64, f64)) -> String {
    let of = |at: usize| &series.spans[at].1[node];
    let axis = axes.rights.get(series.places.name(node)).copied().unwrap_or_else(|| Units::up_to(0));
    let y = |units: u64| axis.y(units, top, bottom);
    let free = |at: usize| y(of(at).available);
    let all = |at: usize| y(of(at).available.saturating_add(of(at).held));
    let refused = |at: usize| if of(at).refused() > 0 { bottom + RUG } else { bottom + 2.0 };
    let ends = series.spans.first().zip(series.spans.last());
    let ends = ends.map_or_else(String::new, |(first, last)| {
        let [first, last] = [first, last].map(|span| numbers::count(span.1[node].available));
        format!("{first} → {last} units")
    });
    let room = (time.right - time.left - width_of(&ends) - 10.0) / (super::CHARACTER + 0.8);
    let name = short(series.places.name(node), room.max(4.0) as usize);
    let mut out = axis.draw(time, top, bottom);
    out += &series.area(time, |_| bottom, free, "available");
    out += &series.area(time, free, all, "held");
    out += &series.area(time, |_| bottom + 2.0, refused, "rug");
    out += &series.events.shade(time, top, bottom, Some(node));
    out += &text(time.left, top - 5.0, "name", &name);
    out + &text(time.right, top - 5.0, "end", &ends)
}

/// The verdicts of refusals: class of the style sheet, word, units of a span.
pub type Verdict = (&'static str, &'static str, fn(&NodeBucket) -> u64);
pub const VERDICTS: [Verdict; 4] = [
    ("sold_out", "sold out", |sum| sum.sold_out),
    ("elsewhere", "elsewhere", |sum| sum.elsewhere),
    ("unknown", "unknown", |sum| sum.unknown),
    ("unanswered", "unanswered", |sum| sum.unanswered),
];

/// Sales and refusals over time: served within wanted, and below it what was refused, by verdict.
pub fn sales(series: &Series, axes: &Axes, beside: Option<&Series>, sizes: &[Size]) -> String {
    if series.spans.is_empty() {
        return NOTHING.to_owned();
    }
    let per = numbers::elapsed(series.span);
    at_sizes(sizes, "Units served and refused over time", |size| {
        let time = Time::new(size, axes.seconds);
        let (header, lanes) = header(series, beside, &time, size);
        let served = (header + TEXT + 8.0, header + TEXT + 8.0 + 130.0);
        let refused = (served.1 + TEXT + 18.0, served.1 + TEXT + 18.0 + 100.0);
        let axis = time.draw(served.0, refused.1);
        let stems = series.events.stems(&time, header, refused.1);
        let mut out = lanes
            + &axis
            + &stems
            + &demand(series, axes, &time, served)
            + &refusals(series, axes, &time, refused);
        out += &text(time.left, served.0 - 5.0, "name", &format!("Served, units per {per}"));
        out += &text(time.left, refused.0 - 5.0, "name", &format!("Refused, units per {per}"));
        (refused.1 + Time::LABELS, out)
    })
}

fn demand(series: &Series, axes: &Axes, time: &Time, (top, bottom): (f64, f64)) -> String {
    let y = |units: u64| axes.asked.y(units, top, bottom);
    let mut out = axes.asked.draw(time, top, bottom);
    out += &series.area(time, |_| bottom, |at| y(series.sums[at].served), "served");
    out += &path(&series.steps(time, |at| y(series.sums[at].wanted())), "wanted");
    out + &series.events.shade(time, top, bottom, None)
}

fn refusals(series: &Series, axes: &Axes, time: &Time, (top, bottom): (f64, f64)) -> String {
    if series.sums.iter().all(|sum| sum.refused() == 0) {
        let rule = rect(time.left, bottom, time.right - time.left, 1.0, "rule");
        return rule + &text(time.left, (top + bottom) / 2.0, "faint", "No unit was refused.");
    }
    let mut out = axes.refused.draw(time, top, bottom);
    let mut below = vec![0u64; series.sums.len()];
    for (class, _, units) in VERDICTS {
        if series.sums.iter().all(|sum| units(sum) == 0) {
            continue;
        }
        let above: Vec<u64> =
            below.iter().zip(&series.sums).map(|(b, sum)| b.saturating_add(units(sum))).collect();
        let y = |units: u64| axes.refused.y(units, top, bottom);
        out += &series.area(time, |at| y(below[at]), |at| y(above[at]), class);
        below = above;
    }
    out + &series.events.shade(time, top, bottom, None)
}

/// What the colours of `rights` mean.
pub fn rights_key() -> String {
    key(&[
        ("available", "available"),
        ("held", "held"),
        ("rug", "buyers refused here"),
        ("band", "something was wrong"),
    ])
}

/// What the colours of `sales` mean, with what each came to.
pub fn sales_key(recording: &Recording) -> String {
    let mut sum = NodeBucket::default();
    by_node(recording).iter().for_each(|node| sum.then(node));
    let told =
        VERDICTS.map(|(class, word, units)| (class, format!("{word} {}", numbers::count(units(&sum)))));
    let served = format!("served {}", numbers::count(sum.served));
    let wanted = format!("wanted {}", numbers::count(sum.wanted()));
    let mut all = vec![("wanted", wanted.as_str()), ("served", served.as_str())];
    all.extend(told.iter().map(|(class, text)| (*class, text.as_str())));
    all.push(("band", "something was wrong"));
    key(&all)
}

fn key(entries: &[(&str, &str)]) -> String {
    let entry = |(class, word): &(&str, &str)| {
        let area = match *class {
            "wanted" => path("M0 7H14", class),
            _ => rect(0.0, 0.0, 14.0, 14.0, class),
        };
        format!(
            "<li><svg width=\"14\" height=\"14\" viewBox=\"0 0 14 14\" aria-hidden=\"true\">{area}</svg> {word}</li>"
        )
    };
    format!("<ul class=\"key\">{}</ul>\n", entries.iter().map(entry).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Bucket, Node};

    fn buckets(count: usize) -> Recording {
        let node = NodeBucket { available: 10, asked: 3, served: 2, elsewhere: 1, ..NodeBucket::default() };
        let bucket = |at: usize| Bucket { from: at as f64 * 60.0, nodes: vec![node.clone()] };
        Recording {
            nodes: vec![Node { name: "a".into(), region: "a".into() }],
            seconds: count as f64 * 60.0,
            buckets: (0..count).map(bucket).collect(),
            ..Recording::default()
        }
    }

    #[test]
    fn spans_are_merged_without_losing_units() {
        let recording = buckets(1_000);
        let (places, events) = (Places::of(&recording), Events::of(&recording));
        let series = Series::of(&recording, &places, &events);
        assert_eq!((series.spans.len(), series.span), (200, 300.0));
        assert_eq!(series.sums.iter().map(|sum| sum.asked).sum::<u64>(), 3_000);
        assert_eq!(series.sums[0].available, 10, "a balance is not summed over time");
        assert_eq!(series.axes().asked.top, 20);
    }

    #[test]
    fn shared_axes_have_room_for_both() {
        let axes = |recording: &Recording| {
            let (places, events) = (Places::of(recording), Events::of(recording));
            Series::of(recording, &places, &events).axes()
        };
        let (few, many) = (axes(&buckets(10)), axes(&buckets(1_000)));
        let both = few.clone().both(&many);
        assert_eq!((both.seconds, both.asked.top), (60_000.0, 20));
        assert_eq!(both, many.both(&few));
    }

    #[test]
    fn what_was_not_refused_is_said() {
        let mut recording = buckets(3);
        let draw = |recording: &Recording| {
            let (places, events) = (Places::of(recording), Events::of(recording));
            let series = Series::of(recording, &places, &events);
            sales(&series, &series.axes(), None, &[Size::Full])
        };
        assert!(draw(&recording).contains("class=\"elsewhere\""));
        recording.buckets.iter_mut().for_each(|bucket| bucket.nodes[0].elsewhere = 0);
        assert!(draw(&recording).contains("No unit was refused"));
    }
}
