//! The command line: one file per command under `commands/`. The only crate that prints, exits and
//! colours.
#![expect(clippy::print_stderr, reason = "a command talks to a person")]

mod args;
mod commands;
mod fetching;
mod held;
mod log;
mod material;
mod models;
mod output;
mod progress;
mod reloading;
mod report;
mod running;
mod settings;
mod signals;
mod vision;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Files of strangers are parsed in a child: this program under another name.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == material::WORKER) {
        return documents::worker::main();
    }
    report::install();
    let arguments = args::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            report::print(failure);
            ExitCode::FAILURE
        }
    }
}
