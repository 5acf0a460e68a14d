//! The limits: reads from memory and vector arithmetic in registers, at 1 to all threads.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use kernels::{CpuOptions, Device, Isa};
use memmap2::MmapMut;

/// Each figure is the best of this many: a disturbance only ever slows one down.
const PASSES: usize = 7;

/// Read by all threads together: far more than any last cache holds.
const MEMORY: usize = 512 << 20;

/// Arithmetic in registers.
struct Peak {
    name: &'static str,
    instruction: &'static str,
    /// Operations of one round; a multiplication and an addition are two.
    operations: usize,
    rounds: fn(usize),
}

pub(crate) fn run() {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let peaks = peaks();
    for threads in 1..=most {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        let pool = Device::cpu(options).expect("a device");
        let pool = pool.as_cpu().expect("the CPU").read_bandwidth(MEMORY);
        let wide = together(threads, read(threads)).map_or(0.0, |time| MEMORY as f64 / time);
        line("memory", "reads in order", threads, pool.max(wide));
        for peak in &peaks {
            let rounds = calibrate(peak.rounds);
            let work: Vec<_> = (0..threads).map(|_| move || (peak.rounds)(rounds)).collect();
            let time = together(threads, work).expect("there are threads");
            let operations = (peak.operations * rounds * threads) as f64;
            line(peak.name, peak.instruction, threads, operations / time);
        }
    }
}

fn line(name: &str, how: &str, threads: usize, rate: f64) {
    println!(
        "{{\"limit\":\"{name}\",\"how\":\"{how}\",\"threads\":{threads},\"per_second\":{rate:.4e}}}"
    );
}

/// As many rounds as take some hundredths of a second.
fn calibrate(rounds: fn(usize)) -> usize {
    let mut count = 1 << 12;
    loop {
        let begun = Instant::now();
        rounds(count);
        if begun.elapsed() > Duration::from_millis(40) {
            return count;
        }
        count *= 2;
    }
}

/// The least seconds in which all of `work` is done, begun at once.
fn together<F: FnMut() + Send>(threads: usize, mut work: Vec<F>) -> Option<f64> {
    let mut pass = || {
        let barrier = &Barrier::new(threads);
        std::thread::scope(|scope| {
            let mut all = Vec::new();
            for f in &mut work {
                all.push(scope.spawn(move || {
                    barrier.wait();
                    let begun = Instant::now();
                    f();
                    (begun, Instant::now())
                }));
            }
            let spans: Vec<_> =
                all.into_iter().map(|thread| thread.join().expect("no panic")).collect();
            let first = spans.iter().map(|(begun, _)| *begun).min()?;
            let last = spans.iter().map(|(_, ended)| *ended).max()?;
            Some((last - first).as_secs_f64())
        })
    };
    (0..PASSES).filter_map(|_| pass()).min_by(f64::total_cmp)
}

/// Reads of an equal part of the memory by each thread.
fn read(threads: usize) -> Vec<impl FnMut() + Send> {
    (0..threads)
        .map(|_| {
            let mut memory = MmapMut::map_anon(MEMORY / threads).expect("memory");
            // Weights get large pages where they can, and those are read faster.
            #[cfg(target_os = "linux")]
            let _ = memory.advise(memmap2::Advice::HugePage);
            // Written, so that every page is there: untouched pages are all the same one.
            memory.fill(1);
            move || {
                // SAFETY: any bits are a number.
                let (_, words, _) = unsafe { memory.align_to::<u64>() };
                black_box(sum(black_box(words)));
            }
        })
        .collect()
}

/// In four streams, as many as the widest registers of most machines.
fn sum(words: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if Isa::Avx512.is_available() {
        // SAFETY: the machine has the instructions.
        return unsafe { x86::sum(words) };
    }
    let mut sums = [0_u64; 16];
    for row in words.as_chunks::<16>().0 {
        for (sum, word) in sums.iter_mut().zip(row) {
            *sum ^= word;
        }
    }
    sums.into_iter().fold(0, |all, sum| all ^ sum)
}

/// What this machine has instructions for.
fn peaks() -> Vec<Peak> {
    let mut out = Vec::new();
    #[cfg(target_arch = "x86_64")]
    x86::peaks(&mut out);
    #[cfg(target_arch = "aarch64")]
    arm::peaks(&mut out);
    out
}

/// A loop over accumulators in registers that are named to the compiler as changed each round, so
/// that it neither folds the rounds nor spills.
macro_rules! rounds {
    ($name:ident, $feature:literal, $zero:expr, $class:ident, $step:expr) => {
        #[target_feature(enable = $feature)]
        fn $name(rounds: usize) {
            let mut sums = [$zero; 12];
            let w = black_box($zero);
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = $step(*sum, w);
                }
                for sum in &mut sums {
                    // SAFETY: the register is named and left alone.
                    unsafe {
                        std::arch::asm!("/* {0} */", inout($class) * sum, options(nomem, nostack));
                    }
                }
            }
            black_box(sums);
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{Isa, Peak};

    #[target_feature(enable = "avx512f")]
    pub(super) fn sum(words: &[u64]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 4];
        for block in words.as_chunks::<32>().0 {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a quarter of a block is a vector.
                let x = unsafe { _mm512_loadu_si512(block.as_ptr().add(8 * i).cast()) };
                *sum = _mm512_xor_si512(*sum, x);
            }
        }
        let [a, b, c, d] = sums;
        _mm512_reduce_add_epi64(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)))
            as u64
    }

    rounds!(dots, "avx512f,avx512vnni", _mm512_setzero_si512(), zmm_reg, |sum, w| {
        _mm512_dpbusd_epi32(sum, w, w)
    });
    rounds!(floats, "avx512f", _mm512_setzero_ps(), zmm_reg, |sum, w| {
        _mm512_fmadd_ps(w, w, sum)
    });
    rounds!(halves, "avx512f,avx512bf16", _mm512_setzero_ps(), zmm_reg, |sum, w| {
        let w = to_halves(w);
        _mm512_dpbf16_ps(sum, w, w)
    });
    rounds!(dots_avx2, "avx2", _mm256_setzero_si256(), ymm_reg, |sum, w| {
        // The product depends on the round, so that it is not taken out of the loop.
        let pairs = _mm256_maddubs_epi16(sum, w);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, w))
    });
    rounds!(floats_avx2, "avx2,fma", _mm256_setzero_ps(), ymm_reg, |sum, w| {
        _mm256_fmadd_ps(w, w, sum)
    });

    /// The bits of `w` as pairs of bf16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn to_halves(w: __m512) -> __m512bh {
        // SAFETY: two views of 64 bytes without invalid values.
        unsafe { std::mem::transmute(w) }
    }

    pub(super) fn peaks(out: &mut Vec<Peak>) {
        let mut add = |name, instruction, lanes: usize, rounds| {
            out.push(Peak { name, instruction, operations: 2 * lanes * 12, rounds });
        };
        if Isa::Avx512.is_available() {
            // SAFETY: the machine has the instructions.
            add("int8", "vpdpbusd, 512 bits", 64, |n| unsafe { dots(n) });
            // SAFETY: as above.
            add("f32", "vfmadd, 512 bits", 16, |n| unsafe { floats(n) });
            if is_x86_feature_detected!("avx512bf16") {
                // SAFETY: as above.
                add("bf16", "vdpbf16ps, 512 bits", 32, |n| unsafe { halves(n) });
            }
        } else if Isa::Avx2.is_available() {
            // SAFETY: as above.
            add("int8", "vpmaddubsw and vpmaddwd, 256 bits", 32, |n| unsafe { dots_avx2(n) });
            // SAFETY: as above.
            add("f32", "vfmadd, 256 bits", 8, |n| unsafe { floats_avx2(n) });
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;
    use std::hint::black_box;

    use super::{Isa, Peak};

    rounds!(floats, "neon", vdupq_n_f32(0.0), vreg, |sum, w| vfmaq_f32(sum, w, w));
    rounds!(dots, "neon,dotprod", vdupq_n_s32(0), vreg, |mut sum: int32x4_t, w: int32x4_t| {
        // SAFETY: only the registers named are read and written.
        unsafe {
            std::arch::asm!(
                "sdot {0:v}.4s, {1:v}.16b, {1:v}.16b",
                inout(vreg) sum, in(vreg) w, options(pure, nomem, nostack)
            );
        }
        sum
    });

    pub(super) fn peaks(out: &mut Vec<Peak>) {
        // SAFETY: every such machine has NEON.
        let floats = |n| unsafe { floats(n) };
        out.push(Peak { name: "f32", instruction: "fmla", operations: 2 * 4 * 12, rounds: floats });
        if Isa::NeonDotprod.is_available() {
            // SAFETY: the machine has the instructions.
            let dots = |n| unsafe { dots(n) };
            let operations = 2 * 16 * 12;
            out.push(Peak { name: "int8", instruction: "sdot", operations, rounds: dots });
        }
    }
}
