//! Bounds of the core.
