//! How far an import is: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::note;

const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR: &str = "{elapsed_precise} {bar:20} {bytes}/{total_bytes}, {msg}";

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
        let elapsed = self.began.elapsed();
        match &self.bar {
            Some(bar) => {
                bar.set_message(pace(bytes, self.total, lines, elapsed));
                bar.set_position(bytes);
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let percent = bytes.saturating_mul(100).checked_div(self.total).unwrap_or(100);
                let pace = pace(bytes, self.total, lines, elapsed);
                note(format_args!("{percent} %, {lines} lines, {pace}"));
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

/// How fast, and how long still.
fn pace(bytes: u64, total: u64, lines: u64, elapsed: Duration) -> String {
    if bytes >= total {
        return "all sent; being applied".to_owned();
    }
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = lines as f64 / seconds;
    if bytes == 0 {
        return format!("{rate:.0} lines/s");
    }
    let left = (total - bytes) as f64 / (bytes as f64 / seconds);
    format!("{rate:.0} lines/s, about {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_tells_how_fast_and_how_long_still() {
        assert_eq!(pace(2_500, 10_000, 100, Duration::from_secs(10)), "10 lines/s, about 30 s left");
        assert_eq!(pace(0, 10_000, 0, Duration::ZERO), "0 lines/s");
        assert!(pace(10_000, 10_000, 400, Duration::from_secs(40)).starts_with("all sent"));
    }
}
