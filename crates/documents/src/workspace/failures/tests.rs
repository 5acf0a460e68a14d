//! What could not be read is written down, folded, and read again.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::workspace::{Claim, Folder, Index, Queue, queue};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn failure(page: Option<u32>, reason: Reason) -> Failure {
    Failure { page, reason, message: format!("{reason} at {page:?}"), attempt: 8 }
}

fn store() -> (tempfile::TempDir, Arc<Folder>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Folder::open(folder.path()).unwrap());
    (folder, store)
}

/// A folder that pretends to be an object store.
#[derive(Debug)]
struct Objects(Folder);

impl Store for Objects {
    fn address(&self, key: &str) -> String {
        self.0.address(key)
    }
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key, limit)
    }
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.0.put(key, bytes)
    }
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool, Error> {
        self.0.put_new(key, bytes)
    }
    fn change(
        &self,
        key: &str,
        limit: u64,
        change: &mut crate::workspace::Change<'_>,
    ) -> Result<(), Error> {
        self.0.change(key, limit, change)
    }
    fn append(&self, _: &str, _: &[u8]) -> Result<(), Error> {
        panic!("objects do not grow")
    }
    fn grows(&self) -> bool {
        false
    }
    fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<crate::workspace::Entry>, Error> {
        self.0.list(prefix)
    }
    fn modified(&self, key: &str) -> Result<Option<SystemTime>, Error> {
        self.0.modified(key)
    }
    fn entry(&self, key: &str) -> Result<Option<crate::workspace::Entry>, Error> {
        self.0.entry(key)
    }
}

fn record(
    failures: &mut Failures,
    store: &dyn Store,
    group: &str,
    outcomes: &[(&str, &[Failure])],
) {
    let outcomes: Vec<Outcome<'_>> =
        outcomes.iter().map(|(source, failures)| Outcome { source, failures }).collect();
    failures.record(store, group, &outcomes, at(1_000_000_000)).unwrap();
}

#[test]
fn what_is_written_down_is_what_is_read_in_folders_and_object_stores() {
    let (_one, folder) = store();
    let other = tempfile::tempdir().unwrap();
    let objects = Arc::new(Objects(Folder::open(other.path()).unwrap()));
    for store in [folder as Arc<dyn Store>, objects] {
        let mut failures = Failures::load(&*store).unwrap();
        assert!(failures.is_empty());
        let pages = [failure(Some(3), Reason::Model), failure(Some(9), Reason::Rendering)];
        let whole = [failure(None, Reason::Encrypted)];
        record(
            &mut failures,
            &*store,
            "g1",
            &[("a.pdf", &pages), ("b \"ü\n.pdf", &whole), ("c.pdf", &[])],
        );
        record(&mut failures, &*store, "g2", &[("d.pdf", &[])]);
        let read = Failures::load(&*store).unwrap();
        assert_eq!(read, failures);
        let known = read.of("a.pdf").unwrap();
        assert_eq!(
            (known.group.as_str(), known.time, &*known.failures),
            ("g1", Some(at(1_000_000_000)), &pages[..])
        );
        assert_eq!(
            read.documents().map(|(source, _)| source).collect::<Vec<_>>(),
            ["a.pdf", "b \"ü\n.pdf"]
        );
        let summary = read.summary();
        assert_eq!(summary[&Reason::Model], Count { documents: 1, whole: 0, pages: 1 });
        assert_eq!(summary[&Reason::Encrypted], Count { documents: 1, whole: 1, pages: 0 });
        // It is read again, with one page that fails still; then wholly. File times have to differ for that.
        std::thread::sleep(Duration::from_millis(20));
        record(&mut failures, &*store, "g3", &[("a.pdf", &pages[..1])]);
        assert_eq!(Failures::load(&*store).unwrap(), failures);
        assert_eq!(failures.of("a.pdf").unwrap().failures, pages[..1]);
        std::thread::sleep(Duration::from_millis(20));
        record(&mut failures, &*store, "g4", &[("a.pdf", &[])]);
        let read = Failures::load(&*store).unwrap();
        assert_eq!(read, failures);
        assert!(read.of("a.pdf").is_none() && read.of("b \"ü\n.pdf").is_some());
        assert!(read.damaged().is_empty());
    }
}

#[test]
fn a_group_that_two_worked_at_is_counted_once() {
    let (_folder, store) = store();
    let pages = [failure(Some(3), Reason::Model)];
    for _ in 0..2 {
        record(&mut Failures::default(), &*store, "g", &[("a.pdf", &pages)]);
    }
    let read = Failures::load(&*store).unwrap();
    assert_eq!(read.of("a.pdf").unwrap().failures, pages);
}

#[test]
fn damaged_lines_are_counted_and_a_torn_one_is_not() {
    let mut failures = Failures::default();
    let good = r#"{"source": "a", "page": 1, "reason": "model", "attempt": 2}"#;
    let newer = r#"{"source": "b", "page": null, "reason": "struck by lightning", "attempt": 0, "more": []}"#;
    let text = format!("{good}\n\nnot json\n{{\"source\": 1}}\n{newer}\n{{\"source\": \"c\", \"pa");
    failures.read("failures.jsonl", text.as_bytes());
    assert_eq!(failures.damaged(), &BTreeMap::from([("failures.jsonl".to_owned(), 2)]));
    assert_eq!(failures.of("a").unwrap().failures[0].page, Some(1));
    assert_eq!(failures.of("b").unwrap().failures[0].reason, Reason::Other);
    assert_eq!(failures.documents().count(), 2);
}

#[test]
fn names_of_reasons_come_back() {
    for reason in Reason::ALL {
        assert_eq!(Reason::of(reason.name()), reason);
    }
}

/// A line of results, as far as it matters here.
fn result(source: &str, text: &str) -> String {
    json!({ "text": text, "metadata": { "Source-File": source } }).to_string() + "\n"
}

/// Works at all that is left, and gives the paths of its groups.
fn work(store: &Arc<Folder>, text: &str) -> Vec<Vec<String>> {
    let index = Index::load(&**store).unwrap();
    let queue = Queue::open(Arc::clone(store) as _, &index, None, 1).unwrap();
    let mut out = Vec::new();
    while let Claim::Work(group) = queue.claim(SystemTime::now()).unwrap() {
        let results: String = group.paths.iter().map(|path| result(path, text)).collect();
        queue.finish(&group, results.as_bytes()).unwrap();
        out.push(group.paths);
    }
    out.sort();
    out
}

/// All results, by document.
fn results(store: &Folder) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in store.list(keys::RESULTS).unwrap() {
        let bytes = store.get(&entry.key, 1 << 20).unwrap().unwrap();
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let value: Value = serde_json::from_slice(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            out.push((text(&value["metadata"]["Source-File"]), text(&value["text"])));
        }
    }
    out.sort();
    out
}

#[test]
fn just_what_failed_is_read_again_and_takes_the_place_of_what_was_there() {
    let (_folder, store) = store();
    let index = Index::change(&*store, &mut |index| {
        index.add(["a.pdf", "b.pdf", "c.pdf", "d.pdf", "e.pdf"], 4)?;
        index.add(["x.tgz"], 1).map(drop)
    })
    .unwrap();
    assert_eq!(work(&store, "first").len(), 3);
    let hash = |place: usize| index.groups()[place].hash.clone();
    let pages = [failure(Some(2), Reason::Model)];
    let mut failures = Failures::default();
    record(
        &mut failures,
        &*store,
        &hash(0),
        &[("b.pdf", &pages), ("c.pdf", &pages), ("d.pdf", &[])],
    );
    record(&mut failures, &*store, &hash(1), &[("e.pdf", &pages)]);
    record(&mut failures, &*store, &hash(2), &[("x.tgz::m.pdf", &pages)]);
    // Of a group that somebody still works at.
    record(&mut failures, &*store, "another", &[("z.pdf", &pages)]);

    let retried = retry(&*store, &failures, 1).unwrap();
    assert_eq!((retried.documents, retried.waiting, retried.groups.len()), (4, 1, 4));
    // The group of e.pdf alone was there, and is open again; three are new.
    assert_eq!(retried.index.groups().len(), 6);
    assert_eq!(queue::done(&*store).unwrap().len(), 2);
    // Asked twice, nothing more comes of it.
    assert_eq!(retry(&*store, &failures, 1).unwrap().index, retried.index);

    let again = work(&store, "second");
    assert_eq!(again, [["b.pdf"], ["c.pdf"], ["e.pdf"], ["x.tgz::m.pdf"]]);
    let expected = [
        ("a.pdf", "first"),
        ("b.pdf", "second"),
        ("c.pdf", "second"),
        ("d.pdf", "first"),
        ("e.pdf", "second"),
        ("x.tgz", "first"),
        ("x.tgz::m.pdf", "second"),
    ];
    let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    assert_eq!(results(&store), expected);

    // What fails again is read again, in the group that it has now.
    let retried = retry(&*store, &failures, 1).unwrap();
    assert_eq!((retried.documents, retried.index.groups().len()), (4, 6));
    assert_eq!(work(&store, "third").len(), 4);
    let third = results(&store);
    assert_eq!(third.len(), 7);
    assert_eq!(third.iter().filter(|(_, text)| text == "third").count(), 4);
}

#[test]
fn a_document_is_never_without_results_while_it_is_read_again() {
    let (_folder, store) = store();
    let index =
        Index::change(&*store, &mut |index| index.add(["a.pdf", "b.pdf"], 2).map(drop)).unwrap();
    work(&store, "first");
    let mut failures = Failures::default();
    let pages = [failure(Some(2), Reason::Model)];
    record(&mut failures, &*store, &index.groups()[0].hash, &[("b.pdf", &pages)]);
    let retried = retry(&*store, &failures, 10).unwrap();
    let queue = Queue::open(Arc::clone(&store) as _, &retried.index, None, 1).unwrap();
    let Claim::Work(group) = queue.claim(SystemTime::now()).unwrap() else { panic!("no work") };
    // It could not be read at all this time: what was there stays.
    queue.finish(&group, b"").unwrap();
    let texts: Vec<String> = results(&store).into_iter().map(|(source, _)| source).collect();
    assert_eq!(texts, ["a.pdf", "b.pdf"]);
}
