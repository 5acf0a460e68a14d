//! What a user types for a model of the hub: `org/name` or `org/name@revision`, checked before it touches a path.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, NameFault};

/// The longest repository name the hub allows.
const LONGEST: usize = 96;

/// A repository of the hub and, when given, one of its revisions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName {
    repository: String,
    revision: Option<String>,
}

impl ModelName {
    /// `org/name`, or a bare `name` for the hub's oldest models.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The branch, tag or commit, when one was given.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The revision to ask for: the given one, or `main`.
    pub fn revision_or_main(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The part after the slash.
    pub fn short(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// The folder of the hub cache: `models--org--name`.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }
}

impl FromStr for ModelName {
    type Err = Error;

    /// Reads `org/name[@revision]`.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when it could not be a name of the hub.
    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = |fault| Error::InvalidName { name: text.to_owned(), fault };
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        if repository.is_empty() {
            return Err(fault(NameFault::Empty));
        }
        if repository.len() > LONGEST {
            return Err(fault(NameFault::TooLong { limit: LONGEST }));
        }
        if repository.split('/').count() > 2 {
            return Err(fault(NameFault::TooManyParts));
        }
        for part in repository.split('/') {
            check_part(part).map_err(fault)?;
            if part.contains("--") {
                return Err(fault(NameFault::DoubleDash));
            }
        }
        if let Some(revision) = revision {
            if revision.len() > 255 {
                return Err(fault(NameFault::TooLong { limit: 255 }));
            }
            for part in revision.split('/') {
                check_part(part).map_err(fault)?;
            }
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.map(ToOwned::to_owned) })
    }
}

/// One part between slashes: never empty, never `..`, never hidden, only characters the hub allows.
fn check_part(part: &str) -> Result<(), NameFault> {
    if part.is_empty() {
        return Err(NameFault::Empty);
    }
    if part.starts_with(['.', '-']) || part.ends_with('.') || part.contains("..") {
        return Err(NameFault::Dots);
    }
    match part.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+')))
    {
        Some(character) => Err(NameFault::Character { character }),
        None => Ok(()),
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_read() {
        let name: ModelName = "mlx-community/Qwen3-0.6B-4bit@refs/pr/1".parse().unwrap();
        assert_eq!(name.repository(), "mlx-community/Qwen3-0.6B-4bit");
        assert_eq!(name.revision(), Some("refs/pr/1"));
        assert_eq!(name.short(), "Qwen3-0.6B-4bit");
        assert_eq!(name.folder(), "models--mlx-community--Qwen3-0.6B-4bit");
        assert_eq!("gpt2".parse::<ModelName>().unwrap().folder(), "models--gpt2");
    }

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for text in [
            "", "/", "../x", "a/..", "a/b/c", "a//b", "a/.b", "a/b@", "a/b@../x", "a/b@/x",
            "a b/c", "a/b\0", "a--b/c",
        ] {
            assert!(
                matches!(text.parse::<ModelName>(), Err(Error::InvalidName { .. })),
                "{text:?}"
            );
        }
        assert!("a".repeat(97).parse::<ModelName>().is_err());
    }
}
