//! `folio index push`, and what is shown of an index on a server.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use manager::find::index::Index;
use manager::find::remote::{Address, Compression, Remote, ServerKind};
use manager::find::{PushOptions, PushTotals, Store as _, push};
use serde_json::json;

use super::show::Show;
use super::{Place, told};
use crate::output;
use crate::report::{Problem, Result};

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
        let mut show =
            Show::new("ending; pages that are sent stay, and the same command goes on from there")?;
        let totals = push(&path, (&address, &access), options, &mut show);
        show.end();
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

/// Tells what is in an index on a server.
pub(super) fn show(server: &Remote, as_json: bool) -> Result<ExitCode> {
    let (profile, place) = (server.profile(), server.place());
    let (documents, pages) = (server.documents()?, server.count()?);
    if as_json {
        let mut all = told::as_json(place, profile, &documents);
        all["pages"] = json!(pages);
        output::line(&all.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = format!("{place}: {} documents, {pages} pages\n", documents.len());
    output::write(&(head + &told::lines(profile, &documents)))?;
    Ok(ExitCode::SUCCESS)
}
