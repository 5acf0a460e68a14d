//! Several processes at one index: two read while one writes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use index::{Query, Writer};

use crate::samples::{Sample, open, profile, put};

/// Another process that runs one of this binary's tests, which does nothing unless it is told a folder.
pub(crate) fn child(test: &str, folder: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("FOLIO_INDEX_TEST", folder)
        .env("FOLIO_INDEX_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The folder and the seed that a child was told.
pub(crate) fn told() -> Option<(std::path::PathBuf, u64)> {
    let folder = std::env::var_os("FOLIO_INDEX_TEST")?;
    Some((folder.into(), std::env::var("FOLIO_INDEX_SEED").ok()?.parse().ok()?))
}

/// How many documents the writer brings, of two pages each, and takes away again.
const ROUNDS: u64 = 40;

#[test]
fn two_read_while_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &profile()).unwrap();
    put(&mut writer, "rock", 1, &[Sample::new(1), Sample::new(2)]);
    let mut readers: Vec<_> =
        (0..2).map(|seed| child("processes::a_reader", folder.path(), seed)).collect();
    let mut outputs: Vec<_> = readers
        .iter_mut()
        .map(|reader| BufReader::new(reader.stdout.take().unwrap()).lines())
        .collect();
    // Both are reading.
    for output in &mut outputs {
        assert!(output.by_ref().any(|line| line.unwrap().contains("reading")));
    }
    for round in 1..=ROUNDS {
        let samples = [Sample::new(round * 10), Sample::new(round * 10 + 1)];
        put(&mut writer, "sand", round, &samples);
        let limits = index::CompactionLimits { fan: 2, ..Default::default() };
        writer.compact(&limits).unwrap();
        if round % 5 == 0 {
            writer.remove("sand").unwrap();
        }
    }
    put(&mut writer, "end", 1, &[Sample::new(9)]);
    for (reader, output) in readers.iter_mut().zip(outputs) {
        let rest: Vec<String> = output.map(Result::unwrap).collect();
        assert!(reader.wait().unwrap().success(), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("done")), "{rest:?}");
    }
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn a_reader() {
    let Some((folder, _)) = told() else { return };
    println!("\nreading");
    let index = open(&folder);
    let sample = Sample::new(2);
    loop {
        let query = Query { vectors: Some(&sample.vectors), limit: 50, ..Query::default() };
        let hits = index.search(&query, &mut |_, _| ()).unwrap().hits;
        // What is not touched is always found, and a document has both of its pages or none.
        assert_eq!((hits[0].path.as_str(), hits[0].number), ("rock", 2));
        let count = |path: &str| hits.iter().filter(|hit| hit.path == path).count();
        assert_eq!(count("rock"), 2);
        assert!([0, 2].contains(&count("sand")), "{hits:?}");
        if count("end") == 1 {
            println!("\ndone");
            return;
        }
    }
}
