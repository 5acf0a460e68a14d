//! What is to be read: the paths that people write, made into the documents that they mean.
//!
//! As olmOCR takes them: files, `.txt` lists of paths, tarballs, objects and patterns of objects. Beyond that: folders, and
//! patterns of files where no shell has seen to them. Paths stay as they were written, because they are what names a
//! document in a workspace.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use super::pattern::Pattern;
use super::{Index, PathFault, Store, WorkspaceFault, index};
use crate::{Error, FileKind};

/// Extensions of files that are read, in lower case.
const EXTENSIONS: [&str; 9] =
    [".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif"];
/// How long a list of paths may be.
const MOST_LIST: u64 = 1 << 30;
/// How many documents are opened to tell how many pages documents have.
const SAMPLE: usize = 100;
/// How many pages a document has if nobody can tell.
const USUAL_PAGES: f64 = 10.0;
/// How deep folders lie within folders.
const DEPTH: usize = 64;

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Single documents.
    pub documents: BTreeSet<String>,
    /// Tarballs, each a group of its own.
    pub tarballs: BTreeSet<String>,
    /// What was named, or lay where one looked, and is not read.
    pub skipped: Vec<Skipped>,
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path.
    pub path: String,
    /// Why.
    pub why: Why,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It says that it is one thing and is another.
    Kind(FileKind),
    /// It is empty.
    Empty,
    /// It cannot be opened.
    Unreadable(String),
    /// No index can hold its path.
    Path(PathFault),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind(found) => {
                write!(f, "it is neither a PDF nor an image that is read, it is {found}")
            }
            Self::Empty => f.write_str("it is empty (0 bytes)"),
            Self::Unreadable(message) => write!(f, "it cannot be read: {message}"),
            Self::Path(fault) => write!(f, "{fault}"),
        }
    }
}

/// The address of an object, such as `s3://bucket/key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// `s3` or `gs`.
    pub scheme: &'a str,
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key, without a slash before it; may be empty.
    pub key: &'a str,
}

impl<'a> Address<'a> {
    /// Takes an address apart; None for the path of a file.
    pub fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if !matches!(scheme, "s3" | "gs") {
            return None;
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Some(Self { scheme, bucket, key: key.trim_start_matches('/') })
    }
}

/// Opens the bucket of an address as a store.
pub type OpenBucket<'a> = dyn Fn(&Address<'_>) -> Result<Arc<dyn Store>, Error> + 'a;

/// Whether a path is that of a tarball.
pub fn is_tarball(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.ends_with(".tar.gz") || lower.ends_with(".tgz")
}

/// Whether a path has the extension of a document that is read.
pub fn is_document(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    EXTENSIONS.iter().any(|extension| lower.ends_with(extension))
}

/// Finds what the arguments of `--pdfs` mean. Buckets are opened with `open`.
///
/// # Errors
/// For an argument that names nothing, or nothing that is read, as olmOCR has it; files within folders and patterns are
/// passed over instead, see [`Inputs::skipped`].
pub fn gather(arguments: &[String], open: &OpenBucket<'_>) -> Result<Inputs, Error> {
    let mut out = Inputs::default();
    for argument in arguments {
        if let Some(address) = Address::of(argument) {
            objects(argument, &address, &*open(&address)?, &mut out)?;
            continue;
        }
        let path = Path::new(argument);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => folder(argument, &mut out)?,
            Ok(_) if is_tarball(argument) => out.add_tarball(argument),
            Ok(_) if is_document(argument) => out.sniff(argument),
            Ok(_) if argument.to_ascii_lowercase().ends_with(".txt") => list(argument, &mut out)?,
            Ok(_) => return Err(fault(argument, WorkspaceFault::Extension)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !argument.contains(['*', '?', '[']) {
                    return Err(Error::Missing { path: path.to_path_buf() });
                }
                files(argument, &mut out)?;
            }
            Err(source) => return Err(Error::Read { path: path.to_path_buf(), source }),
        }
    }
    Ok(out)
}

fn fault(place: &str, fault: WorkspaceFault) -> Error {
    Error::Workspace { place: place.to_owned(), fault }
}

impl Inputs {
    fn skip(&mut self, path: &str, why: Why) {
        self.skipped.push(Skipped { path: path.to_owned(), why });
    }

    fn add_document(&mut self, path: &str) {
        match index::check_path(path) {
            Ok(()) => drop(self.documents.insert(path.to_owned())),
            Err(fault) => self.skip(path, Why::Path(fault)),
        }
    }

    fn add_tarball(&mut self, path: &str) {
        match index::check_path(path) {
            Ok(()) => drop(self.tarballs.insert(path.to_owned())),
            Err(fault) => self.skip(path, Why::Path(fault)),
        }
    }

    fn add_any(&mut self, path: &str) {
        if is_tarball(path) {
            self.add_tarball(path);
        } else {
            self.add_document(path);
        }
    }

    /// Adds a file of this machine whose extension is right, if its first bytes are.
    fn sniff(&mut self, path: &str) {
        let head = || -> io::Result<Vec<u8>> {
            // A pipe would never end.
            if !fs::metadata(path)?.is_file() {
                return Err(io::Error::other("it is no regular file"));
            }
            let mut head = Vec::new();
            File::open(path)?.take(1024).read_to_end(&mut head)?;
            Ok(head)
        };
        match head() {
            Ok(head) if head.is_empty() => self.skip(path, Why::Empty),
            Ok(head) => {
                let found = FileKind::of(&head);
                if found.is_document() {
                    self.add_document(path);
                } else {
                    self.skip(path, Why::Kind(found));
                }
            }
            Err(error) => self.skip(path, Why::Unreadable(error.to_string())),
        }
    }

    /// Adds a file that lies where one looks; others than documents are passed over without a word.
    fn look(&mut self, path: &str) {
        if is_tarball(path) {
            self.add_tarball(path);
        } else if is_document(path) {
            self.sniff(path);
        }
    }

    fn count(&self) -> usize {
        self.documents.len() + self.tarballs.len() + self.skipped.len()
    }

    /// Adds all that is not there yet to an index: documents in groups of `per_group`, tarballs one by one. Says how
    /// many were added.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn add_to(&self, index: &mut Index, per_group: usize) -> Result<usize, WorkspaceFault> {
        let documents = index.add(self.documents.iter().map(String::as_str), per_group)?;
        Ok(documents + index.add(self.tarballs.iter().map(String::as_str), 1)?)
    }

    /// How many documents make a group of about `pages_per_group` pages. Up to a hundred of them, spread over all, are
    /// asked how many pages they have with `pages`; if none knows, ten are assumed.
    pub fn per_group(
        &self,
        pages_per_group: u32,
        pages: &mut dyn FnMut(&str) -> Option<u32>,
    ) -> usize {
        let count = self.documents.len();
        let step = count.div_ceil(SAMPLE).max(1);
        let asked = self.documents.iter().step_by(step).filter_map(|path| pages(path));
        let (documents, pages) =
            asked.fold((0_u32, 0_u64), |(n, sum), p| (n + 1, sum + u64::from(p)));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a hundred documents have fewer pages than that"
        )]
        let mean = if documents == 0 { USUAL_PAGES } else { pages as f64 / f64::from(documents) };
        if mean <= 0.0 {
            return count.max(1);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by u32"
        )]
        let most = (f64::from(pages_per_group) / mean) as usize;
        most.max(1)
    }
}

/// A list of paths, one a line.
fn list(path: &str, out: &mut Inputs) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_LIST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_LIST {
        let bytes = bytes.len() as u64;
        return Err(fault(path, WorkspaceFault::TooLarge { bytes, limit: MOST_LIST }));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let breaks = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        fault(path, WorkspaceFault::ListText { line: breaks as u64 + 1 })
    })?;
    let text = text.trim_start_matches('\u{feff}');
    for line in text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()) {
        out.add_any(line);
    }
    Ok(())
}

/// Everything in a folder of this machine.
fn folder(path: &str, out: &mut Inputs) -> Result<(), Error> {
    let before = out.count();
    let base = path.trim_end_matches('/');
    let base = if base.is_empty() { "/" } else { base };
    walk(base, 0, out)?;
    if out.count() == before { Err(fault(path, WorkspaceFault::NoMatch)) } else { Ok(()) }
}

fn walk(folder: &str, depth: usize, out: &mut Inputs) -> Result<(), Error> {
    if depth > DEPTH {
        out.skip(folder, Why::Unreadable("too many folders within folders".to_owned()));
        return Ok(());
    }
    let (files, folders) = match names(folder, out) {
        Ok(found) => found,
        // The folder that was named must be readable; of those within it, each is reported.
        Err(source) if depth == 0 => return Err(Error::Read { path: folder.into(), source }),
        Err(error) => {
            out.skip(folder, Why::Unreadable(error.to_string()));
            return Ok(());
        }
    };
    for name in files {
        out.look(&join(folder, &name));
    }
    for name in folders {
        walk(&join(folder, &name), depth + 1, out)?;
    }
    Ok(())
}

/// What a folder holds, sorted: files, also behind links, and folders. Hidden ones are left out.
fn names(folder: &str, out: &mut Inputs) -> io::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(if folder.is_empty() { "." } else { folder })? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            let name = entry.path().display().to_string();
            if is_document(&name) || is_tarball(&name) {
                out.skip(&name, Why::Path(PathFault::NotUnicode));
            }
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        // Links to folders may lead in circles.
        if entry.file_type()?.is_dir() {
            folders.insert(name);
        } else if !entry.path().is_dir() {
            files.insert(name);
        }
    }
    Ok((files, folders))
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ if folder.ends_with('/') => format!("{folder}{name}"),
        _ => format!("{folder}/{name}"),
    }
}

/// The files of this machine that a pattern means. `**` stands for any folders.
fn files(pattern: &str, out: &mut Inputs) -> Result<(), Error> {
    let before = out.count();
    let (base, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", pattern),
    };
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    matching(base, &parts, 0, out)?;
    if out.count() == before { Err(fault(pattern, WorkspaceFault::NoMatch)) } else { Ok(()) }
}

fn matching(folder: &str, parts: &[&str], depth: usize, out: &mut Inputs) -> Result<(), Error> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    if depth > DEPTH {
        return Ok(());
    }
    if !part.contains(['*', '?', '[']) {
        let path = join(folder, part);
        if rest.is_empty() {
            if Path::new(&path).is_file() {
                out.look(&path);
            }
            return Ok(());
        }
        return matching(&path, rest, depth + 1, out);
    }
    // A folder that is not there, or closed, has nothing that matches.
    let Ok((files, folders)) = names(folder, out) else { return Ok(()) };
    if *part == "**" {
        matching(folder, rest, depth + 1, out)?;
        for name in folders {
            matching(&join(folder, &name), parts, depth + 1, out)?;
        }
        return Ok(());
    }
    let pattern = Pattern::of_names(part);
    if rest.is_empty() {
        for name in files.iter().filter(|name| pattern.matches(name)) {
            out.look(&join(folder, name));
        }
        return Ok(());
    }
    for name in folders.iter().filter(|name| pattern.matches(name)) {
        matching(&join(folder, name), rest, depth + 1, out)?;
    }
    Ok(())
}

/// The objects that an address or a pattern of addresses means.
fn objects(
    argument: &str,
    address: &Address<'_>,
    bucket: &dyn Store,
    out: &mut Inputs,
) -> Result<(), Error> {
    let path = |key: &str| format!("{}://{}/{key}", address.scheme, address.bucket);
    let key = address.key;
    if let Some(wildcard) = key.find(['*', '[', ']']) {
        let pattern = Pattern::of_keys(key);
        let before = out.count();
        for entry in bucket.list(&key[..wildcard])? {
            if pattern.matches(&entry.key) {
                out.add_any(&path(&entry.key));
            }
        }
        let none = out.count() == before;
        return if none { Err(fault(argument, WorkspaceFault::NoMatch)) } else { Ok(()) };
    }
    let folder = key.is_empty() || key.ends_with('/');
    if !folder && bucket.entry(key)?.is_some() {
        out.add_any(&path(key));
        return Ok(());
    }
    let prefix = if folder { key.to_owned() } else { format!("{key}/") };
    let within = !bucket.list(&prefix)?.is_empty();
    Err(fault(argument, if within { WorkspaceFault::Prefix } else { WorkspaceFault::Absent }))
}

#[cfg(test)]
mod tests;
