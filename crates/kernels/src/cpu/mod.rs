//! The portable backend: our own kernels on the machine's cores.

pub(crate) mod attention;
mod bandwidth;
mod buffer;
pub(crate) mod elementwise;
mod foresight;
mod isa;
mod pages;
mod pool;
mod region;
mod shared;
pub(crate) mod simd;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use buffer::Buffer;
pub(crate) use foresight::Foresight;
pub use isa::Isa;
pub(crate) use pages::Pages;
pub(crate) use pool::Pool;
pub(crate) use region::Region;
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

/// Where the CPU reads quantized weights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WeightLayout {
    /// In the memory that they came in, row by row: a file's map, which processes share.
    InPlace,
    /// In memory of their own, where the format allows it and activations are rounded to bytes: as
    /// many rows side by side as a vector has lanes. It takes the time to write that memory, once,
    /// and saves turning them over for each product; and one row of activations is multiplied as
    /// fast as memory can be read.
    Panels,
    /// In place at first, and in panels when they have been multiplied often enough for that to have
    /// been worth it: not all in the same step, so that none takes long. Products of up to four rows
    /// of activations are summed in another order from then on.
    InTime {
        /// The most bytes that panels take; weights that find no room stay in place.
        room: usize,
    },
}

impl Default for WeightLayout {
    /// In time, with all the room that is wanted.
    fn default() -> Self {
        Self::InTime { room: usize::MAX }
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
    /// Where quantized weights are read.
    pub weights: WeightLayout,
}

/// An open CPU backend: threads, an instruction set, a store of buffers to use again.
pub struct Cpu {
    isa: Isa,
    precision: Precision,
    pool: Pool,
    weights: WeightLayout,
    recycler: buffer::Recycler,
    regions: region::Regions,
    /// How many weights were to be laid out in time, and the bytes that further ones may take.
    waiting: AtomicUsize,
    room: AtomicUsize,
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
        let CpuOptions { precision, weights, .. } = options;
        let (recycler, regions) = (buffer::Recycler::default(), region::Regions::default());
        let room = match weights {
            WeightLayout::InTime { room } => room,
            WeightLayout::InPlace | WeightLayout::Panels => 0,
        };
        let (waiting, room) = (AtomicUsize::new(0), AtomicUsize::new(room));
        Ok(Arc::new(Self { isa, precision, pool, weights, recycler, regions, waiting, room }))
    }

    /// The instruction set its kernels use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How quantized products are computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where quantized weights are read.
    pub fn weights(&self) -> WeightLayout {
        self.weights
    }

    /// Takes so many bytes of room for a weight that is to be laid out in time, and answers how many
    /// such weights there were before; nothing if there is no room.
    pub(crate) fn take_room(&self, bytes: usize) -> Option<usize> {
        let rest = |room: usize| room.checked_sub(bytes);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok()?;
        Some(self.waiting.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives back what was taken.
    pub(crate) fn give_room(&self, bytes: usize) {
        self.room.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Memory of `len` bytes that lives as long as weights, once `fill` has written it.
    ///
    /// # Errors
    ///
    /// If the system has no memory.
    pub(crate) fn region(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> std::io::Result<Region> {
        self.regions.region(len, fill)
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
