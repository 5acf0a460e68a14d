//! The files of an index, and who changes them.
//!
//! Order is everything: a segment is whole and on the disk, and so is its name, before the one
//! transaction begins that speaks of it. Whatever happens between leaves a file that no row names,
//! which the next writer removes. A reader sees what one transaction left.

mod commit;
mod database;
mod folder;
mod reuse;
mod writer;

pub(crate) use database::{Database, IDENTITY, has_readings, meta};
pub(crate) use folder::Folder;
pub use reuse::Made;
pub use writer::{Committed, Writer};
