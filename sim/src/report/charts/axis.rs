//! Axes: time since the beginning, units from zero, milliseconds on a logarithmic scale. They
//! choose ticks that people count in, and never more than there is room for.

use super::{Size, TEXT, line, px, text, width_of};
use crate::report::numbers;

/// Time from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub left: f64,
    pub right: f64,
    seconds: f64,
}

/// What people divide time by, in seconds.
const STEPS: [f64; 26] = [
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_419_200.0,
    7_257_600.0,
];

impl Time {
    /// Both charts over time have the same room at the left, so that one stands above the other.
    pub fn new(size: Size, seconds: f64) -> Time {
        let left = if size == Size::Phone { 54.0 } else { 62.0 };
        let seconds = numbers::finite(seconds);
        Time { left, right: size.width() - 8.0, seconds: if seconds > 0.0 { seconds } else { 1.0 } }
    }

    pub fn x(&self, seconds: f64) -> f64 {
        let share = (numbers::finite(seconds) / self.seconds).clamp(0.0, 1.0);
        self.left + share * (self.right - self.left)
    }

    fn step(&self) -> f64 {
        let most = ((self.right - self.left) / 72.0).max(2.0);
        let enough = |step: &f64| self.seconds / step <= most;
        STEPS.into_iter().find(enough).unwrap_or_else(|| (self.seconds / most / 604_800.0).ceil() * 604_800.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let step = self.step();
        let count = (self.seconds / step + 1e-9) as usize;
        (0..=count.min(64)).map(|n| n as f64 * step).collect()
    }

    /// Lines through all that is between, and labels below.
    pub fn draw(&self, top: f64, bottom: f64) -> String {
        let mut out = String::new();
        let mut free = f64::MIN;
        for at in self.ticks() {
            let x = self.x(at);
            out += &line((x, top), (x, bottom + 4.0), "grid");
            let label = numbers::elapsed(at);
            let half = width_of(&label) / 2.0;
            let (x, class) =
                if x + half > self.right + 8.0 { (self.right + 8.0 - half, "middle") } else { (x, "middle") };
            if x - half > free {
                out += &text(x, bottom + TEXT + 6.0, class, &label);
                free = x + half + 6.0;
            }
        }
        out
    }

    /// How much room the labels take.
    pub const LABELS: f64 = TEXT + 12.0;
}

/// Units from zero upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    pub top: u64,
}

impl Units {
    /// An axis that has room for `most` and ends at a round number.
    pub fn up_to(most: u64) -> Units {
        let mut size: u64 = 1;
        while size <= u64::MAX / 10 && size * 10 <= most {
            size *= 10;
        }
        let round = [1, 2, 3, 4, 5, 6, 8, 10].into_iter().filter_map(|n: u64| n.checked_mul(size));
        Units { top: round.into_iter().find(|top| *top >= most).unwrap_or(most).max(1) }
    }

    pub fn y(&self, units: u64, top: f64, bottom: f64) -> f64 {
        bottom - (units as f64 / self.top as f64).min(1.0) * (bottom - top)
    }

    /// Zero, the top, and the middle where it is a whole number and there is room.
    pub fn draw(&self, time: &Time, top: f64, bottom: f64) -> String {
        let middle = self.top.is_multiple_of(2) && bottom - top > 90.0;
        let ticks = if middle { vec![0, self.top / 2, self.top] } else { vec![0, self.top] };
        let tick = |units: u64| {
            let y = self.y(units, top, bottom);
            let rule = line((time.left, y), (time.right, y), if units == 0 { "axis" } else { "grid" });
            rule + &text(time.left - 6.0, y + TEXT * 0.35, "end faint", &numbers::tick(units))
        };
        ticks.into_iter().map(tick).collect()
    }
}

/// Milliseconds, each step a multiple.
#[derive(Clone, Copy, Debug)]
pub struct Millis {
    least: f64,
    most: f64,
    pub left: f64,
    pub right: f64,
}

/// Below this all is the same to a buyer, and zero has no logarithm.
const LEAST: f64 = 0.1;

impl Millis {
    pub fn over(values: impl IntoIterator<Item = f64>, size: Size) -> Millis {
        let values = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (least, most) = values.fold((f64::MAX, LEAST), |(a, b), v| (a.min(v), b.max(v)));
        let decade = |value: f64| value.log10();
        let low = decade(least.clamp(LEAST, 1e9)).floor().min(decade(most.min(1e9)).floor());
        let high = decade(most.min(1e9)).ceil().max(low + 1.0);
        Millis { least: 10f64.powf(low), most: 10f64.powf(high), left: 2.0, right: size.width() - 10.0 }
    }

    pub fn x(&self, millis: f64) -> f64 {
        let millis = numbers::finite(millis).clamp(self.least, self.most);
        let share = (millis / self.least).log10() / (self.most / self.least).log10();
        self.left + share * (self.right - self.left)
    }

    /// Lines at powers of ten, labelled; at 2 and 5 where they are wide enough apart.
    pub fn draw(&self, top: f64, bottom: f64) -> String {
        let decades = (self.most / self.least).log10().round() as i32;
        let wide = (self.right - self.left) / f64::from(decades.max(1)) > 190.0;
        let mut out = String::new();
        for decade in 0..=decades {
            let base = self.least * 10f64.powi(decade);
            for times in [1.0, 2.0, 5.0] {
                let at = base * times;
                if at > self.most * 1.001 || (times > 1.0 && !wide) {
                    continue;
                }
                let x = self.x(at);
                let label = label(at);
                let half = width_of(&label) / 2.0;
                let labelled = x.clamp(half, self.right + 10.0 - half);
                out += &line((x, top), (x, bottom + 4.0), "grid");
                out += &text(labelled, bottom + TEXT + 6.0, "middle", &label);
            }
        }
        out
    }
}

fn label(millis: f64) -> String {
    match millis {
        m if m < 0.95 => format!("{m:.1} ms"),
        m if m < 999.0 => format!("{m:.0} ms"),
        m => format!("{} s", numbers::count((m / 1e3).round() as u64)),
    }
}

/// A path along steps: each value holds from its time to the next one's, or to the end.
pub fn steps(points: &[(f64, f64)], end: f64) -> String {
    let mut d = String::new();
    let mut last: Option<String> = None;
    for (x, y) in points {
        match &last {
            None => d += &format!("M{} {}", px(*x), px(*y)),
            Some(before) if *before == px(*y) => continue,
            Some(_) => d += &format!("H{}V{}", px(*x), px(*y)),
        }
        last = Some(px(*y));
    }
    if last.is_some() {
        d += &format!("H{}", px(end));
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_of_a_clock() {
        let ticks = |seconds| Time::new(Size::Full, seconds).ticks();
        assert_eq!(ticks(3_600.0)[1], 300.0, "an hour goes by 5 minutes");
        assert_eq!(ticks(86_400.0)[1], 7_200.0, "a day by 2 hours");
        assert_eq!(ticks(7.0 * 86_400.0)[1], 86_400.0, "a week by days");
        assert_eq!(ticks(20.0)[1], 2.0);
        for seconds in [0.0, 0.001, 59.0, 1e6, 1e9, 1e15, f64::NAN, f64::INFINITY] {
            assert!(ticks(seconds).len() <= 14, "{seconds}");
            let phone = Time::new(Size::Phone, seconds).ticks();
            assert!((1..=5).contains(&phone.len()), "{seconds}");
        }
    }

    #[test]
    fn units_end_at_a_round_number() {
        let tops = [0, 1, 7, 12, 99, 1_001, 41_000].map(|most| Units::up_to(most).top);
        assert_eq!(tops, [1, 1, 8, 20, 100, 2_000, 50_000]);
        assert!(Units::up_to(u64::MAX).top >= u64::MAX / 2);
        assert_eq!(Units { top: 10 }.y(5, 0.0, 100.0), 50.0);
    }

    #[test]
    fn milliseconds_are_on_a_logarithmic_scale() {
        let axis = Millis::over([2.0, 150.0], Size::Full);
        assert_eq!((axis.least, axis.most), (1.0, 1_000.0));
        assert!((axis.x(10.0) - axis.left) * 2.0 - (axis.x(100.0) - axis.left) < 1e-6);
        for odd in [f64::NAN, 0.0, -3.0, f64::INFINITY, 1e300] {
            let axis = Millis::over([odd], Size::Phone);
            assert!(axis.x(odd).is_finite() && axis.x(odd) >= axis.left && axis.x(odd) <= axis.right);
        }
        assert!(Millis::over([], Size::Phone).draw(0.0, 10.0).contains("ms"));
    }

    #[test]
    fn steps_hold_until_the_next() {
        assert_eq!(steps(&[(0.0, 5.0), (10.0, 5.0), (20.0, 7.0)], 30.0), "M0 5H20V7H30");
        assert_eq!(steps(&[], 30.0), "");
    }
}
