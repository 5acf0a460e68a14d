//! Pages that somebody read: who did, and when a document is read anew.

use index::{
    Begun, Index, Limits, NewDocument, NewPage, Profile, ReadBy, ReaderKind, ReaderPages, Reading,
    Writer,
};
use rusqlite::Connection;

use crate::samples::{Sample, bare, begin, cpu, document, hash, open, profile};

fn read_by(mode: &str, reader: &str) -> Option<Reading> {
    Some(Reading { mode: mode.into(), reader: reader.into() })
}

fn by(kind: ReaderKind, name: &str) -> Option<ReadBy<'_>> {
    Some(ReadBy { kind, name, because: None })
}

fn is_unchanged(writer: &mut Writer, new: &NewDocument) -> bool {
    matches!(writer.begin(new).unwrap(), Begun::Unchanged(_))
}

#[test]
fn a_document_is_read_anew_by_another_reader_if_a_page_of_it_was_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &Profile::default()).unwrap();
    let plain = document("a", 1, 2);
    let asked =
        |mode: &str, reader: &str| NewDocument { reading: read_by(mode, reader), ..plain.clone() };
    let id = begin(&mut writer, &plain);
    writer.commit(&[bare(id, 1, "own"), bare(id, 2, "")], &[id]).unwrap();
    assert!(is_unchanged(&mut writer, &plain));
    // It was not read, and is to be.
    let id = begin(&mut writer, &asked("auto", "eyes"));
    let seen = NewPage { read: by(ReaderKind::Model, "eyes"), ..bare(id, 2, "seen") };
    writer.commit(&[bare(id, 1, "own"), seen], &[id]).unwrap();
    assert!(is_unchanged(&mut writer, &asked("auto", "eyes")));
    // Nobody who asks for no reading takes away what was read.
    assert!(is_unchanged(&mut writer, &plain));
    // What was begun for another reader, and for another way, is not gone on with.
    for (mode, reader) in [("auto", "others"), ("ocr", "eyes")] {
        let new = asked(mode, reader);
        let id = begin(&mut writer, &new);
        let page = NewPage { read: by(ReaderKind::Model, reader), ..bare(id, 2, "seen") };
        writer.commit(&[page], &[]).unwrap();
        let again = writer.begin(&new).unwrap();
        assert_eq!(again, Begun::Open { document: id, have: vec![2] });
        let next = begin(&mut writer, &asked("auto", "a third"));
        assert_ne!(next, id);
    }
    assert!(is_unchanged(&mut writer, &asked("auto", "eyes")));
    // Where no page was in doubt, it makes no difference who would have read it.
    let sound =
        |reader: &str| NewDocument { reading: read_by("auto", reader), ..document("sound", 2, 1) };
    let id = begin(&mut writer, &sound("eyes"));
    writer.commit(&[bare(id, 1, "own")], &[id]).unwrap();
    assert!(is_unchanged(&mut writer, &sound("others")));
}

#[test]
fn it_is_told_who_read_what_and_what_nobody_could() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &Profile::default()).unwrap();
    let new = NewDocument { reading: read_by("auto", "eyes"), ..document("a", 1, 4) };
    let id = begin(&mut writer, &new);
    let nobody = ReadBy { kind: ReaderKind::Nobody, name: "", because: Some("it is black") };
    let pages = [
        bare(id, 1, "own"),
        NewPage { read: by(ReaderKind::Model, "eyes"), ..bare(id, 2, "seen") },
        NewPage { read: by(ReaderKind::Engine, "letters 1"), ..bare(id, 3, "spelt") },
        NewPage { read: Some(nobody), ..bare(id, 4, "") },
    ];
    // Before it is finished, nothing is told of it.
    let ids = writer.commit(&pages, &[]).unwrap().pages;
    let index = Index::open(folder.path(), &Profile::default(), cpu(), Limits::default()).unwrap();
    assert!(index.readers().unwrap().is_empty());
    writer.commit(&[], &[id]).unwrap();
    let count = |kind, name: &str| ReaderPages { kind, name: name.into(), pages: 1 };
    let all = [
        count(ReaderKind::Model, "eyes"),
        count(ReaderKind::Nobody, ""),
        count(ReaderKind::Engine, "letters 1"),
    ];
    assert_eq!(index.readers().unwrap(), all);
    let told = index.document(id).unwrap().unwrap();
    assert_eq!((told.read_by.as_slice(), told.reading), (&all[..], read_by("auto", "eyes")));
    assert_eq!(told.unread, [(4, "it is black".to_owned())]);
    assert!(told.failures.is_empty());
    let reader = index.reader(ids[2]).unwrap().unwrap();
    assert_eq!(
        (reader.number, reader.text.as_str(), reader.kind),
        (3, "spelt", ReaderKind::Engine)
    );
    assert_eq!(index.reader(ids[0]).unwrap(), None);

    // A copy of the file need not be read again, in the same way and by the same reader.
    let copy = NewDocument { path: "copy".into(), ..new.clone() };
    let second = begin(&mut writer, &copy);
    let known = writer.read_before(second).unwrap();
    let known: Vec<_> = known.iter().map(|page| (page.number, page.text.as_str())).collect();
    assert_eq!(known, [(2, "seen"), (3, "spelt")]);
    for other in [read_by("auto", "others"), read_by("ocr", "eyes"), None] {
        let other = NewDocument { path: "other".into(), reading: other, ..new.clone() };
        let id = begin(&mut writer, &other);
        assert!(writer.read_before(id).unwrap().is_empty());
    }
    writer.remove("a").unwrap();
    assert!(index.readers().unwrap().is_empty());
}

#[test]
fn a_page_that_was_read_looks_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    let (with, without) = (Sample::new(1), Sample::new(2));
    let id = begin(&mut writer, &document("a", 1, 2));
    let pages = [
        NewPage { looks: Some(hash(100)), hash: hash(5), ..with.page(id, 1) },
        // As an earlier version of this program leaves a scan: nothing is said of its looks alone.
        NewPage { hash: hash(6), ..without.page(id, 2) },
    ];
    let ids = writer.commit(&pages, &[]).unwrap().pages;
    assert_eq!(writer.lookalike(id, hash(100), hash(0)).unwrap(), None);
    writer.commit(&[], &[id]).unwrap();
    let new = NewDocument { reading: read_by("auto", "eyes"), ..document("a", 1, 2) };
    let second = begin(&mut writer, &new);
    let found = |looks, bare| writer.lookalike(second, hash(looks), hash(bare)).unwrap();
    assert_eq!(found(100, 7), Some(ids[0]));
    assert_eq!(found(101, 6), Some(ids[1]));
    // What says how it looks is known by that alone.
    assert_eq!(found(101, 5), None);
    let other = begin(&mut writer, &document("b", 9, 2));
    assert_eq!(writer.lookalike(other, hash(100), hash(6)).unwrap(), None);
}

#[test]
fn an_index_of_before_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    let sample = Sample::new(3);
    let id = begin(&mut writer, &document("a", 1, 1));
    let ids = writer.commit(&[sample.page(id, 1)], &[id]).unwrap().pages;
    drop(writer);
    let connection = Connection::open(folder.path().join("index.sqlite")).unwrap();
    connection
        .execute_batch("DROP TABLE readings; DROP TABLE read_pages; DROP TABLE looks")
        .unwrap();
    drop(connection);
    let index = open(folder.path());
    assert!(index.readers().unwrap().is_empty());
    assert_eq!(index.reader(ids[0]).unwrap(), None);
    assert_eq!(index.document(id).unwrap().unwrap().reading, None);
    let mut writer = Writer::open(folder.path(), &profile()).unwrap();
    let new = NewDocument { reading: read_by("auto", "eyes"), ..document("a", 1, 1) };
    let second = begin(&mut writer, &new);
    let seen = NewPage { read: by(ReaderKind::Model, "eyes"), ..sample.page(second, 1) };
    writer.commit(&[seen], &[second]).unwrap();
    assert_eq!(index.readers().unwrap().len(), 1);
}
