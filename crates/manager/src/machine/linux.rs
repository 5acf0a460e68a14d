//! The machine as Linux's `/proc` and `/sys` describe it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Cache, CacheKind, Machine};
use crate::memory;

/// The most bytes read of one file: `/proc/cpuinfo` of the largest machines is a few MB.
const LARGEST: u64 = 16 << 20;

/// Looks below `root`, which is `/` but in tests.
pub(super) fn look(root: &Path) -> Machine {
    let read = |path: &str| read(&root.join(path)).unwrap_or_default();
    let cpuinfo = read("proc/cpuinfo");
    let cpus = cpu_folders(&root.join("sys/devices/system/cpu"));
    let logical = cpus.len().max(processors(&cpuinfo));
    let mut machine = Machine {
        os: os_name(&read("etc/os-release"), &read("proc/sys/kernel/osrelease")),
        cpu_name: cpu_name(&cpuinfo)
            .unwrap_or_else(|| read("sys/firmware/devicetree/base/model").replace('\0', "")),
        cores_physical: physical_cores(&cpus, &cpuinfo),
        cores_logical: logical,
        caches: caches(&cpus),
        ..Machine::default()
    };
    let allowed = allowed_cpus(&read("proc/self/status")).unwrap_or(logical);
    let groups = memory::groups(&read("proc/self/cgroup"));
    let quota = cpu_quota(root, &groups).unwrap_or(usize::MAX);
    machine.usable_cores = allowed.min(quota);
    if logical > 0 {
        machine.usable_cores = machine.usable_cores.min(logical);
    }
    machine.set_memory(memory_in_groups(
        root,
        memory::from_meminfo(&read("proc/meminfo")),
        &groups,
    ));
    machine
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The folders `cpu0`, `cpu1`, ... of the processors that are switched on.
fn cpu_folders(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok()?;
            let path = entry.path();
            let off = read(&path.join("online")).is_some_and(|text| text.trim() == "0");
            (!off).then_some((number, path))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn os_name(release: &str, kernel: &str) -> String {
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = pretty.map_or("Linux", |text| text.trim().trim_matches('"'));
    match kernel.trim() {
        "" => name.to_owned(),
        kernel => format!("{name} (kernel {kernel})"),
    }
}

fn cpuinfo_values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn processors(cpuinfo: &str) -> usize {
    cpuinfo_values(cpuinfo, "processor").count()
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let named = cpuinfo_values(cpuinfo, "model name")
        .chain(cpuinfo_values(cpuinfo, "Model"))
        .find(|name| !name.is_empty());
    if let Some(name) = named {
        return Some(name.to_owned());
    }
    let maker = cpuinfo_values(cpuinfo, "CPU implementer").next()?;
    let part = cpuinfo_values(cpuinfo, "CPU part").next()?;
    Some(
        arm_core(maker, part)
            .map_or_else(|| format!("Arm (implementer {maker}, part {part})"), ToOwned::to_owned),
    )
}

/// Names of the 64-bit Arm cores met in servers and small boards.
fn arm_core(maker: &str, part: &str) -> Option<&'static str> {
    Some(match (maker, part) {
        ("0x41", "0xd03") => "Arm Cortex-A53",
        ("0x41", "0xd08") => "Arm Cortex-A72",
        ("0x41", "0xd0b") => "Arm Cortex-A76",
        ("0x41", "0xd0c") => "Arm Neoverse N1",
        ("0x41", "0xd40") => "Arm Neoverse V1",
        ("0x41", "0xd49") => "Arm Neoverse N2",
        ("0x41", "0xd4f") => "Arm Neoverse V2",
        ("0xc0", _) => "Ampere",
        ("0x61", _) => "Apple silicon",
        _ => return None,
    })
}

fn physical_cores(cpus: &[PathBuf], cpuinfo: &str) -> usize {
    let topology: BTreeSet<(String, String)> = cpus
        .iter()
        .filter_map(|cpu| {
            let id = |name: &str| {
                read(&cpu.join("topology").join(name)).map(|text| text.trim().to_owned())
            };
            Some((id("physical_package_id")?, id("core_id")?))
        })
        .collect();
    if !topology.is_empty() {
        return topology.len();
    }
    let packages = cpuinfo_values(cpuinfo, "physical id");
    packages.zip(cpuinfo_values(cpuinfo, "core id")).collect::<BTreeSet<_>>().len()
}

fn caches(cpus: &[PathBuf]) -> Vec<Cache> {
    // One cache is seen from each processor that shares it: the list of sharers tells them apart.
    let mut found: BTreeMap<(u8, CacheKind, u64), BTreeSet<String>> = BTreeMap::new();
    for cpu in cpus {
        for index in 0..8 {
            let folder = cpu.join("cache").join(format!("index{index}"));
            let text = |name: &str| read(&folder.join(name));
            let (Some(level), Some(kind), Some(size)) = (text("level"), text("type"), text("size"))
            else {
                continue;
            };
            let kind = match kind.trim() {
                "Data" => CacheKind::Data,
                "Instruction" => CacheKind::Instruction,
                _ => CacheKind::Unified,
            };
            let (Ok(level), Some(bytes)) = (level.trim().parse(), size_with_unit(&size)) else {
                continue;
            };
            let sharers = text("shared_cpu_list").unwrap_or_default();
            found.entry((level, kind, bytes)).or_default().insert(sharers.trim().to_owned());
        }
    }
    found
        .into_iter()
        .map(|((level, kind, bytes), who)| Cache { level, kind, bytes, count: who.len() })
        .collect()
}

/// `48K`, `2M`, `1G` or plain bytes.
fn size_with_unit(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let number: u64 = digits.parse().ok()?;
    let scale = match text.as_bytes().last()? {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        b'G' => 1 << 30,
        _ => 1,
    };
    number.checked_mul(scale)
}

/// How many processors `Cpus_allowed_list` of `/proc/self/status` names: `0-3,8`.
fn allowed_cpus(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    let mut count = 0_usize;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        count =
            count.saturating_add(usize::try_from(last.checked_sub(first)?).ok()?.saturating_add(1));
    }
    Some(count)
}

fn cpu_quota(root: &Path, groups: &memory::Groups) -> Option<usize> {
    let mount = root.join("sys/fs/cgroup");
    let unified = groups.unified.iter().flat_map(|group| memory::folders(&mount, group));
    let mut quotas: Vec<usize> = unified
        .filter_map(|folder| {
            let text = read(&folder.join("cpu.max"))?;
            let mut words = text.split_whitespace();
            cores_of_quota(words.next()?.parse().ok()?, words.next()?.parse().ok()?)
        })
        .collect();
    if let Some((controller, group)) = &groups.cpu {
        quotas.extend(memory::folders(&mount.join(controller), group).into_iter().filter_map(
            |folder| {
                let number = |name: &str| read(&folder.join(name))?.trim().parse::<u64>().ok();
                cores_of_quota(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
            },
        ));
    }
    quotas.into_iter().min()
}

/// A quota of processor time in a period, in whole cores, rounded up: half a core still runs one thread.
fn cores_of_quota(quota: u64, period: u64) -> Option<usize> {
    if period == 0 {
        return None;
    }
    usize::try_from(quota.div_ceil(period).max(1)).ok()
}

fn memory_in_groups(
    root: &Path,
    machine: memory::Memory,
    groups: &memory::Groups,
) -> memory::Memory {
    let mount = root.join("sys/fs/cgroup");
    let unified = groups.unified.iter().flat_map(|group| memory::folders(&mount, group));
    let first =
        groups.memory.iter().flat_map(|group| memory::folders(&mount.join("memory"), group));
    let files = unified
        .map(|folder| (folder, "memory.max", "memory.current"))
        .chain(first.map(|folder| (folder, "memory.limit_in_bytes", "memory.usage_in_bytes")));
    let mut seen = machine;
    for (folder, max, current) in files {
        let Some(limit) = read(&folder.join(max)).as_deref().and_then(memory::limit) else {
            continue;
        };
        let used: u64 =
            read(&folder.join(current)).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let back = read(&folder.join("memory.stat")).map_or(0, |text| memory::reclaimable(&text));
        seen = memory::limited(seen, limit, used.saturating_sub(back));
    }
    seen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_container_on_a_hyperthreaded_machine() {
        let root = tempfile::tempdir().unwrap();
        for cpu in 0..4 {
            let core = cpu / 2;
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            put(
                root.path(),
                &[
                    (&format!("{folder}/topology/physical_package_id"), "0\n"),
                    (&format!("{folder}/topology/core_id"), &format!("{core}\n")),
                    (&format!("{folder}/cache/index0/level"), "1\n"),
                    (&format!("{folder}/cache/index0/type"), "Data\n"),
                    (&format!("{folder}/cache/index0/size"), "48K\n"),
                    (
                        &format!("{folder}/cache/index0/shared_cpu_list"),
                        &format!("{}-{}\n", core * 2, core * 2 + 1),
                    ),
                    (&format!("{folder}/cache/index3/level"), "3\n"),
                    (&format!("{folder}/cache/index3/type"), "Unified\n"),
                    (&format!("{folder}/cache/index3/size"), "32M\n"),
                    (&format!("{folder}/cache/index3/shared_cpu_list"), "0-3\n"),
                ],
            );
        }
        put(
            root.path(),
            &[
                ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Example CPU @ 2.0GHz\n"),
                ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n"),
                ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0,2-3\n"),
                ("proc/self/cgroup", "0::/pod/box\n"),
                ("sys/fs/cgroup/pod/memory.max", "409600\n"),
                ("sys/fs/cgroup/pod/memory.current", "204800\n"),
                ("sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 102400\n"),
                ("sys/fs/cgroup/pod/box/memory.max", "max\n"),
                ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
                ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Example OS 1\"\n"),
                ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ],
        );
        let machine = look(root.path());
        assert_eq!(
            (machine.cores_physical, machine.cores_logical, machine.usable_cores),
            (2, 4, 2)
        );
        assert_eq!(machine.memory_total, 1000 << 10);
        assert_eq!(machine.memory_limit, Some(400 << 10));
        assert_eq!(machine.memory_available, 300 << 10);
        assert_eq!(machine.cpu_name, "Example CPU @ 2.0GHz");
        assert_eq!(machine.os, "Example OS 1 (kernel 6.1.0)");
        assert_eq!(
            machine.caches,
            [
                Cache { level: 1, kind: CacheKind::Data, bytes: 48 << 10, count: 2 },
                Cache { level: 3, kind: CacheKind::Unified, bytes: 32 << 20, count: 1 },
            ]
        );
    }

    #[test]
    fn an_old_container_and_an_empty_machine() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            &[
                (
                    "proc/cpuinfo",
                    "processor: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\nprocessor: 1\n",
                ),
                ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n"),
                ("proc/self/cgroup", "3:memory:/d\n2:cpu,cpuacct:/d\n"),
                ("sys/fs/cgroup/memory/d/memory.limit_in_bytes", "102400"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
                ("sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_quota_us", "50000"),
                ("sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_period_us", "100000"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1"),
            ],
        );
        let machine = look(root.path());
        assert_eq!((machine.cores_logical, machine.usable_cores), (2, 1));
        assert_eq!(machine.memory_limit, Some(100 << 10));
        assert_eq!(machine.cpu_name, "Arm Neoverse N1");

        let empty = tempfile::tempdir().unwrap();
        let machine = look(empty.path());
        assert_eq!((machine.cores_logical, machine.memory_total, machine.caches.len()), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn nothing_in_proc_makes_it_panic(text in "(?s).{0,200}", a in any::<u64>(), b in any::<u64>()) {
            cpu_name(&text);
            allowed_cpus(&format!("Cpus_allowed_list: {text}"));
            allowed_cpus(&format!("Cpus_allowed_list: {a}-{b},{b}"));
            size_with_unit(&text);
            size_with_unit(&format!("{a}G"));
            cores_of_quota(a, b);
            os_name(&text, &text);
        }
    }
}
