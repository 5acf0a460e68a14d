//! Sequences, made into batches, made into tokens.
//!
//! The engine speaks tokens and never text. [`Scheduler`] decides and performs nothing;
//! [`Engine::step`] performs what it decided. No clock, no file, no thread, no `async`: time and
//! chance come in as values, so everything here can be simulated.

mod cache;
mod constraint;
mod encode;
mod engine;
mod priority;
mod request;
mod sample;
mod scheduler;
mod sight;

pub use cache::{Beginning, Move, PagePool, PrefixStats, Shelf, Ticket};
pub use constraint::{Constraint, Flaw, Place, Walk};
pub use encode::{Passage, encode, pack};
pub use engine::{Engine, EngineOptions};
pub use priority::Priority;
pub use request::{Event, Failure, Finish, Id, PromptImage, Refusal, Request};
pub use sample::{Logprobs, NotANumber, Past, Sampler, Sampling};
pub use scheduler::{Limits, Preemption, Scheduler, Shape, Slice, Status, Step};
pub use sight::{Look, SightStats};
