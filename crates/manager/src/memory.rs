//! How much memory there is, how much is free, and how much this process may take: pure readings of what the system
//! prints.

use std::path::{Path, PathBuf};

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of the machine's memory.
    pub total: u64,
    /// What can be taken without swapping, now; never more than the group's limit leaves.
    pub available: u64,
    /// The limit of the control group this process is in, when it has one below `total`.
    pub limit: Option<u64>,
}

/// `MemTotal` and `MemAvailable` of Linux's `/proc/meminfo`. Old kernels without `MemAvailable` count free pages and
/// page cache. Missing lines are 0.
pub(crate) fn from_meminfo(text: &str) -> Memory {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let mut words = line.split_whitespace();
        let value: u64 = words.next()?.parse().ok()?;
        Some(if words.next() == Some("kB") { value.saturating_mul(1024) } else { value })
    };
    let total = field("MemTotal").unwrap_or(0);
    let reclaimable = || field("MemFree").unwrap_or(0).saturating_add(field("Cached").unwrap_or(0));
    let available = field("MemAvailable").unwrap_or_else(reclaimable);
    Memory { total, available: available.min(total), limit: None }
}

/// Bytes that can be taken without swapping by macOS's `vm_stat`: free, inactive, speculative and purgeable pages.
pub(crate) fn from_vm_stat(text: &str) -> u64 {
    let page: u64 = text
        .split_once("page size of ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(4096);
    let pages: u64 = ["Pages free", "Pages inactive", "Pages speculative", "Pages purgeable"]
        .into_iter()
        .filter_map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().trim_end_matches('.').parse::<u64>().ok()
        })
        .fold(0, u64::saturating_add);
    pages.saturating_mul(page)
}

/// The control groups of a process: where their files are below `/sys/fs/cgroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// The unified (version 2) group.
    pub(crate) unified: Option<String>,
    /// The version 1 group of the memory controller.
    pub(crate) memory: Option<String>,
    /// The version 1 group of the processor controller, with the controller's folder.
    pub(crate) cpu: Option<(String, String)>,
}

/// Reads `/proc/self/cgroup`: lines of `number:controllers:path`.
pub(crate) fn groups(text: &str) -> Groups {
    let mut groups = Groups::default();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        // A path with `..` is a group outside of this namespace: only the root that we see counts.
        let path = if path.split('/').any(|part| part == "..") { "/" } else { path };
        if number == "0" && controllers.is_empty() {
            groups.unified = Some(path.to_owned());
        }
        for controller in controllers.split(',') {
            match controller {
                "memory" => groups.memory = Some(path.to_owned()),
                "cpu" => groups.cpu = Some((controllers.to_owned(), path.to_owned())),
                _ => {}
            }
        }
    }
    groups
}

/// The folders of a group and of all groups around it, innermost first, below `mount`.
pub(crate) fn folders(mount: &Path, group: &str) -> Vec<PathBuf> {
    let parts: Vec<&str> = group.split('/').filter(|part| !part.is_empty()).collect();
    (0..=parts.len()).rev().map(|n| mount.join(parts[..n].join("/"))).collect()
}

/// A limit in bytes: `max` (version 2) and absurdly large numbers (version 1) are none.
pub(crate) fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&bytes: &u64| bytes < 1 << 60)
}

/// What of a group's usage the kernel would give back at once: `inactive_file` of `memory.stat`.
pub(crate) fn reclaimable(stat: &str) -> u64 {
    let value = |name: &str| {
        stat.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    };
    value("total_inactive_file").or_else(|| value("inactive_file")).unwrap_or(0)
}

/// The memory of the machine under a group's limit, with what the group uses already.
pub(crate) fn limited(memory: Memory, limit: u64, used: u64) -> Memory {
    if limit >= memory.total && memory.total > 0 {
        return memory;
    }
    let limit = memory.limit.map_or(limit, |other| other.min(limit));
    Memory {
        available: memory.available.min(limit.saturating_sub(used)),
        limit: Some(limit),
        ..memory
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn meminfo_with_and_without_memavailable() {
        let new = "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:   8192 kB\n";
        assert_eq!(from_meminfo(new), Memory { total: 16 << 20, available: 8 << 20, limit: None });
        let old = "MemTotal: 100 kB\nMemFree: 10 kB\nSwapCached: 7 kB\nCached: 20 kB\n";
        assert_eq!(from_meminfo(old).available, 30 << 10);
        assert_eq!(from_meminfo("nonsense"), Memory::default());
    }

    #[test]
    fn vm_stat_counts_what_can_be_reclaimed() {
        let text = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:   10.\nPages active:  99.\n\
                    Pages inactive:  5.\nPages speculative: 1.\nPages purgeable: 0.\n";
        assert_eq!(from_vm_stat(text), 16 * 16384);
    }

    #[test]
    fn groups_of_both_versions() {
        let v2 = groups("0::/user.slice/a.scope\n");
        assert_eq!(v2.unified.as_deref(), Some("/user.slice/a.scope"));
        let v1 = groups("5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/y\n");
        assert_eq!(v1.memory.as_deref(), Some("/docker/x"));
        assert_eq!(v1.cpu, Some(("cpu,cpuacct".into(), "/docker/x".into())));
        assert_eq!(groups("0::/../../etc\n").unified.as_deref(), Some("/"));
        let found = folders(Path::new("/c"), "/a/b");
        assert_eq!(found, [PathBuf::from("/c/a/b"), PathBuf::from("/c/a"), PathBuf::from("/c/")]);
    }

    #[test]
    fn a_limit_caps_what_is_available() {
        let machine = Memory { total: 100, available: 80, limit: None };
        assert_eq!(limited(machine, 50, 20), Memory { total: 100, available: 30, limit: Some(50) });
        assert_eq!(limited(machine, 500, 20), machine);
        assert_eq!(limited(machine, 50, 70).available, 0);
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("1048576\n"), Some(1 << 20));
        assert_eq!(reclaimable("cache 5\ninactive_file 12\n"), 12);
    }

    proptest! {
        #[test]
        fn nothing_in_proc_makes_it_panic(text in "(?s).{0,200}", number in any::<u64>()) {
            from_meminfo(&text);
            from_meminfo(&format!("MemTotal: {number} kB\nMemAvailable: {number} kB"));
            from_vm_stat(&text);
            from_vm_stat(&format!("page size of {number} bytes\nPages free: {number}.\nPages inactive: {number}."));
            groups(&text);
            limit(&text);
            reclaimable(&text);
        }
    }
}
