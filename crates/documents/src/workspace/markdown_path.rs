//! Where the Markdown of a document stands in a workspace.
//!
//! As olmOCR places it, unless two documents of the workspace would get one file: the first in the index keeps the
//! plain name, and the others keep their extension before `.md`, or get a part of a hash. So the places of documents do
//! not change when others are added, and every machine that works at an index comes to the same ones.

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest as _, Sha1};
use unicode_normalization::UnicodeNormalization as _;

use super::inputs::is_tarball;
use super::keys;
use crate::hex;

/// Bytes of a name that any file system takes, with room for a hash.
const MOST_NAME: usize = 200;

/// The places of all documents of a workspace.
#[derive(Clone, Debug, Default)]
pub struct MarkdownPaths {
    /// Documents that do not get the plain name, with what they get.
    other: BTreeMap<String, String>,
    /// Tarballs whose folder has another name.
    folders: BTreeMap<String, String>,
}

impl MarkdownPaths {
    /// The places for these documents and tarballs, which are all of an index, in its order.
    pub fn new<'a>(sources: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut out = Self::default();
        let mut taken: BTreeSet<[u8; 12]> = BTreeSet::new();
        let mut claim = |path: &str| taken.insert(fold(path));
        // Folders that single documents lie in, so that no tarball unpacks between them.
        let singles: BTreeSet<[u8; 12]> = sources
            .clone()
            .filter(|source| !is_tarball(source) && !is_member(source))
            .flat_map(|source| {
                let path = plain(source);
                path.match_indices('/').map(|(at, _)| fold(&path[..at])).collect::<Vec<_>>()
            })
            .collect();
        for source in sources {
            // A member that is read again has the place that its tarball gives it.
            if is_member(source) {
                continue;
            }
            if is_tarball(source) {
                let stem = stem(source);
                if out.folders.contains_key(source) {
                    continue;
                }
                let free = !singles.contains(&fold(&stem)) && claim(&format!("{stem}/"));
                let folder = if free { stem } else { marked(&stem, source) };
                if !free {
                    out.folders.insert(source.to_owned(), folder);
                }
            } else if !out.other.contains_key(source) {
                let path = plain(source);
                if claim(&path) {
                    continue;
                }
                let long = with_extension(source);
                let path = if claim(&long) {
                    long
                } else {
                    marked(path.trim_end_matches(".md"), source) + ".md"
                };
                out.other.insert(source.to_owned(), path);
            }
        }
        out
    }

    /// The key of a document's Markdown. For a member of a tarball, `tarball::member`, see
    /// [`of_members`](Self::of_members), which knows of all members.
    pub fn key(&self, source: &str) -> String {
        match source.split_once("::") {
            Some((tarball, member)) if is_tarball(tarball) => {
                format!("{}{}/{}", keys::MARKDOWN, self.folder(tarball), with_md(&safe(member)))
            }
            _ => match self.other.get(source) {
                Some(path) => format!("{}{path}", keys::MARKDOWN),
                None => format!("{}{}", keys::MARKDOWN, plain(source)),
            },
        }
    }

    /// The keys of the members of a tarball, `tarball::member` each, in their order.
    pub fn of_members(&self, sources: &[String]) -> Vec<String> {
        let members = sources.iter().map(|source| match source.split_once("::") {
            Some((_, member)) => member,
            None => source.as_str(),
        });
        let inside = Self::new(members.clone().filter(|member| !is_tarball(member)));
        let places = sources.iter().zip(members);
        let place = |(source, member): (&String, &str)| match source.split_once("::") {
            Some((tarball, _)) => {
                let path =
                    inside.other.get(member).cloned().unwrap_or_else(|| with_md(&safe(member)));
                format!("{}{}/{path}", keys::MARKDOWN, self.folder(tarball))
            }
            None => self.key(source),
        };
        places.map(place).collect()
    }

    fn folder(&self, tarball: &str) -> String {
        self.folders.get(tarball).cloned().unwrap_or_else(|| stem(tarball))
    }
}

/// Whether a source is one document of a tarball.
fn is_member(source: &str) -> bool {
    source.split_once("::").is_some_and(|(tarball, _)| is_tarball(tarball))
}

/// What file systems that do not tell apart upper and lower case, or ways to write an accent, take for one name.
fn fold(path: &str) -> [u8; 12] {
    let folded: String = path.nfd().flat_map(char::to_lowercase).nfd().collect();
    let hash = Sha1::digest(folded.as_bytes());
    let mut out = [0; 12];
    out.copy_from_slice(&hash[..12]);
    out
}

/// olmOCR's place for a document.
fn plain(source: &str) -> String {
    with_md(&safe(path_of(source)))
}

/// The same with its extension kept.
fn with_extension(source: &str) -> String {
    let path = safe(path_of(source));
    format!("{path}.md")
}

/// A document's path without its bucket.
fn path_of(source: &str) -> &str {
    match source.split_once("://") {
        Some(("s3" | "gs", rest)) => rest.split_once('/').map_or("", |(_, key)| key),
        _ => source,
    }
}

/// A relative path that leads nowhere but down.
fn safe(path: &str) -> String {
    let separator = |c: char| c == '/' || (cfg!(windows) && (c == '\\' || c == ':'));
    let parts = path.split(separator).filter(|part| !matches!(*part, "" | "." | ".."));
    let parts: Vec<String> = parts.map(short).collect();
    if parts.is_empty() { "document".to_owned() } else { parts.join("/") }
}

/// A component that is not too long for a file's name, and has no zero byte.
fn short(part: &str) -> String {
    let part = part.replace('\0', "_");
    if part.len() <= MOST_NAME {
        return part;
    }
    let (stem, extension) = split_extension(&part);
    // What is that long behind a dot is no extension.
    let (stem, keep) = if extension.len() <= 16 { (stem, extension) } else { (&*part, "") };
    let mut end = MOST_NAME.min(stem.len()) - 16 - keep.len();
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}{keep}", &stem[..end], digest(&part))
}

/// A path with `.md` in place of its extension.
fn with_md(path: &str) -> String {
    let (folder, name) = match path.rsplit_once('/') {
        Some((folder, name)) => (Some(folder), name),
        None => (None, path),
    };
    let (stem, _) = split_extension(name);
    match folder {
        Some(folder) => format!("{folder}/{stem}.md"),
        None => format!("{stem}.md"),
    }
}

/// A name and its extension with the dot, as Python's `os.path.splitext` has it: dots at the beginning begin none.
fn split_extension(name: &str) -> (&str, &str) {
    let start = name.len() - name.trim_start_matches('.').len();
    match name[start..].rfind('.') {
        Some(dot) => name.split_at(start + dot),
        None => (name, ""),
    }
}

/// The folder for what a tarball holds.
fn stem(tarball: &str) -> String {
    let path = safe(path_of(tarball));
    let name = path.rsplit('/').next().unwrap_or_default();
    let (stem, _) = split_extension(name);
    stem.strip_suffix(".tar").filter(|stem| !stem.is_empty()).unwrap_or(stem).to_owned()
}

/// A path that no other source has.
fn marked(path: &str, source: &str) -> String {
    format!("{path}-{}", digest(source))
}

/// A short hash of a source.
fn digest(source: &str) -> String {
    hex(&Sha1::digest(source.as_bytes())[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(sources: &[&str]) -> Vec<String> {
        let paths = MarkdownPaths::new(sources.iter().copied());
        sources.iter().map(|source| paths.key(source)).collect()
    }

    #[test]
    fn places_are_olmocrs() {
        // What get_markdown_path of olmOCR 0.4.27 says for these, below the workspace.
        let cases = [
            ("/data/a/b.pdf", "markdown/data/a/b.md"),
            ("a/b.PDF", "markdown/a/b.md"),
            ("../../etc/x.pdf", "markdown/etc/x.md"),
            ("s3://bucket/deep/key.pdf", "markdown/deep/key.md"),
            ("/t/set.tar.gz::in/x.pdf", "markdown/set/in/x.md"),
            ("s3://b/t/set.tgz::../../x.pdf", "markdown/set/x.md"),
            ("a//b/./c.d.pdf", "markdown/a/b/c.d.md"),
            ("/x/.pdf", "markdown/x/.pdf.md"),
            ("/x/..pdf", "markdown/x/..pdf.md"),
            ("/x/noext", "markdown/x/noext.md"),
            ("/ü/日本.pdf", "markdown/ü/日本.md"),
        ];
        for (source, key) in cases {
            assert_eq!(MarkdownPaths::default().key(source), key, "{source}");
        }
    }

    #[test]
    fn two_documents_never_share_a_file() {
        let sources =
            ["/a/x.pdf", "/a/x.png", "a/x.pdf", "s3://one/a/X.pdf", "s3://two/a/x.pdf", "/a/y.pdf"];
        let keys = keys(&sources);
        assert_eq!(keys[0], "markdown/a/x.md");
        assert_eq!(keys[1], "markdown/a/x.png.md");
        assert_eq!(keys[2], "markdown/a/x.pdf.md");
        assert_eq!(keys[5], "markdown/a/y.md");
        let folded: BTreeSet<_> = keys.iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(folded.len(), sources.len(), "{keys:?}");
        // Who comes later changes nothing.
        let fewer = MarkdownPaths::new(sources[..3].iter().copied());
        assert!(sources[..3].iter().zip(&keys).all(|(source, key)| fewer.key(source) == *key));
    }

    #[test]
    fn accents_written_in_two_ways_are_one_name() {
        let keys = keys(&["/a/\u{e9}.pdf", "/a/e\u{301}.pdf"]);
        assert_ne!(keys[0], keys[1].replace("e\u{301}", "\u{e9}"));
    }

    #[test]
    fn tarballs_unpack_into_folders_of_their_own() {
        let paths = MarkdownPaths::new(
            ["/a/set.tar.gz", "/b/set.tgz", "x/one.pdf", "/c/x.tgz"].into_iter(),
        );
        let of = |source: &str| paths.key(source);
        assert_eq!(of("/a/set.tar.gz::m.pdf"), "markdown/set/m.md");
        let second = of("/b/set.tgz::m.pdf");
        assert!(second.starts_with("markdown/set-") && second.ends_with("/m.md"), "{second}");
        let third = of("/c/x.tgz::one.pdf");
        assert!(third.starts_with("markdown/x-"), "{third}");
        let members = [
            "/a/set.tar.gz::m.pdf",
            "/a/set.tar.gz::d/m.pdf",
            "/a/set.tar.gz::M.PDF",
            "/a/set.tar.gz::../m.pdf",
        ];
        let members: Vec<String> = members.iter().map(|m| (*m).to_owned()).collect();
        let keys = paths.of_members(&members);
        assert_eq!(keys[..2], ["markdown/set/m.md", "markdown/set/d/m.md"]);
        let folded: BTreeSet<_> = keys.iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(folded.len(), 4, "{keys:?}");
    }

    #[test]
    fn names_are_never_too_long() {
        let long = format!("/a/{}.pdf", "ü".repeat(400));
        let key = MarkdownPaths::default().key(&long);
        assert!(key.split('/').all(|part| part.len() <= 220), "{key}");
        // A dot may stand anywhere in such a name.
        for dot in [0, 1, 5, 190, 290] {
            let name = format!("{}.{}", "ü".repeat(dot), "日".repeat(300 - dot));
            let key = MarkdownPaths::default().key(&name);
            assert!(key.len() <= 240 && key.ends_with(".md"), "{key}");
        }
        let other = MarkdownPaths::default().key(&long.replace(".pdf", "x.pdf"));
        assert_ne!(key, other);
    }
}
