//! One file per command.

mod ask;
mod bench;
mod completions;
mod config;
mod convert;
mod debug;
mod doctor;
mod embed;
mod eval;
mod index;
mod list;
mod mcp;
mod plan;
mod ps;
mod pull;
pub(crate) mod read;
mod rerank;
mod rm;
mod run;
mod search;
pub(crate) mod serve;
mod show;
mod stats;
mod stop;

use std::process::ExitCode;

use clap::Subcommand;

use crate::report::Result;

/// What folio can be asked to do. Each is described where it is defined.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::Run>),
    Serve(serve::Serve),
    Mcp(mcp::Mcp),
    Ps(ps::Ps),
    Stop(stop::Stop),
    Stats(stats::Stats),
    Embed(embed::Embed),
    Rerank(rerank::Rerank),
    Read(Box<read::Read>),
    Preview(Box<read::Preview>),
    Index(Box<index::IndexCommand>),
    Search(search::Search),
    Ask(Box<ask::AskCommand>),
    Bench(bench::Bench),
    Eval(eval::Eval),
    #[command(visible_alias = "ls")]
    List(list::List),
    Show(show::Show),
    Pull(pull::Pull),
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    Plan(plan::Plan),
    Convert(convert::Convert),
    Config(config::ConfigCommand),
    Doctor(doctor::Doctor),
    Debug(debug::Debug),
    Completions(completions::Completions),
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Mcp(command) => command.run(),
        Command::Ps(command) => command.run(),
        Command::Stop(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Rerank(command) => command.run(),
        Command::Read(command) => command.run(),
        Command::Preview(command) => command.run(),
        Command::Index(command) => command.run(),
        Command::Search(command) => command.run(),
        Command::Ask(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::Rm(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Convert(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Debug(command) => command.run(),
        Command::Completions(command) => command.run(),
    }
}
