//! Where figures go: into files of their own, which take no other's place.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};

use documents::Document;
use documents::figures::{Cut, Figure, FigureOptions, cut};
use documents::pipeline::Render;

use crate::report::{Problem, Result};

/// Names that are tried where a file of another content stands already.
const NAMES: usize = 100;
/// Characters of a document's name that its figures' names begin with.
const STEM: usize = 120;

/// A folder of figures.
pub(super) struct Gallery {
    folder: PathBuf,
    /// How texts call the folder: an address relative to where they are, with a slash at its end.
    address: String,
    options: FigureOptions,
}

impl Gallery {
    /// The folder `folder`, for texts in `texts`, of pages that are shown to models with `shown` pixels.
    pub(super) fn new(folder: &Path, texts: &Path, shown: u32) -> Result<Self> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |error| Problem::io("make the folder", &path, error)
        };
        fs::create_dir_all(folder).map_err(fail(folder))?;
        let [to, from] = [folder, texts].map(|path| fs::canonicalize(path).map_err(fail(path)));
        let (to, from) = (to?, from?);
        let options = FigureOptions { shown, longest: (2 * shown).min(8192), ..Default::default() };
        Ok(Self { folder: folder.to_owned(), address: relative(&from, &to), options })
    }

    /// Cuts the figures out of a document that `parser` has open.
    pub(super) fn hang(
        &self,
        document: &mut Document,
        file: &Path,
        parser: &mut dyn Render,
    ) -> Result<Cut> {
        let stem = file.file_stem().map_or_else(|| "page".into(), |stem| stem.to_string_lossy());
        let stem: String = stem.chars().filter(|c| !c.is_control()).take(STEM).collect();
        cut(document, &self.options, parser, &mut |figure| self.keep(&stem, &figure))
    }

    /// Writes a figure under the first name that is free, or that is its own already.
    fn keep(&self, stem: &str, figure: &Figure<'_>) -> Result<String> {
        for attempt in 1..=NAMES {
            let Figure { page, number, png } = *figure;
            let more = if attempt > 1 { format!("-{attempt}") } else { String::new() };
            let name = format!("{stem}-p{page}-{number}{more}.png");
            let path = self.folder.join(&name);
            let address = format!("{}{}", self.address, encoded(&name));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    if let Err(error) = file.write_all(png) {
                        // Half a picture is nobody's.
                        let _ = fs::remove_file(&path);
                        return Err(Problem::io("write", &path, error));
                    }
                    return Ok(address);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let same = fs::metadata(&path)
                        .is_ok_and(|m| m.is_file() && m.len() == png.len() as u64)
                        && fs::read(&path).is_ok_and(|there| there == png);
                    if same {
                        return Ok(address);
                    }
                }
                Err(error) => return Err(Problem::io("write", &path, error)),
            }
        }
        let reason = format!(
            "{} holds {NAMES} other files whose names begin with {stem}-p{}-{}",
            self.folder.display(),
            figure.page,
            figure.number,
        );
        Err(Problem::Flag { flag: "--figures", reason }.into())
    }
}

/// Says on standard error what was left out.
pub(super) fn tell(name: &str, cut: &Cut) {
    let plural = |n: usize| if n == 1 { "figure" } else { "figures" };
    if cut.too_many > 0 {
        let n = cut.too_many;
        eprintln!("{name}: {n} {} more than are cut out of one page or file", plural(n));
    }
    if cut.outside > 0 {
        let n = cut.outside;
        eprintln!("{name}: {n} {} named by the model where the page has nothing", plural(n));
    }
    if !cut.undrawn.is_empty() {
        let pages: Vec<String> = cut.undrawn.iter().map(u32::to_string).collect();
        eprintln!("{name}: no figures of page {}, which cannot be drawn", pages.join(", "));
    }
}

/// How `to` is called from within `from`: both whole paths.
fn relative(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut out = "../".repeat(from.len() - shared);
    for component in &to[shared..] {
        if let Component::Normal(name) = component {
            out.push_str(&encoded(&name.to_string_lossy()));
            out.push('/');
        }
    }
    out
}

/// A name as part of an address.
pub(super) fn encoded(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | ',' | '=' | '@') {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_called_from_each_other() {
        let relative = |from, to| relative(Path::new(from), Path::new(to));
        assert_eq!(relative("/a/b", "/a/b/figures"), "figures/");
        assert_eq!(relative("/a/b", "/a/c d"), "../c%20d/");
        assert_eq!(relative("/a", "/a"), "");
        assert_eq!(encoded("ä (1)#2%.png"), "ä%20%281%29%232%25.png");
    }

    #[test]
    fn no_file_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery::new(folder.path(), folder.path(), 1288).unwrap();
        let figure = |png| Figure { page: 1, number: 2, png };
        fs::write(folder.path().join("x-p1-2.png"), "a stranger's").unwrap();
        assert_eq!(gallery.keep("x", &figure(b"one")).unwrap(), "x-p1-2-2.png");
        assert_eq!(gallery.keep("x", &figure(b"two")).unwrap(), "x-p1-2-3.png");
        assert_eq!(gallery.keep("x", &figure(b"one")).unwrap(), "x-p1-2-2.png");
        assert_eq!(fs::read(folder.path().join("x-p1-2.png")).unwrap(), b"a stranger's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
