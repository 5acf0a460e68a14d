//! A folder as a store: whole or absent, whoever else writes.

use super::*;

fn store() -> (tempfile::TempDir, Folder) {
    let folder = tempfile::tempdir().unwrap();
    let store = Folder::open(&folder.path().join("work/space")).unwrap();
    (folder, store)
}

fn keys(store: &Folder, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|entry| entry.key).collect()
}

#[test]
fn what_is_put_is_there_and_what_is_removed_is_not() {
    let (_folder, store) = store();
    assert_eq!(store.get("a/b.md", 100).unwrap(), None);
    store.put("a/b.md", b"one").unwrap();
    store.put("a/b.md", b"three").unwrap();
    assert_eq!(store.get("a/b.md", 5).unwrap().as_deref(), Some(b"three".as_slice()));
    let entry = store.entry("a/b.md").unwrap().unwrap();
    assert_eq!((entry.key.as_str(), entry.bytes), ("a/b.md", 5));
    assert_eq!(store.modified("a/b.md").unwrap(), Some(entry.modified));
    let large = store.get("a/b.md", 4).unwrap_err();
    assert!(
        large.to_string().ends_with("a/b.md: 5 bytes or more are over the limit of 4"),
        "{large}"
    );
    store.delete("a/b.md").unwrap();
    store.delete("a/b.md").unwrap();
    assert_eq!(store.modified("a/b.md").unwrap(), None);
    assert_eq!(store.modified("a").unwrap(), None, "a folder is no key");
    assert_eq!(store.get("a/b.md/c", 9).unwrap(), None);
}

#[test]
fn keys_that_lead_elsewhere_are_refused() {
    let (folder, store) = store();
    for key in ["", "/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a/", "a\0b", ".."] {
        let error = store.put(key, b"x").unwrap_err();
        assert!(matches!(error, Error::Workspace { fault: WorkspaceFault::Key, .. }), "{key:?}");
        assert!(
            store.get(key, 9).is_err()
                && store.delete(key).is_err()
                && store.put_new(key, b"").is_err()
        );
        assert!(store.entry(key).is_err() && store.append(key, b"").is_err(), "{key:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    for key in ["..a", "a..b/c", "日本/ü .md", "a\u{202e}b", &"ü".repeat(127)] {
        store.put(key, b"x").unwrap();
        assert!(store.get(key, 9).unwrap().is_some());
    }
}

#[test]
fn only_one_is_told_that_it_was_first() {
    let (_folder, store) = store();
    let first: usize = std::thread::scope(|scope| {
        let put = |n: u8| {
            let store = &store;
            move || usize::from(store.put_new("locks/one", &[n]).unwrap())
        };
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(put(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(first, 1);
    assert_eq!(store.get("locks/one", 9).unwrap().unwrap().len(), 1);
    assert_eq!(keys(&store, ""), ["locks/one"], "nothing is left over");
}

#[test]
fn a_change_is_made_to_what_is_there() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    // A store of its own, as another process has.
                    let store = Folder::existing(store.path());
                    store
                        .change("count", 99, &mut |there| {
                            let count = there.map_or(0, |there| there.len());
                            Ok(Some(vec![b'x'; count + 1]))
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(store.get("count", 99).unwrap().unwrap().len(), 40);
    let before = store.modified("count").unwrap();
    store.change("count", 99, &mut |_| Ok(None)).unwrap();
    assert_eq!(store.modified("count").unwrap(), before);
}

#[test]
fn lines_are_added_behind_one_that_was_cut_off() {
    let (_folder, store) = store();
    store.append("log.jsonl", b"one\n").unwrap();
    store.append("log.jsonl", b"two, cut o").unwrap();
    store.append("log.jsonl", b"three\n").unwrap();
    let text = store.get("log.jsonl", 99).unwrap().unwrap();
    assert_eq!(text, b"one\ntwo, cut o\nthree\n");
}

#[test]
fn lists_are_sorted_and_know_prefixes() {
    let (_folder, store) = store();
    for key in ["flags/done_b", "flags/done_a", "flags/x", "flagship", "results/deep/er/y", "z"] {
        store.put(key, b"1").unwrap();
    }
    // What is being written, and what nobody wrote through here, is no key.
    fs::write(store.path().join("flags/.1-2.partial"), b"").unwrap();
    assert_eq!(keys(&store, "flags/"), ["flags/done_a", "flags/done_b", "flags/x"]);
    assert_eq!(keys(&store, "flags/done_"), ["flags/done_a", "flags/done_b"]);
    assert_eq!(keys(&store, "flags"), ["flags/done_a", "flags/done_b", "flags/x", "flagship"]);
    assert_eq!(keys(&store, "results/deep"), ["results/deep/er/y"]);
    assert_eq!(keys(&store, "none/"), [""; 0]);
    assert_eq!(keys(&store, "").len(), 6);
    assert!(Folder::existing(Path::new("/no/such/folder")).list("").unwrap().is_empty());
}

#[test]
fn what_broke_off_long_ago_is_removed() {
    let (_folder, store) = store();
    store.put("results/a", b"1").unwrap();
    let (old, young) =
        (store.path().join("results/.1-1.partial"), store.path().join("results/.1-2.partial"));
    for path in [&old, &young] {
        fs::write(path, b"half").unwrap();
    }
    let before = SystemTime::now() - LEFT_OVER - Duration::from_secs(60);
    File::options().write(true).open(&old).unwrap().set_modified(before).unwrap();
    Folder::open(store.path()).unwrap();
    assert!(!old.exists() && young.exists());
    assert_eq!(keys(&store, ""), ["results/a"]);
}

#[test]
fn an_error_names_the_file_and_what_to_do() {
    let (_folder, store) = store();
    store.put("a", b"1").unwrap();
    let error = store.put("a/b", b"2").unwrap_err();
    assert!(error.to_string().contains("work/space/a/b: cannot be written: "), "{error}");
    let missing = Folder::existing(Path::new("/proc/none"));
    assert!(missing.put("x", b"").is_err());
}
