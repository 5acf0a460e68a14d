//! Which indexes are offered: those that the server's owner has named, and no others.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// What stands for every index among the user's data.
const ALL: &str = "*";

/// The indexes that are offered, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    named: BTreeMap<String, PathBuf>,
    /// The folder of the user's indexes, if all of them are offered, whenever they are made.
    all: Option<PathBuf>,
}

/// Two indexes that would have one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} and {} are both called `{name}`", first.display(), second.display())]
pub struct SameName {
    /// The name.
    pub name: String,
    /// The one that was named first.
    pub first: PathBuf,
    /// The other.
    pub second: PathBuf,
}

/// The folder of the index `asked`: a name is one among the user's data, in `indexes`, anything else is a folder.
pub fn folder(asked: &Path, indexes: &Path) -> PathBuf {
    // `./name` is a folder, whatever there is.
    match plain(asked) {
        Some(name) => indexes.join(name),
        None => asked.to_owned(),
    }
}

/// A name without anything that leads elsewhere.
fn plain(asked: &Path) -> Option<&Path> {
    let mut parts = asked.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Some(Path::new(name)),
        _ => None,
    }
}

impl Offer {
    /// The indexes that `wanted` names: by the name of one in the folder `indexes`, or a folder, which goes by its last part;
    /// `*` is every one in `indexes`.
    ///
    /// # Errors
    /// When two would have the same name.
    pub fn of(wanted: &[String], indexes: &Path) -> Result<Self, SameName> {
        let mut offer = Self::default();
        for asked in wanted {
            if asked == ALL {
                offer.all = Some(indexes.to_owned());
                continue;
            }
            let path = folder(Path::new(asked), indexes);
            let path = std::path::absolute(&path).unwrap_or(path);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|| asked.clone());
            match offer.named.get(&name) {
                Some(first) if *first != path => {
                    return Err(SameName { name, first: first.clone(), second: path });
                }
                Some(_) | None => drop(offer.named.insert(name, path)),
            }
        }
        Ok(offer)
    }

    /// Whether none is offered, whatever is made later.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.all.is_none()
    }

    /// Whether the index `name` was named, and is not only one of all.
    pub fn is_named(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// The folder of the index `name`, whether it is there or not. Nothing if it is not offered.
    pub fn folder(&self, name: &str) -> Option<PathBuf> {
        if let Some(path) = self.named.get(name) {
            return Some(path.clone());
        }
        let name = plain(Path::new(name)).filter(|it| it.as_os_str() == name)?;
        let hidden = name.as_os_str().to_string_lossy().starts_with('.');
        self.all.as_ref().filter(|_| !hidden).map(|all| all.join(name))
    }

    /// The names of all that are offered, those that are not there yet included if they were named. Looks at the disk.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.named.keys().cloned().collect();
        let found = self.all.iter().flat_map(std::fs::read_dir).flatten().flatten();
        for entry in found {
            // A name that is no text cannot be asked for.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_index = || index::Index::profile_of(&entry.path()).is_ok();
            if !name.starts_with('.') && !self.named.contains_key(&name) && is_index() {
                names.push(name);
            }
        }
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wanted: &[&str], indexes: &Path) -> Result<Offer, SameName> {
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        Offer::of(&wanted, indexes)
    }

    #[test]
    fn only_what_is_named_is_offered() {
        let home = tempfile::tempdir().unwrap();
        let indexes = home.path();
        for name in ["papers", "letters", ".hidden"] {
            drop(index::Writer::create(&indexes.join(name), &index::Profile::default()).unwrap());
        }
        std::fs::create_dir(indexes.join("no-index")).unwrap();
        let none = of(&[], indexes).unwrap();
        assert!(none.is_empty() && none.names().is_empty() && none.folder("papers").is_none());
        let one = of(&["papers", "/far/away/legal", "later"], indexes).unwrap();
        assert_eq!(one.names(), ["later", "legal", "papers"]);
        assert_eq!(one.folder("papers"), Some(indexes.join("papers")));
        assert_eq!(one.folder("legal"), Some("/far/away/legal".into()));
        assert_eq!(one.folder("letters"), None);
        let all = of(&["*", "/far/away/legal"], indexes).unwrap();
        assert_eq!(all.names(), ["legal", "letters", "papers"]);
        assert_eq!(all.folder("letters"), Some(indexes.join("letters")));
        // Made later, they are there; and nothing else is by any road.
        assert_eq!(all.folder("tomorrow"), Some(indexes.join("tomorrow")));
        for bad in ["", ".", "..", "../x", "a/b", "a/", "./a", "/etc", ".hidden", "/far/away/legal"]
        {
            assert_eq!(all.folder(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_is_one_indexs() {
        let indexes = Path::new("/data/indexes");
        let error = of(&["papers", "/other/papers"], indexes).unwrap_err();
        assert!(error.to_string().contains("are both called `papers`"), "{error}");
        assert!(of(&["papers", "papers", "/data/indexes/papers"], indexes).is_ok());
        assert_eq!(folder(Path::new("./x"), indexes), Path::new("./x"));
        assert_eq!(folder(Path::new("x"), indexes), Path::new("/data/indexes/x"));
    }
}
