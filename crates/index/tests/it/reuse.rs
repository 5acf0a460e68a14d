//! Pages that are as they were need not be encoded again.

use index::{Begun, NewDocument, NewPage, Profile, Writer};

use crate::samples::{bare, begin, document, encoder, hash};

#[test]
fn the_twin_of_a_page_is_one_of_the_same_path_or_the_same_content() {
    let folder = tempfile::tempdir().unwrap();
    let profile =
        Profile { dense: Some(encoder(2)), sparse: Some(encoder(9)), ..Profile::default() };
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let (dense, sparse) = ([vec![0.1, 0.7], vec![1.0, 0.0]], [(3, 0.3), (8, 2.5)]);
    let full = |id, number| NewPage { dense: &dense, sparse: &sparse, ..bare(id, number, "") };
    let first = begin(&mut writer, &document("a", 1, 3));
    let torn = NewPage { failure: Some("torn"), ..bare(first, 3, "") };
    let pages = [full(first, 1), bare(first, 2, ""), torn];
    let ids = writer.commit(&pages, &[]).unwrap().pages;
    // What is not finished yet may still go.
    assert_eq!(writer.twin(first, hash(1)).unwrap(), None);
    writer.commit(&[], &[first]).unwrap();

    let second = begin(&mut writer, &document("a", 2, 3));
    assert_eq!(writer.twin(second, hash(1)).unwrap(), Some(ids[0]));
    assert_eq!(writer.twin(second, hash(2)).unwrap(), Some(ids[1]));
    // A page that failed may not fail again, and what is not there has no twin.
    assert_eq!(writer.twin(second, hash(3)).unwrap(), None);
    assert_eq!(writer.twin(second, hash(4)).unwrap(), None);
    let made = writer.made(ids[0]).unwrap();
    assert_eq!((made.dense.as_slice(), made.sparse.as_slice()), (&dense[..], &sparse[..]));
    let made = writer.made(ids[1]).unwrap();
    assert!(made.dense.is_empty() && made.sparse.is_empty());

    // A file that was moved has another path, and one that was copied over another path is both.
    let moved = begin(&mut writer, &document("b", 1, 3));
    assert_eq!(writer.twin(moved, hash(2)).unwrap(), Some(ids[1]));
    let other = begin(&mut writer, &NewDocument { path: "c".into(), ..document("c", 7, 3) });
    assert_eq!(writer.twin(other, hash(2)).unwrap(), None);

    // Once its document has been replaced, a page is nobody's twin.
    writer.commit(&[full(second, 1), bare(second, 2, ""), full(second, 3)], &[second]).unwrap();
    assert_eq!(writer.twin(moved, hash(2)).unwrap(), None);
    assert!(matches!(writer.begin(&document("a", 2, 3)).unwrap(), Begun::Unchanged(_)));
}
