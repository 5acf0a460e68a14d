//! Processes that are killed while they write: nothing that was answered is lost, and the index opens.
//!
//! A few in the suite; `FOLIO_INDEX_KILLS=200 cargo test -p index --test it kills` for as many as are
//! wanted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use index::{Begun, CompactionLimits, Query, Writer};

use crate::processes::{child, told};
use crate::samples::{Sample, document, open, profile};

/// What a child does, again and again, each from the state that it finds: all of it follows from a number.
#[derive(Clone, Debug)]
enum Deed {
    Put { path: String, version: u64, pages: u64 },
    Remove { path: String },
    Compact,
}

fn deed(number: u64) -> Deed {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let path = format!("{}.pdf", mixed % 5);
    match mixed / 5 % 8 {
        0 => Deed::Remove { path },
        1 => Deed::Compact,
        _ => Deed::Put { path, version: number, pages: 1 + mixed / 40 % 5 },
    }
}

fn samples(version: u64, pages: u64) -> Vec<Sample> {
    (1..=pages).map(|page| Sample::new(version * 10 + page)).collect()
}

/// Does what its number says, and says so when it is done.
#[test]
#[ignore = "a part of the test below, in a process of its own"]
fn a_writer() {
    let Some((folder, first)) = told() else { return };
    let mut writer = Writer::create(&folder, &profile()).unwrap();
    let limits = CompactionLimits { fan: 3, live_percent: 80, ..CompactionLimits::default() };
    for number in first.. {
        match deed(number) {
            Deed::Put { path, version, pages } => {
                let new = document(&path, version, pages as u32);
                // The one before may have come to its end, and not to saying so.
                if let Begun::Open { document, have } = writer.begin(&new).unwrap() {
                    let samples = samples(version, pages);
                    let missing = samples.iter().zip(1..).filter(|(_, n)| !have.contains(n));
                    let missing: Vec<_> = missing.map(|(s, n)| s.page(document, n)).collect();
                    // In two commits, so that some are killed between them.
                    let (some, rest) = missing.split_at(missing.len() / 2);
                    writer.commit(some, &[]).unwrap();
                    writer.commit(rest, &[document]).unwrap();
                }
            }
            Deed::Remove { path } => drop(writer.remove(&path).unwrap()),
            Deed::Compact => while writer.compact(&limits).unwrap().is_some() {},
        }
        println!("\ndid {number}");
        std::io::stdout().flush().unwrap();
    }
}

type Model = BTreeMap<String, (u64, u64)>;

fn apply(model: &mut Model, deed: Deed) {
    match deed {
        Deed::Put { path, version, pages } => {
            model.insert(path, (version, pages));
        }
        Deed::Remove { path } => drop(model.remove(&path)),
        Deed::Compact => {}
    }
}

/// What the index holds, after everything of it was read and found sound.
fn held(folder: &Path) -> Model {
    let index = open(folder);
    assert!(index.verify().unwrap().is_empty());
    let mut model = Model::new();
    for document in index.documents(None, 1000).unwrap() {
        let version = u64::from_le_bytes(document.hash.0[..8].try_into().unwrap());
        let pages = index.pages(document.document).unwrap();
        assert_eq!(pages.len(), document.pages as usize);
        let samples = samples(version, pages.len() as u64);
        for (sample, (_, page)) in samples.iter().zip(&pages) {
            assert_eq!(index.text(*page).unwrap(), sample.text);
            let (vectors, grid) = index.vectors(*page).unwrap();
            assert_eq!(grid, Some(sample.grid()));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.004;
            assert_eq!(vectors.len(), sample.vectors.len());
            assert!(vectors.iter().zip(&sample.vectors).all(near), "{page}");
            let query = Query { vectors: Some(&sample.vectors), limit: 1000, ..Query::default() };
            let hits = index.search(&query, &mut |_, _| ()).unwrap().hits;
            assert!(hits.iter().any(|hit| hit.page == *page), "{page}");
        }
        model.insert(document.path, (version, pages.len() as u64));
    }
    model
}

#[test]
fn what_was_answered_survives() {
    let kills = std::env::var("FOLIO_INDEX_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (mut next, mut acknowledged) = (1, 0);
    let mut model = Model::new();
    for kill in 0..kills {
        let mut writer = child("kills::a_writer", folder.path(), next);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut take = |line: String| {
            let Some(number) = line.strip_prefix("did ") else { return };
            assert_eq!(number.parse(), Ok(next));
            apply(&mut model, deed(next));
            next += 1;
            acknowledged += 1;
        };
        // It has begun; then it lives for a while that is another each time.
        for line in lines.by_ref() {
            let line = line.unwrap();
            let began = line.starts_with("did ");
            take(line);
            if began {
                break;
            }
        }
        thread::sleep(Duration::from_micros(kill * 7919 % 40_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        lines.for_each(|line| take(line.unwrap()));
        // What it had answered is there, and what it was about to do is there wholly or not at all.
        let held = held(folder.path());
        let mut ahead = model.clone();
        apply(&mut ahead, deed(next));
        assert!(held == model || held == ahead, "{held:?}\n{model:?}\n{:?}", deed(next));
        if held == ahead {
            model = ahead;
        }
    }
    assert!(acknowledged >= kills, "{acknowledged}");
    // And the last writer finds an index that it can go on with.
    drop(Writer::open(folder.path(), &profile()).unwrap());
    assert_eq!(held(folder.path()), model);
}
