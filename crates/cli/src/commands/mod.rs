//! One file per command.

mod bench;
mod debug;
mod embed;
pub(crate) mod read;
mod run;

use std::process::ExitCode;

use clap::Subcommand;

use crate::report::Result;

/// What folio can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a model, or talk with it
    Run(run::Run),
    /// Make vectors of texts
    Embed(embed::Embed),
    /// Turn PDFs into markdown
    Read(read::Read),
    /// Measure how fast a model answers
    Bench(bench::Bench),
    /// Look inside a model, to compare it with a reference
    Debug(debug::Debug),
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Read(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Debug(command) => command.run(),
    }
}
