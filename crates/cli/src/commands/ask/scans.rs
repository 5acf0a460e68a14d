//! Pages without words that were found: they are read before anybody is asked about them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use documents::pipeline::{Event, ReadOptions, Room, Watch, read};
use documents::worker::Pool;
use documents::{Limits, Origin, PageSet, Source, World as _};
use indicatif::ProgressBar;
use manager::find::Store;
use manager::find::index::{DocumentId, Hit, ReaderKind};
use manager::read::Seers;
use tokio::runtime::Handle;

use crate::material;
use crate::progress::counting;
use crate::report::Result;
use crate::signals::interrupted;

/// Pages that are looked at at once.
const AT_ONCE: usize = 4;

/// Path, number and words of each hit, in their order. Those without words are read by `seers`; what
/// cannot be read is told and left out. None if it was interrupted.
pub(super) fn with_words(
    store: &dyn Store,
    hits: &[Hit],
    seers: &Seers,
    handle: &Handle,
) -> Result<Option<Vec<(String, u32, String)>>> {
    let mut words: Vec<Option<String>> = Vec::with_capacity(hits.len());
    for hit in hits {
        let text = store.text(hit.page)?;
        words.push(Some(text).filter(|text| !text.trim().is_empty()));
    }
    let mut wanted: BTreeMap<(DocumentId, &str), Vec<usize>> = BTreeMap::new();
    for (at, hit) in hits.iter().enumerate().filter(|(at, _)| words[*at].is_none()) {
        // Who read it when it was indexed found no words.
        if store.reader(hit.page)?.is_some_and(|read| read.kind != ReaderKind::Nobody) {
            continue;
        }
        wanted.entry((hit.document, &hit.path)).or_default().push(at);
    }
    if !wanted.is_empty() {
        if seers.readers().is_empty() {
            let pages: usize = wanted.values().map(Vec::len).sum();
            eprintln!(
                "{pages} of the pages have no words, and nobody is here who could read them: name a model that sees with --vision, or install Tesseract"
            );
        } else {
            let count = wanted.values().map(Vec::len).sum();
            let stop = interrupted(handle, || ());
            let mut watch = Reading { bar: counting(true, count, "pages read"), stop };
            for ((_, path), of) in wanted {
                let numbers: Vec<u32> = of.iter().map(|at| hits[*at].number).collect();
                match read_pages(store, &hits[of[0]], &numbers, seers, &mut watch) {
                    Ok(mut texts) => {
                        of.iter().for_each(|at| words[*at] = texts.remove(&hits[*at].number));
                    }
                    Err(why) => watch.bar.suspend(|| eprintln!("{path}: {why}")),
                }
            }
            watch.bar.finish_and_clear();
            if watch.stop() {
                return Ok(None);
            }
        }
    }
    let mut pages = Vec::with_capacity(hits.len());
    for (hit, words) in hits.iter().zip(words) {
        match words {
            Some(words) => pages.push((hit.path.clone(), hit.number, words)),
            None => {
                eprintln!(
                    "{} page {}: is not shown, no words of it are known",
                    hit.path, hit.number
                );
            }
        }
    }
    Ok(Some(pages))
}

/// The words of some pages of a document, as they are in the file now if it is the one that was indexed.
fn read_pages(
    store: &dyn Store,
    hit: &Hit,
    numbers: &[u32],
    seers: &Seers,
    watch: &mut Reading,
) -> Result<BTreeMap<u32, String>, String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let limits = Limits::default();
    let source =
        Source::read(Path::new(&hit.path), limits.file_bytes).map_err(|error| said(&error))?;
    let indexed = store.content(hit).map_err(|error| said(&error))?;
    if indexed != Some(manager::find::content(&source.bytes)) {
        return Err("has changed since it was indexed: run `folio index` on it again".to_owned());
    }
    let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let pages = PageSet::parse(&list.join(",")).map_err(|error| said(&error))?;
    let worker = material::worker().map_err(|failure| failure.to_string())?;
    let pool = Pool::new(worker, 1, limits);
    let options = ReadOptions { pages, ..ReadOptions::default() };
    let mut parser = pool.lease();
    let read = read(source, &options, &mut *parser, seers, &Room::new(AT_ONCE), watch);
    let document = read.map_err(|error| said(&error))?;
    for page in &document.pages {
        if let Origin::Failed(failure) = &page.origin {
            let number = page.number;
            watch.bar.suspend(|| eprintln!("{} page {number}: {failure}", hit.path));
        }
    }
    let texts = document.pages.iter().map(|page| (page.number, manager::find::words(page)));
    Ok(texts.filter(|(_, text)| !text.trim().is_empty()).collect())
}

/// How far it is.
struct Reading {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Watch for Reading {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Page { .. } => self.bar.inc(1),
            Event::Pause { message, .. } => self.bar.suspend(|| eprintln!("{message}")),
            Event::LaidOut { .. } | Event::Asked { .. } | Event::Attempt { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
