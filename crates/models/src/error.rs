//! What keeps a checkpoint from becoming a network.

use std::path::PathBuf;

pub use checkpoint::Kind;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A checkpoint that cannot be built, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files are at fault.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// No architecture goes by that name here.
    #[error("{}: the architecture `{model_type}` is not supported", file.display())]
    UnknownArchitecture {
        /// The configuration.
        file: PathBuf,
        /// Its `model_type`.
        model_type: String,
        /// Those that are supported.
        known: Vec<&'static str>,
    },
    /// A field of the configuration has a value that no network can have.
    #[error("{}: `{field}` is {value}, but must be {expected}", file.display())]
    Config {
        /// The configuration.
        file: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field of the configuration asks for mathematics that is not implemented.
    #[error("{}: `{field}` is {value}, which `{architecture}` does not implement here", file.display())]
    Unsupported {
        /// The configuration.
        file: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// The architecture that does not know it.
        architecture: &'static str,
    },
    /// An image of a shape that no network was trained for.
    #[error("an image of {width} x {height} pixels: one side is more than {most} times the other")]
    AspectRatio {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The most that one side may be of the other.
        most: usize,
    },
    /// A tensor is stored as something no operation takes.
    #[error("tensor `{tensor}` is stored as {dtype}, which cannot be computed with")]
    Dtype {
        /// The full name.
        tensor: String,
        /// The type in the file.
        dtype: String,
    },
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Checkpoint(error) => error.kind(),
            Self::UnknownArchitecture { .. } | Self::Unsupported { .. } | Self::Dtype { .. } => {
                Kind::Unsupported
            }
            Self::Config { .. } | Self::AspectRatio { .. } => Kind::Invalid,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Checkpoint(error) => error.hint().to_owned(),
            Self::UnknownArchitecture { known, .. } => {
                format!("use a model of one of these architectures: {}", known.join(", "))
            }
            Self::Config { .. } => "the file is damaged or was edited: fetch it again".to_owned(),
            Self::Unsupported { .. } => {
                "answers would be wrong, so the model is not loaded; use a variant without it"
                    .to_owned()
            }
            Self::AspectRatio { .. } => "cut the image into parts".to_owned(),
            Self::Dtype { .. } => {
                "convert the model to f32, f16, bf16 or an MLX quantization".to_owned()
            }
        }
    }
}
