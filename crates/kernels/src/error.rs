//! What can go wrong before a forward pass begins.

use std::path::PathBuf;

use crate::Isa;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A device that cannot be had as it was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine lacks the instruction set that was asked for.
    #[error("this machine has no {isa}")]
    NoSuchIsa {
        /// What was asked for.
        isa: Isa,
    },
    /// Zero, or more threads than the pool can hold.
    #[error("{threads} threads were asked for; between 1 and {most} are possible")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// The most there can be.
        most: usize,
    },
    /// The operating system refused a thread.
    #[error("the operating system started only {started} of {wanted} worker threads")]
    Spawn {
        /// How many threads run.
        started: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// There is no cache of such codes.
    #[error("a cache of {bits}-bit codes in groups of {group_size} was asked for")]
    KvQuantization {
        /// The width of a code that was asked for.
        bits: usize,
        /// The size of a group that was asked for.
        group_size: usize,
    },
    /// A head cannot be cut into groups.
    #[error("heads {dim} wide cannot be cached in groups of {group_size}")]
    KvGroups {
        /// The width of a head of keys or values.
        dim: usize,
        /// Elements that would share a scale.
        group_size: usize,
    },
    /// The library over MLX cannot be opened: it is missing, or what it needs is.
    #[error("{} cannot be opened: {what}", path.display())]
    MlxUnopened {
        /// The library.
        path: PathBuf,
        /// What the system's loader says.
        what: String,
    },
    /// The library over MLX was made for an older or newer program.
    #[error("{} speaks version {found} of folio's border to MLX, and this program version {wanted}", path.display())]
    MlxAbi {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// This program's.
        wanted: u32,
    },
    /// The library over MLX was built with another MLX than it should, or lies beside another.
    #[error("{} was built with MLX {built_with} and runs on {beside}, but {wanted} is needed", path.display())]
    MlxVersion {
        /// The library.
        path: PathBuf,
        /// The MLX whose headers it was built with.
        built_with: String,
        /// The MLX that it runs on.
        beside: String,
        /// The one that this program was tested with.
        wanted: &'static str,
    },
    /// MLX has no device that works.
    #[error("{} has no device: {what}", path.display())]
    MlxDevice {
        /// The library.
        path: PathBuf,
        /// What MLX says.
        what: String,
    },
}

/// What sort of failure this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The caller asked for something that makes no sense.
    Invalid,
    /// The machine cannot do it.
    Unsupported,
    /// The machine failed.
    Internal,
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchIsa { .. }
            | Self::KvGroups { .. }
            | Self::MlxUnopened { .. }
            | Self::MlxAbi { .. }
            | Self::MlxVersion { .. } => Kind::Unsupported,
            Self::Threads { .. } | Self::KvQuantization { .. } => Kind::Invalid,
            Self::Spawn { .. } | Self::MlxDevice { .. } => Kind::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchIsa { .. } => "leave the instruction set out to use the best there is",
            Self::Threads { .. } => "leave the thread count out to use every core",
            Self::KvQuantization { .. } => "there are 8 and 4 bits, and groups of 32, 64 and 128",
            Self::KvGroups { .. } => "choose groups that divide the heads, or leave the codes out",
            Self::Spawn { .. } => {
                "raise the limit on processes (`ulimit -u`) or ask for fewer threads"
            }
            Self::MlxUnopened { .. } | Self::MlxAbi { .. } | Self::MlxVersion { .. } => {
                "run `cargo xtask mlx` in folio's source folder, which builds it anew"
            }
            Self::MlxDevice { .. } => "use the CPU: `--device cpu`",
        }
    }
}
