//! The models of a machine behind one door: whoever asks one by name gets it, loaded if need be, and holds it while in use.
//!
//! A [`House`] owns the device's thread and knows what is on disk and what is in memory. A [`Lease`] keeps a model there;
//! an [`Answer`] holds a lease until it is read or dropped. Nothing here blocks the async executor: files are looked at,
//! texts are made into tokens and images are decoded on threads for such work.

mod answer;
mod error;
mod lease;
mod status;
mod vectors;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

pub use answer::{Answer, Ask, End, News};
pub use error::Error;
pub use lease::Lease;
pub use status::{ModelState, ModelStatus};
pub use vectors::{Embedded, Judged};

use crate::Environment;
use crate::runtime::{LoadOptions, Runtime};
use lease::{Found, Resident};

/// How a house is kept.
#[derive(Clone, Debug, Default)]
pub struct HouseOptions {
    /// How each model is loaded.
    pub load: LoadOptions,
    /// The models that are offered: names or folders. Empty: all that are on disk.
    pub models: Vec<String>,
}

/// The models of a machine, and the thread that computes them.
pub struct House {
    environment: Environment,
    runtime: Arc<Runtime>,
    options: HouseOptions,
    rooms: Mutex<Rooms>,
    /// Told whenever a model comes, goes, or is given back.
    changed: Notify,
    opened: Instant,
}

/// What is in memory.
#[derive(Debug, Default)]
struct Rooms {
    residents: BTreeMap<String, Resident>,
    /// What names stood for when they were asked last.
    known: BTreeMap<String, Arc<Found>>,
    closing: bool,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("options", &self.options).finish_non_exhaustive()
    }
}

impl House {
    /// An empty house on a running device.
    pub fn open(
        runtime: Arc<Runtime>,
        environment: Environment,
        options: HouseOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            environment,
            runtime,
            options,
            rooms: Mutex::default(),
            changed: Notify::new(),
            opened: Instant::now(),
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

    /// How long it has been open.
    pub fn uptime(&self) -> std::time::Duration {
        self.opened.elapsed()
    }

    /// Takes no new requests from now on; those under way go on.
    pub fn close(&self) {
        self.rooms().closing = true;
        self.changed.notify_waiters();
    }

    /// Waits until nobody uses a model any more.
    pub async fn emptied(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.rooms().residents.values().all(Resident::is_idle) {
                return;
            }
            changed.await;
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Whoever panicked held the lock for no longer than it takes to change a map.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`, which looks at files or computes for long, on a thread for such.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Lost))
}
