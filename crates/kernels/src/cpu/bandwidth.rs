//! How fast memory can be read: the figure that bounds how fast one text is continued.

use std::hint::black_box;
use std::time::Instant;

use super::Cpu;

/// Passes over the buffer; the best one counts, because a disturbance only ever slows one down.
const PASSES: usize = 6;

/// Words that one task reads: little enough that a thread put aside does not hold up a pass.
const GRAIN: usize = 128 * 1024;

impl Cpu {
    /// Bytes a second that the backend's threads read together from a buffer of `bytes` bytes, one
    /// after another from each task's beginning to its end. For the speed of memory and not of a
    /// cache, `bytes` must be several times the size of the last cache.
    ///
    /// Allocates the buffer, and takes a few times as long as it takes to read it.
    pub fn read_bandwidth(&self, bytes: usize) -> f64 {
        // Written once, so that every page is there: untouched pages are all the same one.
        let words = vec![1_u64; (bytes / size_of::<u64>()).max(GRAIN)];
        let pass = || {
            let begun = Instant::now();
            self.pool().run_ranges(words.len(), GRAIN, |range| {
                black_box(sum(&words[range]));
            });
            size_of_val(words.as_slice()) as f64 / begun.elapsed().as_secs_f64()
        };
        (0..PASSES).map(|_| pass()).fold(0.0, f64::max)
    }
}

/// The sum of all words, in as many sums as hide the latency of an addition.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 32];
    let (rows, rest) = words.as_chunks::<32>();
    for row in rows {
        for (sum, word) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |all, word| all.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CpuOptions, Device};

    #[test]
    fn every_word_is_read() {
        let words: Vec<u64> = (0..1000).collect();
        assert_eq!(sum(&words), 499_500);
        assert_eq!(sum(&[u64::MAX, 2]), 1);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn memory_has_a_speed() {
        let options = CpuOptions { threads: Some(2), ..CpuOptions::default() };
        let device = Device::cpu(options).unwrap();
        let rate = device.as_cpu().unwrap().read_bandwidth(8 << 20);
        assert!(rate.is_finite() && rate > 1e8, "{rate}");
    }
}
