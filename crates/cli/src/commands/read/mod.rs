//! `folio read`: documents into text.

mod arrivals;
mod batch;
mod files;
mod form;
mod gallery;
mod preview;
mod show;
mod sight;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use documents::pipeline::Mode;
use documents::workspace::Checkpoints;
use documents::{Limits, PageSet};
use manager::Environment;

use crate::report::Result;
pub(crate) use files::found;
pub(crate) use preview::Preview;
pub(crate) use sight::{Eyes, offered};
use sight::{How, Sight};

/// For how long the pages of a reading that was ended are kept.
const FORGET: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Turn PDFs and images into markdown, HTML, JSON or chunks.
///
/// `folio read FILE...` prints it. `folio read WORKSPACE --pdfs FILE...` is for long work: documents
/// are read as olmOCR does it and kept in its layout, by one or several machines, which may be ended
/// at any time and go on later.
///
/// `folio read --watch FOLDER --out DIR` reads what lies in a folder and what arrives in it.
///
/// A page that has good text of its own needs no model. Scans, and what no text can be found in,
/// are shown to the vision model that --model names. Each file is parsed in a process of its own,
/// with limits on time and memory; what cannot be read is named on standard error, and the other
/// pages and files go on. A reading that was ended goes on with the same command: pages that a model
/// has read are not shown to it again. The exit code is 1 if a file or a page failed.
#[derive(Args, Debug)]
pub(crate) struct Read {
    /// PDFs, images (PNG, JPEG, TIFF, WebP, BMP, GIF), or folders of them; with --pdfs, --stats or
    /// --retry-failed the workspace: a folder, or s3://BUCKET/PREFIX
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Write one file for each into this folder, instead of standard output
    #[arg(long, value_name = "DIR", visible_alias = "output")]
    out: Option<PathBuf>,
    /// Write pages, blocks, boxes (in PDF points from the top left), readings and text as JSON
    #[arg(long)]
    json: bool,
    /// Write a page of HTML, whole in itself and without scripts
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// Add every line with its box to the JSON
    #[arg(long, requires = "json")]
    lines: bool,
    /// Put a comment with the number before each page
    #[arg(long, visible_alias = "page_markers")]
    page_markers: bool,
    /// Keep page headers, footers and page numbers in the markdown, the HTML and the chunks; models are
    /// asked for them, too, and not all of them heed that
    #[arg(long)]
    keep_headers: bool,
    /// Cut pictures out of the pages, into files in this folder that the text names: images that a
    /// PDF places on a page with text, and what a model says is a figure
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    /// Which pages: 1,3-5,9- [default: all]
    #[arg(long, value_name = "LIST")]
    pages: Option<String>,
    /// A password to try on encrypted files (may be given several times)
    #[arg(long, value_name = "TEXT")]
    password: Vec<String>,
    /// Seconds that parsing or drawing one page may take
    #[arg(long, value_name = "N", default_value_t = 60)]
    page_timeout: u64,
    /// Gigabytes that parsing one file may take
    #[arg(long, value_name = "GB", default_value_t = 4)]
    memory_limit: u64,
    /// Files that are read at once, in a workspace groups of them [default: every usable core; 8 where
    /// a model looks; 20 in a workspace]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Tell of each attempt at a page that failed, on standard error
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    chunking: form::Chunking,
    #[command(flatten)]
    watching: watch::Watching,
    #[command(flatten)]
    batch: batch::Batch,
    #[command(flatten)]
    sight: Sight,
}

impl Read {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.watching.watch {
            self.batch.refuse_watched()?;
            return watch::run(&self);
        }
        if self.batch.is_meant() {
            return batch::run(&self);
        }
        self.batch.refuse()?;
        files::run(&self)
    }

    /// How pages are read, where `usual` is what nobody need say.
    fn mode(&self, usual: Mode) -> Mode {
        match self.sight.mode {
            None => usual,
            Some(How::Auto) => Mode::Auto,
            Some(How::Text) => Mode::Text,
            Some(How::Ocr) => Mode::Ocr,
        }
    }

    fn pages(&self) -> Result<PageSet> {
        Ok(self.pages.as_deref().map(PageSet::parse).transpose()?.unwrap_or_default())
    }

    fn limits(&self) -> Limits {
        Limits {
            page_time: Duration::from_secs(self.page_timeout.max(1)),
            memory_bytes: self.memory_limit.max(1) << 30,
            ..Limits::default()
        }
    }
}

/// Where pages that somebody looked at are kept until their document is written.
pub(crate) fn checkpoints(environment: &Environment) -> Result<Checkpoints> {
    let folder = environment.state().join("page_checkpoints");
    let checkpoints = Checkpoints::private(&folder)?;
    // Whoever has not come back for them by now will not.
    if let Some(before) = SystemTime::now().checked_sub(FORGET) {
        checkpoints.forget(before)?;
    }
    Ok(checkpoints)
}
