//! Files as PyTorch writes them, damaged ones, and programs that want to be run.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{LEGACY, header};
use crate::Dtype;

fn fixture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    std::fs::read(root.join(name)).unwrap()
}

/// What reading `file` says is wrong with it.
fn refused(file: &[u8]) -> String {
    let error = header(&PathBuf::from("a.pt"), file).unwrap_err();
    assert!(!error.hint().is_empty());
    error.to_string()
}

/// The older layout with this `pickle` of a dictionary, the keys of its storages and what follows.
fn old(pickle: &[u8], rest: &[u8]) -> Vec<u8> {
    let machine = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    [&LEGACY[..], machine, b"\x80\x02", pickle, b".", rest].concat()
}

/// A dictionary `{"w": tensor}` of `elements` in a storage `k`, of this shape and these strides.
fn tensor(storage: &str, elements: u8, offset: u8, [size, stride]: [u8; 2]) -> Vec<u8> {
    let mut pickle =
        b"ccollections\nOrderedDict\n)R(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n".to_vec();
    pickle.extend(b"((X\x07\0\0\0storagectorch\n");
    pickle.extend(storage.as_bytes());
    pickle.extend(b"\nX\x01\0\0\0kX\x03\0\0\0cpuK");
    pickle.extend([elements, b'N', b't', b'Q', b'K', offset, b'K', size, 0x85, b'K', stride, 0x85]);
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRu");
    pickle
}

/// The list of the one key, the storage's length and its content.
fn data(bytes: &[u8]) -> Vec<u8> {
    [b"\x80\x02](X\x01\0\0\0ke.\x02\0\0\0\0\0\0\0", bytes].concat()
}

#[test]
fn tensors_stay_where_they_are() {
    let file = old(&tensor("HalfStorage", 2, 1, [1, 1]), &data(&[1, 2, 3, 4]));
    let header = header(&PathBuf::from("a.pt"), &file).unwrap();
    let entry = &header.tensors["w"];
    assert_eq!((entry.dtype, &entry.shape[..]), (Dtype::F16, &[1][..]));
    assert_eq!(file[entry.begin as usize..entry.end as usize], [3, 4]);
}

#[test]
fn a_tensor_outside_its_storage_or_with_gaps_is_refused() {
    for (elements, offset, shape, bytes) in [
        (2, 1, [2, 1], &[0; 4][..]),
        (2, 0, [1, 1], &[0; 3]),
        (4, 0, [2, 2], &[0; 8]),
        (4, 0, [255, 1], &[0; 8]),
    ] {
        let said = refused(&old(&tensor("HalfStorage", elements, offset, shape), &data(bytes)));
        assert!(said.contains("`w`") || said.contains("`k`"), "{said}");
    }
}

#[test]
fn a_program_is_named_and_not_run() {
    for (pickle, says) in [
        (&b"cposix\nsystem\nX\x02\0\0\0ls\x85R"[..], "`posix.system`"),
        (b"cbuiltins\neval\n)R", "`builtins.eval`"),
        (b"ctorch\nload\n)R", "`torch.load`"),
        (b"(iposix\nsystem\n", "instruction 0x69"),
        (b"\x93", "instruction 0x93"),
        (b"ccollections\nOrderedDict\nK\x01\x85R", "other arguments"),
        (b"ccollections\nOrderedDict\n)R(X\x01\0\0\0aK\x01u", "`a`, which is no tensor"),
        (b"K\x01", "something else than a dictionary"),
        (b"K\x01K\x01Q", "something else than a storage"),
        (b")\x85\x85\x85\x85\x85\x85\x85\x85", "too deep"),
        (b"tR", "an empty stack"),
        (b"h\x07", "not kept"),
        (b"}X\x01\0\0\0a)s", "not of a dictionary"),
        (b"X\xff\xff\xff\xffa", "the end of the pickle"),
        (b"X\x01\0\0\0\xff", "not UTF-8"),
    ] {
        let said = refused(&old(pickle, b"\x80\x02]."));
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
    assert!(refused(b"").contains("no archive"));
    assert!(refused(&LEGACY).contains("the end of the pickle"));
}

#[test]
fn an_archive_cut_off_or_compressed_is_refused() {
    let whole = fixture("xlm-roberta/sparse_linear.pt");
    let names: Vec<_> =
        header(&PathBuf::from("a.pt"), &whole).unwrap().tensors.into_keys().collect();
    assert_eq!(names, ["bias", "weight"]);
    for len in 0..whole.len() {
        refused(&whole[..len]);
    }
    let entry = whole.windows(4).position(|mark| mark == b"PK\x01\x02").unwrap();
    let mut compressed = whole.clone();
    compressed[entry + 10] = 8;
    assert!(refused(&compressed).contains("compressed"));
}

proptest! {
    /// Whatever bytes are changed, reading ends, and what it finds is inside the file.
    #[test]
    fn damage_is_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), new: bool) {
        let mut file = if new {
            fixture("xlm-roberta/sparse_linear.pt")
        } else {
            old(&tensor("FloatStorage", 2, 0, [2, 1]), &data(&[0; 8]))
        };
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Ok(header) = header(&PathBuf::from("a.pt"), &file) {
            for entry in header.tensors.values() {
                prop_assert!(entry.begin <= entry.end && entry.end <= file.len() as u64);
                let bits = entry.shape.iter().product::<usize>() * entry.dtype.bits();
                prop_assert_eq!((entry.end - entry.begin) as usize * 8, bits);
            }
        }
    }
}
