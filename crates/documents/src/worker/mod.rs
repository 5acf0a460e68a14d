//! Parsing in a child process: a parser of strangers' bytes may panic, hang, overflow its stack
//! or ask for all memory, and only a process can be stopped from outside.
//!
//! The parent ([`Worker`], [`Pool`]) starts the same program with a hidden subcommand that calls
//! [`main`]. They speak length-limited frames over the child's standard input and output:
//!
//! ```text
//! child  -> Hello(version)             parent -> Start(limits)
//! parent -> Open(size, passwords), Data*          child -> Opened(outline) | OpenFailed
//! parent -> Page(index)                           child -> Page(layout) | Failed
//! parent -> Render(index, pixels)                 child -> Picture(rows) | Failed
//! parent closes the pipe                          child ends, whatever it is doing
//! ```

mod codec;
mod confine;
mod message;
mod pool;
mod process;
mod serve;
mod wire;

pub use confine::confine;
pub use message::{Request, Response, VERSION};
pub use pool::{Lease, Pool};
pub use process::Worker;
pub use serve::{main, serve};
pub use wire::{FRAME_LIMIT, FrameError, read_frame, write_frame};
