//! Memory for activations, used again: a step makes and drops hundreds of arrays of a few sizes,
//! and asking the system for fresh pages each time costs more than many kernels do.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::Cpu;

/// The most numbers that wait to be used again (64 MB).
const KEPT: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Recycler(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    /// Spare memory by length.
    spare: BTreeMap<usize, Vec<Vec<f32>>>,
    /// The sum of their lengths.
    kept: usize,
}

impl Recycler {
    /// Spare memory of at least `len` numbers, and less than twice that.
    fn take(&self, len: usize) -> Option<Vec<f32>> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (&size, stack) = shelf.spare.range_mut(len..=len.saturating_mul(2)).next()?;
        let data = stack.pop();
        if stack.is_empty() {
            shelf.spare.remove(&size);
        }
        shelf.kept -= size;
        data
    }

    fn put(&self, data: Vec<f32>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.kept + data.len() <= KEPT {
            shelf.kept += data.len();
            shelf.spare.entry(data.len()).or_default().push(data);
        }
    }
}

/// Numbers on the CPU, given back to their device when dropped.
pub(crate) struct Buffer {
    cpu: Arc<Cpu>,
    /// At least `len` long: spare memory may be longer than what was asked for.
    data: Vec<f32>,
    len: usize,
}

impl Buffer {
    pub(super) fn take(cpu: &Arc<Cpu>, len: usize) -> Self {
        let data = cpu.recycler.take(len).unwrap_or_else(|| vec![0.0; len]);
        Self { cpu: Arc::clone(cpu), data, len }
    }

    /// Takes over memory that came from elsewhere.
    pub(crate) fn adopt(cpu: &Arc<Cpu>, data: Vec<f32>) -> Self {
        Self { cpu: Arc::clone(cpu), len: data.len(), data }
    }

    pub(crate) fn cpu(&self) -> &Arc<Cpu> {
        &self.cpu
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.len > 0 {
            self.cpu.recycler.put(mem::take(&mut self.data));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.len)
    }
}
