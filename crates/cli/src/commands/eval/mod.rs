//! `folio eval`: how well something does, by data that somebody has judged.

mod bench_folder;
mod vidore;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::report::Result;

/// Measure how good results are, by data that people have judged.
#[derive(Args, Debug)]
pub(crate) struct Eval {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Vidore(Box<vidore::Vidore>),
}

impl Eval {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Vidore(vidore) => vidore.run(),
        }
    }
}
