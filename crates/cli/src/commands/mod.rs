//! One file per command.

mod bench;
mod completions;
mod debug;
mod doctor;
mod embed;
mod list;
mod plan;
mod pull;
pub(crate) mod read;
mod rm;
mod run;
mod show;

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
    /// List the models on this machine
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Show what a model is
    Show(show::Show),
    /// Fetch models from the hub
    Pull(pull::Pull),
    /// Remove a model from this machine
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    /// Tell whether a model fits, and how fast it could be
    Plan(plan::Plan),
    /// Tell what this machine has, and what is wrong with it
    Doctor(doctor::Doctor),
    /// Look inside a model, to compare it with a reference
    Debug(debug::Debug),
    /// Print the completions of a shell
    Completions(completions::Completions),
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Read(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::Rm(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Debug(command) => command.run(),
        Command::Completions(command) => command.run(),
    }
}
