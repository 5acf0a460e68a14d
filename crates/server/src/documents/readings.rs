//! Documents that are being read: how many there may be, who may end them, and the thread on which each is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use documents::pipeline::{Event, Mode, ReadOptions, Room, Watch};
use documents::{Document, Page, PageSet, Source};
use manager::house::House;
use manager::read::Seers;
use manager::runtime::Priority;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::told;
use crate::fault::Fault;
use crate::mcp::Files;
use crate::parsing::{NotOpened, Opened, Within};

/// Documents that lie in memory: those that are read, and those that wait.
const MOST_HELD: usize = 16;
/// Documents that are read at once; each has a process that parses it.
const MOST_READ: usize = 4;
/// Pages that are looked at at once, of all documents. Where they are asked for, chats go before them.
const MOST_PAGES_AT_ONCE: usize = 8;
/// Pages of one document that are read.
pub(crate) const MOST_PAGES: usize = 1000;
/// Characters of what a document says itself.
const MOST_CHARACTERS: u64 = 8 << 20;
/// So long parsing or drawing one page may take.
const PAGE: Duration = Duration::from_secs(60);
/// So long a whole document may take: far more than a thousand pages do.
const WITHIN: Duration = Duration::from_secs(24 * 3600);
/// So long it is tried to reach models that cannot be reached or have no room.
const PATIENCE: Duration = Duration::from_secs(120);

/// How documents are read if nothing is said.
pub(crate) fn usual() -> ReadOptions {
    ReadOptions { at_once: false, patience: PATIENCE, ..ReadOptions::default() }
}

/// All documents that are being read.
#[derive(Debug)]
pub(crate) struct Readings {
    held: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    room: Room,
    open: Mutex<Open>,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            held: Arc::new(Semaphore::new(MOST_HELD)),
            reading: Arc::new(Semaphore::new(MOST_READ)),
            room: Room::new(MOST_PAGES_AT_ONCE),
            open: Mutex::default(),
        }
    }
}

/// Readings that may be ended by name.
#[derive(Debug, Default)]
struct Open {
    begun: u64,
    all: BTreeMap<u64, (String, u64, CancellationToken)>,
}

/// A reading under way, known by its name until this is dropped, which ends it.
#[derive(Debug)]
pub(super) struct Named {
    readings: Arc<Readings>,
    number: u64,
    pub(super) stop: CancellationToken,
    _stopping: DropGuard,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.readings.open().all.remove(&self.number);
    }
}

/// Chooses pages of a document of so many.
pub(crate) type Narrow = Box<dyn FnOnce(u32) -> Result<PageSet, Fault> + Send>;

/// What is to be read.
pub(crate) struct Work {
    pub(crate) source: Source,
    pub(crate) options: ReadOptions,
    /// Who looks at pages, the first choice first.
    pub(crate) models: Vec<String>,
    /// Which pages, where that depends on how many there are.
    pub(crate) pages: Option<Narrow>,
    /// When to end, if there is such a time.
    pub(crate) deadline: Option<Instant>,
    /// Before whom its pages go.
    pub(crate) priority: Priority,
    /// Who asks, as a number.
    pub(crate) client: u64,
}

/// What is told while a document is read. Each wanted page comes once; the end comes last.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is open.
    Begun { pages: usize, to_read: usize, page_count: u32, title: Option<String> },
    /// Somebody is asked to read a page.
    Asked { page: u32, attempt: u32, reader: String },
    /// That was no success.
    Attempt { page: u32, attempt: u32, reader: String, fault: String },
    /// Models cannot be reached, or have no room.
    Paused { message: String, seconds: f64 },
    /// A page is done.
    Page(Box<Page>),
    /// It is over.
    End(Result<Box<Document>, Fault>),
}

impl Readings {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a document in memory.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn hold(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.held).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{MOST_HELD} documents are being read or wait for it already; ask again later"
            );
            let fault = Fault::of(StatusCode::SERVICE_UNAVAILABLE, message);
            Fault { retry_after: Some(Duration::from_secs(10)), ..fault }
        })
    }

    /// Makes a reading known by its name, for whoever asked for it.
    pub(super) fn name(self: &Arc<Self>, id: String, owner: u64) -> Named {
        let stop = CancellationToken::new();
        let mut open = self.open();
        open.begun += 1;
        let number = open.begun;
        open.all.insert(number, (id, owner, stop.clone()));
        let _stopping = stop.clone().drop_guard();
        Named { readings: Arc::clone(self), number, stop, _stopping }
    }

    /// Ends the readings of this name that `owner` has asked for; whether there was one.
    pub(super) fn end(&self, id: &str, owner: u64) -> bool {
        let open = self.open();
        let mine = open.all.values().filter(|(name, whose, _)| name == id && *whose == owner);
        mine.map(|(.., stop)| stop.cancel()).count() > 0
    }

    /// Begins to read, once its turn has come, until `stop`.
    pub(crate) fn start(
        self: &Arc<Self>,
        house: &Arc<House>,
        files: &Files,
        work: Work,
        stop: CancellationToken,
    ) -> UnboundedReceiver<Told> {
        let (sender, told) = unbounded_channel();
        let (readings, house, files) = (Arc::clone(self), Arc::clone(house), files.clone());
        let flight = manager::flight::current();
        tokio::spawn(async move {
            let turn = Arc::clone(&readings.reading).acquire_owned();
            let turn = tokio::select! {
                turn = turn => turn,
                () = stop.cancelled() => return drop(sender.send(Told::End(Err(told::cancelled())))),
            };
            let handle = tokio::runtime::Handle::current();
            let reading = tokio::task::spawn_blocking(move || {
                let mut seers = Seers::new(handle).urgent(work.priority, work.client);
                if let Some(flight) = flight {
                    seers = seers.recorded(flight);
                }
                for model in &work.models {
                    seers = seers.and_of_house(&house, model);
                }
                let mut teller = Teller { sender: sender.clone(), stop, deadline: work.deadline };
                let end = read(&readings.room, &files, work, &seers, &mut teller);
                // Whoever has gone wants nothing.
                let _ = sender.send(Told::End(end.map(Box::new)));
            });
            // What panicked drops the sender, and so tells that nothing comes any more.
            let _ = reading.await;
            drop(turn);
        });
        told
    }
}

fn read(
    room: &Room,
    files: &Files,
    work: Work,
    seers: &Seers,
    teller: &mut Teller,
) -> Result<Document, Fault> {
    let Work { source, mut options, pages, deadline, .. } = work;
    let name = source.name.clone();
    let deadline = deadline.unwrap_or_else(|| Instant::now() + WITHIN);
    let within = Within { each: PAGE, deadline };
    let opened = Opened::with_passwords(files, source, within, &options.passwords);
    let opened = opened.map_err(|error| match error {
        NotOpened::NoWorker => Fault::of(StatusCode::FORBIDDEN, error.to_string()),
        NotOpened::Document(error) => told::fault(error),
    })?;
    let count = opened.pages();
    if let Some(narrowed) = pages {
        options.pages = narrowed(count)?;
    }
    let wanted = options.pages.numbers(&name, count).map_err(told::fault)?.len();
    if wanted > MOST_PAGES {
        let message = format!(
            "{wanted} pages of `{name}` are wanted, but at most {MOST_PAGES} are read at once: name some in `pages`"
        );
        return Err(Fault::field("pages", message));
    }
    let nobody = options.mode == Mode::Text;
    let opened = opened.at_most(MOST_CHARACTERS).stopping(teller.stop.clone(), || ());
    let (document, too_long) = if nobody {
        opened.read(&options, &documents::NoModel, room, teller)
    } else {
        opened.read(&options, seers, room, teller)
    };
    if too_long {
        let message =
            format!("`{name}` has more than {MOST_CHARACTERS} characters: name fewer `pages`");
        return Err(Fault::field("pages", message));
    }
    document.map_err(told::fault)
}

/// Tells of what happens, and asks whether it should go on.
struct Teller {
    sender: UnboundedSender<Told>,
    stop: CancellationToken,
    deadline: Option<Instant>,
}

impl Watch for Teller {
    fn event(&mut self, event: Event<'_>) {
        let told = match event {
            Event::LaidOut { outline, pages, to_read } => {
                let (page_count, title) = (outline.pages, outline.title.clone());
                Told::Begun { pages, to_read, page_count, title }
            }
            Event::Asked { page, index, reader } => {
                Told::Asked { page, attempt: index, reader: reader.name().to_owned() }
            }
            Event::Attempt { page, index, reader, fault } => {
                let (reader, fault) = (reader.name().to_owned(), fault.to_owned());
                Told::Attempt { page, attempt: index, reader, fault }
            }
            Event::Pause { message, pause } => {
                Told::Paused { message: message.to_owned(), seconds: pause.as_secs_f64() }
            }
            Event::Page { page, .. } => Told::Page(Box::new(page.clone())),
            _ => return,
        };
        // Whoever has gone has ended it as well.
        let _ = self.sender.send(told);
    }

    fn stop(&self) -> bool {
        self.stop.is_cancelled() || self.deadline.is_some_and(|at| Instant::now() >= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_for_it_ends_it_and_nobody_else() {
        let readings = Arc::new(Readings::default());
        let named = readings.name("a".to_owned(), 1);
        assert!(!readings.end("a", 2) && !readings.end("b", 1) && !named.stop.is_cancelled());
        assert!(readings.end("a", 1) && named.stop.is_cancelled());
        let stop = named.stop.clone();
        drop(named);
        assert!(!readings.end("a", 1) && stop.is_cancelled());
    }

    #[test]
    fn documents_that_lie_in_memory_are_counted() {
        let readings = Readings::default();
        let held: Vec<_> = (0..MOST_HELD).map(|_| readings.hold().unwrap()).collect();
        let fault = readings.hold().unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.retry_after),
            (503, Some(Duration::from_secs(10)))
        );
        drop(held);
        assert!(readings.hold().is_ok());
    }
}
