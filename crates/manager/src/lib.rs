//! Which models are on disk, in memory and in use: finds them, fetches them, and knows the machine they run on.

pub mod bandwidth;
pub mod catalog;
pub mod config;
pub mod describe;
pub mod disk;
pub mod environment;
mod error;
pub mod fetch;
pub mod find;
pub mod flight;
pub mod house;
pub mod ledger;
pub mod machine;
pub mod memory;
mod peak;
pub mod plan;
pub mod read;
pub mod remote;
pub mod residency;
pub mod route;
pub mod runtime;
pub mod self_test;
pub mod stats;
pub mod web;

pub use environment::{Environment, Token};
pub use error::{AnswerFault, Error, Kind, NameFault, Result, chain};
pub use peak::{current_rss, peak_rss};

// What those who hold a model need from below: they depend on this crate alone.
pub use checkpoint::{Config, Folder, Index};
pub use documents::hex;
pub use kernels::{
    CpuOptions, DType, Device, Isa, KvFormat, KvQuantization, MLX_VERSION, Mlx, MlxOptions,
    Precision, WeightLayout,
};
pub use models::architectures;
pub use text::grammar::Grammar;
pub use text::{Image, Message, Part, RenderOptions, Role, Special, Template, Tokenizer};
