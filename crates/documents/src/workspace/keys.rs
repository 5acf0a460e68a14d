//! The keys of a workspace.

/// The index of all groups.
pub const INDEX: &str = "work_index_list.csv.zstd";
/// What begins the keys of all results.
pub const RESULTS: &str = "results/";
/// What begins the keys of all flags.
pub const DONE_FLAGS: &str = "done_flags/";
/// What begins the keys of all locks.
pub const WORKER_LOCKS: &str = "worker_locks/";
/// What begins the keys of all Markdown.
pub const MARKDOWN: &str = "markdown/";
/// What could not be read, in a folder. (In an object store: [`FAILURES_FOLDER`].)
pub const FAILURES: &str = "failures.jsonl";
/// What begins the keys of what could not be read, in an object store: one for each group.
pub const FAILURES_FOLDER: &str = "failures/";

/// The results of a group.
pub fn results(hash: &str) -> String {
    format!("{RESULTS}output_{hash}.jsonl")
}

/// The flag that says that a group is finished.
pub fn done_flag(hash: &str) -> String {
    format!("{DONE_FLAGS}done_{hash}.flag")
}

/// The lock that says that a group is worked at.
pub fn worker_lock(hash: &str) -> String {
    format!("{WORKER_LOCKS}worker_{hash}.lock")
}

/// The failures of a group, in an object store.
pub fn failures(hash: &str) -> String {
    format!("{FAILURES_FOLDER}failures_{hash}.jsonl")
}

/// The group that a flag is for.
pub fn hash_of_done_flag(key: &str) -> Option<&str> {
    key.strip_prefix(DONE_FLAGS)?.strip_prefix("done_")?.strip_suffix(".flag")
}

/// The group that results are of.
pub fn hash_of_results(key: &str) -> Option<&str> {
    key.strip_prefix(RESULTS)?.strip_prefix("output_")?.strip_suffix(".jsonl")
}

/// Whether a word is the hash of a group: a SHA-1 in lower-case hexadecimal digits.
pub fn is_hash(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
