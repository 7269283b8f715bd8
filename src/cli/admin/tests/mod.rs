//! Each command against a scripted node: what it asks, and what it shows.

mod changes;
mod explain;
mod files;
mod shows;
mod silence;
mod words;
