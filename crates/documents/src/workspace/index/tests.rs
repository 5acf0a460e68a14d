//! The index beside what Python wrote, and read back whatever its paths are.

use super::*;

/// Made by olmOCR: see fixtures/workspace/README.md.
const PYTHONS: &[u8] = include_bytes!("../../../../../fixtures/workspace/index.csv.zstd");

fn strings(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn what_python_wrote_is_read_and_would_be_made_the_same() {
    let read = Index::decode(PYTHONS).unwrap();
    let documents = [
        "/data/plain.pdf",
        "/data/comma, and.pdf",
        "/data/\"quoted\".pdf",
        "\"begins.pdf",
        "/data/tab\tname.pdf",
        "/data/ü/日本 語.pdf",
        "s3://bucket/key,1.pdf",
        "/data/x'y.png",
        "/data/end,\"",
        "/data/𝒳.pdf",
    ];
    let mut ours = Index::default();
    assert_eq!(ours.add(documents, 3).unwrap(), 10);
    assert_eq!(ours.add(["/later/a.tar.gz"], 1).unwrap(), 1);
    assert_eq!(ours, read);
    let lines: Vec<String> = ours.groups().iter().map(row).collect();
    assert_eq!(lines.join("\n").as_bytes(), decompress(PYTHONS).unwrap());
    assert_eq!(Index::decode(&ours.encode()).unwrap(), read);
}

#[test]
fn a_hash_is_of_the_sorted_paths_put_together() {
    // hashlib.sha1(b"a.pdfb.pdf").hexdigest()
    let hash = "aa560a3d19fcb1444ca0db64b4c6b8174f085422";
    let both = [strings(&["a.pdf", "b.pdf"]), strings(&["b.pdf", "a.pdf"])];
    assert_eq!(group_hash(&both[0]), group_hash(&both[1]));
    assert_eq!(group_hash(&both[0]), hash);
    assert_eq!(group_hash(&[]), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

#[test]
fn paths_are_added_once_behind_what_is_there() {
    let mut index = Index::default();
    index.add(["d", "b"], 2).unwrap();
    assert_eq!(index.add(["a", "b", "c", "e", "a"], 2).unwrap(), 3);
    let groups: Vec<&[String]> = index.groups().iter().map(|group| &*group.paths).collect();
    assert_eq!(groups, [strings(&["b", "d"]), strings(&["a", "c"]), strings(&["e"])]);
    assert_eq!(index.add(["a", "e"], 2).unwrap(), 0);
}

#[test]
fn documents_can_be_put_in_a_group_again() {
    let mut index = Index::default();
    index.add(["a", "b", "c"], 3).unwrap();
    let whole = index.add_again(&strings(&["c", "a", "b"])).unwrap();
    assert_eq!((index.groups().len(), &whole), (1, &index.groups()[0].hash));
    let part = index.add_again(&strings(&["c", "b"])).unwrap();
    assert_eq!(index.groups()[1], Group { hash: part.clone(), paths: strings(&["b", "c"]) });
    assert_eq!(index.add_again(&strings(&["b", "c"])).unwrap(), part);
    assert_eq!(index.groups().len(), 2);
    // Their paths are there already.
    assert_eq!(index.add(["b"], 1).unwrap(), 0);
}

#[test]
fn groups_that_only_look_alike_are_refused() {
    let mut index = Index::default();
    index.add(["ab", "c"], 2).unwrap();
    let other = index.add(["a", "bc"], 2);
    assert!(matches!(other, Err(WorkspaceFault::SameHash { .. })), "{other:?}");
    assert_eq!(index.groups().len(), 1);
}

#[test]
fn paths_that_break_a_line_are_refused() {
    for c in ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'] {
        let path = format!("a{c}b.pdf");
        assert_eq!(check_path(&path), Err(PathFault::LineBreak(c)));
        let mut index = Index::default();
        assert!(index.add([&*path], 1).is_err());
        assert!(index.groups().is_empty());
    }
    assert_eq!(check_path(""), Err(PathFault::Empty));
    assert_eq!(check_path("a\0"), Err(PathFault::Zero));
    assert!(matches!(check_path(&"a".repeat(70_000)), Err(PathFault::TooLong(_))));
    assert_eq!(check_path("a\tb\u{1f}\u{200b}.pdf"), Ok(()));
}

#[test]
fn lines_are_read_as_python_reads_them() {
    // next(csv.reader([line])) for each.
    let cases: [(&str, &[&str]); 10] = [
        ("a,b", &["a", "b"]),
        ("a,", &["a", ""]),
        (",", &["", ""]),
        ("a,\"b,c\"", &["a", "b,c"]),
        ("a,\"b\"\"c\"", &["a", "b\"c"]),
        ("a,b\"c\"", &["a", "b\"c\""]),
        ("a,\"b\"c,d", &["a", "bc", "d"]),
        ("a,\"b\"\"", &["a", "b\""]),
        ("a,\"b", &["a", "b"]),
        ("a, \"b\"", &["a", " \"b\""]),
    ];
    for (line, expected) in cases {
        assert_eq!(fields(line), strings(expected), "{line}");
    }
}

#[test]
fn every_path_comes_back() {
    let odd = [
        "a,b",
        "\"",
        "\"\"",
        ",",
        " ",
        "a ",
        " a",
        "a\"b,",
        "ü",
        "\u{1F4C4}",
        "'",
        "\t",
        "x\u{a0}",
    ];
    let mut index = Index::default();
    index.add(odd, 4).unwrap();
    assert_eq!(Index::decode(&index.encode()).unwrap(), index);
    for path in odd {
        let mut index = Index::default();
        index.add([path], 1).unwrap();
        assert_eq!(Index::decode(&index.encode()).unwrap(), index, "{path:?}");
    }
}

#[test]
fn sizes_from_none_to_megabytes_are_packed_with_their_size() {
    for count in [0_usize, 1, 10, 40_000] {
        let mut index = Index::default();
        let paths: Vec<String> =
            (0..count).map(|n| format!("s3://bucket/{n:06}/some name.pdf")).collect();
        index.add(paths.iter().map(String::as_str), 7).unwrap();
        let packed = index.encode();
        assert_eq!(Index::decode(&packed).unwrap(), index, "{count}");
        let content = index.groups().iter().map(row).collect::<Vec<_>>().join("\n");
        let size = u64::from_le_bytes(packed[6..14].try_into().unwrap());
        assert_eq!(size, content.len() as u64);
        if count > 1000 {
            assert!(packed.len() < content.len() / 2, "{} of {}", packed.len(), content.len());
        }
        assert_eq!(decompress(&stored(content.as_bytes())).unwrap(), content.as_bytes());
    }
}

#[test]
fn a_damaged_index_says_what_is_wrong() {
    for end in 0..PYTHONS.len() {
        let cut = Index::decode(&PYTHONS[..end]);
        assert!(matches!(cut, Err(IndexFault::Compression { .. })), "{end}: {cut:?}");
    }
    let longer = [PYTHONS, b"x"].concat();
    assert_eq!(Index::decode(&longer), Err(IndexFault::Trailing { bytes: 1 }));
    let text = |text: &[u8]| Index::decode(&compress(text));
    let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let lines = format!("{hash},a\n../../evil,b");
    let found = "../../evil".to_owned();
    assert_eq!(text(lines.as_bytes()), Err(IndexFault::Hash { line: 2, found }));
    assert_eq!(text(b"\n\n\xff"), Err(IndexFault::Text { line: 3 }));
    assert_eq!(text(format!("\r\n \r\n{hash}\r\n").as_bytes()).unwrap().groups().len(), 1);
    // The last of two groups with one hash holds.
    let twice = text(format!("{hash},a\n{hash},b").as_bytes()).unwrap();
    assert_eq!(twice.groups(), [Group { hash: hash.to_owned(), paths: strings(&["b"]) }]);
}

#[test]
fn a_frame_that_grows_without_end_is_stopped() {
    // Blocks of one byte, repeated 128 KiB each, for each of which there are four bytes: 3 GB in all.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    let block = (1_u32 << 1 | (128 << 10) << 3).to_le_bytes();
    for _ in 0..24_000 {
        bomb.extend_from_slice(&[block[0], block[1], block[2], b'\n']);
    }
    assert_eq!(decompress_at_most(&bomb, 1 << 20), Err(IndexFault::TooLong { limit: 1 << 20 }));
}
