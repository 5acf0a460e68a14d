//! The same against servers that a user has:
//!
//! ```sh
//! QDRANT_URL=qdrant://127.0.0.1:6333 cargo test -p manager --test it -- --ignored live_qdrant
//! WEAVIATE_URL=weaviate://127.0.0.1:8080 cargo test -p manager --test it -- --ignored live_weaviate
//! ```
//!
//! A key is read from `QDRANT_API_KEY` or `WEAVIATE_API_KEY`. The collection `FolioLiveTest` is made, and its pages are taken
//! away in the end.

use manager::find::index::{Filter, Query};
use manager::find::remote::{Access, Address, Remote};
use manager::find::{Store as _, push};

use super::samples::{DIM, Server, Watch, document, found, noise, open, options, profile, truth};

/// What any server must do.
fn keeps_its_word(address: &Address, access: &Access) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    document(path, &profile(), "/live/a.pdf", 120);
    document(path, &profile(), "/live/b.pdf", 80);
    let go = || push(path, (address, access), options(address), &mut Watch::default()).unwrap();
    let totals = go();
    assert_eq!((totals.sent + totals.there, totals.refused), (200, 0));
    let index = open(path, &profile());
    let remote = Remote::open(address, access).unwrap();
    // The best hundred by the same vectors, compared one by one.
    for seed in 0..5 {
        let vectors = noise(1000 + seed, 8 * DIM);
        let query = Query { vectors: Some(&vectors), limit: 100, ..Query::default() };
        let (there, here) = (found(&remote, &query), truth(&index, &vectors, &Filter::default()));
        let same = there.iter().filter(|hit| here[..100].contains(hit)).count();
        assert!(there.len() == 100 && same >= 95, "{same} of {}", there.len());
    }
    let few = Filter { pages: Some((3, 5)), ..Filter::default() };
    let query = Query { words: Some("common"), filter: few, limit: 50, ..Query::default() };
    assert_eq!(found(&remote, &query).len(), 6);
    // Again, and nothing happens.
    let totals = go();
    assert_eq!((totals.sent, totals.there, totals.deleted), (0, 200, 0));
    assert_eq!(remote.remove("/live/a.pdf").unwrap(), 120);
    let totals = go();
    assert_eq!((totals.sent, totals.there), (120, 80));
    for path in ["/live/a.pdf", "/live/b.pdf"] {
        remote.remove(path).unwrap();
    }
    assert_eq!(remote.count().unwrap(), 0);
}

fn live(variable: &str) {
    let base = std::env::var(variable).unwrap_or_else(|_| panic!("set {variable}"));
    let (base, query) = base.split_once('?').map_or((base.as_str(), None), |(a, b)| (a, Some(b)));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let text = format!("{}/FolioLiveTest{query}", base.trim_end_matches('/'));
    let address = Address::read(&text).unwrap();
    keeps_its_word(&address, &Access::of(&address, None).unwrap());
}

#[test]
#[ignore = "asks the server that QDRANT_URL names"]
fn live_qdrant() {
    live("QDRANT_URL");
}

#[test]
#[ignore = "asks the server that WEAVIATE_URL names"]
fn live_weaviate() {
    live("WEAVIATE_URL");
}

/// So that what is asked of real servers is known to be possible.
#[test]
fn the_stand_ins_keep_their_word() {
    for server in Server::both() {
        keeps_its_word(&server.address(), &super::samples::access());
    }
}
