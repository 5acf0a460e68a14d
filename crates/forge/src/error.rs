//! What keeps a conversion from being made.

use std::io;
use std::path::PathBuf;

pub use checkpoint::Kind;
use checkpoint::Quantization;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A conversion that cannot be made, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model does not make a network.
    #[error(transparent)]
    Models(#[from] models::Error),
    /// The device that builds the network to look at it.
    #[error("the device cannot be opened")]
    Device(#[from] kernels::Error),
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// A verb: `write`, `copy`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The model is quantized already.
    #[error("{}: `{place}` is quantized already ({quantization})", path.display())]
    AlreadyQuantized {
        /// The model.
        path: PathBuf,
        /// The first such matrix.
        place: String,
        /// How.
        quantization: Quantization,
    },
    /// The recipe changes nothing.
    #[error("{}: nothing would change", path.display())]
    NothingToDo {
        /// The model.
        path: PathBuf,
    },
    /// An exception of the recipe fits no matrix.
    #[error("`{pattern}` fits none of the model's matrices")]
    IdleOverride {
        /// The places it is for.
        pattern: String,
        /// Some that there are.
        places: Vec<String>,
    },
    /// The result would overwrite something.
    #[error("{} is there already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// An unfinished conversion of something else is in the way.
    #[error("{} holds the beginning of another conversion", path.display())]
    OtherConversion {
        /// The unfinished folder.
        path: PathBuf,
    },
    /// Another process makes the same conversion.
    #[error("another process is writing {}", path.display())]
    Busy {
        /// The unfinished folder.
        path: PathBuf,
    },
    /// A tensor holds what cannot be quantized, or what its new type cannot hold.
    #[error("tensor `{tensor}` holds {value}, which cannot be kept as {to}")]
    Unfit {
        /// The full name.
        tensor: String,
        /// The first such element.
        value: f32,
        /// What it was to become.
        to: String,
    },
    /// Whoever watched the progress asked to stop. What is finished is kept.
    #[error("stopped")]
    Stopped,
}

impl From<checkpoint::Error> for Error {
    fn from(error: checkpoint::Error) -> Self {
        Self::Models(error.into())
    }
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Models(error) => error.kind(),
            Self::Device(_) => Kind::Unsupported,
            Self::Busy { .. } | Self::Stopped => Kind::Overloaded,
            Self::Io { .. } => Kind::NotFound,
            Self::AlreadyQuantized { .. }
            | Self::NothingToDo { .. }
            | Self::IdleOverride { .. }
            | Self::Exists { .. }
            | Self::OtherConversion { .. }
            | Self::Unfit { .. } => Kind::Invalid,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Models(error) => return Some(error.hint()),
            Self::Device(_) => return None,
            Self::Io { .. } => "check that it exists, that you may use it, and that the disk has room; \
                                the same command goes on where it stopped"
                .to_owned(),
            Self::AlreadyQuantized { .. } => {
                "convert the original weights: what is rounded twice loses twice".to_owned()
            }
            Self::NothingToDo { .. } => "say how many bits, or another type".to_owned(),
            Self::IdleOverride { places, .. } => {
                format!("write a place, with * for any letters; some are {}", places.join(", "))
            }
            Self::Exists { .. } => "name another folder, or remove that one first".to_owned(),
            Self::OtherConversion { .. } => {
                "finish that one with the command that began it, or remove the folder".to_owned()
            }
            Self::Busy { .. } => "wait until it is done".to_owned(),
            Self::Unfit { .. } => {
                "keep floats as bf16, or leave this matrix as it is; if the element is no number, the \
                 checkpoint is damaged: fetch it again"
                    .to_owned()
            }
            Self::Stopped => "the same command goes on where it stopped".to_owned(),
        })
    }
}
