//! The index of a workspace: packed, as it lies on a disk, and unpacked, as whoever writes it may write it.
//!
//! The first byte chooses: bytes as they are, or text in a frame that holds it unpacked.
#![no_main]

use documents::workspace::index::{Index, check_path, group_hash};
use libfuzzer_sys::fuzz_target;

/// A frame of one block that is not packed.
fn frame(content: &[u8]) -> Vec<u8> {
    let content = &content[..content.len().min(100 << 10)];
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, 7 << 3];
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    out.extend_from_slice(&(1 | (content.len() as u32) << 3).to_le_bytes()[..3]);
    out.extend_from_slice(content);
    out
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let read = if choice & 1 == 0 { Index::decode(rest) } else { Index::decode(&frame(rest)) };
    if let Ok(index) = read {
        // What can be written down again comes back.
        if index.paths().all(|path| check_path(path).is_ok()) {
            assert_eq!(Index::decode(&index.encode()).as_ref(), Ok(&index));
        }
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let paths: Vec<&str> = text.split('\n').collect();
    let mut index = Index::default();
    if index.add(paths, usize::from(*choice)).is_ok() {
        assert_eq!(Index::decode(&index.encode()).as_ref(), Ok(&index));
        for group in index.groups() {
            assert_eq!(group_hash(&group.paths), group.hash);
        }
    }
});
