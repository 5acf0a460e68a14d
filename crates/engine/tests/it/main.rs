//! One test binary for the crate.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod constrained;
mod overlap;
mod shares;
mod sight;
mod simulate;
mod steps;
