//! How many pages are looked at at once, over all documents that are read side by side.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Waiting = Box<dyn FnOnce(Permit) + Send>;

/// Places for pages. Whoever waits gets one in the order of asking. Clones are the same room.
#[derive(Clone)]
pub struct Room {
    places: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    taken: usize,
    waiting: VecDeque<Waiting>,
}

impl Room {
    /// A room with so many places, at least one.
    pub fn new(places: usize) -> Self {
        Self { places: places.max(1), state: Arc::default() }
    }

    /// A place, if one is free and nobody waits.
    pub(super) fn try_enter(&self) -> Option<Permit> {
        let mut state = self.lock();
        if state.taken >= self.places || !state.waiting.is_empty() {
            return None;
        }
        state.taken += 1;
        Some(Permit { room: self.clone() })
    }

    /// Calls `entered` with a place once there is one.
    pub(super) fn enter_later(&self, entered: impl FnOnce(Permit) + Send + 'static) {
        match self.try_enter() {
            Some(permit) => entered(permit),
            None => {
                self.lock().waiting.push_back(Box::new(entered));
                // A place may have come free in between.
                self.serve();
            }
        }
    }

    /// Whether one page is all that is left: nobody else is inside, and nobody waits.
    pub(super) fn is_last(&self) -> bool {
        let state = self.lock();
        state.taken <= 1 && state.waiting.is_empty()
    }

    /// Hands free places to who waits.
    fn serve(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.taken >= self.places {
                    return;
                }
                let Some(next) = state.waiting.pop_front() else { return };
                state.taken += 1;
                next
            };
            next(Permit { room: self.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Room")
            .field("places", &self.places)
            .field("taken", &state.taken)
            .field("waiting", &state.waiting.len())
            .finish()
    }
}

/// A place. Dropping it gives it to the next.
#[derive(Debug)]
pub(super) struct Permit {
    room: Room,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.room.lock().taken -= 1;
        self.room.serve();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn places_go_round_in_order() {
        let room = Room::new(2);
        let (a, b) = (room.try_enter().unwrap(), room.try_enter().unwrap());
        assert!(room.try_enter().is_none() && !room.is_last());
        let (sender, receiver) = channel();
        for name in ["first", "second"] {
            let sender = sender.clone();
            room.enter_later(move |permit| drop(sender.send((name, permit))));
        }
        assert!(receiver.try_recv().is_err());
        drop(a);
        let (name, first) = receiver.try_recv().unwrap();
        assert_eq!(name, "first");
        assert!(receiver.try_recv().is_err());
        drop((b, first));
        let (name, second) = receiver.try_recv().unwrap();
        assert_eq!(name, "second");
        assert!(room.is_last());
        drop(second);
        assert!(room.try_enter().is_some());
    }

    #[test]
    fn a_place_for_somebody_who_left_goes_to_the_next() {
        let room = Room::new(1);
        let held = room.try_enter().unwrap();
        let (gone, receiver) = channel::<Permit>();
        drop(receiver);
        room.enter_later(move |permit| drop(gone.send(permit)));
        let (sender, receiver) = channel();
        room.enter_later(move |permit| drop(sender.send(permit)));
        drop(held);
        assert!(receiver.try_recv().is_ok());
    }
}
