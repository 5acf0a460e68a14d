//! What became of each request, step by step: for which model it waited, what was loaded and what had to go for that, who
//! was passed over and why, when it was read, when it was answered. No word of what was asked or said is in it.
//!
//! A [`Flight`] is the record of a request under way. It is handed down in a task-local, as the spans of `tracing` are:
//! what stands between a server and a model need not know of it. A [`Recorder`] keeps the records of the last requests.

mod record;
mod trace;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

pub use record::{Phases, Record, Step, Told};
pub use trace::trace;

/// Records that are kept of requests that are over.
const MOST_KEPT: usize = 1024;
/// Steps that are kept of one request; the last ones say how it ended, so those in between are left out.
const MOST_STEPS: usize = 96;

tokio::task_local! {
    static CURRENT: Flight;
}

/// Does `work`, and notes down in `flight` what happens to it.
pub async fn recorded<T>(flight: Flight, work: impl Future<Output = T>) -> T {
    CURRENT.scope(flight, work).await
}

/// The record of the request that this is done for, if there is one.
pub fn current() -> Option<Flight> {
    CURRENT.try_with(Flight::clone).ok()
}

/// Notes `step` down in the record of the request that this is done for.
pub(crate) fn note(step: impl FnOnce() -> Step) {
    if let Some(flight) = current() {
        flight.note(step());
    }
}

/// What is known of a request when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its name, which its answer carries too.
    pub id: String,
    /// `GET`, `POST`.
    pub method: String,
    /// What was asked, without a query.
    pub path: String,
}

/// The record of a request under way; the request is over when the last clone is dropped. One request may ask for several
/// answers, and each clone notes for one of them.
#[derive(Clone, Debug)]
pub struct Flight {
    inner: Arc<Inner>,
    answer: u32,
}

#[derive(Debug)]
struct Inner {
    number: u64,
    begun: Instant,
    notes: Mutex<Record>,
    recorder: Weak<Recorder>,
}

impl Inner {
    fn notes(&self) -> MutexGuard<'_, Record> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn so_far(&self) -> Record {
        Record { seconds: self.begun.elapsed(), ..self.notes().clone() }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(recorder) = self.recorder.upgrade() else { return };
        let record = Record { over: true, ..self.so_far() };
        recorder.over(self.number, record);
    }
}

impl Flight {
    /// Notes down what happens now.
    pub fn note(&self, step: Step) {
        self.note_at(Instant::now(), step);
    }

    /// Notes down what happened at `at`.
    pub fn note_at(&self, at: Instant, step: Step) {
        let at = at.saturating_duration_since(self.inner.begun);
        let mut notes = self.inner.notes();
        if notes.steps.len() >= MOST_STEPS {
            // The beginning says what was asked, the end what came of it.
            let gone = notes.steps.remove(MOST_STEPS / 2);
            notes.left_out += 1;
            // Who pays for tokens pays for all.
            notes.tokens_left_out = notes.tokens_left_out.saturating_add(gone.step.tokens());
        }
        notes.steps.push(Told { at, answer: self.answer, step });
    }

    /// The same record, for one more answer.
    #[must_use]
    pub fn another(&self) -> Self {
        let mut notes = self.inner.notes();
        let answer = notes.answers;
        notes.answers += 1;
        drop(notes);
        Self { inner: Arc::clone(&self.inner), answer }
    }

    /// Its name.
    pub fn id(&self) -> String {
        self.inner.notes().head.id.clone()
    }

    /// Whose key was shown.
    pub fn by(&self, client: &str) {
        self.inner.notes().client = client.to_owned();
    }

    /// The HTTP status that it is answered with.
    pub fn status(&self, status: u16) {
        self.inner.notes().status = Some(status);
    }

    /// All of the answer was sent.
    pub fn sent(&self) {
        self.inner.notes().sent = true;
    }

    /// What is noted so far.
    pub fn record(&self) -> Record {
        self.inner.so_far()
    }
}

/// Keeps the records of the last requests, and knows those under way.
#[derive(Debug, Default)]
pub struct Recorder {
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    begun: u64,
    open: BTreeMap<u64, Weak<Inner>>,
    over: VecDeque<Arc<Record>>,
}

impl Recorder {
    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins now.
    pub fn begin(self: &Arc<Self>, head: Head) -> Flight {
        let mut all = self.all();
        all.begun += 1;
        let inner = Arc::new(Inner {
            number: all.begun,
            begun: Instant::now(),
            notes: Mutex::new(Record::of(head, SystemTime::now())),
            recorder: Arc::downgrade(self),
        });
        all.open.insert(inner.number, Arc::downgrade(&inner));
        Flight { inner, answer: 0 }
    }

    fn over(&self, number: u64, record: Record) {
        let mut all = self.all();
        all.open.remove(&number);
        // Who looks at numbers every second would drive out what they are about.
        if !record.is_telling() {
            return;
        }
        if all.over.len() >= MOST_KEPT {
            all.over.pop_front();
        }
        all.over.push_back(Arc::new(record));
    }

    /// The records that are there, the oldest first; those of requests under way come last.
    pub fn records(&self) -> Vec<Arc<Record>> {
        let all = self.all();
        let open: Vec<_> = all.open.values().filter_map(Weak::upgrade).collect();
        let mut records: Vec<_> = all.over.iter().cloned().collect();
        // Whoever is the last to hold one tells the recorder, which must not be locked then.
        drop(all);
        let telling = |inner: &Arc<Inner>| Some(inner.so_far()).filter(Record::is_telling);
        records.extend(open.iter().filter_map(telling).map(Arc::new));
        records
    }

    /// The record of the request with this name; the last one, if several had it.
    pub fn find(&self, id: &str) -> Option<Arc<Record>> {
        self.records().into_iter().rev().find(|record| record.head.id == id)
    }
}

/// `time` as a length of time since the beginning of 1970.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
