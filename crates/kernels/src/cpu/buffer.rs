//! Memory for activations, used again: a step makes and drops hundreds of arrays of a few sizes,
//! and asking the system for fresh pages each time costs more than many kernels do.
#![expect(unsafe_code, reason = "cache lines are handed out as numbers")]

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::Cpu;

/// The most cache lines that wait to be used again (64 MB).
const KEPT: usize = 1 << 20;

/// The numbers in a cache line.
const LINE: usize = 16;

/// A cache line: vectors that begin at one never straddle two.
#[repr(C, align(64))]
struct Line([f32; LINE]);

#[derive(Default)]
pub(super) struct Recycler(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    /// Spare memory by length.
    spare: BTreeMap<usize, Vec<Box<[Line]>>>,
    /// The sum of their lengths.
    kept: usize,
}

impl Recycler {
    /// Spare memory of at least `len` lines, and at most twice that.
    fn take(&self, len: usize) -> Option<Box<[Line]>> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (&size, stack) = shelf.spare.range_mut(len..=len.saturating_mul(2)).next()?;
        let lines = stack.pop();
        if stack.is_empty() {
            shelf.spare.remove(&size);
        }
        shelf.kept -= size;
        lines
    }

    fn put(&self, lines: Box<[Line]>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.kept + lines.len() <= KEPT {
            shelf.kept += lines.len();
            shelf.spare.entry(lines.len()).or_default().push(lines);
        }
    }
}

/// Numbers on the CPU, given back to their device when dropped.
pub(crate) struct Buffer {
    cpu: Arc<Cpu>,
    memory: Memory,
    /// How many numbers were asked for: spare memory may be longer.
    len: usize,
}

enum Memory {
    /// From the store, and back to it.
    Ours(Box<[Line]>),
    /// Made elsewhere.
    Theirs(Vec<f32>),
}

impl Buffer {
    pub(super) fn take(cpu: &Arc<Cpu>, len: usize) -> Self {
        let lines = len.div_ceil(LINE);
        let memory = cpu.recycler.take(lines).unwrap_or_else(|| zeroed(lines));
        Self { cpu: Arc::clone(cpu), memory: Memory::Ours(memory), len }
    }

    /// Takes over memory that came from elsewhere.
    pub(crate) fn adopt(cpu: &Arc<Cpu>, data: Vec<f32>) -> Self {
        Self { cpu: Arc::clone(cpu), len: data.len(), memory: Memory::Theirs(data) }
    }

    pub(crate) fn cpu(&self) -> &Arc<Cpu> {
        &self.cpu
    }
}

/// `len` lines whose pages the system commits when they are first written.
fn zeroed(len: usize) -> Box<[Line]> {
    // SAFETY: numbers whose bits are all zero are zeros.
    unsafe { Box::new_zeroed_slice(len).assume_init() }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.memory {
            Memory::Ours(lines) => {
                assert!(self.len <= lines.len() * LINE, "a buffer longer than its memory");
                // SAFETY: a line is sixteen numbers and nothing else.
                unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), self.len) }
            }
            Memory::Theirs(data) => data,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.memory {
            Memory::Ours(lines) => {
                assert!(self.len <= lines.len() * LINE, "a buffer longer than its memory");
                // SAFETY: a line is sixteen numbers and nothing else.
                unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), self.len) }
            }
            Memory::Theirs(data) => data,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Memory::Ours(lines) = &mut self.memory
            && !lines.is_empty()
        {
            self.cpu.recycler.put(mem::take(lines));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.len)
    }
}

#[cfg(test)]
mod tests {
    use crate::{CpuOptions, Device};

    #[test]
    fn memory_is_aligned_and_used_again() {
        let device = Device::cpu(CpuOptions::default()).unwrap();
        let cpu = device.as_cpu().unwrap();
        let mut first = cpu.buffer(100);
        first[99] = 1.0;
        let address = first.as_ptr();
        assert_eq!(address.addr() % 64, 0);
        drop(first);
        let second = cpu.buffer(97);
        assert_eq!((second.as_ptr(), second.len()), (address, 97));
        assert_ne!(cpu.buffer(97).as_ptr(), address);
        assert!(cpu.buffer(0).is_empty());
    }
}
