//! Logs that stay readable: a problem that repeats is said once, until it is over.

/// Remembers what was last complained about.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Option<String>,
}

impl Complaints {
    /// True when this differs from the last one, and so is worth a warning.
    pub(super) fn is_news(&mut self, problem: &str) -> bool {
        if self.last.as_deref() == Some(problem) {
            return false;
        }
        self.last = Some(problem.to_owned());
        true
    }

    /// All is well again: the next problem is news.
    pub(super) fn over(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_news_once_until_it_is_over() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_news("timed out"));
        assert!(!complaints.is_news("timed out"));
        assert!(complaints.is_news("refused"));
        complaints.over();
        assert!(complaints.is_news("refused"));
    }
}
