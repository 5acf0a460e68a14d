//! Pictures people have, made into rows of red, green and blue: PNG, JPEG, WebP and TIFF.
//!
//! Nothing is believed before it is checked: the size that a file declares decides whether it is decoded at all, and a
//! decoder may ask for no more memory than a picture of that size needs. What is transparent becomes white, as paper is; a
//! photograph is turned as its camera says.

mod jpeg;

use std::io::Cursor;

use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView as _, ImageDecoder as _, ImageError, ImageFormat, ImageReader,
    Limits,
};

use crate::{FileKind, Kind};

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
    #[error("this is {found}, not a PNG, JPEG, WebP or TIFF image")]
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
            Self::TooLarge { .. } => Kind::Overloaded,
            Self::Damaged { source: ImageError::Unsupported(_) } => Kind::Unsupported,
            Self::Damaged { .. } => Kind::Invalid,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotPicture { .. } => "save it as PNG",
            Self::TooLarge { .. } => "scale it down; a page is well read at 200 dots to the inch",
            Self::Damaged { .. } => "open it in a viewer, and save it as PNG if it looks right",
        }
    }
}

/// Decodes `file`, whose format its first bytes tell, if it has at most [`MOST_PIXELS`].
///
/// # Errors
///
/// If it is no picture, too large, or damaged.
pub fn decode(file: &[u8]) -> Result<Picture, PictureFailure> {
    const FORMATS: [(FileKind, ImageFormat); 4] = [
        (FileKind::Png, ImageFormat::Png),
        (FileKind::Jpeg, ImageFormat::Jpeg),
        (FileKind::Webp, ImageFormat::WebP),
        (FileKind::Tiff, ImageFormat::Tiff),
    ];
    let found = FileKind::of(file);
    let format = FORMATS.into_iter().find(|(kind, _)| *kind == found);
    let Some((_, format)) = format else { return Err(PictureFailure::NotPicture { found }) };
    let (mut image, orientation) =
        if format == ImageFormat::Jpeg { jpeg::decode(file)? } else { by_format(file, format)? };
    image.apply_orientation(orientation);
    let (width, height) = image.dimensions();
    let pixels =
        if image.color().has_alpha() { on_white(&image) } else { image.into_rgb8().into_raw() };
    Ok(Picture { width: width as usize, height: height as usize, pixels })
}

/// Decodes a `file` of any format but JPEG, and says how it is to be turned.
fn by_format(
    file: &[u8],
    format: ImageFormat,
) -> Result<(DynamicImage, Orientation), PictureFailure> {
    let damaged = |source| PictureFailure::Damaged { source };
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    // Sixteen bits for each of four channels, what a decoder keeps beside them, and some room for small files.
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_PIXELS * 10 + (64 << 20));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    not_too_large(width, height)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    Ok((DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation))
}

fn not_too_large(width: u32, height: u32) -> Result<(), PictureFailure> {
    let fits = u64::from(width) * u64::from(height) <= MOST_PIXELS;
    if fits { Ok(()) } else { Err(PictureFailure::TooLarge { width, height, most: MOST_PIXELS }) }
}

/// The colours of a picture that lies on white paper.
fn on_white(image: &DynamicImage) -> Vec<u8> {
    let blend = |colour: u8, alpha: u8| {
        let (colour, alpha) = (u32::from(colour), u32::from(alpha));
        ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let rgba = image.to_rgba8();
    rgba.pixels().flat_map(|p| [0, 1, 2].map(|c| blend(p.0[c], p.0[3]))).collect()
}
