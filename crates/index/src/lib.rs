//! Pages and what they are found by: vectors, words and numbers in, hits out.
//!
//! An index is a folder. A SQLite database is the only truth for documents, pages, metadata, words,
//! sparse and dense vectors; immutable [segments](segment) beside it hold the vectors of pages for late
//! interaction, mapped into memory and checked by sums. One [`Writer`] changes an index while any
//! number of processes read it through an [`Index`].
//!
//! This crate knows no model, no network and no clock. Whoever calls it makes vectors, says with a
//! [`Profile`] what made them, and measures how long the [stages](Stage) of a search take.

mod compaction;
mod date;
mod document;
mod error;
mod filter;
mod fuse;
mod plan;
pub mod pooling;
mod profile;
mod reading;
mod search;
pub mod segment;
mod store;

pub use compaction::{Compacted, CompactionLimits};
pub use date::Date;
pub use document::{Begun, DocumentId, Grid, NewDocument, NewPage, PageId, PageVectors, Preview};
pub use error::{Error, Fault, Kind, Result, VectorFault};
pub use filter::{Filter, Place};
pub use fuse::reciprocal_rank;
pub use plan::{Candidates, Limits, Route};
pub use profile::{Encoder, Hash, Profile};
pub use reading::{ReadBy, ReadPage, ReaderKind, ReaderPages, Reading};
pub use search::{Answer, Content, Document, Hit, Index, Places, Query, Size, Snippet, Stage};
pub use store::{Committed, Made, Writer};
