//! How much memory this process holds, has held at most, and can give back.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};

/// The peak of the resident set in bytes; `None` where the system does not tell.
pub fn peak_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The resident set in bytes, now; `None` where the system does not tell.
pub fn current_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Whether an index with vectors was opened in this process.
static INDEXED: AtomicBool = AtomicBool::new(false);

/// From now on some of the resident set may be of indexes.
pub(crate) fn expect_indexes() {
    INDEXED.store(true, Ordering::Relaxed);
}

/// The part of the resident set, in bytes, that is maps of indexes' vectors. Nobody books them: the system takes them back
/// whenever it needs memory. The system looks at every page of the process for that, which takes some milliseconds for each GB; nothing
/// is asked where no index was opened.
pub(crate) fn index_rss() -> u64 {
    if !INDEXED.load(Ordering::Relaxed) {
        return 0;
    }
    let Ok(file) = File::open("/proc/self/smaps") else { return 0 };
    of_indexes(BufReader::new(file).lines().map_while(Result::ok))
}

/// What the lines of Linux's `/proc/self/smaps` say of maps of segments.
fn of_indexes(lines: impl Iterator<Item = String>) -> u64 {
    let (mut inside, mut kilobytes) = (false, 0_u64);
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(number)) if inside => {
                kilobytes = kilobytes.saturating_add(number.parse().unwrap_or(0));
            }
            // A map begins with its addresses, and ends with its file.
            (Some(first), _) if !first.ends_with(':') => {
                let file = line.trim_end_matches(" (deleted)");
                inside = file.ends_with(".vec") && file.contains("/segments/seg-");
            }
            _ => {}
        }
    }
    kilobytes.saturating_mul(1024)
}

/// Gives memory back to the system that is free already, and that the allocator keeps for later. After images were looked at
/// that may be hundreds of megabytes: glibc keeps whole heaps of a thread for a few bytes that are still used at their end.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    heap::malloc_trim(0);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the one function of the allocator that no safe wrapper has")]
mod heap {
    // SAFETY: it takes any number, may be called at any time from any thread, and changes nothing that is in use.
    unsafe extern "C" {
        pub(super) safe fn malloc_trim(kept: usize) -> std::ffi::c_int;
    }
}

/// A line of Linux's `/proc/self/status`.
fn from_status(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::from_status;

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_is_free_is_given_back() {
        // Each is too small for a map of its own, and the last of them keeps the heap from shrinking.
        let mut parts: Vec<Vec<u8>> = (0..4096).map(|n| vec![n as u8; 64 << 10]).collect();
        let held = super::current_rss().unwrap();
        let last = parts.pop();
        drop(parts);
        super::trim();
        let left = super::current_rss().unwrap();
        assert!(left + (128 << 20) < held, "{left} of {held} bytes are left");
        assert_eq!(last.map(|part| part.len()), Some(64 << 10));
    }

    #[test]
    fn maps_of_indexes_are_told_from_others() {
        let text = "\
7f00-7f10 r--p 00000000 08:01 12    /data/folio/indexes/a b/segments/seg-00000001.vec
Size:               9999 kB
Rss:                 100 kB
VmFlags: rd mr
7f20-7f30 r--p 00000000 08:01 13    /models/model.safetensors
Rss:                5000 kB
7f40-7f50 r--s 00000000 08:01 14    /x/segments/seg-00000002.vec (deleted)
Rss:                  23 kB
7f60-7f70 rw-p 00000000 00:00 0
Rss:                  70 kB
7f80-7f90 rw-p 00000000 00:00 0     [heap]
Rss:                  71 kB
";
        assert_eq!(super::of_indexes(text.lines().map(str::to_owned)), 123 << 10);
        assert_eq!(super::of_indexes(std::iter::empty()), 0);
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        let text = "VmPeak: 9 kB\nVmHWM:\t  1234 kB\nVmRSS: 5 kB";
        assert_eq!(from_status(text, "VmHWM:"), Some(1234 * 1024));
        assert_eq!(from_status(text, "VmRSS:"), Some(5 * 1024));
        assert_eq!(from_status("VmHWM: many kB", "VmHWM:"), None);
        assert_eq!(from_status("", "VmHWM:"), None);
    }
}
