//! The most memory that this process has held.

/// The peak of the resident set in bytes; `None` where the system does not tell.
pub fn peak_rss() -> Option<u64> {
    from_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM` of Linux's `/proc/self/status`.
fn from_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::from_status;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(from_status("VmPeak: 9 kB\nVmHWM:\t  1234 kB\nVmRSS: 5 kB"), Some(1234 * 1024));
        assert_eq!(from_status("VmHWM: many kB"), None);
        assert_eq!(from_status(""), None);
    }
}
