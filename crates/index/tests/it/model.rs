//! An index against a map in memory, over sequences of what can be done with it.

use std::collections::BTreeMap;

use index::{Begun, CompactionLimits, Query, Writer};
use proptest::prelude::*;

use crate::samples::{DIM, Sample, document, open, profile};

#[derive(Clone, Debug)]
enum Step {
    /// Indexes a document, in so many commits.
    Put {
        path: u8,
        version: u64,
        pages: u32,
        commits: usize,
    },
    /// Begins one, writes its first pages and leaves it.
    Begin {
        path: u8,
        version: u64,
        pages: u32,
    },
    Remove {
        path: u8,
    },
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let path = 0_u8..4;
    prop_oneof![
        4 => (path.clone(), 0_u64..5, 0_u32..5, 1_usize..3)
            .prop_map(|(path, version, pages, commits)| Step::Put { path, version, pages, commits }),
        2 => (path.clone(), 0_u64..5, 1_u32..5)
            .prop_map(|(path, version, pages)| Step::Begin { path, version, pages }),
        2 => path.prop_map(|path| Step::Remove { path }),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// The pages of a version of a document.
fn content(path: u8, version: u64, pages: u32) -> Vec<Sample> {
    (1..=u64::from(pages))
        .map(|n| Sample::new(u64::from(path) * 1000 + version * 100 + n))
        .collect()
}

fn name(path: u8) -> String {
    format!("folder/{path}.pdf")
}

type Model = BTreeMap<String, (u64, Vec<Sample>)>;

/// Writes what is missing of a document, in commits of about the same size, or only the first.
fn put(
    writer: &mut Writer,
    path: u8,
    version: u64,
    samples: &[Sample],
    commits: usize,
    whole: bool,
) {
    let new = document(&name(path), version, samples.len() as u32);
    let Begun::Open { document, have } = writer.begin(&new).unwrap() else { return };
    let missing: Vec<_> = samples
        .iter()
        .zip(1..)
        .filter(|(_, number)| !have.contains(number))
        .map(|(sample, number)| sample.page(document, number))
        .collect();
    let size = missing.len().div_ceil(commits).max(1);
    let mut parts: Vec<_> = missing.chunks(size).collect();
    if !whole {
        // One page stays away.
        parts = vec![&missing[..missing.len().saturating_sub(1)]];
    } else if parts.is_empty() {
        parts = vec![&[]];
    }
    for (i, part) in parts.iter().enumerate() {
        let last = whole && i + 1 == parts.len();
        writer.commit(part, if last { std::slice::from_ref(&document) } else { &[] }).unwrap();
    }
}

/// Everything that can be found is what the map holds.
fn check(folder: &std::path::Path, model: &Model) {
    let index = open(folder);
    let documents = index.documents(None, 1000).unwrap();
    let mut paths: Vec<_> = documents.iter().map(|document| document.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, model.keys().cloned().collect::<Vec<_>>());
    for document in &documents {
        let (_, samples) = &model[&document.path];
        let pages = index.pages(document.document).unwrap();
        assert_eq!(pages.len(), samples.len());
        for (sample, (number, page)) in samples.iter().zip(pages) {
            assert_eq!(index.text(page).unwrap(), sample.text);
            let (vectors, grid) = index.vectors(page).unwrap();
            assert_eq!(grid, Some(sample.grid()));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.004;
            assert!(vectors.len() == sample.vectors.len());
            assert!(vectors.iter().zip(&sample.vectors).all(near), "page {number}");
            let word = format!("word{}", sample.seed);
            let query = Query { words: Some(&word), limit: 50, ..Query::default() };
            let hits = index.search(&query, &mut |_, _| ()).unwrap().hits;
            assert!(hits.iter().any(|hit| hit.page == page), "{word}: {hits:?}");
        }
    }
    let live: usize = model.values().map(|(_, samples)| samples.len()).sum();
    let vectors = Sample::new(3).vectors;
    let query = Query { vectors: Some(&vectors[..3 * DIM]), limit: 1000, ..Query::default() };
    assert_eq!(index.search(&query, &mut |_, _| ()).unwrap().hits.len(), live);
    let query = Query { words: Some("common"), limit: 1000, ..Query::default() };
    assert_eq!(index.search(&query, &mut |_, _| ()).unwrap().hits.len(), live);
    assert!(index.verify().unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn an_index_is_a_map(steps in prop::collection::vec(step(), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path(), &profile()).unwrap();
        let mut model = Model::new();
        let limits = CompactionLimits { fan: 2, live_percent: 90, ..CompactionLimits::default() };
        for step in steps {
            match step {
                Step::Put { path, version, pages, commits } => {
                    let samples = content(path, version, pages);
                    // The hash is of the content, which the number of pages is part of.
                    let version = version * 10 + u64::from(pages);
                    put(&mut writer, path, version, &samples, commits, true);
                    model.insert(name(path), (version, samples));
                }
                Step::Begin { path, version, pages } => {
                    let samples = content(path, version, pages);
                    let version = version * 10 + u64::from(pages);
                    put(&mut writer, path, version, &samples, 1, false);
                }
                Step::Remove { path } => {
                    let pages = model.remove(&name(path)).map_or(0, |(_, samples)| samples.len());
                    prop_assert_eq!(writer.remove(&name(path)).unwrap(), pages);
                }
                Step::Compact => {
                    let mut rounds = 0;
                    while writer.compact(&limits).unwrap().is_some() {
                        rounds += 1;
                        prop_assert!(rounds < 50);
                    }
                }
                Step::Reopen => {
                    drop(writer);
                    writer = Writer::open(folder.path(), &profile()).unwrap();
                }
            }
        }
        check(folder.path(), &model);
        // Nothing lies on the disk that no page needs.
        for path in 0..4 {
            writer.remove(&name(path)).unwrap();
        }
        let left = std::fs::read_dir(folder.path().join("segments")).unwrap().count();
        prop_assert_eq!(left, 0);
    }
}
