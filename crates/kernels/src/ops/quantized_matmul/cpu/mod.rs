//! Reads packed rows where they are, and chooses a way by the number of rows of activations.
//!
//! | precision | rows of `x` | what happens                                                   |
//! | --------- | ----------- | -------------------------------------------------------------- |
//! | fast      | 1           | [`one`]: unpack in registers, integer dot products along rows  |
//! | fast      | more        | [`many`]: unpack a panel of rows, integer dot products across  |
//! | exact     | any         | [`exact`]: decode to `f32` a piece at a time                   |
//!
//! 8-bit floats (`mxfp8`) have no integer form and always go the exact way.

mod activations;
mod exact;
mod formats;
mod many;
mod one;
mod scales;
mod weights;

use activations::{Layout, Plan, Rounded};
use exact::Exact;
use formats::{Format, with_format};
use many::{Multiply, Panel};
use weights::Weights;

use crate::cpu::simd::quantized::{Level, dispatch};
use crate::cpu::{Cpu, Precision, SharedMut};
use crate::{QuantizedTensor, Tensor};

/// Bytes of the weight that are worth a task of their own, for a single row of activations.
const GRAIN_BYTES: usize = 64 * 1024;

/// Multiplications that are worth a task of their own, for several.
const GRAIN_PRODUCTS: usize = 4 << 20;

/// The fewest tasks that a thread should find, so that none waits long for another.
const TASKS_PER_THREAD: usize = 4;

pub(super) fn quantized_matmul(x: &Tensor, w: &QuantizedTensor) -> Tensor {
    multiply(Level::of(x.cpu().isa()), x, w)
}

/// The product with the instructions of `level`, which the machine has.
pub(super) fn multiply(level: Level, x: &Tensor, w: &QuantizedTensor) -> Tensor {
    let cpu = x.cpu();
    let (m, w) = (x.rows(), Weights::new(w));
    let mut out = cpu.buffer(m * w.rows());
    if m > 0 && w.rows() > 0 {
        let out = SharedMut::new(&mut out);
        let product = Product { cpu, level, w: &w, x: x.data(), m, out: &out };
        match cpu.precision() {
            Precision::Exact => product.exact(),
            Precision::Fast => with_format!(
                w.format(),
                F => product.fast::<F>(),
                otherwise => product.exact()
            ),
        }
    }
    Tensor::from_buffer(&[m, w.rows()], out)
}

/// Decodes rows `indices` of `w` into `out`.
pub(in crate::ops) fn decode_rows(w: &QuantizedTensor, indices: &[u32], out: &mut [f32]) {
    let cpu = w.weight.cpu();
    let (level, w) = (Level::of(cpu.isa()), Weights::new(w));
    cpu.pool().run_rows(out, w.columns(), |rows, out| {
        for (out, &index) in out.chunks_exact_mut(w.columns()).zip(&indices[rows]) {
            exact::decode(level, &w, index as usize, 0..w.columns(), out);
        }
    });
}

/// One call.
struct Product<'a, 'b> {
    cpu: &'a std::sync::Arc<Cpu>,
    level: Level,
    w: &'a Weights<'b>,
    x: &'a [f32],
    m: usize,
    out: &'a SharedMut<'b, f32>,
}

impl Product<'_, '_> {
    fn exact(&self) {
        let exact = Exact { w: self.w, x: self.x, out: self.out };
        let rows = GRAIN_PRODUCTS / 16 / (self.m * self.w.columns());
        self.cpu.pool().run_ranges(self.w.rows(), self.grain(rows, exact::ROWS), |rows| {
            exact.rows(self.level, rows);
        });
    }

    fn fast<F: Format>(&self) {
        let layout = if self.m == 1 { Layout::Rows } else { Layout::Tiles(self.level.tile()) };
        let plan = Plan {
            rows: self.m,
            columns: self.w.columns(),
            group: self.w.group(),
            planes: F::PLANES,
            layout,
        };
        let x = Rounded::new(self.cpu, self.level, plan, self.x);
        if self.m == 1 { self.one::<F>(&x) } else { self.many::<F>(&x) }
    }

    fn one<F: Format>(&self, x: &Rounded) {
        let Self { level, w, out, .. } = *self;
        let grain = self.grain(GRAIN_BYTES / w.row_bytes().max(1), one::STREAMS);
        self.cpu.pool().run_ranges(w.rows(), grain, |rows| {
            one::one::<F>(level, w, x, rows, out);
        });
    }

    fn many<F: Format>(&self, x: &Rounded) {
        let Self { level, w, out, .. } = *self;
        let (lanes, rows) = (level.lanes(), w.rows());
        let grain = self.grain(GRAIN_PRODUCTS / (self.m * w.columns()), lanes);
        self.cpu.pool().run_ranges(rows, grain, |task| {
            Panel::with(level, w, |panel| {
                for row in task.step_by(lanes) {
                    panel.unpack::<F>(level, w, row);
                    if F::WIDE {
                        dispatch(level, Multiply::<true> { panel, x, row, rows, out });
                    } else {
                        dispatch(level, Multiply::<false> { panel, x, row, rows, out });
                    }
                }
            });
        });
    }

    /// Rows of the weight for a task: about `wanted`, a multiple of `unit`, and few enough that
    /// each thread finds several tasks.
    fn grain(&self, wanted: usize, unit: usize) -> usize {
        let tasks = self.cpu.threads() * TASKS_PER_THREAD;
        let most = self.w.rows().div_ceil(tasks);
        wanted.min(most).next_multiple_of(unit).max(unit)
    }
}
