//! Servers that fail, and what is said of it.

use std::path::Path;
use std::time::Duration;

use manager::Token;
use manager::find::index::{Profile, Query};
use manager::find::remote::{Access, Address, Compression, Error, Patience, Remote};
use manager::find::{PushOptions, push};
use testkit::qdrant::{Collection, Fault as QdrantFault, Point};

use super::samples::{
    Server, Watch, access, document, encoder, options, profile, pushed, pushed_with,
};
use super::weaviate::Fault as WeaviateFault;

fn remote(error: manager::find::Error) -> Error {
    let manager::find::Error::Remote(error) = error else { panic!("{error}") };
    error
}

/// An index of 12 pages.
fn index() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    document(folder.path(), &profile(), "/a.pdf", 12);
    folder
}

impl Server {
    /// What makes the next batches fail alike on both: that it is busy, or that nothing comes.
    fn fail(&self, how: &[Trouble]) {
        match self {
            Self::Qdrant(server) => {
                // The first batch says what made the collection, and is to be taken.
                let faults = how.iter().map(|how| match how {
                    Trouble::Busy => QdrantFault::Status(503, None),
                    Trouble::Wait(seconds) => QdrantFault::Status(429, Some(*seconds)),
                    Trouble::NoAnswer => QdrantFault::NoAnswer,
                    Trouble::Silence(time) => QdrantFault::Silence(*time),
                    Trouble::Garbage => QdrantFault::Says("<h1>It works!</h1>"),
                    Trouble::Elsewhere => QdrantFault::Status(502, None),
                });
                server.fail(&faults.collect::<Vec<_>>());
            }
            Self::Weaviate(server) => {
                let faults = how.iter().map(|how| match how {
                    Trouble::Busy => WeaviateFault::Status(14, "so it is"),
                    Trouble::Wait(_) => WeaviateFault::Status(8, "so it is"),
                    Trouble::NoAnswer => WeaviateFault::NoAnswer,
                    Trouble::Silence(time) => WeaviateFault::Silence(*time),
                    Trouble::Garbage => WeaviateFault::Says(vec![0xff; 9]),
                    Trouble::Elsewhere => WeaviateFault::Http(502),
                });
                server.fail(&faults.collect::<Vec<_>>());
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Busy,
    Wait(u64),
    NoAnswer,
    Silence(Duration),
    Garbage,
    Elsewhere,
}

/// Moves an index to a server with little patience, after it was made there.
fn troubled(server: &Server, how: &[Trouble]) -> Result<usize, Error> {
    let folder = index();
    // So that the troubles come while pages are sent.
    assert_eq!(pushed(folder.path(), server).unwrap().sent, 12);
    document(folder.path(), &profile(), "/b.pdf", 8);
    go_on(folder.path(), server, how)
}

fn go_on(path: &Path, server: &Server, how: &[Trouble]) -> Result<usize, Error> {
    server.fail(how);
    let address = server.address();
    let mut access = access();
    access.patience.answer = Duration::from_millis(400);
    let totals = push(path, (&address, &access), options(&address), &mut Watch::default());
    let totals = totals.map_err(remote)?;
    assert_eq!((totals.there, server.pages()), (12, 20));
    Ok(totals.sent)
}

#[test]
fn what_passes_is_waited_for() {
    let silence = Trouble::Silence(Duration::from_millis(700));
    for how in [
        &[Trouble::Busy, Trouble::Busy][..],
        &[Trouble::Wait(0)],
        &[Trouble::NoAnswer, Trouble::NoAnswer],
        &[silence],
        &[Trouble::Elsewhere],
    ] {
        for server in Server::both() {
            assert_eq!(troubled(&server, how).unwrap(), 8, "{how:?}");
        }
    }
}

#[test]
fn what_does_not_pass_is_said() {
    for server in Server::both() {
        let folder = index();
        pushed(folder.path(), &server).unwrap();
        document(folder.path(), &profile(), "/b.pdf", 8);
        let error = go_on(folder.path(), &server, &[Trouble::Busy; 3]).unwrap_err();
        assert!(
            matches!(&error, Error::GaveUp { attempts: 3, why, .. } if why.contains("so it is")),
            "{error}"
        );
        // And then it goes on.
        assert_eq!(go_on(folder.path(), &server, &[]).unwrap(), 8);
    }
    for server in Server::both() {
        let error = troubled(&server, &[Trouble::Garbage]).unwrap_err();
        assert!(matches!(&error, Error::Garbage { action: "take pages", .. }), "{error}");
    }
    let [qdrant, _] = Server::both();
    let error = troubled(&qdrant, &[Trouble::Wait(3600)]).unwrap_err();
    assert!(matches!(&error, Error::Busy { wait, .. } if wait.as_secs() == 3600), "{error}");
    // Nobody is there.
    for text in ["qdrant://127.0.0.1:1/Pages", "weaviate://127.0.0.1:1/Pages?grpc=2"] {
        let address = Address::read(text).unwrap();
        let error = Remote::open(&address, &access()).unwrap_err();
        assert!(matches!(&error, Error::GaveUp { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1:1/Pages"), "{error}");
    }
}

#[test]
fn a_page_that_is_refused_is_named_and_the_others_are_taken() {
    let folder = index();
    for server in Server::both() {
        let poison = Some("word7 ".to_owned());
        match &server {
            Server::Qdrant(server) => server.with(|state| state.poison = poison),
            Server::Weaviate(server) => server.with(|state| state.poison = poison),
        }
        let mut watch = Watch::default();
        let totals = pushed_with(folder.path(), &server, &mut watch).unwrap();
        assert_eq!((totals.sent, totals.refused, server.pages()), (11, 1, 11));
        let [(path, 7, why)] = &watch.refused[..] else { panic!("{:?}", watch.refused) };
        assert!(path == "/a.pdf" && why.contains("that is poison"), "{why}");
    }
}

#[test]
fn batches_that_are_too_large_are_sent_in_halves() {
    let folder = tempfile::tempdir().unwrap();
    document(folder.path(), &profile(), "/a.pdf", 40);
    for server in Server::both() {
        let most = Some(12_000);
        match &server {
            Server::Qdrant(server) => server.with(|state| state.most_bytes = most),
            Server::Weaviate(server) => server.with(|state| state.most_bytes = most),
        }
        let totals = pushed(folder.path(), &server).unwrap();
        assert_eq!((totals.sent, totals.refused, server.pages()), (40, 0, 40));
    }
    // A page that no message has room for is named.
    for server in Server::both() {
        let most = Some(1100);
        match &server {
            Server::Qdrant(server) => server.with(|state| state.most_bytes = most),
            Server::Weaviate(server) => server.with(|state| state.most_bytes = most),
        }
        let mut watch = Watch::default();
        let totals = pushed_with(folder.path(), &server, &mut watch).unwrap();
        assert_eq!((totals.sent + totals.refused, watch.refused.len()), (40, totals.refused));
        assert!(watch.refused.iter().any(|(.., why)| why.contains("larger than it takes")));
    }
}

#[test]
fn more_numbers_than_qdrant_takes_are_refused_before_they_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let wide = Profile { vectors: encoder(4096), halves: true, ..Profile::default() };
    let path = folder.path();
    {
        use manager::find::index::{Begun, Hash, NewDocument, NewPage, PageVectors, Writer};
        let mut writer = Writer::create(path, &wide).unwrap();
        let hash = Hash([1; 32]);
        let metadata = Default::default();
        let new = NewDocument {
            path: "/wide.pdf".to_owned(),
            hash,
            pages: 2,
            date: None,
            category: None,
            metadata,
            reading: None,
        };
        let Begun::Open { document, .. } = writer.begin(&new).unwrap() else { panic!() };
        let numbers = vec![0.5; 4096 * 257];
        let page = |number, count: usize| NewPage {
            document,
            number,
            hash,
            looks: None,
            text: "",
            read: None,
            vectors: Some(PageVectors::New { vectors: &numbers[..4096 * count], grid: None }),
            dense: &[],
            sparse: &[],
            preview: None,
            failure: None,
        };
        writer.commit(&[page(1, 257), page(2, 2)], &[document]).unwrap();
    }
    let [qdrant, weaviate] = Server::both();
    let mut watch = Watch::default();
    let totals = pushed_with(path, &qdrant, &mut watch).unwrap();
    assert_eq!((totals.sent, totals.refused, qdrant.pages()), (1, 1, 1));
    assert!(watch.refused[0].2.contains("1052672 numbers, and Qdrant takes 1048576"));
    assert_eq!(pushed(path, &weaviate).unwrap().sent, 2);
}

#[test]
fn a_collection_of_somebody_else_is_refused() {
    let folder = index();
    for server in Server::both() {
        match &server {
            Server::Qdrant(server) => server.with(|state| {
                let mut theirs = Collection::default();
                theirs.points.insert("1".repeat(36), Point::default());
                state.collections.insert("Pages".to_owned(), theirs);
            }),
            Server::Weaviate(server) => server.with(|state| {
                state.collections.entry("Pages".to_owned()).or_default().schema =
                    serde_json::json!({"class": "Pages", "description": "A shop"});
            }),
        }
        let error = remote(pushed(folder.path(), &server).unwrap_err());
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    }
    // One without pages, of other vectors.
    let [qdrant, _] = Server::both();
    let Server::Qdrant(server) = &qdrant else { panic!() };
    server.with(|state| {
        let config = serde_json::json!({"vectors": {"size": 7, "distance": "Cosine"}});
        let theirs = Collection { config, ..Collection::default() };
        state.collections.insert("Pages".to_owned(), theirs);
    });
    let error = remote(pushed(folder.path(), &qdrant).unwrap_err());
    assert!(error.to_string().contains("other vectors"), "{error}");
}

#[test]
fn a_collection_is_used_with_what_made_it() {
    let folder = index();
    let other = tempfile::tempdir().unwrap();
    let mut wide = profile();
    wide.dense = None;
    document(other.path(), &wide, "/a.pdf", 2);
    let coarse = tempfile::tempdir().unwrap();
    document(coarse.path(), &Profile { halves: false, ..profile() }, "/a.pdf", 2);
    for server in Server::both() {
        pushed(folder.path(), &server).unwrap();
        let error = pushed(other.path(), &server).unwrap_err();
        assert!(matches!(error, manager::find::Error::Index(_)), "{error}");
        assert!(error.to_string().contains("dense vectors were made with the model"), "{error}");
        let address = server.address();
        let again = |options: PushOptions| {
            push(folder.path(), (&address, &access()), options, &mut Watch::default())
                .map_err(|error| error.to_string())
        };
        let rounded = PushOptions { rounded: true, ..options(&address) };
        assert!(again(rounded).unwrap_err().contains("and they are not rounded"));
        let error = push(coarse.path(), (&address, &access()), rounded, &mut Watch::default());
        assert!(error.unwrap_err().to_string().contains("with vectors of 16 bits, not 8 bits"));
        let compression = Compression::Bits;
        let error = again(PushOptions { compression, ..options(&address) }).unwrap_err();
        let said = ["with the compression none, not bits", "does not compare compressed"];
        assert!(said.iter().any(|said| error.contains(said)), "{error}");
        assert_eq!(server.pages(), 12);
    }
}

#[test]
fn a_key_is_asked_for_and_given() {
    let folder = index();
    for server in Server::both() {
        match &server {
            Server::Qdrant(server) => server.with(|state| state.key = "secret".to_owned()),
            Server::Weaviate(server) => server.with(|state| state.key = "secret".to_owned()),
        }
        let error = remote(pushed(folder.path(), &server).unwrap_err());
        assert!(matches!(error, Error::Denied { .. }), "{error}");
        let address = server.address();
        let access = Access { key: Token::new("secret"), ..access() };
        assert!(!format!("{access:?}").contains("secret"));
        push(folder.path(), (&address, &access), options(&address), &mut Watch::default()).unwrap();
        let store = Remote::open(&address, &access).unwrap();
        assert!(!format!("{store:?}").contains("secret"));
        assert_eq!(store.count().unwrap(), 12);
    }
}

#[test]
fn what_was_taken_and_is_not_there_is_missed() {
    let folder = index();
    let [server, _] = Server::both();
    let Server::Qdrant(qdrant) = &server else { panic!() };
    pushed(folder.path(), &server).unwrap();
    qdrant.with(|state| state.forgets = true);
    document(folder.path(), &profile(), "/b.pdf", 2);
    let error = remote(pushed(folder.path(), &server).unwrap_err());
    assert!(matches!(&error, Error::Lost { missing: 2, page: 1 | 2, .. }), "{error}");
}

/// One that was ended between making the collection and saying what made it.
#[test]
fn a_collection_that_was_half_made_is_made() {
    let folder = index();
    let [server, _] = Server::both();
    let Server::Qdrant(qdrant) = &server else { panic!() };
    qdrant.fail(&vec![QdrantFault::Status(503, None); 3]);
    let error = remote(pushed(folder.path(), &server).unwrap_err());
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
    assert!(matches!(Remote::open(&server.address(), &access()), Err(Error::Missing { .. })));
    assert_eq!(pushed(folder.path(), &server).unwrap().sent, 12);
}

#[test]
fn more_is_asked_of_a_graph_than_is_wanted() {
    let folder = index();
    let [_, server] = Server::both();
    pushed(folder.path(), &server).unwrap();
    let Server::Weaviate(weaviate) = &server else { panic!() };
    weaviate.with(|state| state.limits.clear());
    let vectors = super::samples::noise(3, super::samples::DIM);
    let query = Query { vectors: Some(&vectors), limit: 5, ..Query::default() };
    assert_eq!(super::samples::found(&server.open(), &query).len(), 5);
    let query = Query { limit: 50, ..query };
    assert_eq!(super::samples::found(&server.open(), &query).len(), 12);
    assert_eq!(
        weaviate.with(|state| state
            .limits
            .iter()
            .copied()
            .filter(|l| *l >= 100)
            .collect::<Vec<_>>()),
        [100, 200]
    );
}

/// The usual patience is that of somebody who moves an index overnight.
#[test]
fn the_usual_patience_is_minutes() {
    let Patience { answer, attempts, longest_pause, .. } = Patience::default();
    assert!(answer >= Duration::from_secs(60) && attempts >= 5);
    assert!(longest_pause >= Duration::from_secs(30));
}
