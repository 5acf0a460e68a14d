//! Files that ask for more than a page should, drawn by a worker: the page fails, nothing else does.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use documents::pipeline::{Parse, Raster, Render};
use documents::worker::Worker;
use documents::{Error, Limits, OpenFailure, Source};
use testkit::hostile::{self, End};
use testkit::pdf::{Pdf, text};

/// Little, so that nothing takes long; a page that fails with more fails with less.
fn limits() -> Limits {
    Limits {
        open_time: Duration::from_secs(20),
        page_time: Duration::from_secs(2),
        memory_bytes: 512 << 20,
        operators_per_page: 500_000,
        content_bytes_per_page: 32 << 20,
        ..Limits::default()
    }
}

#[test]
fn no_file_ends_hangs_or_bloats_more_than_its_own_page() {
    let files = hostile::files();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let start = || Command::new(env!("CARGO_BIN_EXE_documents-worker"));
                let mut worker = Worker::new(start, limits());
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    besiege(&mut worker, file);
                }
            });
        }
    });
}

/// Opens a file, lays its first page out and draws it, and then does the same with one that is harmless.
fn besiege(worker: &mut Worker, file: &hostile::Hostile) {
    let name = file.name;
    let begin = Instant::now();
    let source = |bytes: &[u8]| Source { name: name.to_owned(), bytes: bytes.to_vec() };
    match worker.open(source(&file.bytes), &[]) {
        Ok(_) => {
            if let Err(failure) = worker.page(0) {
                assert!(!failure.to_string().is_empty());
            }
            let drawn = worker.render(0, Raster { longest: 1288 });
            match &drawn {
                Ok(picture) => assert_eq!(picture.width.max(picture.height), 1288, "{name}"),
                Err(failure) => assert!(!failure.to_string().is_empty()),
            }
            // Only Linux enforces the limit of memory; elsewhere the parent looks now and then.
            let must_fail = file.drawing == End::Failed && cfg!(target_os = "linux");
            assert!(!must_fail || drawn.is_err(), "{name}");
        }
        Err(Error::Open { failure, .. }) => {
            assert_ne!(failure, OpenFailure::PasswordRequired, "{name}");
            assert_eq!(file.drawing, End::Told, "{name}");
        }
        Err(error) => panic!("{name}: {error}"),
    }
    // Opening, laying out and drawing have their limits, and a process that was killed is started anew.
    assert!(begin.elapsed() < Duration::from_secs(120), "{name}: {:?}", begin.elapsed());

    let mut harmless = Pdf::new();
    harmless.page(612.0, 792.0, &text("F1", 10.0, 72.0, 700.0, "harmless"));
    let opened = worker.open(source(&harmless.finish()), &[]);
    assert_eq!(opened.expect("it opens").pages, 1, "after {name}");
    assert!(worker.render(0, Raster { longest: 200 }).is_ok(), "after {name}");
}
