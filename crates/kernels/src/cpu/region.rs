//! Memory that lives as long as a model's weights: in large pages where the system has them, since
//! it is read from end to end for each token.
#![expect(unsafe_code, reason = "parts of a chunk are handed out by pointer")]

use std::fmt;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// Bytes of a chunk that serves many regions. Larger ones have a chunk of their own. What is left of
/// it is given up with the last region that lies in it.
const CHUNK: usize = 32 << 20;

/// The larger pages of the systems that have them, and the alignment that they ask for.
const LARGE_PAGE: usize = 2 << 20;

/// A line of the cache: each region begins at one.
const LINE: usize = 64;

/// Where regions come from.
#[derive(Default)]
pub(super) struct Regions(Mutex<Option<Open>>);

/// A chunk that has room.
struct Open {
    chunk: Arc<Chunk>,
    used: usize,
}

struct Chunk {
    /// Where its first large page begins.
    start: *mut u8,
    len: usize,
    _map: MmapMut,
}

// SAFETY: memory has no thread, and who reaches which part of it is up to regions.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Chunk {
    fn new(len: usize) -> std::io::Result<Arc<Self>> {
        let mut map = MmapMut::map_anon(len + LARGE_PAGE)?;
        // Advice that the system does not take costs time, and nothing else.
        #[cfg(target_os = "linux")]
        drop(map.advise(memmap2::Advice::HugePage));
        let offset = map.as_ptr().align_offset(LARGE_PAGE);
        let start = map[offset..].as_mut_ptr();
        Ok(Arc::new(Self { start, len, _map: map }))
    }
}

/// Bytes that nobody writes any more.
pub(crate) struct Region {
    chunk: Arc<Chunk>,
    at: usize,
    len: usize,
}

impl Regions {
    /// A region of `len` bytes, zeros until `fill` has written them.
    ///
    /// # Errors
    ///
    /// If the system has no memory.
    pub(super) fn region(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> std::io::Result<Region> {
        let room = len.next_multiple_of(LINE);
        let (chunk, at) = if room > CHUNK / 4 {
            (Chunk::new(room.next_multiple_of(LARGE_PAGE))?, 0)
        } else {
            let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match &mut *open {
                Some(open) if open.chunk.len - open.used >= room => open,
                full => full.insert(Open { chunk: Chunk::new(CHUNK)?, used: 0 }),
            };
            open.used += room;
            (Arc::clone(&open.chunk), open.used - room)
        };
        // SAFETY: these bytes of the chunk are nobody else's, now and later, and zeros are bytes.
        fill(unsafe { slice::from_raw_parts_mut(chunk.start.add(at), len) });
        Ok(Region { chunk, at, len })
    }
}

impl Region {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the region is a part of its chunk, and was written before it was handed out.
        unsafe { slice::from_raw_parts(self.chunk.start.add(self.at), self.len) }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_meet() {
        let regions = Regions::default();
        let lens = [1, 63, 64, 65, 5000, CHUNK / 4, CHUNK / 4 + 1, 2 * CHUNK + 7, 100];
        let filled = lens.iter().zip(1..).map(|(&len, byte)| {
            let region = regions.region(len, |bytes| {
                assert!(bytes.len() == len && bytes.iter().all(|&b| b == 0));
                bytes.fill(byte);
            });
            (region.unwrap(), byte)
        });
        for (region, byte) in filled.collect::<Vec<_>>() {
            assert!(region.bytes().as_ptr().addr().is_multiple_of(LINE));
            assert!(region.bytes().iter().all(|&b| b == byte));
        }
    }

    #[test]
    fn a_chunk_is_given_up_with_its_last_region() {
        let regions = Regions::default();
        let first = regions.region(CHUNK / 4, |_| ()).unwrap();
        let chunk = Arc::downgrade(&first.chunk);
        let others: Vec<_> = (0..4).map(|_| regions.region(CHUNK / 4, |_| ()).unwrap()).collect();
        drop(first);
        assert!(chunk.upgrade().is_some());
        drop(others);
        assert!(chunk.upgrade().is_none());
    }
}
