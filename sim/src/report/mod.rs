//! Reports: what a scenario's run came to, as one HTML page that needs nothing else. No network, no
//! script, no font; charts are SVG drawn here. Legible on a phone, in the dark, and on paper.
//!
//! - `page` and `compare` put a page together, from
//! - `verdict` (sentences and tiles), `tables` and `charts` (areas, bars, matrix),
//! - which take their sums from `figures`, names from `places`, formats from `numbers`, and escape
//!   what users wrote with `html`.
//!
//! A page is a function of its recordings: the same recording, the same bytes. Running scenarios and
//! writing files is left to others.

pub mod charts;
mod compare;
mod figures;
pub mod html;
pub mod numbers;
mod page;
mod places;
mod tables;
mod verdict;

#[cfg(test)]
mod sample;
#[cfg(test)]
pub mod tests;

pub use compare::compare;
pub use page::{page, span};

use crate::recording::Recording;

/// The run in a few sentences, the same as on its page.
pub fn sentences(recording: &Recording) -> String {
    let (figures, places) = (figures::Figures::of(recording), places::Places::of(recording));
    verdict::sentences(recording, &figures, &places).plain()
}
