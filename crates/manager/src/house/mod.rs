//! The models of a machine behind one door: whoever asks one by name gets it, loaded if need be, and holds it while in use.
//!
//! A [`House`] owns the device's thread and knows what is on disk and what is in memory. A [`Lease`] keeps a model there;
//! an [`Answer`] holds a lease until it is read or dropped. Who comes in, who waits and who has to go is decided by
//! [`Residency`], a pure value: the house tells it what happens, does what it decides (`acts`), and never does anything
//! else. Nothing here blocks the async executor: files are looked at, texts are made into tokens and images are decoded on
//! threads for such work.

mod acts;
mod answer;
mod broken;
mod choose;
mod disk;
mod error;
mod find;
mod lease;
mod pick;
mod status;
#[cfg(test)]
mod tests;
mod vectors;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub use answer::{Answer, Ask, End, News};
pub use error::Error;
pub use lease::Lease;
pub use status::{Account, ModelState, ModelStatus};
pub use vectors::{Embedded, Judged};

use crate::Environment;
use crate::config::{Config, Fallback, Remote};
use crate::flight::Recorder;
use crate::ledger::{Class, Ledger, default_limit};
use crate::machine::Machine;
use crate::peak::current_rss;
use crate::remote::{self, Backend};
use crate::residency::{Event, Leave, PROCESS, Policy, Residency, Ticket};
use crate::runtime::{LoadOptions, Runtime};
use crate::stats::Stats;
use broken::Broken;
use find::Found;
use lease::{Resident, Waiter};

/// What the program itself may grow by: requests, answers, what tokenizers remember.
const GROWTH: u64 = 256 << 20;
/// Between two looks at what is due.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
const MOST_PAUSE: Duration = Duration::from_secs(1);

/// How a house is kept.
#[derive(Clone, Debug)]
pub struct HouseOptions {
    /// How each model is loaded; `cache_bytes` is granted to each out of `memory`.
    pub load: LoadOptions,
    /// The models that are offered: names or folders. Empty: all that are on disk.
    pub models: Vec<String>,
    /// Bytes that all models may take together; a share of what the machine has, if absent.
    pub memory: Option<u64>,
    /// The part of `memory` that the cache of one model may take at most.
    pub cache_share: f64,
    /// A model that nobody has asked for so long is unloaded; what the settings say of each, if absent.
    pub ttl: Option<Duration>,
    /// Models that stay in memory once they are there.
    pub pinned: Vec<String>,
    /// How long a request may wait for its model.
    pub wait: Option<Duration>,
    /// How long is waited, and how many are let in.
    pub policy: Policy,
    /// What is set for single models, who answers which task, and servers elsewhere.
    pub config: Config,
}

impl Default for HouseOptions {
    fn default() -> Self {
        Self {
            load: LoadOptions::default(),
            models: Vec::new(),
            memory: None,
            cache_share: 0.5,
            ttl: None,
            pinned: Vec::new(),
            wait: None,
            policy: Policy::default(),
            // Nobody elsewhere is asked unless that is said.
            config: Config {
                fallback: Fallback { allow: true, find_ollama: false },
                ..Config::default()
            },
        }
    }
}

/// The models of a machine, and the thread that computes them.
pub struct House {
    environment: Environment,
    runtime: Arc<Runtime>,
    settings: RwLock<Arc<Settings>>,
    /// The models of servers elsewhere, as they were told last, or why they were not.
    listed: Mutex<Listed>,
    stats: Mutex<Stats>,
    flights: Arc<Recorder>,
    cancelled: AtomicU64,
    rooms: Mutex<Rooms>,
    /// Told whenever a model comes, goes, or is given back.
    changed: Notify,
    opened: Instant,
    own: Weak<Self>,
}

/// What a house was told last.
#[derive(Debug)]
struct Settings {
    options: HouseOptions,
    backends: BTreeMap<String, Arc<Backend>>,
}

/// What servers elsewhere have, and when they said it.
type Listed = BTreeMap<String, (Instant, Result<Vec<String>, String>)>;

/// Who is where.
#[derive(Debug)]
struct Rooms {
    residency: Residency,
    residents: BTreeMap<String, Resident>,
    /// What names stood for when they were asked last.
    known: BTreeMap<String, Arc<Found>>,
    /// The same by the names that models go by.
    found: BTreeMap<String, Arc<Found>>,
    /// Why names stand for nothing.
    refused: BTreeMap<String, Arc<Error>>,
    waiters: BTreeMap<Ticket, Waiter>,
    /// Why the last load of a model failed.
    failures: BTreeMap<String, Arc<crate::runtime::Error>>,
    /// Models that panicked.
    broken: Broken,
    /// Models that left, by reason.
    unloads: BTreeMap<&'static str, u64>,
    tickets: u64,
    /// When the allocator was last asked for what it keeps.
    trimmed: Duration,
    serving: usize,
    closing: bool,
    kept: bool,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("settings", &self.settings()).finish_non_exhaustive()
    }
}

impl House {
    /// An empty house on a running device.
    pub fn open(
        runtime: Arc<Runtime>,
        environment: Environment,
        options: HouseOptions,
    ) -> Arc<Self> {
        let limit = limit(&options);
        let mut ledger = Ledger::new(limit);
        // What the program takes before the first model comes. A limit that is less than this lets nobody in.
        let growth = GROWTH.saturating_add(runtime.keeps()).min(limit / 8);
        let own = current_rss().unwrap_or(0).saturating_add(growth).min(limit);
        let _ = ledger.reserve(PROCESS, Class::Process, own);
        let rooms = Rooms {
            residency: Residency::new(ledger, options.policy),
            residents: BTreeMap::new(),
            known: BTreeMap::new(),
            found: BTreeMap::new(),
            refused: BTreeMap::new(),
            waiters: BTreeMap::new(),
            failures: BTreeMap::new(),
            broken: Broken::default(),
            unloads: BTreeMap::new(),
            tickets: 0,
            trimmed: Duration::ZERO,
            serving: 0,
            closing: false,
            kept: false,
        };
        let backends = backends(&options.config, &environment, &BTreeMap::new());
        let settings = RwLock::new(Arc::new(Settings { options, backends }));
        Arc::new_cyclic(|own| Self {
            settings,
            listed: Mutex::default(),
            stats: Mutex::default(),
            flights: Arc::default(),
            cancelled: AtomicU64::new(0),
            environment,
            runtime,
            rooms: Mutex::new(rooms),
            changed: Notify::new(),
            opened: Instant::now(),
            own: own.clone(),
        })
    }

    /// The device that computes.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Where models are looked for.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Bytes that all models may take together.
    pub fn limit(&self) -> u64 {
        self.rooms().residency.ledger().limit()
    }

    fn settings(&self) -> Arc<Settings> {
        // Whoever panicked held it for no longer than it takes to change a pointer.
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Is kept otherwise from now on: requests under way go on as they began. Models that are in memory stay there as long as
    /// they may; those that are not offered any more go when nobody uses them.
    pub async fn reload(self: &Arc<Self>, options: HouseOptions) {
        let (limit, policy) = (limit(&options), options.policy);
        let before = self.settings();
        let backends = backends(&options.config, &self.environment, &before.backends);
        let told = Arc::new(Settings { options, backends });
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = told;
        self.listed().clear();
        let known: Vec<String> = {
            let mut rooms = self.rooms();
            rooms.known.clear();
            rooms.refused.clear();
            rooms.residency.set_policy(policy);
            rooms.found.keys().cloned().collect()
        };
        self.happened(Event::Limit(limit));
        for model in known {
            // Looked up anew, it has its new terms.
            if let Err(error) = self.find(&model).await {
                tracing::info!(model, %error, "not offered any more");
                self.happened(Event::Dismiss { model, why: Leave::Asked });
            }
        }
    }

    /// How long it has been open.
    pub fn uptime(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Takes no new requests from now on; those under way go on.
    pub fn close(&self) {
        self.rooms().closing = true;
        self.changed.notify_waiters();
    }

    /// Waits until nobody uses a model any more.
    pub async fn emptied(&self) {
        self.until(|rooms| rooms.serving == 0 && rooms.waiters.is_empty()).await;
    }

    /// Waits until `holds`.
    async fn until(&self, holds: impl Fn(&Rooms) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.rooms()) {
                return;
            }
            changed.await;
        }
    }

    /// Tells the residency of the time, whenever something is due: idle models go, and who has waited too long is told.
    /// Begins once, on the executor that the first request comes from, and ends with the house.
    fn keep(self: &Arc<Self>) {
        if std::mem::replace(&mut self.rooms().kept, true) {
            return;
        }
        let house = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(house) = house.upgrade() {
                house.happened(Event::Tick);
                house.look_for_unreturned();
                let now = house.uptime();
                let due = house.rooms().residency.wake(now);
                drop(house);
                // What is due may change meanwhile: looked at again at least every second.
                let pause = due.map_or(MOST_PAUSE, |due| due.saturating_sub(now));
                tokio::time::sleep(pause.clamp(LEAST_PAUSE, MOST_PAUSE)).await;
            }
        });
    }

    /// What requests took, by task and by who answered.
    pub fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records of the last requests that were recorded: see [`flight`](crate::flight).
    pub fn flights(&self) -> &Arc<Recorder> {
        &self.flights
    }

    /// How many answers were given up before their end by those who asked.
    pub fn cancelled(&self) -> u64 {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn count_cancelled(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Whoever panicked held the lock for no longer than it takes to change a map.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that all models may take together.
fn limit(options: &HouseOptions) -> u64 {
    options.memory.unwrap_or_else(|| {
        let machine = Machine::look();
        let most = machine.memory_limit.unwrap_or(machine.memory_total);
        default_limit(most, machine.memory_available, 1 << 30)
    })
}

/// The servers elsewhere; one that cannot be asked at all is told of, and left out. One that stays as it was `before` is the
/// same, with what is known of its health.
fn backends(
    config: &Config,
    environment: &Environment,
    before: &BTreeMap<String, Arc<Backend>>,
) -> BTreeMap<String, Arc<Backend>> {
    let mut all: Vec<(String, Remote)> =
        config.remotes.iter().map(|(name, remote)| (name.clone(), remote.clone())).collect();
    if config.fallback.find_ollama && !config.remotes.contains_key("ollama") {
        let host = std::env::var("OLLAMA_HOST").ok();
        all.push(("ollama".to_owned(), remote::ollama(host.as_deref())));
    }
    let same = |name: &String, remote: &Remote| {
        before.get(name).filter(|backend| backend.settings() == remote).map(Arc::clone)
    };
    let opened = |name: &String, remote: &Remote| match same(name, remote) {
        Some(backend) => Ok(backend),
        None => Backend::open(name, remote, environment),
    };
    let open = |(name, remote): (String, Remote)| match opened(&name, &remote) {
        Ok(backend) => Some((name, backend)),
        Err(error) => {
            tracing::error!(remote = name, %error, "cannot be asked");
            None
        }
    };
    all.into_iter().filter_map(open).collect()
}

/// Runs `work`, which looks at files or computes for long, on a thread for such.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Lost))
}
