//! How much memory this process holds, has held at most, and can give back.

/// The peak of the resident set in bytes; `None` where the system does not tell.
pub fn peak_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The resident set in bytes, now; `None` where the system does not tell.
pub fn current_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
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
    fn the_peak_is_read_in_bytes() {
        let text = "VmPeak: 9 kB\nVmHWM:\t  1234 kB\nVmRSS: 5 kB";
        assert_eq!(from_status(text, "VmHWM:"), Some(1234 * 1024));
        assert_eq!(from_status(text, "VmRSS:"), Some(5 * 1024));
        assert_eq!(from_status("VmHWM: many kB", "VmHWM:"), None);
        assert_eq!(from_status("", "VmHWM:"), None);
    }
}
