//! The integration tests of `manager`: models on disk, and a hub that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalog;
mod constrained;
mod fetch;
mod house;
mod invariant;
mod objects;
mod runtime;
mod sampling;
mod stores;
mod vision;
mod web;
