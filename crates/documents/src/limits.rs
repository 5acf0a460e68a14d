//! How much a file may cost.

use std::time::Duration;

/// What one file may cost. The operator and glyph limits hold in every mode; time and memory are
/// enforced by the parent of a [`worker`](crate::worker) and by the worker's resource limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: u64,
    /// Wall time for opening a file.
    pub open_time: Duration,
    /// Wall time for a page.
    pub page_time: Duration,
    /// Address space of a worker, in bytes.
    pub memory_bytes: u64,
    /// How many times one file may bring its worker down before its other pages are given up.
    pub deaths_per_file: u32,
    /// Operators of content streams for a page, forms included.
    pub operators_per_page: u64,
    /// Characters kept for a page.
    pub glyphs_per_page: usize,
    /// Depth of forms within forms.
    pub form_depth: usize,
    /// Decoded bytes of content streams interpreted for a page.
    pub content_bytes_per_page: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 2 << 30,
            open_time: Duration::from_secs(60),
            page_time: Duration::from_secs(60),
            memory_bytes: 4 << 30,
            deaths_per_file: 16,
            operators_per_page: 20_000_000,
            glyphs_per_page: 300_000,
            form_depth: 28,
            content_bytes_per_page: 1 << 30,
        }
    }
}
