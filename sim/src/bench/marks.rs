//! Charts of a bench: a row of marks for each policy, policies in a plane, and waits. What is told by
//! colour is told by shape too.

use super::figures::{Metric, Standing};
use super::policy::Policy;
use crate::report::charts::axis::{Millis, Time};
use crate::report::charts::{ALONE, CHARACTER, Size, TEXT, at_sizes, line, path, px, rect, text, width_of};
use crate::report::html::Text;
use crate::report::numbers::{finite, millis};

/// A policy's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub policy: &'static str,
    pub dots: Vec<Dot>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    pub label: String,
    pub value: Option<f64>,
}

/// Colours and shapes, by place in a row.
const CLASSES: [&str; 4] = ["most", "elsewhere", "unknown", "rug"];
const ROW: f64 = 30.0;
const RADIUS: f64 = 5.0;

/// Each policy's shares on one axis that ends at 1; empty when there is nothing to compare.
pub fn rows(label: &str, marks: &[Mark], with_key: bool) -> String {
    let values = || marks.iter().flat_map(|mark| &mark.dots).filter_map(|dot| dot.value);
    let Some(axis) = Shares::over(values()) else { return String::new() };
    let chart = at_sizes(&ALONE, label, |size| {
        let (left, right) = (9.0 * CHARACTER + 10.0, size.width() - 12.0);
        let bottom = ROW * marks.len() as f64;
        let mut out = axis.draw(left, right, bottom, size);
        for (number, mark) in marks.iter().enumerate() {
            let y = ROW * (number as f64 + 0.5);
            out += &line((left, y), (right, y), "grid");
            out += &text(0.0, y + TEXT * 0.35, class_of(mark.policy), mark.policy);
            for (place, dot) in mark.dots.iter().enumerate() {
                out +=
                    &dot.value.map_or_else(String::new, |value| shape(place, axis.x(value, left, right), y));
            }
        }
        (bottom + Time::LABELS, out)
    });
    let labels: Vec<&str> =
        marks.first().map_or(Vec::new(), |mark| mark.dots.iter().map(|dot| dot.label.as_str()).collect());
    let key = if with_key { key(&labels) } else { String::new() };
    key + &chart
}

fn class_of(policy: &str) -> &'static str {
    if policy == Policy::DEFAULT.name() { "name" } else { "faint" }
}

/// A square, a diamond, a triangle or a bar, around a place.
fn shape(place: usize, x: f64, y: f64) -> String {
    let class = CLASSES[place % CLASSES.len()];
    let (l, r, t, b) = (px(x - RADIUS), px(x + RADIUS), px(y - RADIUS), px(y + RADIUS));
    match place % CLASSES.len() {
        0 => rect(x - RADIUS, y - RADIUS, 2.0 * RADIUS, 2.0 * RADIUS, class),
        1 => path(&format!("M{x} {t}L{r} {y}L{x} {b}L{l} {y}Z", x = px(x), y = px(y)), class),
        2 => path(&format!("M{x} {t}L{r} {b}L{l} {b}Z", x = px(x)), class),
        _ => rect(x - 2.0, y - RADIUS - 1.0, 4.0, 2.0 * RADIUS + 2.0, class),
    }
}

fn key(labels: &[&str]) -> String {
    let item = |(place, label): (usize, &&str)| {
        format!(
            "<li><svg width=\"16\" height=\"16\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">{}</svg> {}</li>",
            shape(place, 8.0, 8.0),
            Text(label)
        )
    };
    format!("<ul class=\"key\">{}</ul>\n", labels.iter().enumerate().map(item).collect::<String>())
}

/// Shares from a round number below the least up to 1, or the most if that is more.
#[derive(Clone, Copy, Debug)]
struct Shares {
    least: f64,
    most: f64,
    step: f64,
}

impl Shares {
    fn over(values: impl Iterator<Item = f64>) -> Option<Shares> {
        let (least, most) = values
            .filter(|value| value.is_finite())
            .fold((f64::MAX, 1.0f64), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            return None;
        }
        let steps = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
        let step = steps.into_iter().find(|step| (most - least) / step <= 5.0).unwrap_or(0.5);
        let least = ((least / step - 1e-9).floor() * step).max(0.0);
        Some(Shares { least: if least < most { least } else { most - step }, most, step })
    }

    fn x(&self, value: f64, left: f64, right: f64) -> f64 {
        let share = (finite(value) - self.least) / (self.most - self.least);
        left + share.clamp(0.0, 1.0) * (right - left)
    }

    fn ticks(&self) -> Vec<f64> {
        let count = ((self.most - self.least) / self.step + 1e-6) as usize;
        (0..=count.min(20)).map(|n| self.least + n as f64 * self.step).collect()
    }

    fn label(&self, value: f64) -> String {
        let digits = if self.step < 0.000_9 {
            4
        } else if self.step < 0.009 {
            3
        } else {
            2
        };
        format!("{value:.digits$}")
    }

    fn draw(&self, left: f64, right: f64, bottom: f64, size: Size) -> String {
        let mut out = String::new();
        for (number, at) in self.ticks().into_iter().enumerate() {
            let x = self.x(at, left, right);
            out += &line((x, 0.0), (x, bottom + 4.0), "grid");
            if size != Size::Phone || number % 2 == 0 {
                let label = self.label(at);
                let centre = x.min(size.width() - width_of(&label) / 2.0);
                out += &text(centre, bottom + TEXT + 6.0, "middle", &label);
            }
        }
        out
    }
}

/// Policies in a plane: `x` from zero, `y` a share. Each place has its policy beside it, the same for
/// each label.
pub fn scatter(across: &str, points: &[(&'static str, String, f64, f64)]) -> String {
    let Some(axis) = Shares::over(points.iter().map(|point| point.3)) else { return String::new() };
    let most = points.iter().map(|point| finite(point.2)).fold(1.0, f64::max) * 1.15;
    let mut labels: Vec<&str> = Vec::new();
    for (_, label, _, _) in points {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    let chart = at_sizes(&ALONE, &format!("Served, against {across}"), |size| {
        let (left, right, top, bottom) = (56.0, size.width() - 12.0, 12.0, 300.0);
        let at = |x: f64, y: f64| (left + x / most * (right - left), top + bottom - axis.x(y, top, bottom));
        let mut out = String::new();
        for tick in axis.ticks() {
            let (_, y) = at(0.0, tick);
            out += &line((left, y), (right, y), "grid");
            out += &text(left - 6.0, y + TEXT * 0.35, "end faint", &axis.label(tick));
        }
        out += &across_axis(most, left, right, bottom);
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for (policy, label, x, y) in points {
            let (x, y) = at(finite(*x), *y);
            out += &shape(labels.iter().position(|known| known == label).unwrap_or(0), x, y);
            out += &named(policy, x, y, right, &mut taken);
        }
        out += &text((left + right) / 2.0, bottom + 2.0 * TEXT + 14.0, "middle", across);
        (bottom + 2.0 * TEXT + 22.0, out)
    });
    key(&labels) + &chart
}

fn across_axis(most: f64, left: f64, right: f64, bottom: f64) -> String {
    let step = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    let step = step.into_iter().find(|step| most / step <= 6.0).unwrap_or(most);
    let mut out = line((left, bottom), (right, bottom), "axis");
    for number in 0..=(most / step) as u64 {
        let x = left + number as f64 * step / most * (right - left);
        let label = if step < 1.0 {
            format!("{:.1}", number as f64 * step)
        } else {
            format!("{:.0}", number as f64 * step)
        };
        out += &line((x, bottom), (x, bottom + 4.0), "axis");
        out += &text(x, bottom + TEXT + 6.0, "middle", &label);
    }
    out
}

/// The policy's name beside its mark, where no other name stands.
fn named(policy: &str, x: f64, y: f64, right: f64, taken: &mut Vec<(f64, f64, f64)>) -> String {
    let width = width_of(policy);
    let ahead = x + RADIUS + 4.0;
    let start = if ahead + width > right { x - RADIUS - 4.0 - width } else { ahead };
    let is_free = |at: f64, taken: &[(f64, f64, f64)]| {
        taken.iter().all(|(from, to, y)| (y - at).abs() > TEXT || *to < start || *from > start + width)
    };
    let places = [0.0, 16.0, -16.0, 32.0, -32.0, 48.0].map(|off| y + off);
    // Where all is taken, the mark alone says where it is: the table below has its name.
    let free = places.into_iter().find(|at| *at > 4.0 && *at < 300.0 && is_free(*at, taken));
    free.map_or_else(String::new, |at| {
        taken.push((start, start + width, at));
        text(start, at + TEXT * 0.35, class_of(policy), policy)
    })
}

/// A bar for each policy from its median over its 99th percentile to the wait of one in a thousand.
pub fn waits(policies: &[Standing]) -> String {
    let of = |standing: &Standing| {
        let value = |metric| standing.figures.median(metric);
        Some([value(Metric::WaitP50Ms)?, value(Metric::WaitP99Ms)?, value(Metric::WaitP999Ms)?])
    };
    let bars: Vec<(&str, [f64; 3])> =
        policies.iter().filter_map(|standing| Some((standing.policy, of(standing)?))).collect();
    let all = || bars.iter().flat_map(|(_, waits)| waits.iter().copied());
    if all().next().is_none() {
        return String::new();
    }
    let chart = at_sizes(&ALONE, "Waits by policy", |size| {
        let axis = Millis::over(all(), size);
        let (mut y, mut out) = (4.0, String::new());
        for (policy, waits) in &bars {
            let [p50, p99, p999] = waits.map(|wait| axis.x(wait));
            let words = waits.map(millis).join(" · ");
            out += &text(axis.left, y + TEXT, class_of(policy), policy);
            out += &text(axis.right, y + TEXT, "end", &words);
            let top = y + TEXT + 7.0;
            out += &rect(p99, top + 3.0, p999 - p99, 6.0, "tail");
            out += &rect(p50, top, p99 - p50, 12.0, "most");
            out += &rect(p50 - 1.5, top - 2.0, 3.0, 16.0, "median");
            y += TEXT + 32.0;
        }
        (y + Time::LABELS, axis.draw(0.0, y) + &out)
    });
    let key = "<p class=\"more\">From the median over the 99th percentile (thick) to the wait of one in a thousand (thin).</p>\n";
    chart + key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_of_shares_ends_at_one_and_begins_below_the_least() {
        let axis = Shares::over([0.9961, 0.9994].into_iter()).unwrap();
        assert!(axis.least <= 0.9961 && axis.most == 1.0 && axis.step == 0.001, "{axis:?}");
        assert_eq!(axis.x(1.0, 10.0, 20.0), 20.0);
        let all = Shares::over([1.0, 1.0].into_iter()).unwrap();
        assert!(all.least < all.most);
        assert!(Shares::over([].into_iter()).is_none());
        assert!(Shares::over([0.0, 1.3].into_iter()).unwrap().most >= 1.3, "more than the pool is possible");
    }

    #[test]
    fn each_mark_has_its_shape_and_a_missing_value_none() {
        let dot = |label: &str, value| Dot { label: label.into(), value };
        let mark = Mark { policy: "stockade", dots: vec![dot("a", Some(0.9)), dot("b", None)] };
        let chart = rows("x", &[mark], false);
        assert_eq!(chart.matches("class=\"most\"").count(), 2, "one at each size");
        assert_eq!(chart.matches("class=\"elsewhere\"").count(), 0);
        assert_eq!(rows("x", &[], true), "");
    }

    #[test]
    fn names_in_a_plane_do_not_cover_each_other() {
        let points = ["static", "central", "half"].map(|policy| (policy, "1 s".to_owned(), 3.0, 0.99));
        let chart = scatter("transfers", &points);
        for policy in ["static", "central", "half"] {
            assert_eq!(chart.matches(&format!(">{policy}<")).count(), 2, "{policy}");
        }
        let heights: std::collections::BTreeSet<&str> = chart
            .split("<text ")
            .filter(|text| {
                ["static<", "central<", "half<"].iter().any(|name| text.contains(&format!(">{name}")))
            })
            .map(|text| text.split('"').nth(3).unwrap())
            .collect();
        assert_eq!(heights.len(), 3);
    }
}
