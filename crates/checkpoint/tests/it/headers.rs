//! Safetensors headers: what is written is read, what cannot be is refused by name.

use std::path::Path;

use checkpoint::safetensors::{HEADER_LIMIT, Header};
use checkpoint::{Dtype, Error, Kind};
use proptest::prelude::*;
use testkit::safetensors::{encode, raw};

use crate::{folder, names};

fn read(file: &[u8]) -> Result<Header, Error> {
    let path = Path::new("some/model.safetensors");
    let length = Header::length(path, file, file.len() as u64)?;
    Header::parse(path, &file[8..8 + length as usize], file.len() as u64)
}

fn refused(header: &str, data: &[u8]) -> Error {
    let error = read(&raw(header, data)).expect_err(header);
    names(&error, &["some/model.safetensors"]);
    error
}

#[test]
fn an_empty_file_of_tensors_is_one() {
    let header = read(&encode(&[], &[("format", "mlx")])).unwrap();
    assert_eq!(header.metadata["format"], "mlx");
    assert!(header.tensors.is_empty());
    // The official writer pads with spaces.
    assert!(read(&raw("{}      ", b"")).is_ok());
}

#[test]
fn a_file_that_is_too_short_says_how_much_it_needs() {
    for cut in 0..8 {
        assert!(
            matches!(read(&[0; 8][..cut]), Err(Error::HeaderTruncated { needed: 8, .. })),
            "{cut}"
        );
    }
    let whole = encode(&[("w", "F32", &[2], &[0; 8])], &[]);
    let header = whole.len() as u64 - 16;
    for cut in 8..whole.len() {
        let error = read(&whole[..cut]).expect_err("cut off");
        if let Error::HeaderTruncated { bytes, needed, .. } = error {
            assert_eq!((bytes, needed), (cut as u64, 8 + header));
        } else {
            let missing = whole.len() - cut;
            names(&error, &["cut off", &format!("{missing} bytes are missing"), "`w`"]);
        }
    }
}

#[test]
fn a_header_of_absurd_length_is_not_read() {
    let mut file = (HEADER_LIMIT + 1).to_le_bytes().to_vec();
    file.extend([b'{'; 100]);
    assert!(
        matches!(read(&file), Err(Error::HeaderTooLarge { bytes, .. }) if bytes == HEADER_LIMIT + 1)
    );
    assert!(matches!(read(&[0xff; 64]), Err(Error::HeaderTooLarge { .. })));
    assert!(matches!(
        read(b"version https://git-lfs.github.com/spec/v1\n"),
        Err(Error::LfsPointer { .. })
    ));
}

#[test]
fn offsets_must_tile_the_file() {
    let pair = |a: [u64; 2], b: [u64; 2]| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[{}],"data_offsets":{a:?}}},"b":{{"dtype":"U8","shape":[{}],"data_offsets":{b:?}}}}}"#,
            a[1] - a[0],
            b[1] - b[0]
        )
    };
    assert!(read(&raw(&pair([0, 4], [4, 8]), &[0; 8])).is_ok());
    assert!(read(&raw(&pair([4, 8], [0, 4]), &[0; 8])).is_ok(), "the order of names is free");
    let error = refused(&pair([0, 4], [3, 8]), &[0; 8]);
    assert!(matches!(error, Error::Overlap { bytes: 1, .. }));
    names(&error, &["`a`", "`b`"]);
    assert!(matches!(refused(&pair([0, 8], [0, 8]), &[0; 8]), Error::Overlap { bytes: 8, .. }));
    assert!(matches!(
        refused(&pair([0, 4], [5, 8]), &[0; 8]),
        Error::Gap { begin: 4, bytes: 1, .. }
    ));
    assert!(matches!(
        refused(&pair([1, 4], [4, 8]), &[0; 8]),
        Error::Gap { begin: 0, bytes: 1, .. }
    ));
    assert!(matches!(
        refused(&pair([0, 4], [4, 8]), &[0; 11]),
        Error::Gap { begin: 8, bytes: 3, .. }
    ));
    let error = refused(&pair([0, 4], [4, 8]), &[0; 5]);
    assert!(matches!(error, Error::Truncated { missing: 3, ref tensor, .. } if tensor == "b"));
    let error = refused(r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[4,0]}}"#, &[0; 4]);
    assert!(matches!(error, Error::Reversed { begin: 4, end: 0, .. }));
    let end = u64::MAX;
    refused(
        &format!(r#"{{"a":{{"dtype":"U8","shape":[{end}],"data_offsets":[0,{end}]}}}}"#),
        &[0; 4],
    );
}

#[test]
fn shapes_must_be_countable_and_fill_the_offsets() {
    let one = |dtype: &str, shape: &str, end: u64| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    for (dtype, shape, end) in
        [("F32", "[]", 4), ("F32", "[3,0]", 0), ("F4", "[3,2]", 3), ("BF16", "[1,2,1]", 4)]
    {
        assert!(
            read(&raw(&one(dtype, shape, end), &vec![0; end as usize])).is_ok(),
            "{dtype} {shape}"
        );
    }
    let error = refused(&one("F32", "[2,3]", 20), &[0; 20]);
    assert!(matches!(error, Error::ByteLength { expected: 24, found: 20, .. }));
    names(&error, &["`t`"]);
    for shape in ["[4294967296,4294967296]", "[18446744073709551615]", "[9223372036854775808,2,0]"]
    {
        assert!(
            matches!(refused(&one("F32", shape, 4), &[0; 4]), Error::ShapeOverflow { .. }),
            "{shape}"
        );
    }
    assert!(matches!(refused(&one("F4", "[3]", 2), &[0; 2]), Error::PartialByte { .. }));
    for shape in [
        "[-1]",
        "[1.5]",
        "[18446744073709551616]",
        "\"4\"",
        "null",
        "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
    ] {
        assert!(matches!(refused(&one("F32", shape, 4), &[0; 4]), Error::Header { .. }), "{shape}");
    }
}

#[test]
fn the_header_is_strict_json() {
    let error = refused(r#"{"a":{"dtype":"F24","shape":[],"data_offsets":[0,3]}}"#, &[0; 3]);
    assert_eq!(error.kind(), Kind::Unsupported);
    names(&error, &["`a`", "F24"]);
    let entry = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    names(&refused(&format!(r#"{{"a":{entry},"a":{entry}}}"#), &[0]), &[r#"key "a" occurs twice"#]);
    for header in [
        "",
        "[]",
        "null",
        "{",
        "{} x",
        r#"{"a":1}"#,
        r#"{"__metadata__":{"a":1}}"#,
        r#"{"__metadata__":{"a":"1","a":"2"}}"#,
        r#"{"__metadata__":{},"__metadata__":{}}"#,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"dtype":"U8"}}"#,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"extra":0}}"#,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}"#,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[1]}}"#,
    ] {
        assert!(matches!(refused(header, &[0]), Error::Header { .. }), "{header}");
    }
    let nested = "[".repeat(1000);
    assert!(matches!(refused(&format!(r#"{{"a":{nested}"#), &[0]), Error::Header { .. }));
    let mut file = raw(r#"{"~":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, &[0]);
    *file.iter_mut().find(|byte| **byte == b'~').unwrap() = 0xff;
    assert!(matches!(read(&file), Err(Error::Header { .. })), "not UTF-8");
}

/// Any dtype with whole bytes, any small shape, any name.
fn tensor() -> impl Strategy<Value = (String, Dtype, Vec<usize>, u8)> {
    let dtype = proptest::sample::select(Dtype::ALL.to_vec())
        .prop_filter("whole bytes", |dtype| dtype.bits() >= 8);
    ("[^\u{0}]{0,12}", dtype, proptest::collection::vec(0usize..5, 0..4), any::<u8>())
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        list in proptest::collection::vec(tensor(), 0..8),
        metadata in proptest::collection::btree_map("[a-z]{1,4}", ".{0,8}", 0..3),
    ) {
        let mut list = list;
        list.sort();
        list.dedup_by(|a, b| a.0 == b.0);
        list.retain(|(name, ..)| name != "__metadata__");
        let data: Vec<Vec<u8>> = list
            .iter()
            .map(|(_, dtype, shape, fill)| vec![*fill; shape.iter().product::<usize>() * dtype.bits() / 8])
            .collect();
        let tensors: Vec<_> = list
            .iter()
            .zip(&data)
            .map(|((name, dtype, shape, _), data)| (name.as_str(), dtype.name(), shape.as_slice(), data.as_slice()))
            .collect();
        let notes: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let file = encode(&tensors, &notes);
        let header = read(&file).unwrap();
        prop_assert_eq!(&header.metadata, &metadata);
        prop_assert_eq!(header.tensors.len(), list.len());
        let weights = folder(&[("model.safetensors", file)]).unwrap().weights().unwrap();
        for ((name, dtype, shape, _), data) in list.iter().zip(&data) {
            let tensor = weights.root().take_stored(name, shape).unwrap();
            prop_assert_eq!(tensor.dtype, *dtype);
            prop_assert_eq!(&tensor.bytes[..], &data[..]);
        }
        weights.finish().unwrap();
    }

    /// One changed byte anywhere never panics, and never makes a tensor that is not what its shape asks for.
    #[test]
    fn a_damaged_header_is_refused_or_consistent(position in 0usize..200, byte in any::<u8>()) {
        let mut file = encode(&[("a", "F32", &[2, 2], &[1; 16]), ("b.c", "U8", &[3], &[2; 3])], &[("format", "mlx")]);
        let end = file.len();
        file[position % end] = byte;
        if let Ok(header) = read(&file) {
            for entry in header.tensors.values() {
                let bits = entry.shape.iter().product::<usize>() * entry.dtype.bits();
                prop_assert_eq!((entry.end - entry.begin) * 8, bits as u64);
                prop_assert!(header.data + entry.end <= file.len() as u64);
            }
        }
    }
}
