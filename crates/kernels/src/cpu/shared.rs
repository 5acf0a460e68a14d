//! One output that several threads write, each its own part.
#![expect(unsafe_code, reason = "threads write disjoint parts of one array")]

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice that may be cut into parts from several threads at once.
pub(crate) struct SharedMut<'a, T> {
    data: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out parts of a `&mut [T]`, and the caller of `part` promises that no two
// overlap; a `T` that may be sent may be written from another thread.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), owner: PhantomData }
    }

    /// The part of the slice at `range`.
    ///
    /// # Safety
    ///
    /// No other part that overlaps `range` may be alive.
    ///
    /// # Panics
    ///
    /// If `range` lies outside the slice.
    #[expect(clippy::mut_from_ref, reason = "the parts are disjoint, as the caller promises")]
    #[track_caller]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: the range lies within the slice, and nobody else holds a part that overlaps it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(range.start), range.len()) }
    }
}
