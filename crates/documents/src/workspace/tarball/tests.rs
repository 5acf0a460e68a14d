//! Tarballs that Python made, and such as nobody should.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A header with the right sum.
fn header(name: &str, kind: u8, size: &[u8]) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    out[..name.len()].copy_from_slice(name.as_bytes());
    out[124..124 + size.len()].copy_from_slice(size);
    out[156] = kind;
    out[257..263].copy_from_slice(b"ustar\0");
    out[148..156].fill(b' ');
    let sum: u32 = out.iter().map(|&b| u32::from(b)).sum();
    out[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out
}

fn member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = header(name, kind, format!("{:011o}", content.len()).as_bytes()).to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

fn names(members: &[Member]) -> Vec<(&str, usize)> {
    let of = |member: &'_ Member| match member {
        Member::File { name, bytes } => (name.clone(), bytes.len()),
        Member::Skipped { name, .. } => (name.clone(), usize::MAX),
    };
    let all: Vec<(String, usize)> = members.iter().map(of).collect();
    all.into_iter().map(|(name, bytes)| (&*name.leak(), bytes)).collect()
}

fn read(gzip: &[u8], limits: TarballLimits) -> (Vec<Member>, Option<TarballFault>) {
    let mut out = Vec::new();
    for member in Members::new(gzip, limits) {
        match member {
            Ok(member) => out.push(member),
            Err(fault) => return (out, Some(fault)),
        }
    }
    (out, None)
}

#[test]
fn pdfs_are_found_by_their_whole_names_in_every_format() {
    let long = format!("{}/{}.pdf", "folder-".repeat(12), "name-".repeat(15));
    let wide = format!("{}日本.pdf", "ü/".repeat(80));
    let all = [
        ("a/x.pdf", 8),
        ("b/x.PDF", 800),
        (&*long, 9),
        (&*wide, 9),
        ("../../up.pdf", 7),
        ("empty.pdf", 0),
    ];
    let files: [(&[u8], bool); 3] = [
        (include_bytes!("../../../../../fixtures/workspace/ustar.tar.gz"), false),
        (include_bytes!("../../../../../fixtures/workspace/gnu.tar.gz"), true),
        (include_bytes!("../../../../../fixtures/workspace/pax.tar.gz"), true),
    ];
    for (file, has_wide) in files {
        let (members, fault) = read(file, TarballLimits::default());
        assert!(fault.is_none(), "{fault:?}");
        let expected: Vec<_> =
            all.into_iter().filter(|(name, _)| has_wide || *name != wide).collect();
        assert_eq!(names(&members), expected);
        assert!(matches!(&members[0], Member::File { bytes, .. } if bytes == b"%PDF-1 a"));
    }
}

#[test]
fn what_is_too_large_or_named_twice_is_passed_over_by_name() {
    let tar = [
        member("big.pdf", b'0', &[b'x'; 3000]),
        member("a.pdf", b'0', b"one"),
        member("a.pdf", b'0', b"two"),
        member("holes.pdf", b'S', b"..."),
        member("last.pdf", 0, b"three"),
    ];
    let limits = TarballLimits { member_bytes: 2000, ..TarballLimits::default() };
    let (members, fault) = read(&gzip(&tar.concat()), limits);
    assert!(fault.is_none(), "{fault:?}");
    let skipped = |name: &str, why| Member::Skipped { name: name.to_owned(), why };
    let file =
        |name: &str, bytes: &[u8]| Member::File { name: name.to_owned(), bytes: bytes.to_vec() };
    let expected = [
        skipped("big.pdf", SkippedMember::TooLarge { bytes: 3000, limit: 2000 }),
        file("a.pdf", b"one"),
        skipped("a.pdf", SkippedMember::Twice),
        skipped("holes.pdf", SkippedMember::Sparse),
        file("last.pdf", b"three"),
    ];
    assert_eq!(members, expected);
}

#[test]
fn a_bomb_is_stopped_before_it_is_unpacked() {
    let limits = TarballLimits { total_bytes: 100_000, ..TarballLimits::default() };
    // A text of a megabyte, which nobody wants; a name of a megabyte; a member that says it is endless.
    let text = member("bomb.txt", b'0', &[0; 1 << 20]);
    let name = member("././@LongLink", b'L', &[b'a'; (1 << 20) + 1]);
    let mut endless =
        header("e.pdf", b'0', &[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]).to_vec();
    endless.extend_from_slice(&[0; 2000]);
    let (_, fault) = read(&gzip(&text), limits);
    assert!(matches!(fault, Some(TarballFault::TooLong { limit: 100_000 })), "{fault:?}");
    let (_, fault) = read(&gzip(&name), limits);
    assert!(matches!(fault, Some(TarballFault::Name { .. })), "{fault:?}");
    let (members, fault) = read(&gzip(&endless), limits);
    assert!(
        members.is_empty()
            && matches!(fault, Some(TarballFault::Read(_) | TarballFault::TooLong { .. })),
        "{fault:?}"
    );
    let many = member("d", b'5', b"").repeat(20);
    let (_, fault) = read(&gzip(&many), TarballLimits { members: 19, ..limits });
    assert!(matches!(fault, Some(TarballFault::TooMany { limit: 19 })), "{fault:?}");
}

#[test]
fn what_is_cut_off_or_no_archive_says_so() {
    let tar = [member("a.pdf", b'0', &[b'x'; 2000]), member("b.pdf", b'0', b"two")].concat();
    let whole = gzip(&tar);
    let (members, fault) = read(&whole, TarballLimits::default());
    assert!(fault.is_none() && members.len() == 2);
    let (_, fault) = read(&whole[..whole.len() / 2], TarballLimits::default());
    assert!(matches!(fault, Some(TarballFault::Read(_))), "{fault:?}");
    let (_, fault) = read(&gzip(&[b'x'; 2000]), TarballLimits::default());
    assert!(matches!(fault, Some(TarballFault::Header { at: 0 })), "{fault:?}");
    let (_, fault) = read(b"no gzip at all", TarballLimits::default());
    assert!(matches!(fault, Some(TarballFault::Read(_))), "{fault:?}");
    let (members, fault) = read(&gzip(&tar[..2500]), TarballLimits::default());
    assert!(
        matches!(fault, Some(TarballFault::Read(_) | TarballFault::Header { .. })),
        "{fault:?}"
    );
    assert!(members.len() <= 1);
}

#[test]
fn records_before_a_member_say_its_name_and_size() {
    let mut said = Said::default();
    pax(b"16 path=a/b.pdf\n13 size=1234\n", &mut said);
    assert_eq!((said.name.as_deref(), said.bytes), (Some("a/b.pdf"), Some(1234)));
    for broken in
        ["", "x", "5", "0 path=a\n", "99 path=a\n", "4 =\n\n", "18446744073709551615 a=b\n"]
    {
        pax(broken.as_bytes(), &mut Said::default());
    }
    let mut said = Said::default();
    pax(b"22 GNU.sparse.major=1\n25 GNU.sparse.name=a.pdf\n", &mut said);
    assert!(said.sparse);
    assert_eq!(said.name.as_deref(), Some("a.pdf"));
}
