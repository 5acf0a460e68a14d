//! Pipelines over a [`World`](crate::World).

mod read;

pub use read::{Outline, Parse, ReadOptions, read};
