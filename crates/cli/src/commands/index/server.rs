//! `folio index push`, and what is shown of an index on a server, and taken out of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use manager::find::index::{Index, Profile};
use manager::find::remote::{Address, Compression, Remote, ServerKind};
use manager::find::{PushNews, PushOptions, PushTotals, PushWatch, Store as _, push};
use serde_json::json;
use tokio::runtime::Runtime;

use super::Place;
use crate::output;
use crate::progress::pages;
use crate::report::{Problem, Result};
use crate::signals::interrupted;

/// An index on this machine, to be moved.
#[derive(Args, Debug)]
pub(super) struct Push {
    /// Where to: qdrant://HOST:PORT/collection or weaviate://HOST:PORT/Collection, and with TLS qdrant+tls:// or
    /// weaviate+tls://. Weaviate's port for gRPC is 50051 (with TLS 443) unless `?grpc=PORT` or `?grpc=HOST:PORT` follows. The
    /// collection is made unless it is there
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    #[command(flatten)]
    place: Place,
    /// Move vectors as 8 bits hold them, of an index that was made without --halves
    #[arg(long)]
    rounded: bool,
    /// How Qdrant keeps vectors for its first look, beside the whole ones: in a byte or a bit for each number
    #[arg(long, value_name = "KIND")]
    compression: Option<Kind>,
    /// Have Weaviate keep every vector in its graph, instead of one approximation for each page (MUVERA)
    #[arg(long)]
    no_muvera: bool,
    /// Do not move the small images of pages
    #[arg(long)]
    no_previews: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Bytes,
    Bits,
}

impl Push {
    pub(super) fn run(self) -> Result<ExitCode> {
        let address = Address::read(&self.to)?;
        let path = self.place.folder()?;
        let is_weaviate = address.kind() == ServerKind::Weaviate;
        if self.no_muvera && !is_weaviate {
            let reason = "it is for Weaviate".to_owned();
            return Err(Problem::Flag { flag: "--no-muvera", reason }.into());
        }
        let access = self.place.key.access(&address)?;
        let profile = Index::profile_of(&path)?;
        let options = PushOptions {
            rounded: self.rounded,
            compression: match self.compression {
                None => Compression::None,
                Some(Kind::Bytes) => Compression::Bytes,
                Some(Kind::Bits) => Compression::Bits,
            },
            muvera: is_weaviate && !self.no_muvera && profile.vectors.is_some(),
            previews: !self.no_previews,
        };
        let begun = Instant::now();
        let mut show = Show::new()?;
        let totals = push(&path, (&address, &access), options, &mut show);
        show.bar.finish_and_clear();
        let totals = totals?;
        tell(&address, &totals, begun);
        if is_weaviate && profile.sparse.is_some() {
            eprintln!("  weights of tokens have no place in Weaviate: its own BM25 ranks by words");
        }
        Ok(if totals.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn tell(address: &Address, totals: &PushTotals, begun: Instant) {
    let PushTotals { sent, there, refused, deleted, others } = *totals;
    let seconds = begun.elapsed().as_secs_f64().max(1e-3);
    let rate = sent as f64 / seconds * 60.0;
    eprintln!("{address}: {sent} pages sent, {there} were there as they are");
    eprintln!("  {seconds:.1} s, {rate:.0} pages a minute; the server has each of them");
    if deleted > 0 {
        eprintln!("  {deleted} pages that the index has no longer were taken away");
    }
    if others > 0 {
        eprintln!("  {others} more pages are there that this index did not push");
    }
    if refused > 0 {
        eprintln!("  {refused} pages were not taken; each is named above with the reason");
    }
}

/// How it looks while it goes on.
struct Show {
    bar: ProgressBar,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Show {
    fn new() -> Result<Self> {
        let sent = Arc::<AtomicU64>::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let stop = interrupted(runtime.handle(), || {
            eprintln!("ending; pages that are sent stay, and the same command goes on from there");
        });
        Ok(Self { bar: pages(Arc::clone(&sent)), sent, stop, _runtime: runtime })
    }
}

impl PushWatch for Show {
    fn news(&mut self, news: PushNews<'_>) {
        match news {
            PushNews::Begun { pages, .. } => self.bar.inc_length(pages as u64),
            PushNews::Sent { pages } => {
                self.sent.fetch_add(pages as u64, Ordering::Relaxed);
                self.bar.inc(pages as u64);
            }
            PushNews::Refused { path, number, why } => {
                self.bar.suspend(|| eprintln!("{path}: page {number}: {why}"));
            }
            PushNews::Deleting { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Takes documents out of an index on a server.
pub(super) fn remove(files: &[PathBuf], server: &Remote) -> Result<ExitCode> {
    let mut missing = 0;
    for file in files {
        let name = manager::find::path(file);
        let pages = server.remove(&name)?;
        if pages == 0 {
            missing += 1;
            eprintln!("{name}: is not in the index");
        } else {
            eprintln!("{name}: {pages} pages removed");
        }
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells what is in an index on a server.
pub(super) fn show(server: &Remote, as_json: bool) -> Result<ExitCode> {
    let Profile { vectors, dense, sparse, halves: _ } = server.profile();
    let (documents, pages) = (server.documents()?, server.count()?);
    if as_json {
        let made = |encoder: &manager::find::index::Encoder| json!({"model": encoder.name, "sha256": encoder.model.to_string(), "pooling": encoder.pooling, "dimension": encoder.dim});
        let documents: Vec<_> = documents
            .iter()
            .map(|of| {
                let failures = of.failures.iter();
                let failures =
                    failures.map(|(page, why)| json!({"page": page, "reason": why}));
                json!({
                    "path": of.path, "sha256": of.hash.to_string(), "pages": of.pages, "date": of.date,
                    "category": of.category, "metadata": of.metadata, "failures": failures.collect::<Vec<_>>(),
                })
            })
            .collect();
        let all = json!({
            "index": server.place(), "documents": documents, "pages": pages,
            "vectors": vectors.as_ref().map(made), "dense": dense.as_ref().map(made),
            "sparse": sparse.as_ref().map(made),
        });
        output::line(&all.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}: {} documents, {pages} pages\n", server.place(), documents.len());
    for (what, encoder) in [("looks", vectors), ("meaning", dense), ("words, weighted", sparse)] {
        if let Some(encoder) = encoder {
            let (name, dim, pooling) = (&encoder.name, encoder.dim, &encoder.pooling);
            text += &format!("  by {what}: {name} ({dim} elements, pooling {pooling})\n");
        }
    }
    for of in &documents {
        let category = of.category.as_ref().map_or_else(String::new, |it| format!(", {it}"));
        text += &format!("{}: {} pages{category}\n", of.path, of.pages);
        for (page, why) in &of.failures {
            text += &format!("  page {page}: {why}\n");
        }
    }
    output::write(&text)?;
    Ok(ExitCode::SUCCESS)
}
