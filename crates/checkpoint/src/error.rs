//! What can be wrong with a model folder.

use std::path::PathBuf;

use crate::{Dtype, Mode, Quantization};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is, for a status code or an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The files contradict themselves or each other.
    Invalid,
    /// Something is not there.
    NotFound,
    /// Too much is going on.
    Overloaded,
    /// A well-formed checkpoint of a sort we do not read.
    Unsupported,
    /// A bug of ours.
    Internal,
}

/// A model folder that cannot be used, and why. Sizes are in bytes; shapes are outermost dimension first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// A verb: `open`, `read`, `map`, `list`.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model folder does not exist.
    #[error("there is no model folder {}", path.display())]
    FolderMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The model is a file where a folder is needed.
    #[error("{} is a file, not a model folder", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A file that every model has is absent.
    #[error("{} is missing", path.display())]
    FileMissing {
        /// The file.
        path: PathBuf,
    },
    /// A link whose target is gone, as an interrupted download leaves it.
    #[error("{} links to {}, which does not exist", path.display(), target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// A pipe, a device or a folder in the place of a file.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// What stands there.
        path: PathBuf,
    },
    /// A name that leads out of the model folder.
    #[error("{} names the file {name:?}, which is outside the model folder", path.display())]
    OutsideFolder {
        /// The file or folder that holds the name.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A side file that no honest model has in this size.
    #[error("{} has {bytes} bytes; at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most we read.
        limit: u64,
    },
    /// Text that is not the JSON we expect.
    #[error("{} is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
    /// A side file with a field of the wrong type, or without a needed one.
    #[error("{}: field `{field}` cannot be read", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The way to the field, with dots; `.` for the whole file.
        field: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A number that cannot mean anything in this place.
    #[error("{}: `{field}` is {found}, expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The way to the field.
        field: String,
        /// The value, as JSON.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// `config.json` is not what the architecture expects.
    #[error("{}: field `{field}` does not describe a `{architecture}` model", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The architecture that read it.
        architecture: &'static str,
        /// The way to the field, with dots; `.` for the whole object, as when a field is missing.
        field: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Weights in a format other than safetensors.
    #[error("{} is {format}, which is not read", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
    },
    /// A file that `torch.save` wrote, with something in it that a dictionary of tensors does not have.
    #[error("{}: {found} at byte {offset}, which no dictionary of tensors has", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// About where, in bytes from the beginning.
        offset: usize,
        /// What is there.
        found: String,
    },
    /// The folder has no weights at all.
    #[error("{} holds no safetensors file", path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// Git LFS left its pointer instead of the file.
    #[error("{} is a Git LFS pointer, not the file itself", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The file ends inside its safetensors header.
    #[error("{} has {bytes} bytes, but its header alone needs {needed}", path.display())]
    HeaderTruncated {
        /// The file.
        path: PathBuf,
        /// The file's size.
        bytes: u64,
        /// Where the header would end.
        needed: u64,
    },
    /// A header of absurd size: not a safetensors file.
    #[error("{} announces a header of {bytes} bytes; at most {limit} are read", path.display())]
    HeaderTooLarge {
        /// The file.
        path: PathBuf,
        /// The announced size.
        bytes: u64,
        /// The most we read.
        limit: u64,
    },
    /// The header is not the JSON that safetensors defines.
    #[error("{}: the safetensors header cannot be read", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What the parser said; a column is a position in the header.
        source: serde_json::Error,
    },
    /// A dtype that safetensors does not define.
    #[error("{}: tensor `{tensor}` has the unknown dtype {dtype:?}", path.display())]
    UnknownDtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The dtype's name.
        dtype: String,
    },
    /// More elements than can be counted.
    #[error("{}: tensor `{tensor}` has the impossible shape {shape:?}", path.display())]
    ShapeOverflow {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// Shape and dtype ask for another number of bytes than the offsets give.
    #[error("{}: tensor `{tensor}` needs {expected} bytes by its shape and dtype, its offsets give {found}", path.display())]
    ByteLength {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Bytes by shape and dtype.
        expected: u64,
        /// Bytes by offsets.
        found: u64,
    },
    /// Elements of 4 or 6 bits that do not fill their last byte.
    #[error("{}: tensor `{tensor}` of {dtype} does not fill whole bytes", path.display())]
    PartialByte {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dtype.
        dtype: Dtype,
    },
    /// A tensor that ends before it begins.
    #[error("{}: tensor `{tensor}` begins at {begin} and ends at {end}", path.display())]
    Reversed {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// First byte, counted from the end of the header.
        begin: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Two tensors share bytes.
    #[error("{}: tensors `{first}` and `{second}` overlap by {bytes} bytes", path.display())]
    Overlap {
        /// The file.
        path: PathBuf,
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins inside it.
        second: String,
        /// How many bytes they share.
        bytes: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("{}: {bytes} bytes at {begin} belong to no tensor", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// Where they begin, counted from the end of the header.
        begin: u64,
        /// How many they are.
        bytes: u64,
    },
    /// The file ends before its last tensor does.
    #[error("{} is cut off: {missing} bytes are missing at its end, the first tensor concerned is `{tensor}`", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The first tensor that is not whole.
        tensor: String,
        /// How many bytes are missing.
        missing: u64,
    },
    /// The index names a shard that is not in the folder.
    #[error("shard {shard} of {} is missing", index.display())]
    ShardMissing {
        /// The index, or the folder when the shards' own names tell how many there are.
        index: PathBuf,
        /// The shard.
        shard: String,
    },
    /// Two shards hold the same tensor.
    #[error("tensor `{tensor}` is in both {} and {}", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A shard holds a tensor of which the index knows nothing.
    #[error("tensor `{tensor}` is in {} but not in {}", shard.display(), index.display())]
    NotIndexed {
        /// The tensor.
        tensor: String,
        /// The file that holds it.
        shard: PathBuf,
        /// The index that does not name it.
        index: PathBuf,
    },
    /// The index promises a tensor in a shard that does not hold it.
    #[error("{} places tensor `{tensor}` in {shard}, which does not hold it", index.display())]
    IndexWrong {
        /// The tensor.
        tensor: String,
        /// The shard that should hold it.
        shard: String,
        /// The index.
        index: PathBuf,
    },
    /// The network asks for a tensor that the checkpoint lacks.
    #[error("tensor `{tensor}` is missing from {}", path.display())]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// The model folder.
        path: PathBuf,
    },
    /// A tensor was asked for twice: a bug in an architecture.
    #[error("tensor `{tensor}` was taken twice")]
    TakenTwice {
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the configuration implies.
    #[error("{}: tensor `{tensor}` has shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// A tensor has a dtype that cannot serve in its place.
    #[error("{}: tensor `{tensor}` has dtype {found}, expected {expected}", path.display())]
    WrongDtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dtype.
        found: Dtype,
        /// What would be right.
        expected: &'static str,
    },
    /// The checkpoint holds tensors that no layer took.
    #[error("{}: {} tensors were not used: {}", path.display(), names.len(), Listed(names))]
    Unused {
        /// The model folder.
        path: PathBuf,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// There is no adapter in the folder.
    #[error("{} holds no adapter", path.display())]
    NoAdapter {
        /// The folder.
        path: PathBuf,
    },
    /// An adapter of a sort that is not known.
    #[error("{}: `{field}` is {found}, which is not known of an adapter here", path.display())]
    AdapterKind {
        /// Its configuration.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        found: String,
    },
    /// An adapter holds tensors that no layer took.
    #[error("{}: {} tensors of the adapter were not used: {}", path.display(), names.len(), Listed(names))]
    AdapterUnused {
        /// The adapter's folder.
        path: PathBuf,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// Quantized by a method that is not MLX's.
    #[error("{}: the weights are quantized with {method:?}", path.display())]
    QuantizationMethod {
        /// `config.json`.
        path: PathBuf,
        /// The method, as the file calls it.
        method: String,
    },
    /// A quantization mode that MLX does not define.
    #[error("{}: `{place}` has the unknown quantization mode {mode:?}", path.display())]
    QuantizationMode {
        /// `config.json`.
        path: PathBuf,
        /// The field.
        place: String,
        /// The mode.
        mode: String,
    },
    /// Bits and group size that the mode does not have.
    #[error("{}: `{place}` is {mode} with {bits} bits and groups of {group_size}, which does not exist", path.display())]
    QuantizationParameters {
        /// `config.json`, or the file of the tensor when the parameters follow from shapes.
        path: PathBuf,
        /// The field or the place of the tensor.
        place: String,
        /// The mode.
        mode: Mode,
        /// Bits per element.
        bits: u64,
        /// Elements per scale.
        group_size: u64,
    },
    /// The stored shapes follow from no quantization of a matrix of this size.
    #[error("{}: `{place}` stores weight {weight:?} and scales {scales:?}, which no quantization of {} gives", path.display(), Width(*columns))]
    QuantizedShape {
        /// The file.
        path: PathBuf,
        /// The place of the matrix.
        place: String,
        /// The shape of `weight`.
        weight: Vec<usize>,
        /// The shape of `scales`.
        scales: Vec<usize>,
        /// The logical number of columns that the configuration implies, where it is known.
        columns: Option<usize>,
    },
    /// The configuration declares a quantization, the tensors have none.
    #[error("{} declares `{place}` as {quantization}, but `{place}.scales` is missing", path.display())]
    ScalesMissing {
        /// `config.json`.
        path: PathBuf,
        /// The place of the matrix.
        place: String,
        /// What is declared.
        quantization: Quantization,
    },
    /// The configuration says that a matrix is not quantized, its tensors say that it is.
    #[error("{} declares `{place}` as not quantized, but `{place}.scales` is stored", path.display())]
    ScalesUnexpected {
        /// `config.json`.
        path: PathBuf,
        /// The place of the matrix.
        place: String,
    },
    /// A sentence-transformers module that we cannot run.
    #[error("{}: the module {module:?} is not known", path.display())]
    Module {
        /// The file that names it.
        path: PathBuf,
        /// The module's type.
        module: String,
    },
}

/// Up to five names, then how many more there are.
struct Listed<'a>(&'a [String]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, name) in self.0.iter().take(5).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}`{name}`")?;
        }
        match self.0.len().saturating_sub(5) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A number of columns, or any.
struct Width(Option<usize>);

impl std::fmt::Display for Width {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(columns) => write!(f, "{columns} columns"),
            None => f.write_str("a matrix"),
        }
    }
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::OutOfMemory => {
                Kind::Overloaded
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            Self::FolderMissing { .. }
            | Self::FileMissing { .. }
            | Self::DanglingLink { .. }
            | Self::NoWeights { .. }
            | Self::ShardMissing { .. }
            | Self::LfsPointer { .. }
            | Self::NoAdapter { .. } => Kind::NotFound,
            Self::Format { .. }
            | Self::QuantizationMethod { .. }
            | Self::QuantizationMode { .. }
            | Self::QuantizationParameters { .. }
            | Self::WrongDtype { .. }
            | Self::UnknownDtype { .. }
            | Self::Module { .. }
            | Self::Torch { .. }
            | Self::AdapterKind { .. } => Kind::Unsupported,
            Self::TakenTwice { .. } => Kind::Internal,
            Self::Io { .. }
            | Self::NotAFolder { .. }
            | Self::NotRegular { .. }
            | Self::OutsideFolder { .. }
            | Self::TooLarge { .. }
            | Self::Json { .. }
            | Self::Field { .. }
            | Self::Value { .. }
            | Self::Config { .. }
            | Self::HeaderTruncated { .. }
            | Self::HeaderTooLarge { .. }
            | Self::Header { .. }
            | Self::ShapeOverflow { .. }
            | Self::ByteLength { .. }
            | Self::PartialByte { .. }
            | Self::Reversed { .. }
            | Self::Overlap { .. }
            | Self::Gap { .. }
            | Self::Truncated { .. }
            | Self::DuplicateTensor { .. }
            | Self::NotIndexed { .. }
            | Self::IndexWrong { .. }
            | Self::MissingTensor { .. }
            | Self::Shape { .. }
            | Self::Unused { .. }
            | Self::AdapterUnused { .. }
            | Self::QuantizedShape { .. }
            | Self::ScalesMissing { .. }
            | Self::ScalesUnexpected { .. } => Kind::Invalid,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the file exists and that you may read it",
            Self::FolderMissing { .. } => {
                "give the folder of a model, or a name that `folio list` shows; `folio pull NAME` downloads one"
            }
            Self::NotAFolder { .. } => {
                "give the folder that holds `config.json` and the `.safetensors` files"
            }
            Self::FileMissing { .. } => {
                "the folder is not a whole model: download it again with `folio pull`"
            }
            Self::DanglingLink { .. } => {
                "the download was not finished: run `folio pull` again, it resumes"
            }
            Self::NotRegular { .. } => "replace it with the file of the model",
            Self::OutsideFolder { .. } => {
                "do not use this checkpoint: an honest one names only files in its own folder"
            }
            Self::TooLarge { .. } => {
                "compare the file with the published one; this is not a model's side file"
            }
            Self::Json { .. } => {
                "compare the file with the published one and download it again; \
                 comments, `NaN`, `Infinity` and repeated keys are not JSON"
            }
            Self::Field { .. } | Self::Value { .. } => {
                "compare the file with the published one; an edited value may have the wrong type"
            }
            Self::Config { .. } => {
                "compare `config.json` with the published one; an edited value may have the wrong type"
            }
            Self::Format { .. } => {
                "bring the model in safetensors form, for example its MLX conversion; \
                 `mlx_lm.convert --hf-path NAME` makes one"
            }
            Self::Torch { .. } => {
                "it may be damaged, or a program that would run where others load it: bring the model in safetensors form"
            }
            Self::NoWeights { .. } => {
                "the weights were not downloaded: run `folio pull`, or give the folder that holds them"
            }
            Self::LfsPointer { .. } => "run `git lfs pull` in that folder, or `folio pull`",
            Self::HeaderTruncated { .. } | Self::Truncated { .. } => {
                "the download was cut off: run `folio pull` again, it resumes and verifies"
            }
            Self::HeaderTooLarge { .. } | Self::Header { .. } => {
                "the file is damaged or not safetensors: download it again"
            }
            Self::UnknownDtype { .. } => "convert the tensor to F32, F16 or BF16",
            Self::ShapeOverflow { .. }
            | Self::ByteLength { .. }
            | Self::PartialByte { .. }
            | Self::Reversed { .. }
            | Self::Overlap { .. }
            | Self::Gap { .. } => {
                "the file is damaged or was written by a faulty program: download or convert it again"
            }
            Self::ShardMissing { .. } => "run `folio pull` again, it fetches what is missing",
            Self::DuplicateTensor { .. } | Self::NotIndexed { .. } | Self::IndexWrong { .. } => {
                "files of two versions may be mixed: download the model again, or remove the file that is not part of it"
            }
            Self::MissingTensor { .. } | Self::Shape { .. } | Self::Unused { .. } => {
                "`config.json` and the weights do not belong together, or the model is a variant that is not known yet"
            }
            Self::NoAdapter { .. } => {
                "give a folder with `adapter_config.json` and `adapters.safetensors` or `adapter_model.safetensors`"
            }
            Self::AdapterKind { .. } => {
                "merge the adapter into its model with the program that trained it, and use that model"
            }
            Self::AdapterUnused { .. } => {
                "the adapter may belong to another model, or change what adapters cannot change here: \
                 embeddings, experts and `kv_b_proj`; merge it into its model, and use that model"
            }
            Self::TakenTwice { .. } => "this is a bug: please report it with the name of the model",
            Self::WrongDtype { .. } => {
                "convert the weights to F32, F16, BF16 or an MLX quantization"
            }
            Self::QuantizationMethod { .. } => {
                "bring the MLX conversion of the model, or its unquantized weights; \
                 `mlx_lm.convert --hf-path NAME -q` makes one"
            }
            Self::QuantizationMode { .. } | Self::QuantizationParameters { .. } => {
                "known are affine (2, 3, 4, 5, 6, 8 bits; groups of 32, 64, 128), mxfp4, mxfp8 and nvfp4"
            }
            Self::QuantizedShape { .. }
            | Self::ScalesMissing { .. }
            | Self::ScalesUnexpected { .. } => {
                "`config.json` and the weights were not written together: convert or download the model again"
            }
            Self::Module { .. } => {
                "known are Transformer, Pooling, Normalize, Dense and Dropout of sentence-transformers; \
                 choose a model that uses only those"
            }
        }
    }
}
