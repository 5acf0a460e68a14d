//! What a person sees of `folio`, and what a program reads of it: transcripts of the binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adapters;
mod answers;
mod asking;
mod catalog;
mod config;
mod documents;
mod encoders;
mod finding;
mod held;
mod looking;
mod machine;
mod mcp;
mod pull;
mod read;
mod reciting;
mod scanned;
mod serving;
mod stores;
mod watching;
mod world;
