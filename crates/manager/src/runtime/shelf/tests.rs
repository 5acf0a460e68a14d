//! Pages come back to the bit or not at all, the cap holds, and nothing that is not ours is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use engine::{Beginning, Shelf as _};

use super::{Error, Generation, ModelShelf, PageStore, file};

const GENERATION: Generation = Generation([7; 16]);
const PAGE: usize = 4;

fn shelf(store: &Arc<PageStore>, generation: Generation) -> ModelShelf {
    ModelShelf { store: Arc::clone(store), generation }
}

fn beginning(first: u32, pages: u32) -> Beginning {
    Beginning { way: 0, tokens: (first..first + pages * PAGE as u32).collect() }
}

fn content(seed: u32) -> Vec<u8> {
    (0..1000).map(|i| (i * 31 + seed) as u8).collect()
}

/// Puts a page and waits until it is written.
fn put(shelf: &mut ModelShelf, beginning: &Beginning, page: &[u8]) {
    let name = shelf.name(beginning, PAGE).unwrap();
    while !shelf.store.shared.index().touch(&name) {
        shelf.put(beginning, PAGE, page.to_vec());
        sleep(Duration::from_millis(1));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn pages_survive_and_are_found_by_what_came_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("pages");
    let store = PageStore::open(&place, 1 << 20).unwrap();
    for pages in 1..=3 {
        put(&mut shelf(&store, GENERATION), &beginning(1, pages), &content(pages));
    }
    drop(store);
    let store = PageStore::open(&place, 1 << 20).unwrap();
    let mut own = shelf(&store, GENERATION);
    let tokens = beginning(1, 5).tokens;
    assert_eq!(own.reach(0, &tokens, PAGE), 3);
    assert_eq!(own.get(&beginning(1, 2), PAGE), Some(content(2)));
    assert_eq!(own.reach(1, &tokens, PAGE), 0, "another way of computing");
    assert_eq!(own.reach(0, &tokens[1..], PAGE), 0, "another beginning");
    assert_eq!(own.reach(0, &tokens, PAGE + 1), 0, "other pages");
    assert_eq!(own.get(&beginning(2, 1), PAGE), None);
    let mut other = shelf(&store, Generation([8; 16]));
    assert_eq!(other.reach(0, &tokens, PAGE), 0, "another model");
    assert_eq!(store.bytes(), (3 * file::size(&content(0)), 1 << 20));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look_into_them() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("pages");
    let store = PageStore::open(&place, 1 << 20).unwrap();
    put(&mut shelf(&store, GENERATION), &beginning(1, 1), &content(1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let written = files(&place);
    assert_eq!((mode(&place), mode(written[0].parent().unwrap())), (0o700, 0o700));
    assert_eq!((written.len(), mode(&written[0])), (1, 0o600));
}

#[test]
fn a_page_that_does_not_keep_its_word_is_never_given() {
    let flaws: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes[500] ^= 1,
        |bytes| bytes.truncate(900),
        |bytes| bytes.extend([0; 3]),
        |bytes| bytes[7] ^= 3,
        |bytes| bytes.clear(),
    ];
    for (n, flaw) in flaws.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let store = PageStore::open(folder.path(), 1 << 20).unwrap();
        let mut shelf = shelf(&store, GENERATION);
        put(&mut shelf, &beginning(1, 1), &content(1));
        let path = files(folder.path()).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        flaw(&mut bytes);
        fs::write(&path, bytes).unwrap();
        assert_eq!(shelf.get(&beginning(1, 1), PAGE), None, "{n}");
        assert!(!path.exists() && store.bytes().0 == 0, "{n}");
        // It can be written anew.
        put(&mut shelf, &beginning(1, 1), &content(1));
        assert_eq!(shelf.get(&beginning(1, 1), PAGE), Some(content(1)), "{n}");
    }
}

#[test]
fn a_page_under_another_name_is_never_given() {
    let folder = tempfile::tempdir().unwrap();
    let store = PageStore::open(folder.path(), 1 << 20).unwrap();
    let mut shelf = shelf(&store, GENERATION);
    put(&mut shelf, &beginning(1, 1), &content(1));
    put(&mut shelf, &beginning(9, 1), &content(9));
    let path = |of: &Beginning| shelf.name(of, PAGE).unwrap().path(folder.path());
    fs::copy(path(&beginning(9, 1)), path(&beginning(1, 1))).unwrap();
    assert_eq!(shelf.get(&beginning(1, 1), PAGE), None);
    assert_eq!(shelf.get(&beginning(9, 1), PAGE), Some(content(9)));
}

#[test]
fn the_cap_holds_always_and_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let each = file::size(&content(0));
    let store = PageStore::open(folder.path(), 10 * each).unwrap();
    let mut own = shelf(&store, GENERATION);
    for first in 0..30 {
        put(&mut own, &beginning(100 * first, 1), &content(first));
        assert_eq!(own.get(&beginning(0, 1), PAGE), Some(content(0)), "it is wanted all the time");
        let (held, cap) = store.bytes();
        assert!(held <= cap && held == each * files(folder.path()).len() as u64);
    }
    assert_eq!(own.get(&beginning(100, 1), PAGE), None, "the longest unused is gone");
    assert_eq!(own.get(&beginning(2900, 1), PAGE), Some(content(29)));
    drop((own, store));
    let store = PageStore::open(folder.path(), 3 * each).unwrap();
    assert!(store.bytes().0 <= 3 * each && files(folder.path()).len() <= 3);
    assert_ne!(store.bytes().0, 0, "what fits stays");
    // What is larger than all there is for pages is not written.
    let mut own = shelf(&store, GENERATION);
    own.put(&beginning(1, 1), PAGE, vec![0; 4 * each as usize]);
    drop((own, store));
    assert_eq!(PageStore::open(folder.path(), u64::MAX).unwrap().bytes().0, 2 * each);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("07".repeat(16));
    fs::create_dir(&inside).unwrap();
    let notes = [folder.path().join("notes.txt"), inside.join("notes.page"), inside.join("x")];
    notes.iter().for_each(|path| fs::write(path, "mine").unwrap());
    fs::create_dir(folder.path().join("letters")).unwrap();
    let part = inside.join(format!("{}.part", "ab".repeat(32)));
    fs::write(&part, "half a page").unwrap();
    let store = PageStore::open(folder.path(), 1).unwrap();
    assert_eq!(store.bytes().0, 0);
    assert!(notes.iter().all(|path| fs::read(path).unwrap() == b"mine"));
    assert!(folder.path().join("letters").is_dir());
    assert!(!part.exists(), "what was never whole is of no use");
}

#[test]
fn two_programs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = PageStore::open(folder.path(), 1 << 20).unwrap();
    let second = PageStore::open(folder.path(), 1 << 20);
    assert!(matches!(second, Err(Error::ShelfTaken { path }) if path == folder.path()));
    drop(store);
    PageStore::open(folder.path(), 1 << 20).unwrap();
}

#[test]
fn a_generation_is_one_model_only() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("model.safetensors");
    let of = |how: &str| Generation::of(&[folder.path()], &how).unwrap();
    fs::write(&weights, vec![1; 200_000]).unwrap();
    let first = of("f16");
    assert_eq!(of("f16"), first);
    assert_ne!(of("4 bits"), first);
    let mut bytes = vec![1; 200_000];
    bytes[199_999] = 2;
    fs::write(&weights, &bytes).unwrap();
    let second = of("f16");
    assert_ne!(second, first);
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert_ne!(of("f16"), second);
}
