//! Tests of whole replicas: a few of them, a network that delivers when told, and journals.

mod bed;
mod dials;
mod draining;
mod importing;
mod marking;
mod moving;
mod placing;
mod quieting;
mod regressions;
mod selling;
mod syncing;
