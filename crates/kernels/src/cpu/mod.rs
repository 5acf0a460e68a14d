//! The portable backend: our own kernels on the machine's cores.

pub(crate) mod attention;
mod bandwidth;
mod buffer;
mod isa;
mod pages;
mod pool;
mod shared;
pub(crate) mod simd;

use std::fmt;
use std::sync::Arc;

pub(crate) use buffer::Buffer;
pub use isa::Isa;
pub(crate) use pages::Pages;
pub(crate) use pool::Pool;
pub(crate) use shared::SharedMut;

use crate::{Error, Result};

/// How products of activations and quantized weights are computed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Precision {
    /// Activations stay `f32` throughout: what a reference is compared with.
    Exact,
    /// Activations are rounded to `bf16` before they meet quantized weights, and before they meet
    /// others or each other where the machine multiplies those faster.
    Bf16,
    /// Activations are rounded to 8 bits for each group before they meet quantized weights (to
    /// `bf16` if those are 8-bit floats), and to `bf16` before they meet others or each other where
    /// the machine multiplies those faster.
    #[default]
    Fast,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Bf16 => "bf16",
            Self::Fast => "fast",
        })
    }
}

/// What the CPU backend is opened with.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Threads that compute, the caller's included; all usable cores if absent.
    pub threads: Option<usize>,
    /// The instruction set; the best of the machine if absent.
    pub isa: Option<Isa>,
    /// How quantized products are computed.
    pub precision: Precision,
}

/// An open CPU backend: threads, an instruction set, a store of buffers to use again.
pub struct Cpu {
    isa: Isa,
    precision: Precision,
    pool: Pool,
    recycler: buffer::Recycler,
}

impl Cpu {
    pub(crate) fn open(options: CpuOptions) -> Result<Arc<Self>> {
        let isa = options.isa.unwrap_or_else(Isa::best);
        if !isa.is_available() {
            return Err(Error::NoSuchIsa { isa });
        }
        let threads = match options.threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism().map_or(1, usize::from).min(Pool::MOST),
        };
        let pool = Pool::start(threads)?;
        let (precision, recycler) = (options.precision, buffer::Recycler::default());
        Ok(Arc::new(Self { isa, precision, pool, recycler }))
    }

    /// The instruction set its kernels use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How quantized products are computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether numbers that meet no quantized weight may be rounded to `bf16`, and are multiplied
    /// faster so.
    pub(crate) fn multiplies_pairs(&self) -> bool {
        self.precision != Precision::Exact && simd::pairs::are_fast(self.isa)
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Hands `tasks` tasks that do nothing to the threads and waits for them: what every operation
    /// pays before it computes. For measuring.
    pub fn empty_region(&self, tasks: usize) {
        self.pool.run(tasks, |task| {
            std::hint::black_box(task);
        });
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A buffer of `len` numbers whose content is arbitrary.
    pub(crate) fn buffer(self: &Arc<Self>, len: usize) -> Buffer {
        Buffer::take(self, len)
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu")
            .field("isa", &self.isa)
            .field("precision", &self.precision)
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}
