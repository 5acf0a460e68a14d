//! Who had how much: fairness between clients of one priority.

use std::collections::BTreeMap;

use crate::Priority;

/// How many clients without work are remembered.
const MOST_IDLE: usize = 1024;

/// What a client had of one priority.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Tokens that were computed for it, and those that it was given credit for by coming late.
    served: u64,
    /// Its requests that have not ended.
    live: usize,
}

/// Tokens that were computed for each client, within each priority. Whoever had least goes first, so
/// clients that always have work get as much as each other, however many requests each has.
///
/// A client that comes, or comes back, begins at the least that any other has: it has no claim on time
/// in which it asked for nothing.
#[derive(Debug, Default)]
pub(super) struct Clients(BTreeMap<(Priority, u64), Account>);

impl Clients {
    /// What `client` had.
    pub(super) fn served(&self, priority: Priority, client: u64) -> u64 {
        self.0.get(&(priority, client)).map_or(0, |account| account.served)
    }

    /// Notes that a request of `client` has come.
    pub(super) fn enter(&mut self, priority: Priority, client: u64) {
        let least = self.least(priority);
        let account = self.0.entry((priority, client)).or_default();
        if account.live == 0 {
            account.served = account.served.max(least.unwrap_or(0));
        }
        account.live += 1;
    }

    /// Notes that a request of `client` has ended.
    pub(super) fn leave(&mut self, priority: Priority, client: u64) {
        if let Some(account) = self.0.get_mut(&(priority, client)) {
            account.live = account.live.saturating_sub(1);
        }
        let least = self.least(priority);
        // What others have reached already is no debt any more; without others nobody has any.
        let owes = |served: u64| least.is_some_and(|least| served > least);
        self.0.retain(|of, account| of.0 != priority || account.live > 0 || owes(account.served));
        if self.0.values().filter(|account| account.live == 0).count() > MOST_IDLE {
            let idle = self.0.iter().filter(|(_, account)| account.live == 0);
            let smallest = idle.min_by_key(|(_, account)| account.served).map(|(key, _)| *key);
            smallest.map(|key| self.0.remove(&key));
        }
    }

    /// Notes that `tokens` were computed for `client`.
    pub(super) fn charge(&mut self, priority: Priority, client: u64, tokens: usize) {
        if let Some(account) = self.0.get_mut(&(priority, client)) {
            account.served += tokens as u64;
        }
    }

    /// The least that a client with work has.
    fn least(&self, priority: Priority) -> Option<u64> {
        let of = self.0.range((priority, 0)..=(priority, u64::MAX));
        of.filter(|(_, account)| account.live > 0).map(|(_, account)| account.served).min()
    }
}

#[cfg(test)]
mod tests {
    use super::{Clients, MOST_IDLE};
    use crate::Priority::{Batch, Normal};

    #[test]
    fn who_comes_late_has_no_claim_on_the_past() {
        let mut clients = Clients::default();
        clients.enter(Normal, 1);
        clients.charge(Normal, 1, 500);
        clients.enter(Normal, 2);
        assert_eq!(clients.served(Normal, 2), 500);
        clients.charge(Normal, 2, 10);
        // Going and coming back wins nothing.
        clients.leave(Normal, 2);
        clients.enter(Normal, 2);
        assert_eq!(clients.served(Normal, 2), 510);
        // Another priority is another matter.
        clients.enter(Batch, 2);
        assert_eq!(clients.served(Batch, 2), 0);
    }

    #[test]
    fn what_nobody_owes_is_forgotten() {
        let mut clients = Clients::default();
        clients.enter(Normal, 0);
        for client in 1..5000 {
            clients.enter(Normal, client);
            clients.charge(Normal, client, 7);
            clients.leave(Normal, client);
        }
        assert!(clients.0.len() <= MOST_IDLE + 1);
        clients.charge(Normal, 0, 8);
        clients.enter(Normal, 1);
        clients.leave(Normal, 1);
        assert_eq!(clients.0.len(), 1, "the others have been caught up with");
        clients.leave(Normal, 0);
        assert!(clients.0.is_empty());
    }
}
