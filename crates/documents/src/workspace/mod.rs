//! Workspaces as olmOCR lays them out: long work shared by several machines, which any of them may leave and resume.
//!
//! ```text
//! work_index_list.csv.zstd           groups of documents, see [`index`]
//! results/output_{hash}.jsonl        what a group's documents say, a Dolma document a line
//! markdown/{path}.md                 the same as Markdown, where that is wanted, see [`MarkdownPaths`]
//! worker_locks/worker_{hash}.lock    a group is worked at, see [`queue`]
//! done_flags/done_{hash}.flag        a group is finished
//! failures.jsonl                     ours: what could not be read, see [`failures`]
//! page_checkpoints/                  ours: finished pages of unfinished documents, see [`checkpoint`]
//! ```
//!
//! A Python olmOCR continues what we began and we what it began. All is synchronous and speaks to a [`Store`], which is a
//! folder here ([`Folder`]) and an object store elsewhere; the clock is a value that callers pass.

pub mod checkpoint;
pub mod failures;
mod fault;
mod folder;
pub mod index;
pub mod inputs;
pub mod keys;
mod markdown_path;
pub mod moment;
pub mod pattern;
mod presence;
pub mod queue;
pub mod stats;
mod store;
pub mod tarball;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use failures::{Failure, Failures, Outcome, Reason};
pub use fault::{Doing, IndexFault, PathFault, WorkspaceFault};
pub use folder::Folder;
pub use index::{Group, Index};
pub use markdown_path::MarkdownPaths;
pub use presence::Presence;
pub use queue::{Claim, Counts, Queue, Refreshed};
pub use stats::Stats;
pub use store::{Change, Entry, Store};
