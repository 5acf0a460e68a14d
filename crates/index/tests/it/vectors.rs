//! Vectors: what is found by them, which way, and where on the page.

use index::{
    Candidates, Encoder, Error, Filter, Index, Limits, NewPage, PageVectors, Place, Profile, Query,
    Route, Stage, Writer,
};
use kernels::late_interaction::{self, Layout, Packed, similarities};

use crate::samples::{DIM, Sample, bare, begin, cpu, document, encoder, noise, open, profile, put};

/// Paths and numbers of hits, the way that was gone, and its stages.
type Searched = (Vec<(String, u32)>, Route, Vec<(Stage, usize)>);

fn searched(index: &Index, query: &Query<'_>) -> Searched {
    let mut stages = Vec::new();
    let answer = index.search(query, &mut |stage, count| stages.push((stage, count))).unwrap();
    let hits = answer.hits.into_iter().map(|hit| (hit.path, hit.number)).collect();
    (hits, answer.route, stages)
}

fn samples(count: u64) -> Vec<Sample> {
    (1..=count).map(Sample::new).collect()
}

/// The pages of samples, best first, by the plain sum of greatest products.
fn truth(samples: &[Sample], query: &[f32]) -> Vec<u32> {
    let layout = Layout::new(DIM).unwrap();
    let query = late_interaction::Query::new(layout, query);
    let score = |sample: &Sample| {
        let packed = Packed::new(layout, &sample.vectors);
        let count = sample.vectors.len() / DIM;
        let all = similarities(&query, &packed.page(), count);
        let greatest = |row: &[f32]| row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        all.chunks(count).map(greatest).fold(0.0, |sum, x| sum + x)
    };
    let mut ranked: Vec<_> = samples.iter().zip(1..).map(|(s, n)| (score(s), n)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().map(|(_, number)| number).collect()
}

#[test]
fn exact_search_is_the_sum_of_the_greatest_products() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(150);
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    // In several segments, whose pages alternate.
    let id = begin(&mut writer, &document("a", 1, 150));
    for offset in 0..3 {
        let part = samples.iter().zip(1..).skip(offset).step_by(3);
        let pages: Vec<_> = part.map(|(sample, number)| sample.page(id, number)).collect();
        let finished = [id];
        writer.commit(&pages, if offset == 2 { &finished } else { &[] }).unwrap();
    }
    let index = open(folder.path());
    for seed in 1000..1005 {
        let vectors = noise(seed, 5 * DIM);
        let query = Query { vectors: Some(&vectors), limit: 20, ..Query::default() };
        let (hits, route, stages) = searched(&index, &query);
        let expected: Vec<_> = truth(&samples, &vectors)[..20]
            .iter()
            .map(|&number| ("a".to_owned(), number))
            .collect();
        assert_eq!(hits, expected);
        assert_eq!(route, Route::Exact);
        let expected = [(Stage::Filter, 150), (Stage::Exact, 20), (Stage::Describe, 20)];
        assert_eq!(stages, expected);
    }
    // A page finds itself first.
    let query = Query { vectors: Some(&samples[77].vectors), limit: 1, ..Query::default() };
    assert_eq!(searched(&index, &query).0, [("a".to_owned(), 78)]);
}

#[test]
fn signs_choose_among_many_and_exact_products_rank() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(100);
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    put(&mut writer, "a", 1, &samples);
    let limits = Limits { exact_pages: 99, kept_by_signs: 30, ..Limits::default() };
    let index = Index::open(folder.path(), &profile(), cpu(), limits).unwrap();
    let vectors = &samples[41].vectors;
    let query = Query { vectors: Some(vectors), limit: 10, ..Query::default() };
    let (hits, route, stages) = searched(&index, &query);
    assert_eq!((&hits[0], route), (&("a".to_owned(), 42), Route::SignsThenExact));
    assert_eq!(stages[1], (Stage::Signs, 30));
    // What signs kept is in the order of exact products.
    let order = truth(&samples, vectors);
    let rank = |hit: &(String, u32)| order.iter().position(|&number| number == hit.1).unwrap();
    assert!(hits.is_sorted_by_key(rank), "{hits:?}");
    // As many as are asked for are kept, and then nothing is lost.
    let query = Query { vectors: Some(vectors), limit: 100, ..Query::default() };
    let numbers: Vec<u32> = searched(&index, &query).0.into_iter().map(|hit| hit.1).collect();
    assert_eq!(numbers, order);
    // What a filter leaves decides, and not what there is.
    let filter = Filter { pages: Some((1, 50)), ..Filter::default() };
    let query = Query { vectors: Some(vectors), limit: 10, filter, ..Query::default() };
    let (hits, route, _) = searched(&index, &query);
    assert_eq!((&hits[0], route), (&("a".to_owned(), 42), Route::Exact));
    assert!(hits.iter().all(|hit| hit.1 <= 50));
}

#[test]
fn words_choose_and_products_rank() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(40);
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    put(&mut writer, "a", 1, &samples);
    let index = open(folder.path());
    let query = Query {
        words: Some("word3 word9"),
        vectors: Some(&samples[8].vectors),
        candidates: Candidates::Fused,
        limit: 10,
        ..Query::default()
    };
    let (hits, route, stages) = searched(&index, &query);
    assert_eq!(route, Route::ListsThenExact);
    assert_eq!(hits, [("a".to_owned(), 9), ("a".to_owned(), 3)]);
    let stages: Vec<_> = stages.into_iter().map(|(stage, _)| stage).collect();
    assert_eq!(stages, [Stage::Filter, Stage::Words, Stage::Exact, Stage::Describe]);
}

#[test]
fn places_are_the_grid_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(3);
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    let id = put(&mut writer, "a", 1, &samples);
    let index = open(folder.path());
    let (sample, page) = (&samples[1], index.pages(id).unwrap()[1].1);
    // The query is one of the page's places: that is where it fits best.
    let (row, column) = (1, 2);
    let grid = sample.grid();
    let place = grid.start as usize + row * usize::from(grid.width) + column;
    let vector = &sample.vectors[place * DIM..(place + 1) * DIM];
    let query = [vector, &sample.vectors[..DIM]].concat();
    let places = index.places(page, &query).unwrap();
    assert_eq!((places.height, places.width), (2, usize::from(grid.width)));
    let size = places.height * places.width;
    assert_eq!(places.products.len(), 2 * size);
    let best =
        (0..size).max_by(|a, b| places.products[*a].total_cmp(&places.products[*b])).unwrap();
    assert_eq!((best / places.width, best % places.width), (row, column));
    let square: f32 = vector.iter().map(|x| x * x).sum();
    assert!((places.products[best] - square).abs() < 0.05 * square, "{places:?} {square}");
    let wrong = index.places(page, &query[1..]);
    assert!(matches!(wrong, Err(Error::Vectors { .. })), "{wrong:?}");
    assert!(matches!(index.places(index::PageId(99), &query), Err(Error::NoPage { .. })));
}

#[test]
fn vectors_come_back_as_they_were_kept() {
    for halves in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile { halves, ..profile() };
        let sample = Sample::new(16);
        let mut writer = Writer::create(folder.path(), &profile).unwrap();
        let id = put(&mut writer, "a", 1, std::slice::from_ref(&sample));
        // The same again, as another document's.
        let other = begin(&mut writer, &document("b", 1, 1));
        let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
        let page = index.pages(id).unwrap()[0].1;
        let same = NewPage { vectors: Some(PageVectors::SameAs(page)), ..bare(other, 1, "") };
        writer.commit(&[same], &[other]).unwrap();
        let copy = index.pages(other).unwrap()[0].1;
        let (vectors, grid) = index.vectors(page).unwrap();
        assert_eq!(index.vectors(copy).unwrap(), (vectors.clone(), grid));
        assert_eq!(grid, Some(sample.grid()));
        let furthest = vectors.iter().zip(&sample.vectors).map(|(a, b)| (a - b).abs());
        let furthest = furthest.fold(0.0, f32::max);
        let allowed = if halves { 1.0 / 2048.0 } else { 0.5 / 127.0 };
        assert!(furthest > 0.0 && furthest <= allowed * 1.001, "{furthest}");
    }
}

/// A page without vectors is found by its words, and not compared.
#[test]
fn pages_that_failed_are_reported_and_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    let id = begin(&mut writer, &document("a", 1, 2));
    let sample = Sample::new(1);
    let failed = NewPage { failure: Some("torn in half"), ..bare(id, 2, "rest") };
    writer.commit(&[sample.page(id, 1), failed], &[id]).unwrap();
    let index = open(folder.path());
    let query = Query { vectors: Some(&sample.vectors), limit: 10, ..Query::default() };
    assert_eq!(searched(&index, &query).0, [("a".to_owned(), 1)]);
    let query = Query { words: Some("rest"), limit: 10, ..Query::default() };
    assert_eq!(searched(&index, &query).0, [("a".to_owned(), 2)]);
    let documents = index.documents(None, 10).unwrap();
    assert_eq!(documents[0].failures, [(2, "torn in half".to_owned())]);
    let page = index.pages(id).unwrap()[1].1;
    assert!(matches!(index.places(page, &[1.0; DIM]), Err(Error::Bare { .. })));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Writer::create(folder.path(), &profile()).unwrap());
    let index = open(folder.path());
    let search = |query: &Query<'_>| index.search(query, &mut |_, _| ()).unwrap_err();
    let vectors = |vectors| Query { vectors: Some(vectors), limit: 1, ..Query::default() };
    assert!(matches!(search(&Query::default()), Error::Value { what: "query", .. }));
    for wrong in [&[][..], &[1.0; 7], &[0.0; 8], &[f32::NAN; 8]] {
        assert!(matches!(search(&vectors(wrong)), Error::Vectors { .. }), "{wrong:?}");
    }
    let many = Query { words: Some("x"), limit: 1001, ..Query::default() };
    assert!(matches!(search(&many), Error::Value { what: "number of hits", .. }));
    let dense = Query { dense: Some(&[1.0]), limit: 1, ..Query::default() };
    assert!(matches!(search(&dense), Error::Representation { wanted: false, .. }));
    let sparse = Query { sparse: Some(&[(1, 1.0)]), limit: 1, ..Query::default() };
    assert!(matches!(search(&sparse), Error::Representation { wanted: false, .. }));
}

/// Widths that are no multiple of anything, and the widest.
#[test]
fn every_dimension_is_kept() {
    for dim in [1, 63, 130, 4096] {
        let folder = tempfile::tempdir().unwrap();
        let made = Encoder { dim: dim as u32, ..encoder(DIM) };
        let profile = Profile { vectors: Some(made), ..Profile::default() };
        let mut writer = Writer::create(folder.path(), &profile).unwrap();
        let id = begin(&mut writer, &document("a", 1, 3));
        let numbers: Vec<_> = (0..3).map(|seed| noise(seed + 5, 19 * dim)).collect();
        let pages: Vec<_> = numbers
            .iter()
            .zip(1..)
            .map(|(vectors, number)| NewPage {
                vectors: Some(PageVectors::New { vectors, grid: None }),
                ..bare(id, number, "")
            })
            .collect();
        writer.commit(&pages, &[id]).unwrap();
        let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
        let query = Query { vectors: Some(&numbers[2]), limit: 3, ..Query::default() };
        let found = searched(&index, &query).0;
        assert_eq!(found.len(), 3);
        assert!(dim == 1 || found[0].1 == 3, "{dim}: {found:?}");
        let filter = Filter { place: Some(Place::At("b".into())), ..Filter::default() };
        assert_eq!(searched(&index, &Query { filter, ..query }).0, []);
    }
}
