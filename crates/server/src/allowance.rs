//! How much a key may ask for: requests and tokens in a minute, and requests at once. A pure account without a clock; the
//! caller passes the time.
//!
//! Requests are paid for when they come. What an answer takes in tokens is known when it has ended: it is paid for then,
//! and where more was taken than there was, the next request waits until the debt is worked off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use manager::flight::Flight;

use crate::fault::Fault;

/// What one key may ask for; without bounds where there is no number.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allowance {
    /// Requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute, of prompts and answers.
    pub tokens_per_minute: Option<u64>,
    /// Requests at once.
    pub concurrent: Option<u64>,
}

impl Allowance {
    fn is_bounded(&self) -> bool {
        *self != Self::default()
    }
}

/// So much is given each minute, and kept for at most a minute.
#[derive(Clone, Copy, Debug)]
struct Purse {
    a_minute: f64,
    /// What is there; less than nothing is a debt.
    left: f64,
    seen: Duration,
}

impl Purse {
    fn full(a_minute: u64, now: Duration) -> Self {
        Self { a_minute: a_minute as f64, left: a_minute as f64, seen: now }
    }

    fn fill(&mut self, now: Duration) {
        let minutes = now.saturating_sub(self.seen).as_secs_f64() / 60.0;
        self.left = (self.left + minutes * self.a_minute).min(self.a_minute);
        self.seen = now;
    }

    /// When there will be so much, if it is not there yet.
    fn wait(&self, wanted: f64) -> Option<Duration> {
        let missing = wanted - self.left;
        (missing > 0.0).then(|| Duration::from_secs_f64(missing / self.a_minute * 60.0))
    }
}

/// Why a key is not let in now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refused {
    Requests(Duration),
    Tokens(Duration),
    AtOnce,
}

/// What one key has taken.
#[derive(Debug)]
struct Account {
    allowance: Allowance,
    requests: Option<Purse>,
    tokens: Option<Purse>,
    under_way: u64,
}

impl Account {
    fn open(allowance: Allowance, now: Duration) -> Self {
        Self {
            requests: allowance.requests_per_minute.map(|most| Purse::full(most, now)),
            tokens: allowance.tokens_per_minute.map(|most| Purse::full(most, now)),
            under_way: 0,
            allowance,
        }
    }

    fn begin(&mut self, now: Duration) -> Result<(), Refused> {
        for purse in self.requests.iter_mut().chain(&mut self.tokens) {
            purse.fill(now);
        }
        if self.allowance.concurrent.is_some_and(|most| self.under_way >= most) {
            return Err(Refused::AtOnce);
        }
        // Whoever has one token left is let in: nobody knows yet how many it will be.
        if let Some(wait) = self.tokens.and_then(|purse| purse.wait(1.0)) {
            return Err(Refused::Tokens(wait));
        }
        if let Some(requests) = &mut self.requests {
            if let Some(wait) = requests.wait(1.0) {
                return Err(Refused::Requests(wait));
            }
            requests.left -= 1.0;
        }
        self.under_way += 1;
        Ok(())
    }

    fn end(&mut self, now: Duration, tokens: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(purse) = &mut self.tokens {
            purse.fill(now);
            purse.left -= tokens as f64;
        }
    }
}

/// What all keys have taken.
#[derive(Debug)]
pub(crate) struct Accounts {
    opened: Instant,
    of: Mutex<BTreeMap<Arc<str>, Account>>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { opened: Instant::now(), of: Mutex::default() }
    }
}

impl Accounts {
    fn of(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Account>> {
        // Whoever panicked held it for no longer than it takes to change a number.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request of the key `name` in; `None` if nothing is counted for it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: &Arc<str>,
        allowance: Allowance,
        flight: Option<Flight>,
    ) -> Result<Option<Arc<Under>>, Fault> {
        if !allowance.is_bounded() {
            return Ok(None);
        }
        let now = self.opened.elapsed();
        let mut all = self.of();
        let account = all.entry(Arc::clone(name)).or_insert_with(|| Account::open(allowance, now));
        if account.allowance != allowance {
            // It was told anew: what is under way counts, what was paid does not.
            let under_way = account.under_way;
            *account = Account { under_way, ..Account::open(allowance, now) };
        }
        account.begin(now).map_err(|refused| fault(name, &allowance, refused))?;
        let (accounts, name) = (Arc::clone(self), Arc::clone(name));
        Ok(Some(Arc::new(Under { accounts, name, flight })))
    }
}

fn fault(name: &str, allowance: &Allowance, refused: Refused) -> Fault {
    let number = |most: Option<u64>| most.unwrap_or(0);
    let (message, wait) = match refused {
        Refused::Requests(wait) => {
            let most = number(allowance.requests_per_minute);
            (format!("the key of `{name}` may make {most} requests a minute"), wait)
        }
        Refused::Tokens(wait) => {
            let most = number(allowance.tokens_per_minute);
            (format!("the key of `{name}` may take {most} tokens a minute, and has"), wait)
        }
        Refused::AtOnce => {
            let most = number(allowance.concurrent);
            let message = format!("the key of `{name}` may have {most} requests under way at once");
            (message, Duration::from_secs(1))
        }
    };
    // Rounded up: whoever comes back then is let in.
    let wait = Duration::from_secs(wait.as_secs_f64().ceil() as u64);
    let message = format!("{message}; ask again in {} s", wait.as_secs().max(1));
    let fault = Fault::of(StatusCode::TOO_MANY_REQUESTS, message).coded("rate_limit_exceeded");
    Fault { retry_after: Some(wait), ..fault }
}

/// A request under way, which is paid for when this is dropped: with its answer, whose tokens are known then.
#[derive(Debug)]
pub(crate) struct Under {
    accounts: Arc<Accounts>,
    name: Arc<str>,
    flight: Option<Flight>,
}

impl Drop for Under {
    fn drop(&mut self) {
        let tokens = self.flight.as_ref().map_or(0, |flight| flight.record().tokens());
        let now = self.accounts.opened.elapsed();
        if let Some(account) = self.accounts.of().get_mut(&self.name) {
            account.end(now, tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn requests_are_counted_by_the_minute() {
        let allowance = Allowance { requests_per_minute: Some(6), ..Allowance::default() };
        let mut account = Account::open(allowance, at(0.0));
        for _ in 0..6 {
            account.begin(at(1.0)).unwrap();
        }
        let Err(Refused::Requests(wait)) = account.begin(at(1.0)) else { panic!("let in") };
        assert!((wait.as_secs_f64() - 10.0).abs() < 1e-6, "{wait:?}");
        assert!(account.begin(at(10.9)).is_err());
        account.begin(at(11.1)).unwrap();
        // Not more than a minute's is saved.
        assert_eq!((0..100).filter(|_| account.begin(at(10_000.0)).is_ok()).count(), 6);
    }

    #[test]
    fn tokens_are_paid_for_when_they_are_known() {
        let allowance = Allowance { tokens_per_minute: Some(600), ..Allowance::default() };
        let mut account = Account::open(allowance, at(0.0));
        account.begin(at(0.0)).unwrap();
        account.begin(at(0.0)).unwrap();
        account.end(at(0.0), 900);
        let Err(Refused::Tokens(wait)) = account.begin(at(0.0)) else { panic!("let in") };
        assert!((wait.as_secs_f64() - 30.1).abs() < 1e-6, "{wait:?}");
        account.end(at(0.0), 0);
        account.begin(at(30.2)).unwrap();
    }

    #[test]
    fn so_many_are_under_way_at_once() {
        let allowance = Allowance { concurrent: Some(2), ..Allowance::default() };
        let mut account = Account::open(allowance, at(0.0));
        account.begin(at(0.0)).unwrap();
        account.begin(at(0.0)).unwrap();
        assert_eq!(account.begin(at(0.0)), Err(Refused::AtOnce));
        account.end(at(0.0), 5);
        account.begin(at(0.0)).unwrap();
    }

    #[test]
    fn a_key_without_bounds_is_not_counted() {
        let accounts = Arc::new(Accounts::default());
        let name: Arc<str> = "ann".into();
        assert!(accounts.begin(&name, Allowance::default(), None).unwrap().is_none());
        let one = Allowance { requests_per_minute: Some(1), ..Allowance::default() };
        assert!(accounts.begin(&name, one, None).unwrap().is_some());
        let fault = accounts.begin(&name, one, None).unwrap_err();
        assert_eq!(fault.status.as_u16(), 429);
        assert!(fault.message.contains("`ann` may make 1 requests a minute"), "{}", fault.message);
        let wait = fault.retry_after.unwrap().as_secs();
        assert!((59..=60).contains(&wait), "{wait}");
        // Others are not concerned.
        assert!(accounts.begin(&"bob".into(), one, None).is_ok());
    }
}
