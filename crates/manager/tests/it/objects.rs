//! Workspaces and documents in an object store that fails, refuses and is shared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use documents::workspace::inputs::Address;
use documents::workspace::tarball::Member;
use documents::workspace::{
    Claim, Failure, Failures, Index, Outcome, Queue, Reason, Refreshed, Stats, Store,
    WorkspaceFault, failures, keys, queue,
};
use documents::{Error, Kind};
use manager::Environment;
use manager::read::store::{Access, Bucket, Library, workspace};
use testkit::s3::{Fault, S3Server};

/// A server, and a runtime that somebody runs.
struct Shelf {
    server: S3Server,
    access: Access,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Shelf {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(more: &[(&str, &str)]) -> Self {
        let server = S3Server::start();
        server.with(|state| state.key = "ID".to_owned());
        let mut variables = BTreeMap::from([
            ("AWS_ACCESS_KEY_ID".to_owned(), "ID".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "secret".to_owned()),
            ("AWS_ENDPOINT_URL".to_owned(), server.address.clone()),
        ]);
        variables
            .extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(stopped));
        let environment = Environment::from_vars(std::iter::empty());
        let access = Access::new(variables, &environment, handle).unwrap();
        let access = access.with_first_wait(Duration::from_millis(1));
        Self { server, access, stop: Some(stop) }
    }

    fn open(&self, address: &str) -> Arc<dyn Store> {
        workspace(address, None, &self.access).unwrap()
    }

    fn store(&self) -> Arc<dyn Store> {
        self.open("s3://shelf/work space/ü/")
    }

    fn library(&self) -> Library {
        Library::new(self.access.clone(), None)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

fn fault(result: Result<impl std::fmt::Debug, Error>) -> (String, WorkspaceFault) {
    match result {
        Err(Error::Workspace { place, fault }) => (place, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn objects_are_put_read_listed_and_removed() {
    let shelf = Shelf::new();
    let store = shelf.store();
    assert_eq!(store.address(""), "s3://shelf/work space/ü");
    assert_eq!(store.get("a/b.md", 9).unwrap(), None);
    store.put("a/b.md", b"text").unwrap();
    assert_eq!(shelf.server.get("work space/ü/a/b.md").unwrap(), b"text");
    assert_eq!(store.get("a/b.md", 4).unwrap().unwrap(), b"text");
    let (place, large) = fault(store.get("a/b.md", 3));
    assert_eq!(place, "s3://shelf/work space/ü/a/b.md");
    assert!(matches!(large, WorkspaceFault::TooLarge { bytes: 4, limit: 3 }), "{large:?}");
    let entry = store.entry("a/b.md").unwrap().unwrap();
    let age = SystemTime::now().duration_since(entry.modified).unwrap_or_default();
    assert_eq!((entry.key.as_str(), entry.bytes), ("a/b.md", 4));
    assert!(age < Duration::from_secs(60), "{age:?}");
    for key in ["a/&<>\"' +%2F.md", "a/日本.md", "a/x/1", "a/x/2", "ab", "b"] {
        store.put(key, b"").unwrap();
    }
    shelf.server.put("work space/ü-not-ours", b"");
    let keys = |prefix: &str| -> Vec<String> {
        store.list(prefix).unwrap().into_iter().map(|entry| entry.key).collect()
    };
    // Pages have three objects.
    assert_eq!(keys(""), ["a/&<>\"' +%2F.md", "a/b.md", "a/x/1", "a/x/2", "a/日本.md", "ab", "b"]);
    assert_eq!(keys("a/x"), ["a/x/1", "a/x/2"]);
    assert_eq!(keys("a"), keys("")[..6]);
    assert_eq!(keys("none/"), [""; 0]);
    store.delete("a/b.md").unwrap();
    store.delete("a/b.md").unwrap();
    assert_eq!(store.modified("a/b.md").unwrap(), None);
    for key in ["", "../x", "a//b", "/a", "a/", "a\nb"] {
        assert!(matches!(fault(store.put(key, b"")).1, WorkspaceFault::Key), "{key:?}");
    }
}

#[test]
fn conditions_keep_writers_apart_where_the_server_knows_them() {
    for unconditional in [false, true] {
        let shelf = Shelf::new();
        shelf.server.with(|state| state.unconditional = unconditional);
        let store = shelf.store();
        assert!(store.put_new("lock", b"one").unwrap());
        assert!(!store.put_new("lock", b"two").unwrap());
        assert_eq!(store.get("lock", 9).unwrap().unwrap(), b"one");
        // Somebody writes between our reading and our writing.
        let mut rounds = 0;
        store
            .change("lock", 9, &mut |there| {
                rounds += 1;
                if rounds == 1 {
                    shelf.server.put("work space/ü/lock", b"theirs");
                }
                Ok(Some([there.unwrap_or_default(), b"!"].concat()))
            })
            .unwrap();
        let (expected, wanted) = if unconditional { ("one!", 1) } else { ("theirs!", 2) };
        assert_eq!(
            (store.get("lock", 9).unwrap().unwrap(), rounds),
            (expected.as_bytes().to_vec(), wanted)
        );
        store.append("log", b"a\n").unwrap();
        store.append("log", b"b").unwrap();
        store.append("log", b"c\n").unwrap();
        assert_eq!(store.get("log", 9).unwrap().unwrap(), b"a\nb\nc\n");
    }
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_said_at_once() {
    let shelf = Shelf::new();
    let store = shelf.store();
    store.put("a", b"text").unwrap();
    let passing = [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, "SlowDown"),
        Fault::Status(429, "TooManyRequests"),
        Fault::NoAnswer,
        Fault::Status(502, "BadGateway"),
        Fault::Status(503, "SlowDown"),
        Fault::Status(504, "Timeout"),
    ];
    shelf.server.fail(&passing);
    assert_eq!(store.get("a", 9).unwrap().unwrap(), b"text");
    assert!(shelf.server.with(|state| state.faults.is_empty()));
    shelf.server.fail(&[Fault::CutAfter(2)]);
    assert_eq!(store.get("a", 9).unwrap().unwrap(), b"text");
    // The eighth answer is believed.
    shelf.server.fail(&vec![Fault::Status(503, "SlowDown"); 8]);
    let (_, last) = fault(store.get("a", 9));
    assert!(
        matches!(&last, WorkspaceFault::Remote { message, .. } if message == "SlowDown: so it is"),
        "{last:?}"
    );
    assert_eq!(last.kind(), Kind::Overloaded);
    assert!(shelf.server.with(|state| state.faults.is_empty()));
    // Refusals are no use to ask again about.
    for (status, code) in [(403, "AccessDenied"), (400, "ExpiredToken"), (401, "Unauthorized")] {
        shelf.server.requests();
        shelf.server.fail(&[Fault::Status(status, code)]);
        let (place, denied) = fault(store.put("b", b""));
        assert!(
            matches!(&denied, WorkspaceFault::Denied { message, .. } if message.contains(code)),
            "{denied:?}"
        );
        assert_eq!((place.as_str(), denied.kind()), ("s3://shelf/work space/ü/b", Kind::Invalid));
        assert_eq!(
            shelf.server.requests(),
            [""; 0],
            "it was asked once, and refused before it was looked at"
        );
    }
    assert!(matches!(fault(shelf.open("s3://other/x").get("a", 9)).1, WorkspaceFault::Absent));
    assert!(matches!(fault(shelf.open("s3://other/x").list("")).1, WorkspaceFault::Absent));
}

#[test]
fn nobody_is_asked_who_could_not_be_known() {
    let shelf = Shelf::new();
    let open = |address: &str, profile| {
        Bucket::open(&Address::of(address).unwrap(), profile, &shelf.access).map(drop)
    };
    let (place, none) = fault(open("s3://shelf/x", Some("nobody")));
    assert!(place == "s3://shelf" && none.to_string().contains("no profile \"nobody\""), "{none}");
    assert!(fault(open("gs://shelf/x", None)).1.to_string().contains("S3"));
    assert!(fault(open("s3://a b/x", None)).1.to_string().contains("no name of a bucket"));
    assert!(fault(open("s3:///x", None)).1.to_string().contains("no name of a bucket"));
    let stranger = Shelf::with(&[("AWS_ACCESS_KEY_ID", "STRANGER")]);
    let denied = fault(stranger.store().get("a", 9)).1;
    assert!(matches!(denied, WorkspaceFault::Denied { .. }), "{denied:?}");
    let unsigned = Shelf::with(&[("AWS_SKIP_SIGNATURE", "true")]);
    unsigned.server.with(|state| state.key.clear());
    assert_eq!(unsigned.store().get("a", 9).unwrap(), None);
}

#[test]
fn a_workspace_is_worked_at_as_in_a_folder() {
    let shelf = Shelf::new();
    let store = shelf.store();
    let index = Index::change(&*store, &mut |index| {
        index.add(["s3://shelf/a.pdf", "s3://shelf/b.pdf", "s3://shelf/c.pdf"], 2).map(drop)
    })
    .unwrap();
    assert_eq!(Index::load(&*store).unwrap(), index);
    let open = || Queue::open(shelf.store(), &index, None, 1).unwrap();
    let (ours, theirs) = (open(), open());
    let now = SystemTime::now();
    let take = |queue: &Queue| match queue.claim(now).unwrap() {
        Claim::Work(group) => group,
        other @ (Claim::Wait(_) | Claim::Idle | Claim::Empty) => panic!("{other:?}"),
    };
    let (first, second) = (take(&ours), take(&theirs));
    assert_ne!(first, second);
    assert!(matches!(ours.claim(now).unwrap(), Claim::Wait(_)));
    assert_eq!(ours.refresh(&first).unwrap(), Refreshed::Ours);
    let line = |path: &str| {
        format!("{{\"text\": \"x\", \"metadata\": {{\"Source-File\": \"{path}\"}}}}\n")
    };
    for (queue, group) in [(&ours, &first), (&theirs, &second)] {
        let outcomes: Vec<Outcome<'_>> =
            group.paths.iter().map(|source| Outcome { source, failures: &[] }).collect();
        Failures::default().record(&*store, &group.hash, &outcomes, now).unwrap();
        let results: String = group.paths.iter().map(|path| line(path)).collect();
        queue.finish(group, results.as_bytes()).unwrap();
    }
    assert_eq!(queue::done(&*store).unwrap().len(), 2);
    assert_eq!(ours.claim(now + Duration::from_secs(3600)).unwrap(), Claim::Empty);
    let keys: Vec<String> = store.list("").unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys.len(), 5, "an index, two results, two flags, no locks, no failures: {keys:?}");
    // Something went wrong with one document, as it turns out; it is read again.
    let mut known = Failures::load(&*store).unwrap();
    let failed = [Failure {
        page: Some(1),
        reason: Reason::Model,
        message: "no answer".to_owned(),
        attempt: 8,
    }];
    let group = index.groups().iter().find(|group| group.paths.len() == 2).unwrap();
    let outcome = Outcome { source: &group.paths[0], failures: &failed };
    known.record(&*store, &group.hash, &[outcome], now).unwrap();
    assert!(shelf.server.get(&format!("work space/ü/{}", keys::failures(&group.hash))).is_some());
    assert_eq!(Failures::load(&*store).unwrap(), known);
    let retried = failures::retry(&*store, &known, 10).unwrap();
    assert_eq!((retried.documents, retried.groups.len()), (1, 1));
    let again = Queue::open(shelf.store(), &retried.index, None, 1).unwrap();
    let once_more = take(&again);
    assert_eq!(once_more.paths, group.paths[..1]);
    again.finish(&once_more, line(&once_more.paths[0]).as_bytes()).unwrap();
    let stats = Stats::of(&*store, &mut |_, _| {}).unwrap();
    assert_eq!((stats.groups, stats.done, stats.documents, stats.skipped), (3, 3, 3, 0));
    assert_eq!(stats.failures[&Reason::Model].pages, 1);
}

#[test]
fn documents_are_found_and_read_where_they_are() {
    let shelf = Shelf::new();
    let tarball =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/workspace/pax.tar.gz"))
            .unwrap();
    shelf.server.put("in/a.pdf", b"%PDF-1.4 a");
    shelf.server.put("in/deep/b.pdf", b"%PDF-1.4 b");
    shelf.server.put("in/page.html", b"<html>");
    shelf.server.put("in/empty.pdf", b"");
    shelf.server.put("in/set.tgz", &tarball);
    let library = shelf.library();
    let gather = |argument: &str| library.gather(&[argument.to_owned()]);
    let found = gather("s3://shelf/in/*.pdf").unwrap();
    let documents: Vec<&str> = found.documents.iter().map(String::as_str).collect();
    assert_eq!(
        documents,
        ["s3://shelf/in/a.pdf", "s3://shelf/in/deep/b.pdf", "s3://shelf/in/empty.pdf"]
    );
    // Only what begins as the pattern does is listed.
    let requests = shelf.server.requests();
    assert!(requests.iter().all(|request| request.contains("prefix=in/")), "{requests:?}");
    assert_eq!(gather("s3://shelf/in/set.tgz").unwrap().tarballs.len(), 1);
    assert!(matches!(fault(gather("s3://shelf/in")).1, WorkspaceFault::Prefix));
    assert!(matches!(fault(gather("s3://shelf/none.pdf")).1, WorkspaceFault::Absent));
    let read = |name: &str| library.read(name, 1000);
    let source = read("s3://shelf/in/a.pdf").unwrap();
    assert_eq!((source.name.as_str(), &*source.bytes), ("s3://shelf/in/a.pdf", &b"%PDF-1.4 a"[..]));
    assert!(read("s3://shelf/in/page.html").unwrap_err().to_string().contains("HTML"));
    assert!(matches!(read("s3://shelf/in/empty.pdf"), Err(Error::Empty { .. })));
    assert!(matches!(fault(read("s3://shelf/in/none.pdf")).1, WorkspaceFault::Absent));
    let members: Vec<Member> =
        library.tarball("s3://shelf/in/set.tgz", 1000).unwrap().map(Result::unwrap).collect();
    assert_eq!(members.len(), 6);
    let name = "s3://shelf/in/set.tgz::b/x.PDF";
    let member = read(name).unwrap();
    assert_eq!((member.name.as_str(), member.bytes.len()), (name, 800));
    let (place, large) = fault(library.read(name, 700));
    assert!(
        place == name && large.to_string().contains("800 bytes are more than the limit of 700"),
        "{large}"
    );
    let absent = fault(read("s3://shelf/in/set.tgz::none.pdf")).1;
    assert!(matches!(absent, WorkspaceFault::Absent), "{absent:?}");
}
