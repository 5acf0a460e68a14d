//! Names of answers, and the time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use documents::workspace::moment;

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

/// A moment as `2001-02-03T04:05:06.123456Z`.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let mut text = moment::write(time);
    let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_micros();
    // It ends in `Z`.
    text.pop();
    text + &format!(".{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(super::timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let names: BTreeSet<_> = (0..10_000).map(|_| super::name("a-")).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 26 && name.starts_with("a-")));
    }
}
