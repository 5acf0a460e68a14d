//! Indexes on disk: what they hold, what survives, what is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod kills;
mod lists;
mod model;
mod processes;
mod profiles;
mod readings;
mod recall;
mod reuse;
mod samples;
mod vectors;
