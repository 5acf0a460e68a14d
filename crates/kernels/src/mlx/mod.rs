//! The second backend: Apple's MLX, on the GPU of a Mac, or on the CPU elsewhere.
//!
//! MLX is reached through a thin C library of ours that is built apart from this crate and opened
//! at run time; without it, nothing here can be had and nothing else is missing. Operations only
//! build a graph; it is computed when elements are read, or when a
//! [cache settles](crate::KvCache::settle). One thread should own the device: MLX's streams belong
//! to the thread that made them.

mod array;
mod library;
mod pages;
#[cfg(test)]
mod tests;

use std::ffi::c_int;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use array::Array;
use library::{Functions, Library};
pub use library::{MLX_ABI, MLX_VERSION};
pub(crate) use pages::Pages;

use crate::{DType, Error, Precision, Result};

/// What the MLX backend is opened with.
#[derive(Clone, Debug)]
pub struct MlxOptions {
    /// The shim: `libfolio_mlx.so`, or `.dylib` on a Mac.
    pub library: PathBuf,
    /// With [`Precision::Exact`], activations are `f32` everywhere; else they follow the weights
    /// on a GPU. On a CPU they are `f32` in any case: MLX sums there in the activations' type.
    pub precision: Precision,
    /// Whether activations follow the weights on a CPU, too, though sums are bad there then: how
    /// what a GPU does is tried without one.
    pub follow_weights: bool,
    /// The most bytes of freed buffers that MLX keeps to use again. Its own limit is none.
    pub cache_limit: u64,
}

impl MlxOptions {
    /// The shim at `library`, with activations that follow the weights and 512 MiB of spare
    /// buffers.
    pub fn new(library: PathBuf) -> Self {
        Self { library, precision: Precision::Fast, follow_weights: false, cache_limit: 512 << 20 }
    }
}

/// What MLX has in use, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MlxMemory {
    /// Held by arrays.
    pub active: u64,
    /// The most that was held by arrays.
    pub peak: u64,
    /// Freed and kept to be used again.
    pub cache: u64,
}

/// An open MLX backend.
pub struct Mlx {
    library: Library,
    path: PathBuf,
    gpu: bool,
    name: String,
    device_memory: u64,
    precision: Precision,
    follow_weights: bool,
    /// The first failure that nobody has asked for yet.
    failure: Mutex<Option<String>>,
    waits: AtomicU64,
}

impl Mlx {
    pub(crate) fn open(options: &MlxOptions) -> Result<Arc<Self>> {
        let library = Library::open(&options.library)?;
        let (gpu, described) = {
            let (functions, _turn) = library.turn();
            let gpu = functions.gpu();
            (gpu, functions.start(gpu, options.cache_limit))
        };
        let refused = |what| Error::MlxDevice { path: options.library.clone(), what };
        let (name, device_memory) = described.map_err(refused)?;
        Ok(Arc::new(Self {
            library,
            path: options.library.clone(),
            gpu,
            name,
            device_memory,
            precision: options.precision,
            follow_weights: options.follow_weights,
            failure: Mutex::new(None),
            waits: AtomicU64::new(0),
        }))
    }

    /// Where the shim lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it computes on a GPU.
    pub fn is_gpu(&self) -> bool {
        self.gpu
    }

    /// What the device calls itself; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of memory that the device says it should work with; 0 if it does not say.
    pub fn device_memory(&self) -> u64 {
        self.device_memory
    }

    /// How activations are kept.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether activations follow the type of the weights; else they are `f32`.
    pub fn is_native(&self) -> bool {
        (self.gpu || self.follow_weights) && self.precision != Precision::Exact
    }

    /// The type of activations that come from weights stored as `stored`.
    pub(crate) fn activations(&self, stored: DType) -> DType {
        match stored {
            _ if !self.is_native() => DType::F32,
            DType::F16 | DType::BF16 => stored,
            // The scales of the microscaling formats say nothing of activations.
            DType::U8 | DType::U32 => DType::BF16,
            DType::F32 => DType::F32,
        }
    }

    /// What is in use now.
    pub fn memory(&self) -> MlxMemory {
        self.library.turn().0.in_use()
    }

    /// Gives freed buffers back to the system: when a model has left.
    pub fn clear_cache(&self) {
        self.call(Functions::give_back);
    }

    /// Begins to look for the peak of memory anew.
    pub fn reset_peak(&self) {
        self.call(Functions::forget_peak);
    }

    /// How often something has waited for results.
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// The first failure since this was last asked.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn library(&self) -> &Library {
        &self.library
    }

    /// Runs `call` and remembers what it complains of; whether it succeeded.
    fn call(&self, call: impl FnOnce(&Functions) -> c_int) -> bool {
        let complaint = {
            let (functions, _turn) = self.library.turn();
            if call(functions) == 0 {
                return true;
            }
            functions.complaint()
        };
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(complaint);
        false
    }
}

impl fmt::Debug for Mlx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mlx")
            .field("gpu", &self.gpu)
            .field("name", &self.name)
            .field("precision", &self.precision)
            .finish_non_exhaustive()
    }
}
