//! Reading documents: who reads pages, and where documents and workspaces lie.

pub mod store;
mod world;

pub use world::Seers;
