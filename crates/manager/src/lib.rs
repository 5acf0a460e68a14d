//! Which models are on disk, in memory and in use: finds them, fetches them, and knows the machine they run on.

pub mod catalog;
pub mod environment;
mod error;
pub mod fetch;
pub mod machine;
pub mod memory;
pub mod runtime;

pub use environment::Environment;
pub use error::{AnswerFault, Error, Kind, NameFault, Result};
