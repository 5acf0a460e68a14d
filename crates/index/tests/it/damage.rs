//! Torn and flipped bytes: an error that names the file and the page, never an answer.

use std::fs;
use std::path::PathBuf;

use index::segment::Segment;
use index::{CompactionLimits, Error, Fault, PageId, Profile, Query, Writer};
use proptest::prelude::*;

use crate::samples::{Sample, open, profile, put};

/// A segment of a few pages, as a file has it.
fn segment(halves: bool) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &Profile { halves, ..profile() }).unwrap();
    put(&mut writer, "a", 1, &[Sample::new(3), Sample::new(20), Sample::new(1)]);
    let path = folder.path().join("segments/seg-00000001.vec");
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

/// All that can be read of a segment, or what is wrong with it.
fn read(bytes: Vec<u8>) -> Result<usize, Error> {
    let segment = Segment::from_bytes("x.vec".into(), bytes)?;
    for slot in 0..segment.pages() {
        segment.page(slot)?;
        segment.signs(slot)?;
        segment.vectors(slot)?;
    }
    Ok(segment.pages())
}

#[test]
fn every_flipped_bit_that_is_read_is_found() {
    for halves in [false, true] {
        let (_folder, _, bytes) = segment(halves);
        assert_eq!(read(bytes.clone()).unwrap(), 3);
        let mut harmless = 0;
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            match read(flipped) {
                Err(Error::Corrupt { .. }) => {}
                Err(other) => panic!("{at}: {other}"),
                // What fills up the space between planes says nothing.
                Ok(_) => harmless += 1,
            }
        }
        assert!(harmless < 64 * 4 + if halves { 16 * 16 * 3 } else { 0 }, "{harmless}");
    }
}

#[test]
fn every_torn_file_is_found() {
    let (_folder, _, bytes) = segment(false);
    for len in 0..bytes.len() {
        let error = read(bytes[..len].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { page: None, .. }), "{len}: {error}");
    }
    let longer = read([bytes.as_slice(), &[0]].concat()).unwrap_err();
    assert!(matches!(longer, Error::Corrupt { fault: Fault::Length { .. }, .. }), "{longer}");
}

/// A search over a damaged page fails and names it; a search that does not need the page goes on.
#[test]
fn an_error_names_the_file_and_the_page() {
    let (folder, path, mut bytes) = segment(false);
    let sample = Sample::new(20);
    let layout = kernels::late_interaction::Layout::new(crate::samples::DIM).unwrap();
    // The codes of the second page: its vectors fill the blocks after those of the first.
    let directory = 256 + 3 * 40_usize;
    let first = layout.blocks(Sample::new(3).vectors.len() / layout.dim());
    let at = directory.next_multiple_of(64) + first * layout.code_bytes() + 5;
    bytes[at] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let index = open(folder.path());
    let query = Query { vectors: Some(&sample.vectors), limit: 3, ..Query::default() };
    let error = index.search(&query, &mut |_, _| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("seg-00000001.vec, page 2") && text.contains("codes"), "{text}");
    assert!(error.hint().contains("remove the document"));
    let damage = index.verify().unwrap();
    assert!(matches!(&damage[..], [Error::Corrupt { page: Some(PageId(2)), .. }]), "{damage:?}");
    let filter = index::Filter { pages: Some((3, 3)), ..index::Filter::default() };
    let hits = index.search(&Query { filter, ..query.clone() }, &mut |_, _| ()).unwrap().hits;
    assert_eq!(hits.len(), 1);
    let query = Query { words: Some("word20"), limit: 3, ..Query::default() };
    assert_eq!(index.search(&query, &mut |_, _| ()).unwrap().hits.len(), 1);
    // Nobody copies damage into a file that looks sound.
    let mut writer = Writer::open(folder.path(), &profile()).unwrap();
    put(&mut writer, "b", 1, &[Sample::new(4)]);
    let limits = CompactionLimits { fan: 2, ..CompactionLimits::default() };
    let error = writer.compact(&limits).unwrap_err();
    assert!(matches!(error, Error::Corrupt { page: Some(PageId(2)), .. }), "{error}");
    writer.remove("a").unwrap();
    assert!(open(folder.path()).verify().unwrap().is_empty());
}

#[test]
fn a_segment_that_is_gone_or_anothers_is_an_error() {
    let (folder, path, bytes) = segment(false);
    let query = Query { vectors: Some(&[1.0; 8]), limit: 3, ..Query::default() };
    fs::remove_file(&path).unwrap();
    let error = open(folder.path()).search(&query, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // A sound segment with fewer pages, in its place.
    let other = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(other.path(), &profile()).unwrap();
    put(&mut writer, "a", 1, &[Sample::new(3)]);
    fs::copy(other.path().join("segments/seg-00000001.vec"), &path).unwrap();
    let error = open(folder.path()).search(&query, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { fault: Fault::Misplaced, .. }), "{error}");
    // One of another model.
    let strange = tempfile::tempdir().unwrap();
    let mut made = profile();
    made.vectors.as_mut().unwrap().model = index::Hash([7; 32]);
    let mut writer = Writer::create(strange.path(), &made).unwrap();
    put(&mut writer, "a", 1, &[Sample::new(3), Sample::new(20), Sample::new(1)]);
    fs::copy(strange.path().join("segments/seg-00000001.vec"), &path).unwrap();
    let error = open(folder.path()).search(&query, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { fault: Fault::Foreign("model"), .. }), "{error}");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(open(folder.path()).search(&query, &mut |_, _| ()).unwrap().hits.len(), 3);
}

proptest! {
    /// Whatever bytes a file has, it is read or refused.
    #[test]
    fn any_bytes_are_read_or_refused(
        changes in prop::collection::vec((0_usize..700, any::<u8>()), 1..6),
        cut in 0_usize..700,
    ) {
        let mut bytes = SEGMENT.with(Vec::clone);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut * usize::from(cut > 350));
        // With a header whose checksum holds, so that what comes after it is looked at.
        if bytes.len() >= 256 {
            let checksum = crc32c::crc32c(&bytes[..252]).to_le_bytes();
            bytes[252..256].copy_from_slice(&checksum);
        }
        if let Err(error) = read(bytes) {
            prop_assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        }
    }
}

thread_local! {
    static SEGMENT: Vec<u8> = segment(true).2;
}
