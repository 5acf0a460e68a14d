//! Other people's APIs, translated: JSON ends here.
//!
//! The road of a request: `listen` takes the connection, `gate` decides who may speak, a handler reads the
//! body (`read`) into the dialect's own struct, asks the [`House`](manager::house::House), and writes the answer in the
//! dialect's words. A handler that cannot do that returns a [`Fault`], which is put into words in one place, for every
//! dialect. A new endpoint is a file and a line in `router`.

mod allowance;
mod anthropic;
mod documents;
mod fault;
mod finding;
mod flight;
mod format;
mod gate;
mod health;
mod inline;
mod listen;
pub mod mcp;
mod metrics;
mod number;
mod ollama;
mod openai;
mod openapi;
mod parsing;
mod read;
mod rerank;
mod router;
mod sse;
mod state;
mod told;
mod web;

pub use allowance::Allowance;
pub use fault::Fault;
pub use gate::{Gate, Key};
pub use listen::{Bound, bind, serve};
pub use router::router;
pub use state::{Limits, Options, Rules};
