//! An index is used by what made it, and made where there is room for it.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use index::{Begun, Error, Hash, Index, Kind, Limits, NewPage, PageVectors, Profile, Writer};

use crate::samples::{Sample, begin, cpu, document, encoder, open, profile, put};

#[test]
fn another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Writer::create(folder.path(), &profile()).unwrap());
    assert_eq!(Index::profile_of(folder.path()).unwrap(), profile());
    let mut other = profile();
    other.vectors.as_mut().unwrap().prompt = Hash([9; 32]);
    for error in [
        Writer::open(folder.path(), &other).unwrap_err(),
        Writer::create(folder.path(), &other).unwrap_err(),
        Index::open(folder.path(), &other, cpu(), Limits::default()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Profile { what: "prompt", .. }), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.hint().contains("model"));
    }
}

#[test]
fn an_index_is_made_only_where_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    for error in [
        Writer::open(&missing, &profile()).unwrap_err(),
        Index::open(&missing, &profile(), cpu(), Limits::default()).unwrap_err(),
        Index::profile_of(&missing).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
    assert!(!missing.exists());
    fs::write(folder.path().join("letter.txt"), "mine").unwrap();
    let error = Writer::create(folder.path(), &profile()).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_database_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.sqlite"), "x".repeat(5000)).unwrap();
    let error = Writer::open(folder.path(), &profile()).unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error}");
    assert!(!error.hint().is_empty());
}

#[test]
fn one_writes_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create(folder.path(), &profile()).unwrap();
    let error = Writer::open(folder.path(), &profile()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Overloaded);
    assert!(open(folder.path()).documents(None, 9).unwrap().is_empty());
    drop(writer);
    assert!(Writer::open(folder.path(), &profile()).is_ok());
}

/// The lock goes with its writer, though other processes are being started meanwhile, which have its file
/// until they have become another program.
#[test]
fn a_lock_is_not_inherited() {
    let folder = tempfile::tempdir().unwrap();
    drop(Writer::create(folder.path(), &profile()).unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let list = Command::new(std::env::current_exe().unwrap()).arg("--help").output();
                assert!(list.unwrap().status.success());
            }
        });
        let open = |_| Writer::open(folder.path(), &profile()).map(drop);
        let opened = (0..100).try_for_each(open);
        over.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}

#[test]
fn pages_come_once_and_documents_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    let new = document("a", 1, 3);
    let id = begin(&mut writer, &new);
    let sample = Sample::new(1);
    let page = |number| sample.page(id, number);
    let twice = writer.commit(&[page(1), page(1)], &[]).unwrap_err();
    assert!(matches!(twice, Error::Twice { number: 1, .. }), "{twice}");
    writer.commit(&[page(2)], &[]).unwrap();
    let again = writer.commit(&[page(2)], &[]).unwrap_err();
    assert!(matches!(again, Error::Twice { number: 2, .. }), "{again}");
    for beyond in [0, 4] {
        let error = writer.commit(&[page(beyond)], &[]).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }
    let early = writer.commit(&[page(3)], &[id]).unwrap_err();
    assert!(matches!(early, Error::Incomplete { first: 1, more: 0, .. }), "{early}");
    let stranger = NewPage { document: index::DocumentId(77), ..page(1) };
    assert!(matches!(writer.commit(&[stranger], &[]), Err(Error::NotBegun { .. })));
    let missing = NewPage { vectors: Some(PageVectors::SameAs(index::PageId(77))), ..page(1) };
    assert!(matches!(writer.commit(&[missing], &[]), Err(Error::NoPage { .. })));
    // Nothing of what failed is there; what was written is.
    drop(writer);
    let mut writer = Writer::open(folder.path(), &profile()).unwrap();
    assert_eq!(writer.begin(&new).unwrap(), Begun::Open { document: id, have: vec![2] });
    let index = open(folder.path());
    assert!(index.documents(None, 9).unwrap().is_empty());
    writer.commit(&[page(3), page(1)], &[id]).unwrap();
    assert_eq!(index.pages(id).unwrap().len(), 3);
    assert_eq!(writer.begin(&new).unwrap(), Begun::Unchanged(id));
    let finished = writer.commit(&[], &[id]).unwrap_err();
    assert!(matches!(finished, Error::NotBegun { .. }), "{finished}");
}

#[test]
fn files_that_nobody_names_are_collected() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    put(&mut writer, "a", 1, &[Sample::new(1)]);
    drop(writer);
    let segments = folder.path().join("segments");
    for stray in ["seg-00000099.vec", "seg-00000002.tmp", "notes.txt"] {
        fs::write(segments.join(stray), "x").unwrap();
    }
    drop(open(folder.path()));
    assert_eq!(fs::read_dir(&segments).unwrap().count(), 4);
    let mut writer = Writer::open(folder.path(), &profile()).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&segments).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["notes.txt", "seg-00000001.vec"]);
    assert_eq!(writer.remove("a").unwrap(), 1);
    assert!(!segments.join("seg-00000001.vec").exists());
    assert_eq!(writer.remove("a").unwrap(), 0);
}

#[test]
fn an_index_of_words_needs_no_vectors() {
    let folder = tempfile::tempdir().unwrap();
    drop(Writer::create(folder.path(), &Profile::default()).unwrap());
    let with = Profile { dense: Some(encoder(3)), ..Profile::default() };
    assert!(matches!(Writer::open(folder.path(), &with), Err(Error::Profile { .. })));
}
