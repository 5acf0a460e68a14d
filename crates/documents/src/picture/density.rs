//! How many of a picture's pixels make an inch, as its file says.

use super::tags::{ACROSS, DOWN, Tags, UNIT};
use crate::FileKind;

/// What a file means that does not say.
const USUAL: f32 = 96.0;
/// Values outside are a writer's mistake: a page of 100 inches, or of a hair's breadth.
const POSSIBLE: std::ops::RangeInclusive<f32> = 10.0..=10_000.0;

/// Pixels to the inch across and down. `directory` is a TIFF's picture.
pub(super) fn of(file: &[u8], kind: FileKind, directory: Option<u64>) -> [f32; 2] {
    type Read = fn(&[u8]) -> Option<[f32; 2]>;
    const READERS: [(FileKind, Read); 3] =
        [(FileKind::Png, png), (FileKind::Jpeg, jpeg), (FileKind::Bmp, bmp)];
    let reader = READERS.into_iter().find(|(known, _)| *known == kind);
    let of_tiff = || Tags::new(file).and_then(|tags| tiff(&tags, directory?));
    let said = reader.map_or_else(of_tiff, |(_, read)| read(file));
    said.filter(|said| said.iter().all(|each| POSSIBLE.contains(each))).unwrap_or([USUAL; 2])
}

fn tiff(tags: &Tags<'_>, directory: u64) -> Option<[f32; 2]> {
    let unit = match tags.value(directory, UNIT) {
        None => 1.0,
        Some(2.0) => 1.0,
        Some(3.0) => 2.54,
        Some(_) => return None,
    };
    let across = tags.value(directory, ACROSS)?;
    let down = tags.value(directory, DOWN).unwrap_or(across);
    Some([across, down].map(|each| (each * unit) as f32))
}

/// The chunk `pHYs`, which stands before the pixels.
fn png(file: &[u8]) -> Option<[f32; 2]> {
    let mut rest = file.get(8..)?;
    loop {
        let (length, body) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (name, body) = body.split_first_chunk::<4>()?;
        match name {
            b"pHYs" => {
                let (across, body) = body.split_first_chunk()?;
                let (down, body) = body.split_first_chunk()?;
                let to_the_metre = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes) as f32 * 0.0254;
                return (body.first() == Some(&1))
                    .then(|| [to_the_metre(across), to_the_metre(down)]);
            }
            b"IDAT" => return None,
            _ => rest = body.get(length.checked_add(4)?..)?,
        }
    }
}

/// The header of JFIF, else what the camera wrote.
fn jpeg(file: &[u8]) -> Option<[f32; 2]> {
    let mut rest = file.get(2..)?;
    let mut camera = None;
    loop {
        let ([0xff, marker], after) = rest.split_first_chunk()? else { return camera };
        // Pixels follow, or nothing more.
        if matches!(marker, 0xda | 0xd9) {
            return camera;
        }
        let (length, body) = after.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
        let body = body.get(..length);
        if *marker == 0xe0
            && let Some([b'J', b'F', b'I', b'F', 0, _, _, unit, a, b, c, d, ..]) = body
        {
            let per_inch = match unit {
                1 => Some(1.0),
                2 => Some(2.54),
                _ => None,
            };
            let pixels = |bytes: [&u8; 2]| f32::from(u16::from_be_bytes(bytes.map(|b| *b)));
            if let Some(per_inch) = per_inch {
                return Some([pixels([a, b]) * per_inch, pixels([c, d]) * per_inch]);
            }
        }
        if *marker == 0xe1
            && let Some(tags) = body.and_then(|b| Tags::new(b.strip_prefix(b"Exif\0\0")?))
        {
            camera = camera.or_else(|| tiff(&tags, tags.first()?));
        }
        rest = after.get(2 + length..)?;
    }
}

/// Pixels to the metre in the header.
fn bmp(file: &[u8]) -> Option<[f32; 2]> {
    let number = |at: usize| {
        let bytes = file.get(at..at + 4)?.first_chunk()?;
        Some(i32::from_le_bytes(*bytes) as f32 * 0.0254)
    };
    Some([number(38)?, number(42)?])
}
