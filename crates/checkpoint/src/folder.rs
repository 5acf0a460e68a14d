//! One model folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use crate::files::Files;
use crate::safetensors::Header;
use crate::shards::{self, Shard};
use crate::{
    Activation, Config, Error, Generation, Index, QuantizationRules, RawTensor, Result,
    SentenceTransformers, Weights, json,
};

/// The most bytes that [`Folder::read`] reads: the largest tokenizers have a quarter of it.
const READ_LIMIT: u64 = 128 << 20;

/// A model folder with a readable `config.json`.
#[derive(Clone, Debug)]
pub struct Folder {
    files: Files,
    config: Config,
    generation: Generation,
}

impl Folder {
    /// Opens the folder `path`. Its files may be links, as in the hub cache.
    ///
    /// # Errors
    /// If there is no such folder, or `config.json`, `generation_config.json` or `tokenizer_config.json` cannot be
    /// read.
    pub fn open(path: &Path) -> Result<Self> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                return Err(match shards::foreign_format(name) {
                    Some(format) => Error::Format { path: path.into(), format },
                    None => Error::NotAFolder { path: path.into() },
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::FolderMissing { path: path.into() });
            }
            Err(source) => return Err(Error::Io { path: path.into(), action: "open", source }),
        }
        Self::new(Files::Disk(path.into()))
    }

    /// A folder in memory: contents by name, with `/` in the names of files in subfolders. For tests and fuzzing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_files(files: BTreeMap<String, Bytes>) -> Result<Self> {
        Self::new(Files::Memory(files))
    }

    fn new(files: Files) -> Result<Self> {
        let path = files.path("config.json");
        let Some(bytes) = files.read("config.json", json::LIMIT)? else {
            // A folder of foreign weights says more by its weights than by what it lacks.
            return Err(
                match files
                    .names()?
                    .iter()
                    .find_map(|name| Some((name, shards::foreign_format(name)?)))
                {
                    Some((name, format)) => Error::Format { path: files.path(name), format },
                    None => Error::FileMissing { path },
                },
            );
        };
        let config = Config::parse_bytes(&path, &bytes)?;
        let generation = Generation::read(&files, &config)?;
        Ok(Self { files, config, generation })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.files.root()
    }

    /// `config.json`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where text ends, and how the makers would sample.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The content of the small file `file`, such as `tokenizer.json`; `None` where there is none. Names of files in
    /// subfolders have `/`.
    ///
    /// # Errors
    /// If it cannot be read, is over 128 MiB, or is not inside the folder.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        self.files.read(file, READ_LIMIT)
    }

    /// The content of the small JSON file `file`, such as `preprocessor_config.json`; `None` where there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if it is not a JSON object.
    pub fn side_config(&self, file: &str) -> Result<Option<Config>> {
        let content = self.read(file)?;
        content.map(|content| Config::parse_bytes(&self.files.path(file), &content)).transpose()
    }

    /// What the weights are, from their headers alone.
    ///
    /// # Errors
    /// If a header, the index of shards or the declared quantization contradicts itself or another.
    pub fn index(&self) -> Result<Index> {
        Index::build(&self.files, shards::read(&self.files)?, &self.config.quantization()?)
    }

    /// The weights, mapped into memory.
    ///
    /// # Errors
    /// As [`index`](Self::index), and if a file cannot be mapped.
    pub fn weights(&self) -> Result<Weights> {
        load(&self.files, self.config.quantization()?)
    }

    /// The weights in the folder `path` inside this one, such as `2_Dense`.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn module_weights(&self, path: &str) -> Result<Weights> {
        load(&self.files.below(path)?, QuantizationRules::default())
    }

    /// The weights in the one file `name` beside the model's, such as `sparse_linear.pt`; `None` where there is none.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn side_weights(&self, name: &str) -> Result<Option<Weights>> {
        if !self.files.exists(name) {
            return Ok(None);
        }
        let shard = Shard { name: name.to_owned(), header: self.files.header(name)? };
        hold(&self.files, vec![shard], QuantizationRules::default()).map(Some)
    }

    /// The function that sentence-transformers' files put after a classifier's logits; `None` where they name none.
    ///
    /// # Errors
    /// If a file cannot be read, or the function is not known.
    pub fn score_activation(&self) -> Result<Option<Activation>> {
        crate::sentence_transformers::score_activation(&self.files, &self.config)
    }

    /// How to make embeddings; `None` where no sentence-transformers file says it.
    ///
    /// # Errors
    /// If one of the files cannot be read, or a module is not known.
    pub fn sentence_transformers(&self) -> Result<Option<SentenceTransformers>> {
        SentenceTransformers::read(&self.files)
    }
}

/// Maps the weights in `files`.
fn load(files: &Files, rules: QuantizationRules) -> Result<Weights> {
    hold(files, shards::read(files)?, rules)
}

/// Maps `shards` of `files`.
fn hold(files: &Files, shards: Vec<Shard>, rules: QuantizationRules) -> Result<Weights> {
    let mut weights = Weights::new(files.root().into(), rules);
    for Shard { name, header } in shards {
        map_shard(&mut weights, files, &name, header)?;
    }
    Ok(weights)
}

/// Maps the file `name`, which has this `header`, and adds its tensors to `weights`.
pub(crate) fn map_shard(
    weights: &mut Weights,
    files: &Files,
    name: &str,
    header: Header,
) -> Result<()> {
    let path = files.path(name);
    let map = files.map(name)?;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, entry) in header.tensors {
        let (begin, end) = (header.data + entry.begin, header.data + entry.end);
        // The header was checked against the file's size; the file may have been replaced since.
        if end > map.bytes.len() as u64 {
            return Err(Error::Truncated {
                path,
                tensor: name,
                missing: end - map.bytes.len() as u64,
            });
        }
        let bytes = map.bytes.slice(begin as usize..end as usize);
        tensors.push(RawTensor { name, dtype: entry.dtype, shape: entry.shape, bytes });
    }
    weights.add(&path, tensors)?;
    weights.hold(map);
    Ok(())
}
