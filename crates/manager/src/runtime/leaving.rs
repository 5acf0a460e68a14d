//! Models that have left, and whose kept pages are put on the disk before their memory is given back: a few at a time, so that
//! others have the device in between, and only for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use engine::Engine;
use tokio::sync::oneshot;

use super::shelf::PageStore;

/// So long a model may take to leave.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are copied at once.
const PIECE: u64 = 4 << 20;
/// Between two looks at whether there is room for more, where nothing else is to be done.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// Who is leaving, and who waits for it.
#[derive(Default)]
pub(super) struct Leaving {
    engines: VecDeque<Leaver>,
    waiters: Vec<oneshot::Sender<()>>,
}

struct Leaver {
    engine: Engine,
    pages: VecDeque<u32>,
    until: Instant,
    /// Bytes that it may put on the disk.
    left: u64,
}

impl Leaving {
    /// Whether nobody is.
    pub(super) fn is_over(&self) -> bool {
        self.engines.is_empty()
    }

    /// Takes in an engine that is not used any more.
    pub(super) fn add(&mut self, mut engine: Engine, store: &PageStore) {
        let pages: VecDeque<_> = engine.kept_pages().into();
        // More would drive out what was written first, and that is what the rest builds on.
        let (_, left) = store.bytes();
        if !pages.is_empty() {
            self.engines.push_back(Leaver {
                engine,
                pages,
                until: Instant::now() + PATIENCE,
                left,
            });
        }
    }

    /// Tells `waiter` when all who are leaving now have left.
    pub(super) fn wait(&mut self, waiter: oneshot::Sender<()>) {
        self.waiters.push(waiter);
        self.tell();
    }

    fn tell(&mut self) {
        if self.is_over() {
            for waiter in self.waiters.drain(..) {
                // Nobody has to wait to the end.
                let _ = waiter.send(());
            }
        }
    }

    /// Puts the next few pages away. Returns whether one has left.
    pub(super) fn go_on(&mut self, store: &PageStore) -> bool {
        let Some(leaver) = self.engines.front_mut() else { return false };
        let size = leaver.engine.page_bytes() as u64;
        let mut copied = 0;
        while let Some(&page) = leaver.pages.front() {
            if leaver.left < size || Instant::now() > leaver.until {
                tracing::info!(
                    pages = leaver.pages.len(),
                    "not kept: the disk has no time or no room"
                );
                break;
            }
            let room = store.room();
            if copied >= PIECE || (room < size && room < super::shelf::MOST_WAITING) {
                return false;
            }
            leaver.pages.pop_front();
            leaver.engine.put_away(page);
            (copied, leaver.left) = (copied + size, leaver.left - size);
        }
        self.engines.pop_front();
        self.tell();
        true
    }
}
