//! The hub's list of a repository's files: a stranger's words, checked before any of them becomes a path.

use serde::Deserialize;
use sha2::Digest as _;

use super::Selection;
use crate::catalog::ModelName;
use crate::error::{AnswerFault, Error, Result};

/// The most files accepted: the largest checkpoints have a few hundred.
const MOST_FILES: usize = 10_000;

/// What a file's content is known by; its blob bears this name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    /// SHA-256 of the content: large files.
    Sha256(String),
    /// Git's SHA-1 of the content with its header: small files.
    Git(String),
    /// A mark of some mirror; it cannot be verified.
    Opaque(String),
}

impl Identity {
    /// From an `ETag`: quotes and the weak mark are dropped. `None` when it could not be a file's name.
    pub(super) fn from_etag(etag: &str) -> Option<Self> {
        let text = etag.trim();
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let safe = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        match text.len() {
            64 if hex => Some(Self::Sha256(text.to_owned())),
            40 if hex => Some(Self::Git(text.to_owned())),
            1..=128 if safe => Some(Self::Opaque(text.to_owned())),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::Git(text) | Self::Opaque(text) => text,
        }
    }

    /// A digest that, fed `size` bytes of content, ends in this identity.
    pub(super) fn digest(&self, size: u64) -> Digest {
        match self {
            Self::Sha256(_) => Digest::Sha256(sha2::Sha256::new()),
            Self::Git(_) => {
                let mut digest = sha1::Sha1::new();
                digest.update(format!("blob {size}\0"));
                Digest::Sha1(digest)
            }
            Self::Opaque(_) => Digest::None,
        }
    }
}

/// A hash in the making.
#[derive(Clone, Debug)]
pub(super) enum Digest {
    Sha256(sha2::Sha256),
    Sha1(sha1::Sha1),
    None,
}

impl Digest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::None => {}
        }
    }

    /// In hexadecimal; `None` when there is nothing to verify with.
    pub(super) fn finish(self) -> Option<String> {
        match self {
            Self::Sha256(digest) => Some(crate::hex(&digest.finalize())),
            Self::Sha1(digest) => Some(crate::hex(&digest.finalize())),
            Self::None => None,
        }
    }
}

/// A file of the list, as far as the list tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sibling {
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) identity: Option<Identity>,
}

/// A file with all that is needed to fetch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) identity: Identity,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Answer {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<AnswerFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerFile {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<AnswerLarge>,
}

#[derive(Deserialize)]
struct AnswerLarge {
    sha256: Option<String>,
    size: Option<u64>,
}

/// Reads the hub's answer.
///
/// # Errors
/// [`Error::BadAnswer`] and [`Error::HostileFileName`].
pub(super) fn parse(name: &ModelName, url: &str, body: &[u8]) -> Result<Listing> {
    let bad = |fault| Error::BadAnswer { url: url.to_owned(), fault };
    let web_page = body.trim_ascii_start().first() == Some(&b'<');
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| bad(if web_page { AnswerFault::WebPage } else { AnswerFault::NotJson }))?;
    let commit = answer
        .sha
        .filter(|sha| sha.len() >= 40 && crate::catalog::is_commit(sha))
        .ok_or_else(|| bad(AnswerFault::NoCommit))?;
    if answer.siblings.len() > MOST_FILES {
        return Err(bad(AnswerFault::TooManyFiles { limit: MOST_FILES }));
    }
    let mut files = Vec::with_capacity(answer.siblings.len());
    for file in answer.siblings {
        if !is_safe(&file.rfilename) {
            return Err(Error::HostileFileName {
                name: name.to_string(),
                file: file.rfilename.chars().take(200).collect(),
            });
        }
        let (size, hash) = match file.lfs {
            Some(large) => (large.size.or(file.size), large.sha256),
            None => (file.size, file.blob_id),
        };
        // Only real hashes count here: a `blobId` of another form would not be the name that Python uses.
        let identity = hash
            .as_deref()
            .and_then(Identity::from_etag)
            .filter(|id| !matches!(id, Identity::Opaque(_)));
        files.push(Sibling { name: file.rfilename, size, identity });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files.dedup_by(|a, b| a.name == b.name);
    Ok(Listing { commit, files })
}

/// Whether a name stays below the folder it is put in, on every system.
fn is_safe(name: &str) -> bool {
    let fine = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
    name.len() <= 1024
        && name.split('/').count() <= 16
        && name.split('/').all(fine)
        && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'))
}

/// The files to fetch.
///
/// # Errors
/// [`Error::NothingToFetch`] when there is nothing to run among them.
pub(super) fn select(
    name: &ModelName,
    files: Vec<Sibling>,
    selection: Selection,
) -> Result<Vec<Sibling>> {
    if selection == Selection::Everything && !files.is_empty() {
        return Ok(files);
    }
    // Some repositories hold the weights twice: `consolidated` is the form of its own programs.
    let usual = files
        .iter()
        .any(|file| file.name.starts_with("model") && file.name.ends_with(".safetensors"));
    let wanted: Vec<Sibling> = files
        .iter()
        .filter(|file| needed(&file.name) && !(usual && file.name.starts_with("consolidated")))
        .cloned()
        .collect();
    // A module's own, such as `2_Dense/model.safetensors`, are not the network's.
    if wanted.iter().any(|file| file.name.ends_with(".safetensors") && !file.name.contains('/')) {
        return Ok(wanted);
    }
    if let Some(weights) = files.iter().find(|file| file.name == "pytorch_model.bin") {
        return Ok([wanted, vec![weights.clone()]].concat());
    }
    if wanted.iter().any(|file| file.name.ends_with(".safetensors")) {
        return Ok(wanted);
    }
    let found = files
        .into_iter()
        .map(|file| file.name)
        .filter(|name| !name.starts_with('.'))
        .take(5)
        .collect();
    Err(Error::NothingToFetch { name: name.to_string(), found })
}

/// Whether a file of this name says what may be done with the model. Inference can do without, its user cannot.
pub(crate) fn is_licence(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let starts = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "USE_POLICY"];
    !name.contains('/') && starts.iter().any(|start| upper.starts_with(start))
}

/// Whether a file of this name is fetched where not everything is.
fn needed(name: &str) -> bool {
    let folder = name.split_once('/').map_or("", |(folder, _)| folder);
    let other_engines =
        ["original", "onnx", "openvino", "coreml", "flax", "metal"].contains(&folder);
    let hidden = name.split('/').any(|part| part.starts_with('.'));
    // `_linear.pt`: what makes weights and vectors of single tokens.
    let ends = [".safetensors", ".json", ".txt", ".jinja", ".model", ".tiktoken", "_linear.pt"];
    let of_other_weights =
        ["pytorch_model.bin.index.json", "tf_model.h5.index.json", "flax_model.msgpack.index.json"];
    !other_engines
        && !hidden
        && (ends.iter().any(|end| name.ends_with(end)) || is_licence(name))
        && !of_other_weights.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> ModelName {
        "a/b".parse().unwrap()
    }

    fn answer(files: &str) -> Result<Listing> {
        let sha = "0123456789012345678901234567890123456789";
        parse(
            &name(),
            "http://hub/x",
            format!(r#"{{"sha":"{sha}","siblings":[{files}]}}"#).as_bytes(),
        )
    }

    #[test]
    fn a_list_is_read() {
        let sha256 = "a".repeat(64);
        let git = "b".repeat(40);
        let files = format!(
            r#"{{"rfilename":"m.safetensors","size":9,"blobId":"{git}","lfs":{{"sha256":"{sha256}","size":9,"pointerSize":1}}}},
               {{"rfilename":"config.json","size":2,"blobId":"{git}"}},{{"rfilename":"x/old.json"}}"#
        );
        let listing = answer(&files).unwrap();
        assert_eq!(listing.files[0].identity, Some(Identity::Git(git)));
        assert_eq!(listing.files[1].identity, Some(Identity::Sha256(sha256)));
        assert_eq!(
            listing.files[2],
            Sibling { name: "x/old.json".into(), size: None, identity: None }
        );
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for file in
            ["../x", "/etc/x", "a/../x", "a//b", "", ".", "a/./b", r"a\\..\\x", r"a\u0000b", "C:x"]
        {
            let got = answer(&format!(r#"{{"rfilename":"{file}"}}"#));
            assert!(matches!(got, Err(Error::HostileFileName { .. })), "{file:?}: {got:?}");
        }
        let deep = "d/".repeat(30) + "x";
        assert!(matches!(
            answer(&format!(r#"{{"rfilename":"{deep}"}}"#)),
            Err(Error::HostileFileName { .. })
        ));
    }

    #[test]
    fn other_answers_are_refused() {
        let fault = |body: &str| match parse(&name(), "u", body.as_bytes()) {
            Err(Error::BadAnswer { fault, .. }) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(" <html>log in</html>"), AnswerFault::WebPage);
        assert_eq!(fault("[]x"), AnswerFault::NotJson);
        assert_eq!(fault(r#"{"siblings":[]}"#), AnswerFault::NoCommit);
        assert_eq!(
            fault(r#"{"sha":"../../../../../../../../../../../../../x"}"#),
            AnswerFault::NoCommit
        );
        let many = vec![r#"{"rfilename":"x"}"#; MOST_FILES + 1].join(",");
        assert!(matches!(
            answer(&many),
            Err(Error::BadAnswer { fault: AnswerFault::TooManyFiles { .. }, .. })
        ));
    }

    #[test]
    fn only_what_inference_needs_is_taken() {
        let yes = [
            "model-00001-of-00002.safetensors",
            "config.json",
            "tokenizer.model",
            "merges.txt",
            "chat_template.jinja",
            "1_Pooling/config.json",
            "qwen.tiktoken",
            "LICENSE",
            "sparse_linear.pt",
        ];
        let no = [
            "pytorch_model.bin",
            "model.onnx",
            "onnx/config.json",
            "x.gguf",
            "original/params.json",
            "logo.png",
            ".gitattributes",
            "README.md",
            "a.pt",
            ".cache/x.json",
            "pytorch_model.bin.index.json",
        ];
        assert!(yes.iter().all(|name| needed(name)));
        assert!(!no.iter().any(|name| needed(name)));
        let file = |name: &str| Sibling { name: name.into(), size: None, identity: None };
        let both = vec![file("consolidated.safetensors"), file("model.safetensors")];
        assert_eq!(
            select(&name(), both, Selection::Inference).unwrap(),
            [file("model.safetensors")]
        );
        let old = vec![
            file("pytorch_model.bin"),
            file("config.json"),
            file("2_Dense/model.safetensors"),
            file("tf_model.h5"),
        ];
        let names = |files: Vec<Sibling>| files.into_iter().map(|f| f.name).collect::<Vec<_>>();
        let fetched = names(select(&name(), old.clone(), Selection::Inference).unwrap());
        assert_eq!(fetched, ["config.json", "2_Dense/model.safetensors", "pytorch_model.bin"]);
        let new = [old, vec![file("model.safetensors")]].concat();
        let fetched = names(select(&name(), new, Selection::Inference).unwrap());
        assert!(!fetched.contains(&"pytorch_model.bin".to_owned()));
        let gguf = select(&name(), vec![file("config.json"), file("x.gguf")], Selection::Inference);
        assert!(matches!(gguf, Err(Error::NothingToFetch { .. })));
    }

    #[test]
    fn identities_and_their_digests() {
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        assert_eq!(
            Identity::from_etag(&format!("W/\"{empty}\"")),
            Some(Identity::Git(empty.into()))
        );
        assert_eq!(Identity::Git(empty.into()).digest(0).finish().as_deref(), Some(empty));
        assert_eq!(Identity::from_etag("\"../x\""), None);
        assert_eq!(Identity::from_etag("\"\""), None);
        let mut digest = Identity::Sha256(String::new()).digest(3);
        digest.update(b"abc");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.finish().as_deref(), Some(abc));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in "(?s).{0,200}", file in "(?s).{0,40}") {
            drop(parse(&name(), "u", body.as_bytes()));
            if is_safe(&file) {
                prop_assert!(std::path::Path::new("/r").join(&file).starts_with("/r"));
                prop_assert!(!file.contains(".."  ) || !file.split('/').any(|p| p == ".."));
            }
        }
    }
}
