//! Pictures as files.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder as _, ImageError};
use libjpeg_turbo_rs::{Encoder, PixelFormat};

use super::{Picture, PictureFailure};

/// The longest side of a JPEG and of a WebP.
const JPEG_MOST: usize = 65_500;
const WEBP_MOST: usize = 16_383;

/// A picture as PNG, packed quickly rather than tightly.
///
/// # Panics
///
/// If the picture does not hold as many pixels as it says, or none.
pub fn png(picture: &Picture) -> Vec<u8> {
    let (width, height) = checked(picture);
    let mut file = Vec::with_capacity(picture.pixels.len() / 8);
    let encoder =
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    let written = encoder.write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8);
    match written {
        Ok(()) => file,
        Err(error) => unreachable!("memory takes every byte of a picture: {error}"),
    }
}

/// A picture as JPEG, for eyes rather than for models. `quality` is libjpeg's, 1 to 100.
///
/// # Errors
///
/// If a side has more than 65,500 pixels.
///
/// # Panics
///
/// As [`png`].
pub fn jpeg(picture: &Picture, quality: u8) -> Result<Vec<u8>, PictureFailure> {
    checked(picture);
    not_too_long(picture, JPEG_MOST)?;
    let Picture { width, height, pixels } = picture;
    let encoder = Encoder::new(pixels, *width, *height, PixelFormat::Rgb);
    encoder.quality(quality.clamp(1, 100)).encode().map_err(super::jpeg::damaged)
}

/// A picture as WebP without loss: small where there is text on paper.
///
/// # Errors
///
/// If a side has more than 16,383 pixels.
///
/// # Panics
///
/// As [`png`].
pub fn webp(picture: &Picture) -> Result<Vec<u8>, PictureFailure> {
    let (width, height) = checked(picture);
    not_too_long(picture, WEBP_MOST)?;
    let mut file = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut file);
    let damaged = |source: ImageError| PictureFailure::Damaged { source };
    encoder
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(damaged)?;
    Ok(file)
}

fn checked(picture: &Picture) -> (u32, u32) {
    let Picture { width, height, pixels } = picture;
    assert!(
        pixels.len() == width * height * 3 && !pixels.is_empty(),
        "{width} x {height} pixels in {} bytes",
        pixels.len()
    );
    match (u32::try_from(*width), u32::try_from(*height)) {
        (Ok(width), Ok(height)) => (width, height),
        _ => unreachable!("a picture of {width} x {height} pixels does not fit into memory"),
    }
}

fn not_too_long(picture: &Picture, most: usize) -> Result<(), PictureFailure> {
    let Picture { width, height, .. } = *picture;
    let fits = width.max(height) <= most;
    if fits { Ok(()) } else { Err(PictureFailure::TooLong { width, height, most }) }
}
