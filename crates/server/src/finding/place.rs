//! Where documents lie: told, and asked for, only under the folders that the server's owner has allowed.

use std::path::{Component, Path, PathBuf};

use axum::http::StatusCode;
use manager::find::index::Place;

use crate::fault::Fault;
use crate::mcp::Files;

/// The folders of which may be spoken.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    /// Each as it was named, and as it really is.
    roots: Vec<(PathBuf, PathBuf)>,
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Spoken {
    /// Those of which files may be read. Looks at the disk.
    pub(crate) fn of(files: &Files) -> Self {
        let real = |root: &PathBuf| Some((root.clone(), root.canonicalize().ok()?));
        Self { roots: files.roots.iter().filter_map(real).collect() }
    }

    /// The path of a document, if it may be told.
    pub(crate) fn told<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = Some(path).filter(|path| is_straight(Path::new(path)))?;
        self.roots.iter().any(|(_, root)| Path::new(path).starts_with(root)).then_some(path)
    }

    /// `path` as it is written in an index, if it lies under one of the folders: links are followed as far as it is there.
    fn within(&self, path: &Path) -> Option<PathBuf> {
        if !is_straight(path) {
            return None;
        }
        let named = self
            .roots
            .iter()
            .find_map(|(named, real)| path.strip_prefix(named).ok().map(|rest| real.join(rest)));
        let path = named.unwrap_or_else(|| path.to_owned());
        let there = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
        let (part, real) = there?;
        let inside = self.roots.iter().any(|(_, root)| real.starts_with(root));
        // A path that is a folder has nothing behind it.
        let rest = path.strip_prefix(part).ok()?;
        let whole = if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        inside.then_some(whole)
    }

    /// What the field `path` of a search means: the name of a file, which may be a pattern; or a file, a folder or a pattern
    /// under one of the folders. Looks at the disk.
    ///
    /// # Errors
    ///
    /// If it speaks of another folder. Of those nothing is told, not even whether they are there.
    pub(crate) fn place(&self, field: &str, asked: &str) -> Result<Place, Fault> {
        if !asked.contains('/') {
            return Ok(Place::Named(asked.to_owned()));
        }
        let refuse = || {
            let message = match &self.roots[..] {
                [] => format!(
                    "`{field}` speaks of folders, of which this server tells nothing: name the file alone, or start the server with `--allow-root FOLDER`"
                ),
                roots => {
                    let roots: Vec<_> =
                        roots.iter().map(|(root, _)| root.display().to_string()).collect();
                    format!("`{field}` must lie under {}", roots.join(" or "))
                }
            };
            Err(Fault { status: StatusCode::FORBIDDEN, ..Fault::field(field, message) })
        };
        // What is not whole is meant from one of the folders on.
        let whole: Vec<PathBuf> = match Path::new(asked).is_absolute() {
            true => vec![PathBuf::from(asked)],
            false => self.roots.iter().map(|(_, root)| root.join(asked)).collect(),
        };
        let Some(wild) = asked.find(['*', '?', '[']) else {
            let found: Vec<PathBuf> = whole.iter().filter_map(|path| self.within(path)).collect();
            let there = found.iter().find(|path| path.exists());
            let Some(path) = there.or(found.first()) else { return refuse() };
            let text = path.to_string_lossy().into_owned();
            return Ok(if path.is_dir() { Place::Below(text) } else { Place::At(text) });
        };
        let [whole] = &whole[..] else {
            if whole.is_empty() {
                return refuse();
            }
            let message = format!(
                "`{field}` is a pattern that does not begin with a folder, and there are several: write it with the whole of one"
            );
            return Err(Fault::field(field, message));
        };
        // What stands for anything must stand below one of the folders, not for one.
        let rest = asked[..wild].rfind('/').map_or(asked, |end| &asked[end + 1..]);
        let folder = whole.to_str().and_then(|whole| whole.strip_suffix(rest));
        match folder.and_then(|folder| self.within(Path::new(folder))) {
            Some(folder) if is_straight(Path::new(rest)) => {
                Ok(Place::Like(folder.join(rest).to_string_lossy().into_owned()))
            }
            Some(_) | None => refuse(),
        }
    }
}

/// Whether a path goes down only.
fn is_straight(path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_other_folders_nothing_is_said() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let (inside, outside) = (home.join("in"), home.join("inner"));
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(inside.join("deep/a.pdf"), "").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let files = Files { roots: vec![inside.clone()], ..Files::default() };
        let spoken = Spoken::of(&files);
        let (known, hidden) = (text(inside.join("deep/a.pdf")), text(outside.join("b.pdf")));
        assert_eq!((spoken.told(&known), spoken.told(&hidden)), (Some(known.as_str()), None));
        assert_eq!(spoken.told(&text(inside.join("../inner/b.pdf"))), None);
        let place = |asked: &str| spoken.place("path", asked);
        assert_eq!(place("a.pdf"), Ok(Place::Named("a.pdf".to_owned())));
        assert_eq!(place("a*"), Ok(Place::Named("a*".to_owned())));
        let deep = text(inside.join("deep"));
        for asked in ["deep/", &deep] {
            assert_eq!(place(asked), Ok(Place::Below(deep.clone())), "{asked}");
        }
        assert_eq!(place("deep/a.pdf"), Ok(Place::At(known.clone())));
        // What is not there any more may still be in an index.
        assert_eq!(place("deep/gone.pdf"), Ok(Place::At(text(inside.join("deep/gone.pdf")))));
        for asked in ["deep/*.pdf".to_owned(), text(inside.join("deep/*.pdf"))] {
            let expected = text(inside.join("deep/*.pdf"));
            assert_eq!(place(&asked), Ok(Place::Like(expected)), "{asked}");
        }
        let above = text(home.join("*/b.pdf"));
        let beside = text(home.join("in*/b.pdf"));
        for bad in [
            hidden.as_str(),
            "../inner/b.pdf",
            "link/b.pdf",
            "link/",
            "/",
            "/etc/passwd",
            "*/../../b",
            &above,
            &beside,
            "/*",
            &text(home.join("in")).replace("/in", "/i[n]/b"),
        ] {
            let fault = place(bad).unwrap_err();
            assert_eq!(fault.status, StatusCode::FORBIDDEN, "{bad}");
        }
        let nothing = Spoken::of(&Files::default());
        assert_eq!(nothing.told(&known), None);
        assert_eq!(nothing.place("path", "a*"), Ok(Place::Named("a*".to_owned())));
        let fault = nothing.place("path", &known).unwrap_err();
        assert!(fault.message.contains("--allow-root"), "{fault:?}");
    }
}
