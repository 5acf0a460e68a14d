//! Threads that wait for small jobs.
//!
//! A decode step opens a hundred parallel regions of a few microseconds each, so starting one must
//! cost less than a system call: workers look for work for a little while before they sleep.
//! Each thread has a range of tasks of its own, and goes through it from its beginning: tasks that
//! follow each other read memory that does, and two threads that took turns in one stream would hide
//! from the processor that it is one (two cores read 42 GB/s in turns of 16 KiB where they read 79
//! in a half each). Who has none left takes half of what another has, so a thread that the operating
//! system has put aside holds up at most the one task it has begun.
#![expect(unsafe_code, reason = "a job lends its closure to other threads while it runs")]

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{hint, thread};

use super::SharedMut;
use crate::{Error, Result};

/// How often a worker looks for work before it sleeps: some tens of microseconds.
const SPINS: u32 = if cfg!(miri) { 4 } else { 4_000 };

/// How often the caller looks for the end of a job before it lets another thread run.
const PATIENCE: u32 = if cfg!(miri) { 4 } else { 20_000 };

/// How often it looks before it looks at the clock.
const BRIEFLY: u32 = if cfg!(miri) { 2 } else { 100 };

/// How long the caller waits for tasks that others have begun before it counts as a disturbance:
/// longer than almost any task takes.
const DISTURBED: Duration = Duration::from_micros(200);

/// Numbers of elementwise work that are worth a task of their own.
const GRAIN: usize = 16 * 1024;

/// The calling thread and its workers.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time; whoever comes second computes alone.
    busy: Mutex<Caution>,
}

/// Whether to count on the workers.
///
/// Where another process wants the cores too, a worker may be put aside in the middle of a task,
/// and the caller waits for it: a few milliseconds for every few of work, which is slower than one
/// thread. After such a wait the caller computes alone for several times as long, and twice that if
/// the next attempt ends the same way, so that the waits are a small part of the time.
#[derive(Debug, Default)]
struct Caution {
    /// When the workers may be tried again.
    until: Option<Instant>,
    /// How long that was for.
    pause: Duration,
}

impl Caution {
    /// The least that a pause is longer than the wait before it.
    const FACTOR: u32 = 8;

    /// The longest pause.
    const LONGEST: Duration = Duration::from_secs(1);

    /// Whether the caller is to compute alone.
    fn is_alone(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Takes note that in a job begun at `begun` the caller had nothing left to do from `idle` to
    /// `now`.
    fn waited(&mut self, begun: Instant, idle: Instant, now: Instant) {
        let wait = now - idle;
        // A last task that is long for its job is no disturbance.
        if wait < DISTURBED || wait < (idle - begun) / 4 {
            return;
        }
        let soon = self.until.is_some_and(|until| now < until + self.pause);
        let again = if soon { self.pause * 2 } else { Duration::ZERO };
        self.pause = (wait * Self::FACTOR).max(again).min(Self::LONGEST);
        self.until = Some(now + self.pause);
    }
}

struct Shared {
    /// For each thread, the caller first, tasks of the current job that nobody has taken, as `Tasks`
    /// in one word. A taken task keeps its job alive, so whoever takes one from a range may read
    /// `job` until it has counted itself out of `unfinished`.
    untaken: Box<[Line<AtomicU64>]>,
    /// Tasks of the current job that have not ended.
    unfinished: Line<AtomicUsize>,
    job: UnsafeCell<Job>,
    /// The first panic of the current job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    closing: AtomicBool,
    bed: Mutex<()>,
    bell: Condvar,
}

/// Numbers of tasks from `next` up to `end`.
#[derive(Clone, Copy)]
struct Tasks {
    next: u32,
    end: u32,
}

impl Tasks {
    const NONE: u64 = 0;

    fn of(word: u64) -> Self {
        Self { next: (word >> 32) as u32, end: word as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.next) << 32 | u64::from(self.end)
    }

    fn is_empty(self) -> bool {
        self.next >= self.end
    }

    /// The first of them, and the others.
    fn first(self) -> (Self, Self) {
        let after = self.next + 1;
        (Self { next: self.next, end: after }, Self { next: after, end: self.end })
    }

    /// The first half, and the second, which is not the smaller one.
    fn halves(self) -> (Self, Self) {
        let middle = self.next + (self.end - self.next) / 2;
        (Self { next: self.next, end: middle }, Self { next: middle, end: self.end })
    }
}

/// Something that shares its cache line, and the one that is fetched with it, with nothing else:
/// threads that look for tasks do not disturb those that count them out.
#[repr(align(128))]
struct Line<T>(T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

type Job = Option<*const (dyn Fn(usize) + Sync)>;

// SAFETY: `job` is written only by the holder of `Pool::busy` while no task is untaken or
// unfinished, and read only by threads that hold a task of it.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is to a closure that is `Sync`.
unsafe impl Send for Shared {}

impl Pool {
    /// The most threads there can be.
    pub(crate) const MOST: usize = 1024;

    /// Starts `threads - 1` workers; the caller is the last thread.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        if threads == 0 || threads > Self::MOST {
            return Err(Error::Threads { threads, most: Self::MOST });
        }
        let shared = Arc::new(Shared {
            untaken: (0..threads).map(|_| Line(AtomicU64::new(Tasks::NONE))).collect(),
            unfinished: Line(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            bed: Mutex::new(()),
            bell: Condvar::new(),
        });
        let mut pool = Self { shared, workers: Vec::new(), busy: Mutex::new(Caution::default()) };
        for number in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let spawned =
                Builder::new().name(format!("kernels-{number}")).spawn(move || shared.work(number));
            match spawned {
                Ok(worker) => pool.workers.push(worker),
                Err(_) => return Err(Error::Spawn { started: number, wanted: threads }),
            }
        }
        Ok(pool)
    }

    /// How many threads compute.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` with each number below `tasks`, on any thread, in any order (most often neighbours
    /// after each other on one thread), and returns when all calls have.
    ///
    /// # Panics
    ///
    /// If a call panics, with what it panicked with.
    pub(crate) fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        // More than a range can hold are too many to need company.
        let alone = tasks <= 1 || self.workers.is_empty() || u32::try_from(tasks).is_err();
        let Some(mut lock) = (if alone { None } else { self.claim() }) else {
            (0..tasks).for_each(task);
            return;
        };
        let begun = Instant::now();
        if lock.is_alone(begun) {
            (0..tasks).for_each(task);
            return;
        }
        let shared = &*self.shared;
        let task: &(dyn Fn(usize) + Sync) = &task;
        // SAFETY: only the lifetime is changed; `finish` returns when no thread can call it.
        let task: *const (dyn Fn(usize) + Sync + 'static) = unsafe { std::mem::transmute(task) };
        // SAFETY: we hold `busy`, and no task of an earlier job is left.
        unsafe { *shared.job.get() = Some(task) };
        shared.unfinished.store(tasks, Ordering::Relaxed);
        // All are the caller's at first. Workers come and take halves: only who owns a range ever
        // fills it, and only while it is empty.
        let tasks_word = Tasks { next: 0, end: tasks as u32 }.word();
        shared.untaken[0].store(tasks_word, Ordering::SeqCst);
        // Either we see a sleeper here, or it sees our tasks before it sleeps.
        let sleepers = shared.sleepers.load(Ordering::SeqCst);
        if sleepers > 0 {
            drop(shared.lock_bed());
            for _ in 0..sleepers.min(tasks - 1) {
                shared.bell.notify_one();
            }
        }
        while shared.work_once(0) {}
        let (mut looks, mut idle) = (0, None);
        while shared.unfinished.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks == BRIEFLY {
                idle = Some(Instant::now());
            }
            if looks < PATIENCE {
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
        if let Some(idle) = idle {
            lock.waited(begun, idle, Instant::now());
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// The right to run a job on the workers, unless somebody has it.
    fn claim(&self) -> Option<MutexGuard<'_, Caution>> {
        match self.busy.try_lock() {
            Ok(lock) => Some(lock),
            // A job that panicked has ended all the same.
            Err(TryLockError::Poisoned(lock)) => Some(lock.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Cuts `0..total` into pieces of `grain` and calls `task` with each.
    pub(crate) fn run_ranges(
        &self,
        total: usize,
        grain: usize,
        task: impl Fn(Range<usize>) + Sync,
    ) {
        let grain = grain.max(1);
        self.run(total.div_ceil(grain), |i| task(i * grain..((i + 1) * grain).min(total)));
    }

    /// Cuts `out`, rows of `width`, into pieces of about `GRAIN` numbers, and calls `task` with
    /// the numbers of its rows and the rows to write.
    pub(crate) fn run_rows(
        &self,
        out: &mut [f32],
        width: usize,
        task: impl Fn(Range<usize>, &mut [f32]) + Sync,
    ) {
        let width = width.max(1);
        let rows = out.len() / width;
        let parts = SharedMut::new(out);
        self.run_ranges(rows, GRAIN.div_ceil(width), |rows| {
            // SAFETY: the ranges of rows are disjoint.
            task(rows.clone(), unsafe { parts.part(rows.start * width..rows.end * width) });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        drop(self.shared.lock_bed());
        self.shared.bell.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so it has none of its own to report.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock_bed(&self) -> MutexGuard<'_, ()> {
        self.bed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of worker `thread`.
    fn work(&self, thread: usize) {
        loop {
            let mut spins = 0;
            while spins < SPINS {
                if self.work_once(thread) {
                    spins = 0;
                } else {
                    spins += 1;
                    hint::spin_loop();
                }
            }
            let mut bed = self.lock_bed();
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let is_idle =
                || self.untaken.iter().all(|own| Tasks::of(own.load(Ordering::SeqCst)).is_empty());
            while is_idle() && !self.closing.load(Ordering::SeqCst) {
                bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Takes a task and performs it; false if there is none.
    fn work_once(&self, thread: usize) -> bool {
        if let Some(first) = self.take(thread, Tasks::first) {
            self.perform(first.next as usize);
            return true;
        }
        while let Some(richest) = self.richest() {
            // The other goes on from where it is, and what it would have reached last is ours.
            let half = self.take(richest, |tasks| {
                let (left, taken) = tasks.halves();
                (taken, left)
            });
            if let Some(half) = half {
                let (first, rest) = half.first();
                if !rest.is_empty() {
                    self.untaken[thread].store(rest.word(), Ordering::SeqCst);
                }
                self.perform(first.next as usize);
                return true;
            }
        }
        false
    }

    /// The thread that has the most tasks, if one has any.
    fn richest(&self) -> Option<usize> {
        let lengths = self.untaken.iter().map(|untaken| {
            let tasks = Tasks::of(untaken.load(Ordering::Relaxed));
            tasks.end.saturating_sub(tasks.next)
        });
        let (most, thread) = lengths.zip(0..).max()?;
        (most > 0).then_some(thread)
    }

    /// Takes tasks of a thread, if it has some that are not taken: the first of what `part` makes of
    /// them; the second stays.
    fn take(&self, thread: usize, part: impl Fn(Tasks) -> (Tasks, Tasks)) -> Option<Tasks> {
        let untaken = &self.untaken[thread];
        let mut word = untaken.load(Ordering::Relaxed);
        loop {
            let tasks = Tasks::of(word);
            if tasks.is_empty() {
                return None;
            }
            let (taken, left) = part(tasks);
            let now = untaken.compare_exchange_weak(
                word,
                left.word(),
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match now {
                Ok(_) => return Some(taken),
                Err(now) => word = now,
            }
        }
    }

    fn perform(&self, index: usize) {
        // SAFETY: we hold a task, so the job was published before it and stays until we are done.
        let job = unsafe { *self.job.get() };
        if let Some(job) = job {
            // SAFETY: `run` does not return, and so keeps the closure, while a task is unfinished.
            let job = unsafe { &*job };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(index))) {
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(panic);
            }
        }
        self.unfinished.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::start(threads).unwrap();
            for tasks in [0, 1, 2, 3, 100] {
                for _ in 0..if cfg!(miri) { 1 } else { 50 } {
                    let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(tasks, |i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn sleeping_workers_wake() {
        let pool = Pool::start(3).unwrap();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(5));
            let sum = AtomicUsize::new(0);
            pool.run(64, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 64 * 63 / 2);
        }
    }

    #[test]
    fn a_nested_job_runs_alone() {
        let pool = Pool::start(2).unwrap();
        let sum = AtomicUsize::new(0);
        pool.run(4, |_| {
            pool.run(4, |_| {
                sum.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 16);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::start(2).unwrap();
        let run = || pool.run(8, |i| assert!(i != 5, "five"));
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"five"));
        let sum = AtomicUsize::new(0);
        pool.run(8, |_| {
            sum.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 8);
    }

    /// Jobs at every distance, so that workers are found looking, falling asleep and sleeping, from
    /// callers that get in each other's way.
    #[test]
    fn jobs_of_several_callers_end_whatever_the_workers_do() {
        let pool = Pool::start(3).unwrap();
        let rounds = if cfg!(miri) { 5 } else { 2_000 };
        thread::scope(|scope| {
            for caller in 0..2 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let tasks = 1 + (round * 7 + caller) % 5;
                        let sum = AtomicUsize::new(0);
                        pool.run(tasks, |i| {
                            sum.fetch_add(i + 1, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), tasks * (tasks + 1) / 2);
                        for _ in 0..round % 64 * 100 {
                            hint::spin_loop();
                        }
                    }
                });
            }
        });
    }

    /// While one task is held up, the others are done.
    #[test]
    fn a_thread_that_is_held_up_holds_up_one_task() {
        let pool = Pool::start(2).unwrap();
        let done = AtomicUsize::new(0);
        pool.run(20, |_| {
            // The first to come waits for all others.
            if done.fetch_add(1, Ordering::SeqCst) == 0 {
                while done.load(Ordering::SeqCst) < 20 {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(done.into_inner(), 20);
    }

    #[test]
    fn after_a_disturbance_the_caller_computes_alone_for_a_while() {
        let ms = Duration::from_millis;
        let begun = Instant::now();
        let mut caution = Caution::default();
        assert!(!caution.is_alone(begun));
        // A short wait, and one that is short for its job.
        caution.waited(begun, begun, begun + ms(1) / 10);
        caution.waited(begun, begun + ms(50), begun + ms(55));
        assert!(!caution.is_alone(begun + ms(55)));
        caution.waited(begun, begun + ms(1), begun + ms(4));
        assert!(caution.is_alone(begun + ms(4 + 23)) && !caution.is_alone(begun + ms(4 + 24)));
        // Again soon after: twice as long. Much later: as at first.
        let again = begun + ms(30);
        caution.waited(again, again, again + ms(1));
        assert!(caution.is_alone(again + ms(1 + 47)) && !caution.is_alone(again + ms(1 + 48)));
        let later = begun + ms(500);
        caution.waited(later, later, later + ms(1));
        assert!(caution.is_alone(later + ms(1 + 7)) && !caution.is_alone(later + ms(1 + 8)));
        caution.waited(later, later, later + ms(900));
        assert!(!caution.is_alone(later + ms(900 + 1000)));
    }

    #[test]
    fn idle_workers_sleep() {
        let pool = Pool::start(3).unwrap();
        pool.run(64, |_| ());
        let begin = Instant::now();
        while pool.shared.sleepers.load(Ordering::SeqCst) < 2 {
            assert!(begin.elapsed().as_secs() < 30, "workers still look for work");
            thread::yield_now();
        }
    }

    #[test]
    fn thread_counts_are_checked() {
        assert!(Pool::start(0).is_err());
        assert!(Pool::start(Pool::MOST + 1).is_err());
    }
}
