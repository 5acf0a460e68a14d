//! A stranger's segment of an index, from its first byte to its vectors.
//!
//! A first byte chooses whether length and checksums are put right, so that the fuzzer need not guess sums
//! before it sees what stands behind them.
#![no_main]

use index::segment::Segment;
use libfuzzer_sys::fuzz_target;

/// Where a header says the length and the sums of the directory and of itself, and where it ends.
const LENGTH: usize = 136;
const DIRECTORY: usize = 144;
const OWN: usize = 252;
const HEADER: usize = 256;
const ENTRY: usize = 40;

fuzz_target!(|input: &[u8]| {
    let Some((choice, file)) = input.split_first() else { return };
    let mut file = file.to_vec();
    if choice & 1 == 1 && file.len() >= HEADER {
        let length = file.len() as u64;
        file[LENGTH..DIRECTORY].copy_from_slice(&length.to_le_bytes());
        let pages = u32::from_le_bytes([file[28], file[29], file[30], file[31]]) as usize;
        let end = HEADER.saturating_add(pages.saturating_mul(ENTRY)).min(file.len());
        let sum = crc32c::crc32c(&file[HEADER..end]).to_le_bytes();
        file[DIRECTORY..DIRECTORY + 4].copy_from_slice(&sum);
        let sum = crc32c::crc32c(&file[..OWN]).to_le_bytes();
        file[OWN..HEADER].copy_from_slice(&sum);
    }
    let segment = match Segment::from_bytes("x.vec".into(), file) {
        Ok(segment) => segment,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            return;
        }
    };
    for slot in 0..segment.pages() {
        if let Ok(page) = segment.page(slot) {
            assert!(segment.layout().check(&page).is_some());
            let _ = segment.signs(slot);
            let vectors = segment.vectors(slot);
            assert!(vectors.is_err() || vectors.is_ok_and(|all| all.len() % segment.layout().dim() == 0));
        }
    }
    assert!(segment.verify().len() <= 3 * segment.pages());
});
