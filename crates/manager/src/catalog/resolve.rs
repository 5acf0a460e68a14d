//! From what the user typed to one model: a folder, a full name, a short name, or an error that helps.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Catalog, Entry, ModelName, Source, folder};
use crate::error::{Error, Result};

/// How many suggestions an error makes.
const SUGGESTIONS: usize = 3;

impl Catalog {
    /// The model that `text` stands for: a folder that is written as one (`./a`, `../a`, `/a`), `org/name[@revision]`, a short
    /// name that only one model has, or a folder of the working directory that is called so. Several copies of one model are no ambiguity: a whole one of a supported format goes first,
    /// then the order of [`Catalog::entries`]. Whether it is whole and supported is for [`Entry::usable`] to say.
    /// Looks at the disk: not for the async executor.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::AmbiguousName`], [`Error::NotAModel`].
    pub fn find(&self, text: &str) -> Result<Entry> {
        self.find_from(Path::new(""), text)
    }

    /// The same with another working directory.
    fn find_from(&self, working: &Path, text: &str) -> Result<Entry> {
        let path = &working.join(text);
        let is_folder = folder::looks_like_model(path);
        if is_folder && is_written_as_path(text) {
            return Ok(from_path(path));
        }
        if let Some(found) = self.full_name(text) {
            return Ok(found.clone());
        }
        if let Some(found) = self.short_name(text)? {
            return Ok(found.clone());
        }
        if is_folder {
            return Ok(from_path(path));
        }
        if path.exists() {
            return Err(Error::NotAModel { path: path.to_owned() });
        }
        Err(Error::ModelNotFound { name: text.to_owned(), suggestions: self.suggestions(text) })
    }

    fn full_name(&self, text: &str) -> Option<&Entry> {
        let wanted: Option<ModelName> = text.parse().ok();
        best(self.entries.iter().filter(|entry| {
            entry.name == text || wanted.as_ref().is_some_and(|wanted| is_revision(entry, wanted))
        }))
    }

    fn short_name(&self, text: &str) -> Result<Option<&Entry>> {
        let (short, revision) = text.split_once('@').map_or((text, None), |(s, r)| (s, Some(r)));
        if short.contains('/') {
            return Ok(None);
        }
        let matching = |exact: bool| -> BTreeSet<&str> {
            let same =
                |name: &str| if exact { name == short } else { name.eq_ignore_ascii_case(short) };
            let names = self.entries.iter().map(|entry| repository_of(&entry.name));
            names.filter(|name| same(name.rsplit('/').next().unwrap_or(name))).collect()
        };
        let mut names = matching(true);
        if names.is_empty() {
            names = matching(false);
        }
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (Some(only), None) => {
                let full = revision
                    .map_or_else(|| only.to_owned(), |revision| format!("{only}@{revision}"));
                // A model whose only copies are tagged revisions is found under its bare name too.
                let any =
                    || best(self.entries.iter().filter(|entry| repository_of(&entry.name) == only));
                Ok(self.full_name(&full).or_else(|| if revision.is_none() { any() } else { None }))
            }
            (Some(first), Some(second)) => {
                let candidates =
                    [first, second].into_iter().chain(names).map(ToOwned::to_owned).collect();
                Err(Error::AmbiguousName { name: text.to_owned(), candidates })
            }
            (None, _) => Ok(None),
        }
    }

    fn suggestions(&self, text: &str) -> Vec<String> {
        let typed = text.to_lowercase();
        let near = |name: &str| {
            let name = name.to_lowercase();
            let short = name.rsplit('/').next().unwrap_or(&name);
            let whole = distance(&typed, &name);
            if typed.contains('/') { whole } else { whole.min(distance(&typed, short)) }
        };
        let allowed = (typed.chars().count() / 3).max(2);
        let names: BTreeSet<&str> = self.entries.iter().map(|entry| entry.name.as_str()).collect();
        let mut close: Vec<(usize, &str)> = names
            .into_iter()
            .map(|name| (near(name), name))
            .filter(|(far, _)| *far <= allowed)
            .collect();
        close.sort_unstable();
        close.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
    }
}

/// Whether nobody would take it for a name.
fn is_written_as_path(text: &str) -> bool {
    let path = Path::new(text);
    let dots = |part: &str| path.starts_with(part);
    path.is_absolute() || dots(".") || dots("..")
}

/// The model of a folder that the user names by its path.
fn from_path(path: &Path) -> Entry {
    let root = path.parent().unwrap_or(path);
    folder::entry(path.display().to_string(), path.to_owned(), Source::Folder, root)
}

fn repository_of(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// Whether an entry is the revision that a name asks for: a branch, a tag, a commit or the beginning of one.
fn is_revision(entry: &Entry, wanted: &ModelName) -> bool {
    let (Some(revision), Some(asked)) = (&entry.revision, wanted.revision()) else { return false };
    let named = revision.references.iter().any(|name| name == asked);
    let commit = asked.len() >= 7 && revision.commit.starts_with(asked);
    repository_of(&entry.name) == wanted.repository() && (named || commit)
}

/// A usable entry, else the first.
fn best<'a>(mut entries: impl Iterator<Item = &'a Entry> + Clone) -> Option<&'a Entry> {
    entries.clone().find(|entry| entry.is_usable()).or_else(|| entries.next())
}

/// The one of `names` that is nearest to `text`, if any is near.
pub(crate) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = text.to_lowercase();
    let allowed = (typed.chars().count() / 3).max(2);
    let far = |name: &str| distance(&typed, &name.to_lowercase());
    let near = names.into_iter().map(|name| (far(name), name)).filter(|(far, _)| *far <= allowed);
    near.min().map(|(_, name)| name)
}

/// How many characters must be put in, left out, replaced or swapped with the next to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    // Two rows of the usual table, and a third for swaps; names are bounded, so this is quick.
    let a: Vec<char> = a.chars().take(256).collect();
    let b: Vec<char> = b.chars().take(256).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use proptest::prelude::*;

    use super::*;
    use crate::Environment;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("qwen", "qwne"), 1);
        assert_eq!(distance("llama", "lama"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_folder_that_is_called_like_a_model_is_not_taken_for_it() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
        let models = models.canonicalize().unwrap();
        let nowhere = OsString::from("/nowhere");
        let vars = [
            ("FOLIO_MODELS", models.clone().into()),
            ("HF_HOME", nowhere.clone()),
            ("HOME", nowhere),
        ];
        let vars = vars.map(|(name, value)| (OsString::from(name), value));
        let catalog = Catalog::scan(&Environment::from_vars(vars));
        let working = tempfile::tempdir().unwrap();
        for name in ["llama", "mine"] {
            std::fs::create_dir(working.path().join(name)).unwrap();
            for file in std::fs::read_dir(models.join("qwen3")).unwrap() {
                let file = file.unwrap();
                let copy = working.path().join(name).join(file.file_name());
                std::fs::copy(file.path(), copy).unwrap();
            }
        }
        let path = |text: &str| catalog.find_from(working.path(), text).unwrap().path;
        assert_eq!(path("llama"), models.join("llama"));
        assert_eq!(path("./llama"), working.path().join("llama"));
        assert_eq!(path("mine"), working.path().join("mine"));
        let whole = working.path().join("llama");
        assert_eq!(path(whole.to_str().unwrap()), whole);
        assert!(catalog.find_from(working.path(), "./mistral").is_err());
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_bounded(a in ".{0,20}", b in ".{0,20}") {
            let d = distance(&a, &b);
            prop_assert_eq!(d, distance(&b, &a));
            prop_assert!(d <= a.chars().count().max(b.chars().count()));
            prop_assert_eq!(d == 0, a == b);
        }
    }
}
