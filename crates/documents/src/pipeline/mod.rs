//! Pipelines over a [`World`](crate::World).

mod front_matter;
mod prompt;
mod read;
mod reading;
mod render;

pub use front_matter::{FrontMatter, FrontMatterFault, parse as parse_front_matter};
pub use prompt::{GUIDED_REGEX, MOST_TOKENS, PROMPT, TEMPERATURES};
pub use read::{Outline, Parse, ReadOptions, read};
pub use reading::{PageReading, Reader};
pub use render::{Raster, Render};
