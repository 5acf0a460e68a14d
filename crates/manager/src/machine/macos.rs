//! The machine as macOS's `sysctl` and `vm_stat` describe it.

use std::collections::BTreeMap;
use std::process::Command;

use super::{Cache, CacheKind, Machine};
use crate::memory::{self, Memory};

/// The values asked of `sysctl`; a machine without one of them prints the others.
const NAMES: [&str; 12] = [
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.activecpu",
    "hw.l1dcachesize",
    "hw.l1icachesize",
    "hw.l2cachesize",
    "hw.l3cachesize",
    "hw.perflevel0.l2cachesize",
    "hw.perflevel0.cpusperl2",
    "machdep.cpu.brand_string",
    "kern.osproductversion",
];

/// Asks the system's own tools, which every macOS has at these places.
pub(super) fn look() -> Machine {
    let sysctl = output("/usr/sbin/sysctl", &NAMES);
    let vm_stat = output("/usr/bin/vm_stat", &[]);
    from_outputs(&sysctl, &vm_stat)
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn from_outputs(sysctl: &str, vm_stat: &str) -> Machine {
    let values: BTreeMap<&str, &str> = sysctl
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.trim(), v.trim()))
        .collect();
    let text = |name: &str| values.get(name).map_or("", |value| *value);
    let number = |name: &str| text(name).parse::<u64>().unwrap_or(0);
    let count = |name: &str| text(name).parse::<usize>().unwrap_or(0);

    let physical = count("hw.physicalcpu");
    let mut caches = Vec::new();
    let mut cache = |level, kind, bytes: u64, shared: usize| {
        if bytes > 0 {
            caches.push(Cache {
                level,
                kind,
                bytes,
                count: physical.max(1).div_ceil(shared.max(1)),
            });
        }
    };
    cache(1, CacheKind::Data, number("hw.l1dcachesize"), 1);
    cache(1, CacheKind::Instruction, number("hw.l1icachesize"), 1);
    // On Apple silicon `hw.l2cachesize` speaks of the efficiency cores; the performance cores are level 0.
    match number("hw.perflevel0.l2cachesize") {
        0 => cache(2, CacheKind::Unified, number("hw.l2cachesize"), 1),
        bytes => cache(2, CacheKind::Unified, bytes, count("hw.perflevel0.cpusperl2")),
    }
    cache(3, CacheKind::Unified, number("hw.l3cachesize"), physical);

    let version = text("kern.osproductversion");
    let mut machine = Machine {
        os: if version.is_empty() { "macOS".to_owned() } else { format!("macOS {version}") },
        cpu_name: text("machdep.cpu.brand_string").to_owned(),
        cores_physical: physical,
        cores_logical: count("hw.logicalcpu"),
        usable_cores: count("hw.activecpu"),
        caches,
        ..Machine::default()
    };
    let total = number("hw.memsize");
    machine.set_memory(Memory {
        total,
        available: memory::from_vm_stat(vm_stat).min(total),
        limit: None,
    });
    machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apple_silicon_machine() {
        let sysctl = "hw.memsize: 34359738368\nhw.physicalcpu: 10\nhw.logicalcpu: 10\nhw.activecpu: 10\n\
                      hw.l1dcachesize: 65536\nhw.l1icachesize: 131072\nhw.l2cachesize: 4194304\n\
                      hw.perflevel0.l2cachesize: 12582912\nhw.perflevel0.cpusperl2: 5\n\
                      machdep.cpu.brand_string: Apple M1 Pro\nkern.osproductversion: 15.2\n";
        let vm_stat =
            "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free: 1000.\n";
        let machine = from_outputs(sysctl, vm_stat);
        assert_eq!(machine.cpu_name, "Apple M1 Pro");
        assert_eq!(machine.os, "macOS 15.2");
        assert_eq!(machine.memory_total, 32 << 30);
        assert_eq!(machine.memory_available, 16_384_000);
        assert_eq!(
            machine.caches[2],
            Cache { level: 2, kind: CacheKind::Unified, bytes: 12 << 20, count: 2 }
        );
        assert_eq!(from_outputs("odd", "odd").memory_total, 0);
    }
}
