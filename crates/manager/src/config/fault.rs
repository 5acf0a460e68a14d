//! What can be wrong with settings: each names the key, where it was set, and what would be right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Kind;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file, at a line counted from 1.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl Origin {
    pub(super) fn line(path: &Arc<Path>, line: usize) -> Self {
        Self::File { path: Arc::clone(path), line }
    }

    /// Whether values are written as text there, so that `8` is as good a number as any.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Variable(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any that a person writes.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: usize,
    },
    /// The file's name does not say what language it is in.
    #[error("{} ends neither in .toml nor in .yaml", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The file is not of its language.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// The file holds too much, or too deep.
    #[error("{origin}: there may be {values} values, {deep} deep, and here are more")]
    Bounds {
        /// Where it becomes too much.
        origin: Origin,
        /// The most values.
        values: usize,
        /// The most levels.
        deep: usize,
    },
    /// A key stands twice in one table.
    #[error("{origin}: `{key}` is set twice, first at {first}")]
    Repeated {
        /// The key.
        key: String,
        /// Where the second one is.
        origin: Origin,
        /// Where the first one is.
        first: Origin,
    },
    /// Nobody knows the key.
    #[error("{origin}: there is no setting `{key}`")]
    UnknownKey {
        /// The key, with those it lies in.
        key: String,
        /// Where it is.
        origin: Origin,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// The value is of another kind, or out of its range.
    #[error("{origin}: `{key}` is {found}, and is to be {expected}")]
    Value {
        /// The key.
        key: String,
        /// Where it is.
        origin: Origin,
        /// What it is.
        found: String,
        /// What it is to be.
        expected: String,
    },
    /// Something that is needed is not there.
    #[error("{origin}: `{key}` is not set, and there is no default")]
    Missing {
        /// The key.
        key: String,
        /// Where the table is that it should be in.
        origin: Origin,
    },
    /// A name that stands for nothing.
    #[error("{origin}: `{key}` names the {what} `{name}`, which there is not")]
    UnknownName {
        /// The key.
        key: String,
        /// Where it is.
        origin: Origin,
        /// What it should be the name of.
        what: &'static str,
        /// The name.
        name: String,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// Two things have the same name.
    #[error("{origin}: `{name}` is the name of two {what}")]
    Twice {
        /// The name.
        name: String,
        /// Where the second one is.
        origin: Origin,
        /// What they are.
        what: &'static str,
    },
}

impl Fault {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Read { .. } => Kind::Internal,
            Self::TooLarge { .. }
            | Self::Extension { .. }
            | Self::Syntax { .. }
            | Self::Bounds { .. }
            | Self::Repeated { .. }
            | Self::UnknownKey { .. }
            | Self::Value { .. }
            | Self::Missing { .. }
            | Self::UnknownName { .. }
            | Self::Twice { .. } => Kind::Invalid,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "check that it exists and that you may read it".to_owned(),
            Self::UnknownKey { nearest: Some(near), .. }
            | Self::UnknownName { nearest: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnknownKey { .. } => "`folio config keys` lists every setting".to_owned(),
            Self::UnknownName { what, .. } => format!("add the {what}, or take the name out"),
            Self::Extension { .. } => "name it folio.toml or folio.yaml".to_owned(),
            Self::TooLarge { .. } | Self::Bounds { .. } => "write less".to_owned(),
            Self::Syntax { .. } => "mend that line".to_owned(),
            Self::Repeated { .. } | Self::Twice { .. } => "take one of them out".to_owned(),
            Self::Value { .. } => "`folio config keys` says what each setting may be".to_owned(),
            Self::Missing { key, .. } => format!("set `{key}`"),
        }
    }
}

/// All that is wrong with settings; never nothing.
#[derive(Debug)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// What sort of failure the first is.
    pub fn kind(&self) -> Kind {
        self.0.first().map_or(Kind::Invalid, Fault::kind)
    }

    /// What to do about the first.
    pub fn hint(&self) -> Option<String> {
        self.0.first().map(Fault::hint)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{fault}")?;
            if self.0.len() > 1 {
                write!(f, " ({})", fault.hint())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0.first() {
            Some(Fault::Read { source, .. }) if self.0.len() == 1 => Some(source),
            _ => None,
        }
    }
}
