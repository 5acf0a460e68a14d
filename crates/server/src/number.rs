//! Names of answers, and the time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// `prefix` and 24 letters that nobody has seen before.
pub(crate) fn name(prefix: &str) -> String {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (high, low) = (SEED.hash_one((count, prefix)), SEED.hash_one((prefix, count)) as u32);
    format!("{prefix}{high:016x}{low:08x}")
}

/// Seconds since the beginning of 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn no_name_is_given_twice() {
        let names: BTreeSet<_> = (0..10_000).map(|_| super::name("a-")).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 26 && name.starts_with("a-")));
    }
}
