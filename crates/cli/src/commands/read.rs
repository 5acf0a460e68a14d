//! `folio read`: PDFs into markdown.

use std::process::ExitCode;

use clap::Args;

use crate::report::Result;

/// The hidden name under which this program parses strangers' files for another of its kind.
pub(crate) const WORKER: &str = "__read-worker";

/// Turn PDFs into markdown.
#[derive(Args, Debug)]
pub(crate) struct Read {
    /// The files
    #[arg(required = true)]
    files: Vec<std::path::PathBuf>,
}

impl Read {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let _ = self.files;
        Ok(ExitCode::SUCCESS)
    }
}
