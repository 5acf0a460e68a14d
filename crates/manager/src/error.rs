//! Everything that can go wrong while finding, fetching and removing models.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::catalog::ModelName;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is; a server maps it to a status, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request itself is wrong.
    Invalid,
    /// What was asked for is not there.
    NotFound,
    /// It could work later, or with more room.
    Overloaded,
    /// It is understood and not supported here.
    Unsupported,
    /// The machine, the network or the other side failed.
    Internal,
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // A transparent error says the same as its source.
        if !message.ends_with(&next) {
            message.push_str(": ");
            message.push_str(&next);
        }
        cause = error.source();
    }
    message
}

/// What is wrong with a model's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// A part of it is empty.
    Empty,
    /// It is longer than the hub allows.
    TooLong {
        /// The most characters allowed.
        limit: usize,
    },
    /// It has more than one slash.
    TooManyParts,
    /// A part begins or ends with a dot, begins with a dash, or holds `..`.
    Dots,
    /// It holds `--`, which separates the parts of a folder's name in the hub cache.
    DoubleDash,
    /// It holds a character that no name of the hub has.
    Character {
        /// The first such character.
        character: char,
    },
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a part of it is empty"),
            Self::TooLong { limit } => write!(f, "it is longer than {limit} characters"),
            Self::TooManyParts => f.write_str("it has more than one slash"),
            Self::Dots => {
                f.write_str("a part begins with `.` or `-`, ends with `.`, or holds `..`")
            }
            Self::DoubleDash => f.write_str("it holds `--`"),
            Self::Character { character } => write!(f, "it holds {character:?}"),
        }
    }
}

/// What is wrong with an answer of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerFault {
    /// It is a web page: a login page of a network, a proxy's notice, or a wrong address.
    WebPage,
    /// It is not the JSON that the hub's interface describes.
    NotJson,
    /// It is larger than any true answer.
    TooLarge {
        /// The most bytes accepted.
        limit: u64,
    },
    /// It names no commit, or something that is not one.
    NoCommit,
    /// It lists more files than any true repository of a model.
    TooManyFiles {
        /// The most files accepted.
        limit: usize,
    },
    /// It gives no size for a file.
    NoSize,
    /// It gives no usable identity (`ETag`) for a file.
    NoIdentity,
    /// It redirects too often, to no address, or from https to http.
    Redirect,
    /// The part of the file that it sends is not the part that was asked for.
    WrongRange,
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebPage => f.write_str("it is a web page"),
            Self::NotJson => f.write_str("it is not the JSON that was expected"),
            Self::TooLarge { limit } => write!(f, "it is larger than {limit} bytes"),
            Self::NoCommit => f.write_str("it names no commit"),
            Self::TooManyFiles { limit } => write!(f, "it lists more than {limit} files"),
            Self::NoSize => f.write_str("it gives no size for the file"),
            Self::NoIdentity => f.write_str("it gives no usable identity (ETag) for the file"),
            Self::Redirect => f.write_str("it redirects too often, nowhere, or from https to http"),
            Self::WrongRange => f.write_str("it sends another part of the file than was asked for"),
        }
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text cannot be the name of a model.
    #[error("`{name}` is not the name of a model: {fault}")]
    InvalidName {
        /// The text as given.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// No model of that name is on disk.
    #[error("no model named `{name}` is on this machine{}", also("did you mean", suggestions))]
    ModelNotFound {
        /// The name as given.
        name: String,
        /// Names on disk that are close to it, closest first.
        suggestions: Vec<String>,
    },
    /// A short name stands for several models.
    #[error("`{name}` could be any of {}", candidates.join(", "))]
    AmbiguousName {
        /// The name as given.
        name: String,
        /// The full names it could stand for.
        candidates: Vec<String>,
    },
    /// The folder exists and holds no model.
    #[error("`{}` holds no model: there is no config.json", path.display())]
    NotAModel {
        /// The folder.
        path: PathBuf,
    },
    /// The model is on disk, but not all of it.
    #[error("`{name}` is not complete: {}", gaps.join("; "))]
    IncompleteModel {
        /// The model's name.
        name: String,
        /// What is missing, each in words.
        gaps: Vec<String>,
    },
    /// The model is on disk in a format that folio does not run.
    #[error("`{name}` is not supported: {format}")]
    UnsupportedFormat {
        /// The model's name.
        name: String,
        /// The format found.
        format: String,
    },
    /// The folder belongs to another program or to the user.
    #[error("`{}` was not put there by folio", path.display())]
    NotOwned {
        /// The folder.
        path: PathBuf,
    },
    /// A path leads out of the folder it should be in.
    #[error("`{}` leads out of `{}`", path.display(), root.display())]
    OutsideFolder {
        /// The path that leads out.
        path: PathBuf,
        /// The folder that it should stay in.
        root: PathBuf,
    },
    /// Another process is loading, fetching or removing the model.
    #[error("`{name}` is in use by another process (lock `{}`)", lock.display())]
    InUse {
        /// The model's name.
        name: String,
        /// The lock that is held.
        lock: PathBuf,
    },
    /// A file could not be read, written, or removed.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// The verb: `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk has not enough room.
    #[error("`{}` has {} free, and {} more are needed", path.display(), Bytes(*available), Bytes(*needed))]
    DiskFull {
        /// A folder on the disk.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The network is needed and switched off.
    #[error("`{name}` cannot be fetched: HF_HUB_OFFLINE is set")]
    Offline {
        /// The model's name.
        name: String,
    },
    /// The hub's address or a proxy's is no address.
    #[error("`{address}` is not a usable address of a {of}")]
    InvalidAddress {
        /// The address as given.
        address: String,
        /// `hub` or `proxy`.
        of: &'static str,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up")]
    Client {
        /// What it said.
        source: reqwest::Error,
    },
    /// The other side could not be reached, or the connection broke, and trying again did not help.
    #[error("no answer from {url} after {attempts} attempts")]
    Unreachable {
        /// The address asked.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt met.
        source: reqwest::Error,
    },
    /// The other side sent nothing for too long, and trying again did not help.
    #[error("{url} sent nothing for {} seconds, {attempts} times", idle.as_secs_f32())]
    Stalled {
        /// The address asked.
        url: String,
        /// The time waited for, each time.
        idle: Duration,
        /// How often it was tried.
        attempts: u32,
    },
    /// The transfer ended before the file did, and trying again did not help.
    #[error("{url} ended after {received} of {expected} bytes, {attempts} times")]
    CutShort {
        /// The address asked.
        url: String,
        /// Bytes received in all.
        received: u64,
        /// Bytes the file has.
        expected: u64,
        /// How often it was tried.
        attempts: u32,
    },
    /// The hub answered with a status that no repetition cures, or that repetition did not cure.
    #[error("{url} answered with status {status}")]
    Status {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The hub asks for a pause that is longer than we wait.
    #[error("{url} asks to wait {} seconds before the next request", wait.as_secs())]
    RateLimited {
        /// The address asked.
        url: String,
        /// The pause asked for.
        wait: Duration,
    },
    /// The model is only given to people who accepted its licence.
    #[error("access to `{name}` is restricted by its authors (status {status})")]
    Gated {
        /// The model's name.
        name: String,
        /// The page where access is asked for.
        page: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token was sent.
        token_sent: bool,
    },
    /// The hub knows no such repository, or hides it.
    #[error("the hub has no model `{name}`, or it is private")]
    RepositoryNotFound {
        /// The model's name.
        name: String,
        /// Whether a token was sent.
        token_sent: bool,
    },
    /// The hub knows the repository, and no such revision or file in it.
    #[error("`{name}` has no revision or file `{missing}` on the hub")]
    RevisionNotFound {
        /// The model's name.
        name: String,
        /// The revision or file.
        missing: String,
    },
    /// The hub's answer makes no sense.
    #[error("the answer of {url} cannot be used: {fault}")]
    BadAnswer {
        /// The address asked.
        url: String,
        /// What is wrong with it.
        fault: AnswerFault,
    },
    /// The hub lists a file whose name would leave the cache.
    #[error("`{name}` lists a file with the forbidden name {file:?}")]
    HostileFileName {
        /// The model's name.
        name: String,
        /// The file's name as listed.
        file: String,
    },
    /// The repository has none of the files that inference needs.
    #[error("`{name}` has no safetensors weights that folio could run; it has {}", found.join(", "))]
    NothingToFetch {
        /// The model's name.
        name: String,
        /// A few of the files it has.
        found: Vec<String>,
    },
    /// A fetched file has another size than the hub said.
    #[error("`{file}` should have {expected} bytes, and {url} sends {found}")]
    WrongSize {
        /// The file.
        file: String,
        /// The address it came from.
        url: String,
        /// Bytes the hub listed.
        expected: u64,
        /// Bytes that came or were announced.
        found: u64,
    },
    /// A fetched file has another hash than the hub said.
    #[error("`{file}` is damaged: its hash is {found}, and {expected} was expected")]
    WrongHash {
        /// The file.
        file: String,
        /// The hash the hub listed, in hexadecimal.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// A task of ours ended without an answer.
    #[error("a background task ended early while it was to {action}")]
    TaskLost {
        /// What it was doing.
        action: &'static str,
    },
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::InvalidName { .. }
            | Self::AmbiguousName { .. }
            | Self::NotAModel { .. }
            | Self::NotOwned { .. }
            | Self::OutsideFolder { .. }
            | Self::InvalidAddress { .. }
            | Self::IncompleteModel { .. } => Kind::Invalid,
            Self::ModelNotFound { .. }
            | Self::RepositoryNotFound { .. }
            | Self::RevisionNotFound { .. } => Kind::NotFound,
            Self::Gated { .. } | Self::Offline { .. } => Kind::NotFound,
            Self::InUse { .. } | Self::DiskFull { .. } | Self::RateLimited { .. } => {
                Kind::Overloaded
            }
            Self::UnsupportedFormat { .. } | Self::NothingToFetch { .. } => Kind::Unsupported,
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::File { .. }
            | Self::Client { .. }
            | Self::Unreachable { .. }
            | Self::Stalled { .. }
            | Self::CutShort { .. }
            | Self::Status { .. }
            | Self::BadAnswer { .. }
            | Self::HostileFileName { .. }
            | Self::WrongSize { .. }
            | Self::WrongHash { .. }
            | Self::TaskLost { .. } => Kind::Internal,
        }
    }

    /// What to do next, in one sentence, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::InvalidName { .. } => "a model is a folder, ORG/NAME or ORG/NAME@REVISION".to_owned(),
            Self::ModelNotFound { name, .. } if is_name(name) => {
                format!("`folio list` shows what is here; `folio pull {name}` fetches it from the hub")
            }
            Self::ModelNotFound { .. } => "check the path; `folio list` shows what is here".to_owned(),
            Self::AmbiguousName { candidates, .. } => {
                format!("give the whole name, for instance `{}`", candidates.first().map_or("", String::as_str))
            }
            Self::NotAModel { .. } => "give the folder that holds config.json and the safetensors files".to_owned(),
            Self::IncompleteModel { name, .. } if is_name(name) => {
                format!("`folio pull {name}` fetches what is missing")
            }
            Self::IncompleteModel { .. } => "copy the missing files there, or take the model from the hub".to_owned(),
            Self::UnsupportedFormat { .. } => "take a version with safetensors weights, for instance from mlx-community".to_owned(),
            Self::NotOwned { .. } => "remove it with the program that put it there, or use --force".to_owned(),
            Self::OutsideFolder { .. } => "a link leads elsewhere; remove it by hand if that is what you want".to_owned(),
            Self::InUse { .. } => "wait until the other process is done, or stop it".to_owned(),
            Self::File { path, .. } => format!("check that `{}` exists and that you may use it", path.display()),
            Self::DiskFull { .. } => "free some room (`folio list` shows sizes, `folio rm` removes) or set HF_HUB_CACHE to a larger disk".to_owned(),
            Self::Offline { .. } => "unset HF_HUB_OFFLINE to use the network".to_owned(),
            Self::InvalidAddress { of: "proxy", .. } => "check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY".to_owned(),
            Self::InvalidAddress { .. } => "check HF_ENDPOINT; it looks like https://huggingface.co".to_owned(),
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::CutShort { .. } => {
                "check the network, HTTPS_PROXY and HF_ENDPOINT; the same command resumes where it stopped".to_owned()
            }
            Self::Status { status: 500.., .. } => "the hub has trouble; try again later, it resumes where it stopped".to_owned(),
            Self::RateLimited { .. } => "wait, or set HF_TOKEN: people who are known may ask more often".to_owned(),
            Self::Gated { page, token_sent: true, .. } => format!("accept the licence at {page} with the account of your HF_TOKEN"),
            Self::Gated { page, .. } => format!("accept the licence at {page}, then set HF_TOKEN to a token of your account"),
            Self::RepositoryNotFound { token_sent: true, .. } => "check the spelling, and that your HF_TOKEN may read it".to_owned(),
            Self::RepositoryNotFound { .. } => "check the spelling; a private model needs HF_TOKEN".to_owned(),
            Self::RevisionNotFound { .. } => "check the revision; without `@REVISION` the main branch is fetched".to_owned(),
            Self::BadAnswer { fault: AnswerFault::WebPage, .. } => {
                "open a web page in a browser: the network may ask you to log in; check HF_ENDPOINT and HTTPS_PROXY".to_owned()
            }
            Self::BadAnswer { .. } | Self::HostileFileName { .. } => "check HF_ENDPOINT: is it a hub you trust?".to_owned(),
            Self::NothingToFetch { .. } => "take a version with safetensors weights, or fetch everything with --all-files".to_owned(),
            Self::WrongSize { .. } | Self::WrongHash { .. } => {
                "nothing damaged was kept; pull again, and if it happens again suspect the mirror or a proxy".to_owned()
            }
            Self::Status { .. } => "check HF_ENDPOINT and HTTPS_PROXY: this is no answer that the hub gives".to_owned(),
            Self::Client { .. } | Self::TaskLost { .. } => return None,
        })
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// Whether the hub could know it, so that pulling it is good advice.
fn is_name(text: &str) -> bool {
    text.parse::<ModelName>().is_ok()
}

fn also(words: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; {words} {}?", names.join(", ")) }
}

/// A number of bytes for people: `4.1 GB`, decimal, as disks are sold.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return write!(f, "{} bytes", self.0);
        }
        let mut value = self.0;
        let mut unit = 0;
        while value >= 1_000_000 && unit + 1 < UNITS.len() {
            value /= 1000;
            unit += 1;
        }
        write!(f, "{}.{} {}", value / 1000, value % 1000 / 100, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_like_a_disk_is_sold() {
        let text = |n| Bytes(n).to_string();
        assert_eq!(text(999), "999 bytes");
        assert_eq!(text(1000), "1.0 kB");
        assert_eq!(text(4_123_456_789), "4.1 GB");
        assert_eq!(text(u64::MAX), "18446.7 PB");
    }

    #[test]
    fn a_missing_model_says_how_to_get_it() {
        let error = Error::ModelNotFound { name: "a/b".into(), suggestions: vec!["a/c".into()] };
        assert_eq!(error.to_string(), "no model named `a/b` is on this machine; did you mean a/c?");
        assert!(error.hint().unwrap().contains("folio pull a/b"));
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
