//! How much of what exact products rank first signs let through, of pages that are made up: what real
//! pages lose is for their vectors to say.

use std::collections::BTreeSet;

use index::{Encoder, Index, Limits, NewPage, PageVectors, Profile, Query, Route, Writer};

use crate::samples::{DIM, bare, begin, cpu, document, encoder, noise};

const WIDTH: usize = 64;
const PAGES: u32 = 600;
const VECTORS: usize = 24;
const TOPICS: u64 = 40;

/// Vectors of length 1 around some topics, of which each page has a few.
fn vectors(seed: u64, count: usize, strength: f32) -> Vec<f32> {
    let mut all = Vec::with_capacity(count * WIDTH);
    for i in 0..count as u64 {
        let topic = noise((seed * 5 + i % 4) % TOPICS + 900, WIDTH);
        let own = noise(seed * 1009 + i, WIDTH);
        let sum: Vec<f32> = topic.iter().zip(own).map(|(t, o)| t + strength * o).collect();
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        all.extend(sum.iter().map(|x| x / length));
    }
    all
}

#[test]
fn signs_let_the_best_through() {
    let folder = tempfile::tempdir().unwrap();
    let made = Encoder { dim: WIDTH as u32, ..encoder(DIM) };
    let profile = Profile { vectors: Some(made), ..Profile::default() };
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let id = begin(&mut writer, &document("a", 1, PAGES));
    let numbers: Vec<_> = (0..PAGES).map(|page| vectors(page.into(), VECTORS, 1.0)).collect();
    let pages: Vec<_> = numbers
        .iter()
        .zip(1..)
        .map(|(vectors, number)| NewPage {
            vectors: Some(PageVectors::New { vectors, grid: None }),
            ..bare(id, number, "")
        })
        .collect();
    writer.commit(&pages, &[id]).unwrap();
    let open = |limits| Index::open(folder.path(), &profile, cpu(), limits).unwrap();
    let exact = open(Limits::default());
    let queries: Vec<Vec<f32>> = (0..20)
        .map(|seed| {
            // Like a page, and unlike it by as much again.
            let own = &numbers[seed * 17][..8 * WIDTH];
            own.iter().zip(noise(seed as u64 + 7, 8 * WIDTH)).map(|(x, n)| x + 0.15 * n).collect()
        })
        .collect();
    let ask = |index: &Index, vectors: &[f32]| {
        let query = Query { vectors: Some(vectors), limit: 10, ..Query::default() };
        let answer = index.search(&query, &mut |_, _| ()).unwrap();
        let hits: BTreeSet<u32> = answer.hits.iter().map(|hit| hit.number).collect();
        (answer.route, hits)
    };
    for (kept_by_signs, percent) in [(50, 80), (100, 95), (200, 98)] {
        let coarse = open(Limits { exact_pages: 0, kept_by_signs, ..Limits::default() });
        let (mut found, mut wanted) = (0, 0);
        for (vectors, page) in queries.iter().zip((1..).step_by(17)) {
            let ((_, truth), (route, hits)) = (ask(&exact, vectors), ask(&coarse, vectors));
            assert_eq!(route, Route::SignsThenExact);
            assert!(hits.contains(&page), "{page}: {hits:?}");
            found += truth.intersection(&hits).count();
            wanted += truth.len();
        }
        println!("{kept_by_signs} of {PAGES} kept: {found} of {wanted} found");
        assert!(found * 100 >= wanted * percent, "{kept_by_signs}: {found} of {wanted}");
    }
}
