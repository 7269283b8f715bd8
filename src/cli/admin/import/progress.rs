//! How far an import is: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR: &str = "{elapsed_precise} {bar:20} {bytes}/{total_bytes}, {msg}, {eta} left";

/// What of a file has been sent in the try under way.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    began: Instant,
    last_line: Instant,
}

impl Progress {
    pub fn new(total: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(total));
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(BAR)) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Progress { bar, total, began: now, last_line: now }
    }

    /// A new try begins.
    pub fn restart(&mut self) {
        self.began = Instant::now();
        self.last_line = self.began;
        if let Some(bar) = &self.bar {
            bar.reset();
        }
    }

    pub fn at(&mut self, bytes: u64, lines: u64) {
        let rate = lines as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{rate:.0} lines/s"));
                bar.set_position(bytes);
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                eprintln!("{}", line(bytes, self.total, lines, self.began.elapsed()));
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

fn line(bytes: u64, total: u64, lines: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(bytes) as f64 / (bytes as f64 / seconds).max(0.001);
    let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or(100);
    format!("{percent} %, {lines} lines, {:.0} lines/s, about {left:.0} s left", lines as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_how_fast_and_how_long_still() {
        let text = line(2_500, 10_000, 100, Duration::from_secs(10));
        assert_eq!(text, "25 %, 100 lines, 10 lines/s, about 30 s left");
        assert_eq!(line(0, 0, 0, Duration::ZERO), "100 %, 0 lines, 0 lines/s, about 0 s left");
    }
}
