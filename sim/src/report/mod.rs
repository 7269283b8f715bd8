//! A run as a page.

use crate::recording::Recording;

pub fn page(recording: &Recording) -> String {
    format!("<!doctype html><title>Scenario</title><pre>{recording:#?}</pre>")
}

pub fn compare(a: &Recording, b: &Recording) -> String {
    format!("<!doctype html><title>Two scenarios</title><pre>{a:#?}\n{b:#?}</pre>")
}
