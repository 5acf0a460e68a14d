//! One test binary for the crate.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapters;
mod encoders;
mod equivalence;
mod fixture;
mod goldens;
mod images;
mod refusals;
mod vision;
