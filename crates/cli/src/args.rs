//! The words of the command line that several commands share.

use clap::{Args, Parser};

use crate::commands::Command;

/// Run language, vision and embedding models on your own machine, over your own documents.
#[derive(Debug, Parser)]
#[command(name = "folio", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How numbers are computed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Compute {
    /// Threads that compute [default: every usable core]
    #[arg(long, value_name = "N", env = "FOLIO_THREADS")]
    pub(crate) threads: Option<usize>,
    /// Keep activations in 32-bit floats: slower, for comparing with a reference
    #[arg(long)]
    pub(crate) exact: bool,
}
