//! Which indexes are offered: those that the server's owner has named, and no others.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::find::remote::{self, Address};

/// What stands for every index among the user's data.
const ALL: &str = "*";

/// The indexes that are offered, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    named: BTreeMap<String, Location>,
    /// The folder of the user's indexes, if all of them are offered, whenever they are made.
    all: Option<PathBuf>,
}

/// Where an index lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In a collection on a server.
    Server(Box<Address>),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Server(address) => address.fmt(f),
        }
    }
}

/// Indexes that cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Two would have one name.
    #[error("{first} and {second} are both called `{name}`")]
    SameName {
        /// The name.
        name: String,
        /// The one that was named first.
        first: Box<Location>,
        /// The other.
        second: Box<Location>,
    },
    /// What begins as an address of a server is none.
    #[error(transparent)]
    Address(#[from] remote::Error),
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
    /// The indexes that `wanted` names: by the name of one in the folder `indexes`, by a folder, which goes by its last part, or
    /// by the address of a collection on a server, which goes by its name; `*` is every one in `indexes`.
    ///
    /// # Errors
    /// When two would have the same name, or an address is none.
    pub fn of(wanted: &[String], indexes: &Path) -> Result<Self, OfferError> {
        let mut offer = Self::default();
        for asked in wanted {
            if asked == ALL {
                offer.all = Some(indexes.to_owned());
                continue;
            }
            let (name, location) = if Address::is_meant(Path::new(asked)) {
                let address = Address::read(asked)?;
                (address.collection().to_owned(), Location::Server(Box::new(address)))
            } else {
                let path = folder(Path::new(asked), indexes);
                let path = std::path::absolute(&path).unwrap_or(path);
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (name.unwrap_or_else(|| asked.clone()), Location::Folder(path))
            };
            match offer.named.get(&name) {
                Some(first) if *first != location => {
                    let (first, second) = (Box::new(first.clone()), Box::new(location));
                    return Err(OfferError::SameName { name, first, second });
                }
                Some(_) | None => drop(offer.named.insert(name, location)),
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

    /// Where the index `name` lies, whether it is there or not. Nothing if it is not offered.
    pub fn location(&self, name: &str) -> Option<Location> {
        if let Some(location) = self.named.get(name) {
            return Some(location.clone());
        }
        let name = plain(Path::new(name)).filter(|it| it.as_os_str() == name)?;
        let hidden = name.as_os_str().to_string_lossy().starts_with('.');
        self.all.as_ref().filter(|_| !hidden).map(|all| Location::Folder(all.join(name)))
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

    fn of(wanted: &[&str], indexes: &Path) -> Result<Offer, OfferError> {
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
        assert!(none.is_empty() && none.names().is_empty() && none.location("papers").is_none());
        let at = |path: PathBuf| Some(Location::Folder(path));
        let one = of(&["papers", "/far/away/legal", "later"], indexes).unwrap();
        assert_eq!(one.names(), ["later", "legal", "papers"]);
        assert_eq!(one.location("papers"), at(indexes.join("papers")));
        assert_eq!(one.location("legal"), at("/far/away/legal".into()));
        assert_eq!(one.location("letters"), None);
        let all = of(&["*", "/far/away/legal"], indexes).unwrap();
        assert_eq!(all.names(), ["legal", "letters", "papers"]);
        assert_eq!(all.location("letters"), at(indexes.join("letters")));
        // Made later, they are there; and nothing else is by any road.
        assert_eq!(all.location("tomorrow"), at(indexes.join("tomorrow")));
        for bad in ["", ".", "..", "../x", "a/b", "a/", "./a", "/etc", ".hidden", "/far/away/legal"]
        {
            assert_eq!(all.location(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_collection_on_a_server_goes_by_its_name() {
        let indexes = Path::new("/data/indexes");
        let wanted =
            ["qdrant+tls://box/pages", "weaviate://box:8080/Pages", "qdrant+tls://box/pages"];
        let offer = of(&wanted, indexes).unwrap();
        assert_eq!(offer.names(), ["Pages", "pages"]);
        let location = offer.location("pages").unwrap();
        assert_eq!(location.to_string(), "qdrant+tls://box:6333/pages");
        assert!(matches!(location, Location::Server(_)));
        let error = of(&["qdrant://me:secret@box/pages"], indexes).unwrap_err().to_string();
        assert!(error.contains("a key does not belong") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_name_is_one_indexs() {
        let indexes = Path::new("/data/indexes");
        let error = of(&["papers", "/other/papers"], indexes).unwrap_err();
        assert!(error.to_string().contains("are both called `papers`"), "{error}");
        assert!(of(&["papers", "papers", "/data/indexes/papers"], indexes).is_ok());
        let error = of(&["papers", "qdrant://box/papers"], indexes).unwrap_err();
        assert!(error.to_string().ends_with("qdrant://box:6333/papers are both called `papers`"));
        assert_eq!(folder(Path::new("./x"), indexes), Path::new("./x"));
        assert_eq!(folder(Path::new("x"), indexes), Path::new("/data/indexes/x"));
    }
}
