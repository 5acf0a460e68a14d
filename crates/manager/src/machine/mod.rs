//! The machine that models run on: processor, caches, memory, and what of them this process may use.

mod linux;
mod macos;

use std::path::Path;

use crate::memory::Memory;

/// What one cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheKind {
    /// Data only.
    Data,
    /// Instructions only.
    Instruction,
    /// Both.
    Unified,
}

/// One sort of cache of the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 is closest to a core.
    pub level: u8,
    /// What it holds.
    pub kind: CacheKind,
    /// The size of one such cache, in bytes.
    pub bytes: u64,
    /// How many of them the machine has.
    pub count: usize,
}

/// A machine, as far as a model cares. Numbers that the system does not tell are 0, texts empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The operating system and its version, as it calls itself.
    pub os: String,
    /// The processor's architecture, as Rust calls it: `x86_64`, `aarch64`.
    pub arch: String,
    /// The processor's name.
    pub cpu_name: String,
    /// Cores, not counting hardware threads.
    pub cores_physical: usize,
    /// Hardware threads.
    pub cores_logical: usize,
    /// Hardware threads this process may use: affinity and the control group's quota counted. At least 1.
    pub usable_cores: usize,
    /// All of the machine's memory, in bytes.
    pub memory_total: u64,
    /// Bytes that can be taken now without swapping, within the limit.
    pub memory_available: u64,
    /// The control group's limit in bytes, when there is one below the total.
    pub memory_limit: Option<u64>,
    /// The processor's caches, closest to a core first.
    pub caches: Vec<Cache>,
    /// The instruction sets found that matter to kernels.
    pub instruction_sets: Vec<&'static str>,
}

impl Machine {
    /// Looks at the machine. Reads a few small files (Linux) or asks `sysctl` and `vm_stat` (macOS): not for the async
    /// executor. Never fails: what cannot be found out is 0 or empty.
    pub fn look() -> Self {
        let mut machine =
            if cfg!(target_os = "macos") { macos::look() } else { linux::look(Path::new("/")) };
        machine.arch = std::env::consts::ARCH.to_owned();
        machine.instruction_sets = instruction_sets();
        let counted = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if machine.cores_logical == 0 {
            machine.cores_logical = counted;
        }
        if machine.cores_physical == 0 {
            machine.cores_physical = machine.cores_logical;
        }
        if machine.usable_cores == 0 {
            machine.usable_cores = counted;
        }
        if machine.os.is_empty() {
            machine.os = std::env::consts::OS.to_owned();
        }
        machine
    }

    fn set_memory(&mut self, memory: Memory) {
        self.memory_total = memory.total;
        self.memory_available = memory.available;
        self.memory_limit = memory.limit;
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    macro_rules! present {
        ($($name:tt),+) => { [$(($name, std::arch::is_x86_feature_detected!($name))),+] };
    }
    let known = present!(
        "sse4.2",
        "f16c",
        "fma",
        "avx",
        "avx2",
        "avxvnni",
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
        "avx512vnni",
        "avx512bf16",
        "avx512fp16",
        "avx512vbmi"
    );
    known.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<&'static str> {
    macro_rules! present {
        ($($name:tt),+) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),+] };
    }
    let known = present!("neon", "fp16", "dotprod", "i8mm", "bf16", "sve", "sve2");
    known.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_memory() {
        let machine = Machine::look();
        assert!(
            machine.usable_cores >= 1 && machine.usable_cores <= machine.cores_logical,
            "{machine:?}"
        );
        assert!(
            machine.cores_physical >= 1 && machine.cores_physical <= machine.cores_logical,
            "{machine:?}"
        );
        assert!(machine.memory_total > 64 << 20, "{machine:?}");
        assert!(machine.memory_available <= machine.memory_total, "{machine:?}");
        assert!(!machine.os.is_empty());
    }
}
