//! How far the load is: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::note;

const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR: &str = "{elapsed_precise} {bar:20} {pos}/{len} orders, {per_sec}, {eta} left";

pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    began: Instant,
    last_line: Instant,
}

impl Progress {
    pub fn new(total: usize) -> Progress {
        let total = total as u64;
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(total));
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(BAR)) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Progress { bar, total, done: 0, began: now, last_line: now }
    }

    pub fn advance(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Called about twice a second.
    pub fn tick(&mut self) {
        match &self.bar {
            Some(bar) => bar.tick(),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                note(line(self.done, self.total, self.began.elapsed()));
            }
            None => {}
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / rate.max(0.001);
    format!("{done}/{total} orders, {rate:.0}/s, about {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_how_fast_and_how_long_still() {
        assert_eq!(line(250, 1_000, Duration::from_secs(10)), "250/1000 orders, 25/s, about 30 s left");
    }
}
