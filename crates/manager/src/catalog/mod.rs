//! Which models are on disk: in the hub cache, in LM Studio's folder and in the user's own, found where they lie.

mod folder;
mod hub;
pub(crate) mod lock;
mod name;
mod remove;
mod resolve;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use lock::Hold;
pub use name::ModelName;
pub use remove::{Item, Removal};

use crate::environment::Environment;
use crate::error::{Error, Result};

pub(crate) use hub::{Repository, is_commit, read_reference};
pub(crate) use resolve::nearest;

/// Whose folder a model was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// A folder of `FOLIO_MODELS`, or one given as a path.
    Folder,
    /// The hub cache, shared with Python's `huggingface_hub`.
    HubCache,
    /// LM Studio's folder.
    LmStudio,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::HubCache => "hub cache",
            Self::LmStudio => "LM Studio",
        })
    }
}

/// The format of a model's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// Safetensors written by MLX: quantized, or marked `"format": "mlx"`.
    Mlx,
    /// Safetensors of any other origin.
    Safetensors,
    /// llama.cpp's format.
    Gguf,
    /// The one file that PyTorch wrote: `pytorch_model.bin`.
    PyTorch,
    /// Other files that PyTorch wrote.
    PyTorchParts,
    /// ONNX graphs.
    Onnx,
    /// Weights that only change another model's: LoRA and its kin.
    Adapter,
    /// A set of several models: a `diffusers` pipeline.
    Pipeline,
    /// None of the files is one we know.
    Unknown,
}

impl Format {
    /// Whether folio reads it.
    pub fn supported(self) -> bool {
        matches!(self, Self::Mlx | Self::Safetensors | Self::PyTorch)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mlx => "MLX",
            Self::Safetensors => "safetensors",
            Self::Gguf => "GGUF",
            Self::PyTorch => "PyTorch",
            Self::PyTorchParts => "PyTorch in parts",
            Self::Onnx => "ONNX",
            Self::Adapter => "adapter (LoRA)",
            Self::Pipeline => "diffusers pipeline",
            Self::Unknown => "no known weights",
        })
    }
}

/// One thing that keeps a model from being whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// A file that others name is not there.
    Missing {
        /// The file's name within the model.
        file: String,
    },
    /// A link whose target is gone.
    BrokenLink {
        /// The link's name within the model.
        file: String,
    },
    /// There are no weights.
    NoWeights,
    /// A download of it was interrupted, or is under way.
    Interrupted {
        /// Bytes that came so far of files that are not whole.
        bytes: u64,
    },
    /// A branch or tag names a commit that is not on disk.
    NoSnapshot {
        /// The branch or tag.
        reference: String,
        /// The commit.
        commit: String,
    },
    /// A file or folder that must be read cannot be, or makes no sense.
    Unreadable {
        /// Its name within the model.
        file: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { file } => write!(f, "{file} is missing"),
            Self::BrokenLink { file } => write!(f, "{file} is a link to nothing"),
            Self::NoWeights => f.write_str("the weights are missing"),
            Self::Interrupted { bytes } => {
                write!(f, "a download stopped after {}", crate::error::Bytes(*bytes))
            }
            Self::NoSnapshot { reference, commit } => {
                write!(f, "{reference} names commit {commit}, which is not here")
            }
            Self::Unreadable { file, reason } => write!(f, "{file} cannot be read: {reason}"),
        }
    }
}

/// A commit of a repository, and the branches and tags that name it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Revision {
    /// The commit's hash.
    pub commit: String,
    /// The branches and tags on disk that stand for it, sorted.
    pub references: Vec<String>,
}

/// A model on disk.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the user types for it: `org/name`, `org/name@revision`, or a folder's name.
    pub name: String,
    /// The folder that holds `config.json`: a snapshot, or the model's own.
    pub path: PathBuf,
    /// Which commit it is, in the hub cache.
    pub revision: Option<Revision>,
    /// Whose folder it lies in.
    pub source: Source,
    /// Bytes on disk, a file with several names counted once.
    pub bytes: u64,
    /// The format of its files.
    pub format: Format,
    /// `model_type` of `config.json`, when it says one.
    pub model_type: Option<String>,
    /// What is missing. Empty: the model is whole.
    pub gaps: Vec<Gap>,
    /// The files by device and inode, with their sizes: what of several entries is shared is counted once.
    files: BTreeMap<(u64, u64), u64>,
    /// The folder that removing it would empty, and the folder it must lie in.
    home: PathBuf,
    root: PathBuf,
}

impl Entry {
    /// Whether every file is there.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Whether it could be run, as far as the files' names tell.
    pub fn is_usable(&self) -> bool {
        self.is_complete() && self.format.supported()
    }

    /// The entry itself when it could be run.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] or [`Error::IncompleteModel`].
    pub fn usable(self) -> Result<Self> {
        if !self.is_complete() {
            let gaps = self.gaps.iter().map(ToString::to_string).collect();
            return Err(Error::IncompleteModel { name: self.name, gaps });
        }
        if !self.format.supported() {
            return Err(Error::UnsupportedFormat {
                name: self.name,
                format: self.format.to_string(),
            });
        }
        Ok(self)
    }
}

/// A folder of models that could not be read.
#[derive(Debug)]
pub struct Trouble {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// The models found on disk at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    troubles: Vec<Trouble>,
}

impl Catalog {
    /// Looks through all folders of the environment. Walks directories: not for the async executor. A folder that
    /// does not exist is skipped; one that cannot be read is told by [`Catalog::troubles`].
    pub fn scan(environment: &Environment) -> Self {
        let mut catalog = Self::default();
        for folder in &environment.folders {
            catalog.scan_flat(folder, Source::Folder);
        }
        hub::scan(&environment.hub_cache, &mut catalog);
        for folder in &environment.lm_studio {
            catalog.scan_flat(folder, Source::LmStudio);
        }
        catalog
    }

    /// All models: the user's folders, then the hub cache, then LM Studio; by name within each.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Folders that could not be read.
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// Bytes on disk of all models together, what they share counted once.
    pub fn bytes(&self) -> u64 {
        let mut all: BTreeMap<&(u64, u64), &u64> = BTreeMap::new();
        for entry in &self.entries {
            all.extend(entry.files.iter());
        }
        all.into_values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// `org/name` folders below `root`; a folder that is itself a model counts as `name`.
    fn scan_flat(&mut self, root: &Path, source: Source) {
        for (first, path) in self.subfolders(root) {
            if folder::looks_like_model(&path) {
                self.entries.push(folder::entry(first, path, source, root));
                continue;
            }
            for (second, path) in self.subfolders(&path) {
                if folder::looks_like_model(&path) {
                    self.entries.push(folder::entry(
                        format!("{first}/{second}"),
                        path,
                        source,
                        root,
                    ));
                }
            }
        }
    }

    /// The folders in a folder, sorted by name; hidden ones are left out, links to folders are followed.
    fn subfolders(&mut self, path: &Path) -> Vec<(String, PathBuf)> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(source) => {
                if !matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) {
                    self.troubles.push(Trouble { path: path.to_owned(), source });
                }
                return Vec::new();
            }
        };
        let mut found: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().to_str()?.to_owned();
                (!name.starts_with('.') && entry.path().is_dir()).then(|| (name, entry.path()))
            })
            .collect();
        found.sort();
        found
    }
}
