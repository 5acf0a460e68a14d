//! What a worker process may take from the machine.

/// Lowers this process's own limits before it sees a stranger's byte: address space, no core
/// dumps, no file may be written.
///
/// macOS accepts an address-space limit and does not enforce it; there the parent watches the
/// resident memory instead (see `process`).
#[cfg(unix)]
pub fn confine(memory_bytes: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let lower = |resource: Resource, wanted: u64| {
        let now = getrlimit(resource);
        let least = |limit: Option<u64>| Some(limit.map_or(wanted, |limit| limit.min(wanted)));
        let limit = Rlimit { current: least(now.current), maximum: least(now.maximum) };
        // A system that refuses leaves the time limit, which the parent keeps.
        let _refused = setrlimit(resource, limit);
    };
    lower(Resource::As, memory_bytes);
    lower(Resource::Core, 0);
    lower(Resource::Fsize, 0);
}

/// No limits of our own here: the parent keeps the time limit.
#[cfg(not(unix))]
pub fn confine(_: u64) {}
