//! What went wrong, told to a person: the chain of causes, and what to do next.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, MietteHandlerOpts};

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn StdError + Send + Sync>,
    hint: Option<String>,
}

/// What a command itself finds wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("`{flag}`: {reason}")]
    Flag { flag: &'static str, reason: String },
    #[error("{failed} of {all} files could not be read")]
    Files { failed: usize, all: usize },
    #[error("{} is neither a PDF nor text in UTF-8", path.display())]
    NotText { path: PathBuf },
    #[error("nothing was given to work on")]
    Nothing { hint: &'static str },
    #[error("{failed} of {all} models could not be pulled")]
    Models { failed: usize, all: usize },
    #[error("removing `{name}` needs a yes, and there is no terminal to ask on")]
    Unconfirmed { name: String },
    #[error("the model's files tell too little to plan with")]
    Undescribed,
    #[error("`{model}` answers with numbers that are none (NaN or infinity)")]
    NotANumber { model: String },
    #[error("{}: {reason}", path.display())]
    Benchmark { path: PathBuf, reason: String },
    #[error("the server cannot be asked")]
    Server(#[source] manager::remote::Error),
    #[error("nothing can be fetched for requests")]
    Web(#[source] manager::web::Error),
}

impl Problem {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Failure {
        Self::Io { action, path: path.to_owned(), source }.into()
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some("check that it exists and that you may use it".to_owned()),
            Self::NotText { .. } => Some("convert it to PDF or plain text first".to_owned()),
            Self::Benchmark { .. } => {
                Some("`folio eval vidore --help` tells what the folder must have".to_owned())
            }
            Self::Nothing { hint } => Some((*hint).to_owned()),
            Self::Flag { .. } => Some("`--help` lists the flags and their values".to_owned()),
            Self::Models { .. } => {
                Some("each is named above, with the reason; what came is kept".to_owned())
            }
            Self::Unconfirmed { .. } => {
                Some("repeat the command with --yes; --dry-run shows what would go".to_owned())
            }
            Self::NotANumber { .. } => Some(
                "try `--exact`; if it does so too, the checkpoint is damaged: pull it again"
                    .to_owned(),
            ),
            Self::Server(manager::remote::Error::Unreachable { .. }) => {
                Some("start one with `folio serve`, or say where it is with --url".to_owned())
            }
            Self::Server(manager::remote::Error::Refused { status: 401, .. }) => {
                Some("put its key into FOLIO_KEY, or name a file with --key-file".to_owned())
            }
            Self::Server(error) => Some(error.hint()),
            Self::Web(_) => Some("leave --allow-url out to serve without that".to_owned()),
            Self::Undescribed => Some("`folio show` tells what is there".to_owned()),
            Self::Files { .. } => Some("each is named above, with the reason".to_owned()),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let hint = problem.hint();
        Self { error: problem.into(), hint }
    }
}

impl From<manager::runtime::Error> for Failure {
    fn from(error: manager::runtime::Error) -> Self {
        let hint = error.hint();
        Self { error: error.into(), hint }
    }
}

impl From<manager::house::Error> for Failure {
    fn from(error: manager::house::Error) -> Self {
        let hint = error.hint();
        Self { error: error.into(), hint }
    }
}

impl From<manager::config::Faults> for Failure {
    fn from(faults: manager::config::Faults) -> Self {
        // Several have their hints beside them.
        let hint = faults.hint().filter(|_| faults.0.len() == 1);
        Self { error: faults.into(), hint }
    }
}

impl From<documents::Error> for Failure {
    fn from(error: documents::Error) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { error: error.into(), hint }
    }
}

impl From<forge::Error> for Failure {
    fn from(error: forge::Error) -> Self {
        let hint = error.hint();
        Self { error: error.into(), hint }
    }
}

impl From<manager::find::Error> for Failure {
    fn from(error: manager::find::Error) -> Self {
        let hint = error.hint();
        Self { error: error.into(), hint }
    }
}

impl From<manager::find::remote::Error> for Failure {
    fn from(error: manager::find::remote::Error) -> Self {
        manager::find::Error::from(error).into()
    }
}

impl From<manager::find::index::Error> for Failure {
    fn from(error: manager::find::index::Error) -> Self {
        manager::find::Error::from(error).into()
    }
}

impl From<manager::Error> for Failure {
    fn from(error: manager::Error) -> Self {
        let hint = error.hint();
        Self { error: error.into(), hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }
}

/// Sets how failures look.
pub(crate) fn install() {
    // Fails only if it was set before, which nobody else does.
    let _ = miette::set_hook(Box::new(|_| Box::new(MietteHandlerOpts::new().build())));
}

/// Writes `failure` to standard error: with colours and lines on a terminal, plainly elsewhere.
pub(crate) fn print(failure: Failure) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("{:?}", miette::Report::new(failure));
        return;
    }
    let mut text = String::new();
    let plain = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(100);
    match plain.render_report(&mut text, &failure) {
        Ok(()) => eprint!("{text}"),
        Err(_) => eprintln!("error: {failure}"),
    }
}
