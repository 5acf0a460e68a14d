//! Frames: a length, a tag and a payload.

use std::io::{self, Read, Write};

use crate::ProtocolFault;
use crate::pipeline::Raster;

/// Longest payload of a frame, in bytes. A page of 300,000 characters takes about 20 MB, a picture of
/// the largest [`Raster`](crate::pipeline::Raster) 192 MiB.
pub const FRAME_LIMIT: u32 = 256 << 20;

const _: () = assert!(Raster::MOST * Raster::MOST * 3 + 1024 <= FRAME_LIMIT);

/// How a frame could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream failed.
    Io(io::Error),
    /// The frame is not ours.
    Fault(ProtocolFault),
}

/// Writes one frame and flushes.
///
/// # Errors
/// When the stream fails or the payload is longer than [`FRAME_LIMIT`].
pub fn write_frame(output: &mut impl Write, tag: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|&length| length <= FRAME_LIMIT)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let [a, b, c, d] = length.to_le_bytes();
    output.write_all(&[a, b, c, d, tag])?;
    output.write_all(payload)?;
    output.flush()
}

/// Reads one frame: its tag and payload. `Ok(None)` at the clean end of the stream.
///
/// # Errors
/// When the stream fails or ends inside a frame, or the length is over [`FRAME_LIMIT`]. Memory is
/// taken as bytes arrive, so a lying length costs nothing.
pub fn read_frame(input: &mut impl Read) -> Result<Option<(u8, Vec<u8>)>, FrameError> {
    let mut head = [0; 5];
    let mut have = 0;
    while have < head.len() {
        match input.read(&mut head[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Fault(ProtocolFault::Ended)),
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(FrameError::Io(e)),
        }
    }
    let [a, b, c, d, tag] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > FRAME_LIMIT {
        return Err(FrameError::Fault(ProtocolFault::TooLong {
            bytes: u64::from(length),
            limit: u64::from(FRAME_LIMIT),
        }));
    }
    let mut payload = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut payload).map_err(FrameError::Io)?;
    if payload.len() as u64 != u64::from(length) {
        return Err(FrameError::Fault(ProtocolFault::Ended));
    }
    Ok(Some((tag, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_every_split_and_truncation_is_noticed() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, 7, b"hello").unwrap();
        write_frame(&mut bytes, 8, b"").unwrap();
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let mut input = left.chain(right);
            assert_eq!(read_frame(&mut input).unwrap(), Some((7, b"hello".to_vec())));
            assert_eq!(read_frame(&mut input).unwrap(), Some((8, Vec::new())));
            assert_eq!(read_frame(&mut input).unwrap(), None);
            let mut short = left;
            let whole = std::iter::from_fn(|| read_frame(&mut short).transpose());
            let ended = whole.filter(Result::is_err).count();
            assert_eq!(ended, usize::from(!matches!(cut, 0 | 10)), "cut {cut}");
        }
    }

    #[test]
    fn a_lying_length_is_refused_before_memory_is_taken() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 1];
        let error = read_frame(&mut bytes.as_slice()).unwrap_err();
        assert!(matches!(error, FrameError::Fault(ProtocolFault::TooLong { .. })));
    }
}
