//! Moving an index, and finding there what is found here.

use std::fs;

use manager::find::Store;
use manager::find::index::{
    Candidates, DocumentId, Filter, Limits, Place, Profile, Query, Route, Stage, Writer,
};

use super::samples::{
    DENSE, DIM, Server, Watch, document, document_of, failed, found, noise, open, profile, pushed,
    pushed_with, truth,
};

#[test]
fn what_is_found_here_is_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    document_of(path, &profile(), ("/papers/a.pdf", Some("contracts")), 60);
    document(path, &profile(), "/papers/old/b.pdf", 50);
    document(path, &profile(), "/letters/c.pdf", 20);
    failed(path, &profile(), "/letters/torn.pdf");
    let index = open(path, &profile());
    for server in Server::both() {
        let totals = pushed(path, &server).unwrap();
        assert_eq!((totals.sent, totals.there, totals.refused, server.pages()), (131, 0, 0, 131));
        let remote = server.open();
        let local: &dyn Store = &index;
        assert_eq!(remote.count().unwrap(), 131);
        assert_eq!(remote.profile(), &Profile { halves: false, ..profile() });

        // By looks, exactly what the same vectors give.
        let vectors = noise(77, 5 * DIM);
        for pages in [None, Some((3, 9))] {
            let filter = Filter { pages, ..Filter::default() };
            let query = Query {
                words: Some("café"),
                vectors: Some(&vectors),
                filter: filter.clone(),
                limit: 20,
                ..Query::default()
            };
            let (expected, hits) = (truth(&index, &vectors, &filter), found(&remote, &query));
            assert_eq!(hits, expected[..hits.len()]);
            assert_eq!(hits.len(), 20.min(expected.len()));
            // What 8 bits find is nearly the same.
            let here = found(local, &query);
            assert!(here.iter().filter(|hit| hits.contains(hit)).count() * 20 >= 19 * hits.len());
        }

        // By words, weights and meaning, each alone and fused.
        let (dense, sparse) = (noise(78, DENSE), [(7, 1.0), (999, 0.5)]);
        let words = Query { words: Some("Café word7 nothing"), limit: 9, ..Query::default() };
        assert_eq!(found(&remote, &words)[..3].iter().filter(|(_, page)| *page == 7).count(), 3);
        let by_dense = Query { dense: Some(&dense), limit: 30, ..Query::default() };
        assert_eq!(found(&remote, &by_dense), found(local, &by_dense));
        if matches!(server, Server::Qdrant(_)) {
            let by_weight = Query { sparse: Some(&sparse), limit: 3, ..Query::default() };
            let mut there = found(&remote, &by_weight);
            let mut here = found(local, &by_weight);
            there.sort();
            here.sort();
            assert_eq!(there, here);
        }
        let mut stages = Vec::new();
        let fused = Query { dense: Some(&dense), sparse: Some(&sparse), ..words.clone() };
        let answer = remote.search(&fused, &mut |stage, _| stages.push(stage)).unwrap();
        assert_eq!((answer.route, answer.pages, answer.hits.len()), (Route::Lists, 131, 9));
        let sparse_stage = matches!(server, Server::Qdrant(_)).then_some(Stage::Sparse);
        let expected = [Stage::Filter, Stage::Words].into_iter().chain(sparse_stage);
        let expected = expected.chain([Stage::Dense, Stage::Fuse, Stage::Describe]);
        assert_eq!(stages, expected.collect::<Vec<_>>());
        let k = Limits::default().k;
        assert!(answer.hits[0].score <= 3.0 / (k + 1.0) && answer.hits[0].score > 1.0 / (k + 9.0));

        // What lists find, by looks.
        let chained = Query {
            words: Some("word7"),
            vectors: Some(&vectors),
            candidates: Candidates::Fused,
            limit: 9,
            ..Query::default()
        };
        let answer = remote.search(&chained, &mut |_, _| ()).unwrap();
        assert_eq!(answer.route, Route::ListsThenExact);
        let order = truth(&index, &vectors, &Filter::default());
        let expected: Vec<_> = order.into_iter().filter(|(_, page)| *page == 7).collect();
        let hits: Vec<_> = answer.hits.iter().map(|hit| (hit.path.clone(), hit.number)).collect();
        assert_eq!((hits.len(), &hits), (3, &expected));

        // A hit is described as here.
        let hit = &answer.hits[0];
        let snippet = &hit.snippet;
        let marked: Vec<_> = snippet.marks.iter().map(|mark| &snippet.text[mark.clone()]).collect();
        assert_eq!(marked, ["word7"]);
        assert!(remote.text(hit.page).unwrap().starts_with("The café of page word7 is common"));
        let preview = remote.preview(hit.page).unwrap();
        assert_eq!(preview, Some(("image/webp".to_owned(), b"small".to_vec())));
        let there = remote.places(hit.page, &vectors).unwrap().unwrap();
        let here = local.search(&chained, &mut |_, _| ()).unwrap();
        let same = here.hits.iter().find(|of| of.path == hit.path).unwrap();
        let here = Store::places(local, same.page, &vectors).unwrap().unwrap();
        assert_eq!((there.height, there.width), (here.height, here.width));
        for (there, here) in there.products.iter().zip(&here.products) {
            assert!((there - here).abs() < 0.05, "{there} {here}");
        }

        // Documents, with what is known of them and what failed.
        let (mut there, mut here) = (remote.documents().unwrap(), local.documents().unwrap());
        for documents in [&mut there, &mut here] {
            documents.sort_by(|a, b| a.path.cmp(&b.path));
            for of in documents.iter_mut() {
                of.document = DocumentId(0);
            }
        }
        assert_eq!(there, here);
    }
}

#[test]
fn filters_mean_the_same_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let words = Profile::default();
    document_of(path, &words, ("/papers/a.pdf", Some("contracts")), 3);
    document_of(path, &words, ("/papers/old/b.pdf", Some("letters")), 4);
    document(path, &words, "/papers-2/c.pdf", 5);
    failed(path, &words, "/papers/torn.pdf");
    let index = open(path, &words);
    let date = |text: &str| text.parse().ok();
    let at = |place: Place| Filter { place: Some(place), ..Filter::default() };
    let filters = [
        Filter::default(),
        at(Place::At("/papers/a.pdf".to_owned())),
        at(Place::At("/papers".to_owned())),
        at(Place::Below("/papers/".to_owned())),
        at(Place::Like("*/[bc].pdf".to_owned())),
        at(Place::Like("*/nothing*".to_owned())),
        at(Place::Named("[ab]*".to_owned())),
        at(Place::Named("papers*".to_owned())),
        Filter { from: date("2024-05-05"), ..Filter::default() },
        Filter { to: date("2024-05-05"), ..Filter::default() },
        Filter { categories: vec!["letters".into(), "contracts".into()], ..Filter::default() },
        Filter { pages: Some((2, 3)), ..Filter::default() },
        Filter { pages: Some((4, u32::MAX)), ..Filter::default() },
        Filter { metadata: vec![("title".into(), "About 4".into())], ..Filter::default() },
        Filter {
            place: Some(Place::Below("/papers".to_owned())),
            from: date("2024-05-01"),
            to: date("2024-05-30"),
            categories: vec!["letters".into()],
            pages: Some((2, 9)),
            metadata: vec![("title".into(), "About 4".into())],
        },
    ];
    for server in Server::both() {
        assert_eq!(pushed(path, &server).unwrap().sent, 13);
        let remote = server.open();
        for filter in &filters {
            let query = Query {
                words: Some("common"),
                filter: filter.clone(),
                limit: 50,
                ..Query::default()
            };
            let mut answers = [&index as &dyn Store, &remote].map(|store| {
                let answer = store.search(&query, &mut |_, _| ()).unwrap();
                let mut hits: Vec<_> =
                    answer.hits.into_iter().map(|hit| (hit.path, hit.number)).collect();
                hits.sort();
                (answer.pages, hits)
            });
            let there = answers[1].clone();
            assert_eq!(&mut answers[0], &there, "{filter:?}");
        }
        // What is not of this collection is refused as here.
        let vectors = noise(1, DIM);
        for query in [
            Query { vectors: Some(&vectors), limit: 1, ..Query::default() },
            Query { limit: 1, ..Query::default() },
            Query { words: Some("a"), limit: 1001, ..Query::default() },
        ] {
            let errors = [&index as &dyn Store, &remote]
                .map(|store| store.search(&query, &mut |_, _| ()).unwrap_err().to_string());
            assert_eq!(errors[0], errors[1]);
        }
    }
}

#[test]
fn what_is_there_is_left_alone_and_what_is_gone_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    document(path, &profile(), "/a.pdf", 6);
    document(path, &profile(), "/b.pdf", 5);
    let other = tempfile::tempdir().unwrap();
    document(other.path(), &profile(), "/other.pdf", 3);
    for server in Server::both() {
        assert_eq!(pushed(path, &server).unwrap().sent, 11);
        let puts = server.puts();
        let totals = pushed(path, &server).unwrap();
        assert_eq!((totals.sent, totals.there, totals.deleted, totals.others), (0, 11, 0, 0));
        assert_eq!(server.puts(), puts);
        // Another index in the same collection: neither takes away what is the other's.
        let totals = pushed(other.path(), &server).unwrap();
        assert_eq!((totals.sent, totals.deleted, totals.others), (3, 0, 11));

        // Another version of one, another kind of the other.
        document(path, &profile(), "/a.pdf", 4);
        document_of(path, &profile(), ("/b.pdf", Some("letters")), 5);
        let totals = pushed(path, &server).unwrap();
        assert_eq!((totals.sent, totals.there, totals.deleted, totals.others), (9, 0, 6, 3));
        assert_eq!(server.pages(), 12);
        let remote = server.open();
        let kind = Filter { categories: vec!["letters".into()], ..Filter::default() };
        let query = Query { words: Some("common"), filter: kind, limit: 50, ..Query::default() };
        assert_eq!(found(&remote, &query).len(), 5);

        // Taken out there, and here.
        assert_eq!(remote.remove("/b.pdf").unwrap(), 5);
        assert_eq!((remote.remove("/b.pdf").unwrap(), server.pages()), (0, 7));
        assert_eq!(Store::remove(&open(path, &profile()), "/b.pdf").unwrap(), 5);
        let totals = pushed(path, &server).unwrap();
        assert_eq!((totals.sent, totals.there, totals.deleted), (0, 4, 0));
        // As it was before the next server.
        Writer::open(path, &profile()).unwrap().remove("/a.pdf").unwrap();
        document(path, &profile(), "/a.pdf", 6);
        document(path, &profile(), "/b.pdf", 5);
    }
}

#[test]
fn a_move_that_was_ended_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    document(folder.path(), &profile(), "/a.pdf", 250);
    for server in Server::both() {
        let mut watch = Watch { stop_after: Some(1), ..Watch::default() };
        let error = pushed_with(folder.path(), &server, &mut watch).unwrap_err();
        assert!(matches!(error, manager::find::Error::Stopped), "{error}");
        let there = server.pages();
        assert!((1..250).contains(&there), "{there}");
        let mut watch = Watch::default();
        let totals = pushed_with(folder.path(), &server, &mut watch).unwrap();
        assert_eq!((totals.sent, totals.there), (250 - there, there));
        assert_eq!(watch.begun, Some((250 - there, there)));
        assert_eq!(server.pages(), 250);
    }
}

#[test]
fn without_halves_codes_are_moved_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let profile = Profile { halves: false, ..profile() };
    document(path, &profile, "/a.pdf", 30);
    let index = open(path, &profile);
    for server in Server::both() {
        let error = pushed(path, &server).unwrap_err();
        assert!(error.hint().unwrap().contains("--rounded"), "{error}");
        // Nothing was made.
        assert!(
            manager::find::remote::Remote::open(&server.address(), &super::samples::access())
                .is_err()
        );
        let address = server.address();
        let options =
            manager::find::PushOptions { rounded: true, ..super::samples::options(&address) };
        let access = super::samples::access();
        let totals =
            manager::find::push(path, (&address, &access), options, &mut Watch::default()).unwrap();
        assert_eq!(totals.sent, 30);
        let vectors = noise(5, 3 * DIM);
        let query = Query { vectors: Some(&vectors), limit: 30, ..Query::default() };
        let hits = found(&server.open(), &query);
        assert_eq!(hits, truth(&index, &vectors, &Filter::default()));
    }
    // The folder itself was not changed by being read.
    assert!(fs::exists(path.join("index.sqlite")).unwrap());
}
