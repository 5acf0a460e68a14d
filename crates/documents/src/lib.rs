//! Files people have, made into pages, blocks and passages.
//!
//! A PDF or a file of pictures is parsed in a child process ([`worker`]) or, for files one trusts,
//! in this one ([`Local`]); both answer with a [`layout::PageLayout`] for each page, and with the page
//! as a [`picture::Picture`]. Everything after
//! that is a pure function: [`pipeline::read`] makes a [`Document`] of blocks, [`markdown`] and
//! [`json`] write it. A page without text is offered to a [`World`], which this crate defines and
//! does not implement.
//!
//! All boxes are in PDF points (1/72 inch) with the origin at the top left of the page as it is
//! shown, that is, after its `/Rotate`.

pub mod chunks;
mod digest;
mod error;
pub mod figures;
pub mod found;
mod furniture;
mod geometry;
pub mod html;
pub mod json;
pub mod layout;
mod limits;
mod local;
pub mod markdown;
mod page;
mod pages;
pub mod pdf;
pub mod picture;
pub mod pipeline;
pub mod preview;
mod sniff;
mod source;
pub mod tesseract;
pub mod worker;
pub mod workspace;
mod world;

pub use digest::{fingerprint, hex};
pub use error::{Error, Kind, OpenFailure, PageFailure, ProtocolFault};
pub use geometry::Rect;
pub use limits::Limits;
pub use local::Local;
pub use page::{Block, BlockKind, Cell, Document, Inline, Origin, Page, Table};
pub use pages::PageSet;
pub use sniff::FileKind;
pub use source::Source;
pub use world::{Answer, Ask, Finish, Heard, NoModel, Reply, Wanted, World};
