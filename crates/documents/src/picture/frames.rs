//! What a file says of its pictures before any is decoded, and each of them decoded.

use std::borrow::Cow;
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView as _, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::tags::Tags;
use super::{MOST_PIXELS, Picture, PictureFailure, density, jpeg};
use crate::FileKind;

/// The kinds of pictures that are decoded.
const FORMATS: [(FileKind, ImageFormat); 6] = [
    (FileKind::Png, ImageFormat::Png),
    (FileKind::Jpeg, ImageFormat::Jpeg),
    (FileKind::Webp, ImageFormat::WebP),
    (FileKind::Tiff, ImageFormat::Tiff),
    (FileKind::Bmp, ImageFormat::Bmp),
    (FileKind::Gif, ImageFormat::Gif),
];

/// What is known of a picture without its pixels: as it is shown, that is, turned as its file says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    /// Width and height in pixels.
    pub(super) size: [u32; 2],
    /// Pixels to the inch, across and down.
    pub(super) density: [f32; 2],
}

/// The pictures of a file.
pub(super) struct Frames<'a> {
    file: &'a [u8],
    kind: FileKind,
    format: ImageFormat,
    /// The directories of a TIFF; of every other kind the first picture is the only one.
    directories: Cow<'a, [u64]>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(file: &'a [u8]) -> Result<Self, PictureFailure> {
        let directories = Tags::new(file).map(|tags| tags.directories()).unwrap_or_default();
        Self::at(file, directories.into())
    }

    /// Those of a file whose directories are known already.
    pub(super) fn at(file: &'a [u8], directories: Cow<'a, [u64]>) -> Result<Self, PictureFailure> {
        let kind = FileKind::of(file);
        let format = FORMATS.into_iter().find(|(known, _)| *known == kind);
        let Some((_, format)) = format else {
            return Err(PictureFailure::NotPicture { found: kind });
        };
        Ok(Self { file, kind, format, directories })
    }

    /// Where the directories of a TIFF are.
    pub(super) fn directories(&self) -> Vec<u64> {
        self.directories.to_vec()
    }

    /// How many there are: at least one, which need not be decodable.
    pub(super) fn count(&self) -> usize {
        self.directories.len().max(1)
    }

    /// The header of a picture, or the first's if there is none of that number.
    pub(super) fn header(&self, index: usize) -> Result<Header, PictureFailure> {
        let (size, orientation) = if self.format == ImageFormat::Jpeg {
            jpeg::header(self.file)?
        } else {
            let mut decoder = self.decoder(index)?;
            (decoder.dimensions().into(), decoder.orientation().map_err(damaged)?)
        };
        not_empty(size)?;
        let density = density::of(self.file, self.kind, self.directories.get(index).copied());
        let header = Header { size, density };
        let turned = matches!(
            orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        if !turned {
            return Ok(header);
        }
        let [width, height] = size;
        let [across, down] = density;
        Ok(Header { size: [height, width], density: [down, across] })
    }

    /// A picture, turned as its file says, on white.
    pub(super) fn picture(&self, index: usize) -> Result<Picture, PictureFailure> {
        let (mut image, orientation) = if self.format == ImageFormat::Jpeg {
            jpeg::decode(self.file)?
        } else {
            let mut decoder = self.decoder(index)?;
            let (width, height) = decoder.dimensions();
            not_too_large(width, height)?;
            let orientation = decoder.orientation().map_err(damaged)?;
            (DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation)
        };
        image.apply_orientation(orientation);
        let (width, height) = image.dimensions();
        not_empty([width, height])?;
        let pixels =
            if image.color().has_alpha() { on_white(&image) } else { image.into_rgb8().into_raw() };
        Ok(Picture { width: width as usize, height: height as usize, pixels })
    }

    /// A decoder of any format but JPEG, with limits.
    fn decoder(&self, index: usize) -> Result<impl ImageDecoder + use<'_>, PictureFailure> {
        let mut reader = ImageReader::with_format(self.beginning_with(index), self.format);
        // Sixteen bits for each of four channels, what a decoder keeps beside them, and some room for small files.
        let mut limits = Limits::default();
        limits.max_alloc = Some(MOST_PIXELS * 10 + (64 << 20));
        reader.limits(limits);
        reader.into_decoder().map_err(damaged)
    }

    /// The file as one whose first picture is that of this number. Decoders know only of a first one.
    fn beginning_with(&self, index: usize) -> Overlaid<'_> {
        let mut head = self.file[..self.file.len().min(16)].to_vec();
        if let (Some(tags), Some(&directory)) = (Tags::new(self.file), self.directories.get(index))
        {
            let (at, size) = tags.pointer();
            if let Some(place) = head.get_mut(at..at + size) {
                place.copy_from_slice(&tags.offset(directory));
            }
        }
        Overlaid { head, file: Cursor::new(self.file) }
    }
}

fn damaged(source: image::ImageError) -> PictureFailure {
    PictureFailure::Damaged { source }
}

pub(super) fn not_too_large(width: u32, height: u32) -> Result<(), PictureFailure> {
    let fits = u64::from(width) * u64::from(height) <= MOST_PIXELS;
    if fits { Ok(()) } else { Err(PictureFailure::TooLarge { width, height, most: MOST_PIXELS }) }
}

fn not_empty([width, height]: [u32; 2]) -> Result<(), PictureFailure> {
    if width > 0 && height > 0 { Ok(()) } else { Err(PictureFailure::Empty { width, height }) }
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

/// A file with another beginning.
struct Overlaid<'a> {
    head: Vec<u8>,
    file: Cursor<&'a [u8]>,
}

impl Read for Overlaid<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let part = self.fill_buf()?;
        let count = part.len().min(into.len());
        into[..count].copy_from_slice(&part[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Overlaid<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let at = usize::try_from(self.file.position()).unwrap_or(usize::MAX);
        match self.head.get(at..) {
            Some(part) if !part.is_empty() => Ok(part),
            _ => self.file.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        self.file.consume(count);
    }
}

impl Seek for Overlaid<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
