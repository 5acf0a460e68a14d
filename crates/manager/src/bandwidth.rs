//! How fast this machine reads its memory, measured.

use kernels::{CpuOptions, Device};

use crate::machine::Machine;
use crate::runtime::Error;

/// The least bytes that are read: several times the last cache of most machines.
const LEAST: u64 = 256 << 20;
/// The most, where caches are huge or there are many.
const MOST: u64 = 2 << 30;

/// Bytes a second, read from memory one after another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// By one thread.
    pub one_thread: f64,
    /// By all threads together.
    pub all_threads: f64,
    /// How many those are.
    pub threads: usize,
    /// Bytes that were read for it.
    pub bytes: u64,
}

impl Bandwidth {
    /// What can be had at best: more threads do not always read more.
    pub fn best(&self) -> f64 {
        self.all_threads.max(self.one_thread)
    }
}

/// Measures it with `threads` threads (all usable cores if `None`). Takes about a second.
///
/// # Errors
/// If the device cannot be opened with so many threads.
pub fn measure(machine: &Machine, threads: Option<usize>) -> Result<Bandwidth, Error> {
    let bytes = enough(machine);
    let rate = |threads| {
        let device = Device::cpu(CpuOptions { threads, ..CpuOptions::default() })?;
        let rate = device
            .as_cpu()
            .map(|cpu| (cpu.threads(), cpu.read_bandwidth(usize::try_from(bytes).unwrap_or(0))));
        Ok::<_, Error>(rate.unwrap_or_default())
    };
    let (_, one_thread) = rate(Some(1))?;
    let (threads, all) = if threads == Some(1) { (1, one_thread) } else { rate(threads)? };
    Ok(Bandwidth { one_thread, all_threads: all, threads, bytes })
}

/// Four times what the last caches hold together, within bounds, and no more than a quarter of the free memory.
fn enough(machine: &Machine) -> u64 {
    let level = machine.caches.iter().map(|cache| cache.level).max().unwrap_or(0);
    let last = machine.caches.iter().filter(|cache| cache.level == level);
    let caches: u64 =
        last.fold(0, |sum, c| sum.saturating_add(c.bytes.saturating_mul(c.count as u64)));
    let wanted = caches.saturating_mul(4).clamp(LEAST, MOST);
    match machine.memory_available {
        0 => wanted,
        available => wanted.min(available / 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Cache, CacheKind};

    #[test]
    fn the_buffer_is_larger_than_the_caches_and_smaller_than_memory() {
        let cache = |level, bytes, count| Cache { level, kind: CacheKind::Unified, bytes, count };
        let mut machine = Machine { memory_available: 64 << 30, ..Machine::default() };
        assert_eq!(enough(&machine), LEAST);
        machine.caches = vec![cache(2, 1 << 20, 64), cache(3, 96 << 20, 2)];
        assert_eq!(enough(&machine), 768 << 20);
        machine.memory_available = 1 << 30;
        assert_eq!(enough(&machine), 256 << 20);
        machine.memory_available = 0;
        assert_eq!(enough(&machine), 768 << 20);
    }
}
