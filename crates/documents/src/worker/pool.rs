//! Several workers, lent out one at a time.

use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::process::Worker;
use crate::Limits;

/// A fixed number of workers for several threads. A worker's process starts when it is first used.
pub struct Pool {
    free: Mutex<Vec<Worker>>,
    returned: Condvar,
}

impl Pool {
    /// A pool of `size` workers (at least one), each started with the command that `start` makes;
    /// see [`Worker::new`].
    pub fn new(
        start: impl Fn() -> Command + Send + Sync + 'static,
        size: usize,
        limits: Limits,
    ) -> Self {
        let start = Arc::new(start);
        let worker = |_| Worker::shared(Arc::clone(&start) as _, limits);
        Self { free: Mutex::new((0..size.max(1)).map(worker).collect()), returned: Condvar::new() }
    }

    /// Borrows a worker, waiting until one is free. It goes back when the lease is dropped, with
    /// its process, so the next file does not pay for a start.
    pub fn lease(&self) -> Lease<'_> {
        let mut free = self.free();
        loop {
            if let Some(worker) = free.pop() {
                return Lease { pool: self, worker: Some(worker) };
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A list of workers is whole at every moment, so a panic elsewhere does not spoil it.
    fn free(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A borrowed [`Worker`].
pub struct Lease<'a> {
    pool: &'a Pool,
    /// Only empty while it is dropped.
    worker: Option<Worker>,
}

impl Deref for Lease<'_> {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        match &self.worker {
            Some(worker) => worker,
            None => unreachable!("a lease holds its worker until it is dropped"),
        }
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Worker {
        match &mut self.worker {
            Some(worker) => worker,
            None => unreachable!("a lease holds its worker until it is dropped"),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.free().extend(self.worker.take());
        self.pool.returned.notify_one();
    }
}
