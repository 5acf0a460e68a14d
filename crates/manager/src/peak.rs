//! How much memory this process holds, and has held at most.

/// The peak of the resident set in bytes; `None` where the system does not tell.
pub fn peak_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The resident set in bytes, now; `None` where the system does not tell.
pub fn current_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
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

    #[test]
    fn the_peak_is_read_in_bytes() {
        let text = "VmPeak: 9 kB\nVmHWM:\t  1234 kB\nVmRSS: 5 kB";
        assert_eq!(from_status(text, "VmHWM:"), Some(1234 * 1024));
        assert_eq!(from_status(text, "VmRSS:"), Some(5 * 1024));
        assert_eq!(from_status("VmHWM: many kB", "VmHWM:"), None);
        assert_eq!(from_status("", "VmHWM:"), None);
    }
}
