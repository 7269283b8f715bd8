//! `planted`: does the simulator find bugs that are known to be there?
//!
//! Each bug of [`stockade::planted`] is switched on alone, and seeds are run from 0 up until one
//! fails; then on from the next seed, until the bug was found as often as asked for. So a bug is
//! looked for from several starts, over seeds of their own, and the result is the same on any
//! number of cores. A seed counts only if it passes without the bug.
//!
//! A build without the feature `planted` has no bugs in it: it has cargo build one that has, and
//! runs that.

#[cfg(not(feature = "planted"))]
mod rebuild;
#[cfg(feature = "planted")]
mod search;
#[cfg(feature = "planted")]
mod table;

#[cfg(not(feature = "planted"))]
pub use rebuild::planted;
#[cfg(feature = "planted")]
pub use search::planted;
