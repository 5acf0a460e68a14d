//! Pictures people have, made into rows of red, green and blue: PNG, JPEG, WebP, TIFF, BMP and GIF.
//!
//! Nothing is believed before it is checked: the size that a file declares decides whether it is decoded at all, and a
//! decoder may ask for no more memory than a picture of that size needs. What is transparent becomes white, as paper is; a
//! photograph is turned as its camera says.

mod album;
mod blank;
mod density;
mod edit;
mod encode;
mod frames;
mod jpeg;
mod tags;

use std::panic::catch_unwind;

use image::ImageError;

use self::album::said;
use self::frames::Frames;
use crate::{FileKind, Kind};

pub use album::Album;
pub(crate) use album::panicked;
pub use encode::{jpeg, png, webp};

/// The most pixels of a picture: a page of A3 at 600 dots to the inch has 70 million.
pub const MOST_PIXELS: u64 = 100_000_000;

/// A picture with a byte for each of red, green and blue, row by row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Picture {
    /// Its width in pixels.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

/// A file that is no picture, or none that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureFailure {
    /// Another kind of file.
    #[error("this is {found}, not a PNG, JPEG, WebP, TIFF, BMP or GIF image")]
    NotPicture {
        /// What it is.
        found: FileKind,
    },
    /// A picture of more pixels than are decoded.
    #[error("a picture of {width} x {height} pixels is more than {most} pixels")]
    TooLarge {
        /// The width that the file declares.
        width: u32,
        /// The height.
        height: u32,
        /// The most pixels.
        most: u64,
    },
    /// A file at which the decoder panicked.
    #[error("the decoder of the picture panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// A picture with a side of no pixels.
    #[error("a picture of {width} x {height} pixels shows nothing")]
    Empty {
        /// The width that the file declares.
        width: u32,
        /// The height.
        height: u32,
    },
    /// A picture whose sides are longer than a format has numbers for.
    #[error("a picture of {width} x {height} pixels has a side of more than {most}")]
    TooLong {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The longest side.
        most: usize,
    },
    /// A file that breaks the rules of its format, or uses a part of it that is not known.
    #[error("the picture cannot be decoded")]
    Damaged {
        /// What the decoder said.
        source: ImageError,
    },
}

impl PictureFailure {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotPicture { .. } => Kind::Unsupported,
            Self::TooLarge { .. } | Self::TooLong { .. } => Kind::Overloaded,
            Self::Damaged { source: ImageError::Unsupported(_) } => Kind::Unsupported,
            Self::Damaged { .. } | Self::Empty { .. } => Kind::Invalid,
            Self::Panicked { .. } => Kind::Internal,
        }
    }

    /// What was wrong, in one line: what the decoder said, where it said something.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Damaged { source } => source.to_string(),
            Self::NotPicture { .. }
            | Self::TooLarge { .. }
            | Self::Empty { .. }
            | Self::Panicked { .. }
            | Self::TooLong { .. } => self.to_string(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotPicture { .. } => "save it as PNG",
            Self::TooLarge { .. } => "scale it down; a page is well read at 200 dots to the inch",
            Self::TooLong { .. } => "cut it, or write it as PNG",
            Self::Damaged { .. } | Self::Empty { .. } | Self::Panicked { .. } => {
                "open it in a viewer, and save it as PNG if it looks right"
            }
        }
    }
}

/// Decodes `file`, whose format its first bytes tell, if it has at most [`MOST_PIXELS`]. Of several pictures in one file
/// it is the first.
///
/// # Errors
///
/// If it is no picture, too large, or damaged.
pub fn decode(file: &[u8]) -> Result<Picture, PictureFailure> {
    let decoded = catch_unwind(|| Frames::new(file)?.picture(0));
    decoded.unwrap_or_else(|panic| Err(PictureFailure::Panicked { message: said(&*panic) }))
}
