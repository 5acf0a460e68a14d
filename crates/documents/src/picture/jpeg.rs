//! Photographs, to the bit as libjpeg-turbo decodes them.
//!
//! A JPEG does not say what its pixels are, only about: how to round, and how to fill in colours that are stored at half
//! the size, is left to who decodes it. Models were taught with pixels of libjpeg-turbo (Pillow's decoder), so these are
//! what they are shown.

use image::error::{DecodingError, ImageFormatHint, UnsupportedError, UnsupportedErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ImageError, ImageFormat, RgbImage};
use libjpeg_turbo_rs::{ColorSpace, DecodeLimits, Decoder, JpegError, PixelFormat};

use super::frames::not_too_large;
use super::{MOST_PIXELS, PictureFailure};

/// The most scans: cameras and programs write a dozen, and each costs a walk over the whole picture.
const MOST_SCANS: usize = 500;

fn opened(file: &[u8]) -> Result<Decoder<'_>, PictureFailure> {
    let limits = DecodeLimits {
        max_pixels: MOST_PIXELS,
        max_scans: MOST_SCANS,
        // Coefficients of 16 bits, planes of bytes, and the pixels, for four colours.
        max_memory: Some(MOST_PIXELS * 20 + (64 << 20)),
        ..DecodeLimits::default()
    };
    Decoder::new_with_limits(file, limits).map_err(damaged)
}

/// The width and height in pixels, and how they are to be turned.
pub(super) fn header(file: &[u8]) -> Result<([u32; 2], Orientation), PictureFailure> {
    let decoder = opened(file)?;
    let (width, height) = (decoder.header().width, decoder.header().height);
    Ok(([width.into(), height.into()], turned(&decoder)))
}

fn turned(decoder: &Decoder<'_>) -> Orientation {
    let said = decoder.exif_orientation().and_then(Orientation::from_exif);
    said.unwrap_or(Orientation::NoTransforms)
}

/// Decodes `file`, and says how it is to be turned.
pub(super) fn decode(file: &[u8]) -> Result<(DynamicImage, Orientation), PictureFailure> {
    let mut decoder = opened(file)?;
    let (width, height) = (decoder.header().width, decoder.header().height);
    not_too_large(width.into(), height.into())?;
    let bits = decoder.header().precision;
    if bits != 8 {
        return Err(damaged(JpegError::Unsupported(format!("{bits} bits for a sample"))));
    }
    let inks = matches!(decoder.jpeg_color_space(), ColorSpace::Cmyk | ColorSpace::Ycck);
    decoder.set_output_format(if inks { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let turned = turned(&decoder);
    let decoded = decoder.decode_image().map_err(damaged)?;
    let pixels = if inks { of_inks(&decoded.data) } else { decoded.data };
    let image = RgbImage::from_raw(width.into(), height.into(), pixels)
        .ok_or_else(|| damaged(JpegError::UnexpectedEof))?;
    Ok((image.into(), turned))
}

/// Red, green and blue of cyan, magenta, yellow and black, which files store inverted (255 is no ink), as Adobe's programs do.
fn of_inks(inks: &[u8]) -> Vec<u8> {
    let colours = inks.as_chunks::<4>().0.iter().flat_map(|&[cyan, magenta, yellow, paper]| {
        [cyan, magenta, yellow].map(|free| {
            let covered = u32::from(255 - free) * u32::from(paper) + 128;
            paper.saturating_sub((((covered >> 8) + covered) >> 8) as u8)
        })
    });
    colours.collect()
}

pub(super) fn damaged(error: JpegError) -> PictureFailure {
    let hint = ImageFormatHint::Exact(ImageFormat::Jpeg);
    let source = if let JpegError::Unsupported(what) = error {
        let kind = UnsupportedErrorKind::GenericFeature(what);
        ImageError::Unsupported(UnsupportedError::from_format_and_kind(hint, kind))
    } else {
        ImageError::Decoding(DecodingError::new(hint, error))
    };
    PictureFailure::Damaged { source }
}
