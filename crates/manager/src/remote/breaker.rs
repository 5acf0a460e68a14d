//! Leaves a remote alone for a while when it fails again and again: a pure state machine.

use std::time::Duration;

/// How often the pause doubles at most.
const DOUBLINGS: u32 = 4;

/// Whether a remote is asked. Time is passed in, and never goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    most: u64,
    pause: Duration,
    /// Failures since it last worked.
    failures: u64,
    /// Pauses since it last worked.
    rests: u32,
    rests_until: Option<Duration>,
    /// Since when one request tries whether it works again.
    trial: Option<Duration>,
}

/// How a remote is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is asked.
    Up,
    /// It is left alone until then.
    Resting {
        /// The time.
        until: Duration,
    },
    /// One request is trying it.
    Trying,
}

impl Breaker {
    /// Opens after `most` failures in a row, at first for `pause`.
    pub fn new(most: u64, pause: Duration) -> Self {
        Self { most: most.max(1), pause, failures: 0, rests: 0, rests_until: None, trial: None }
    }

    /// How it is at `now`.
    pub fn health(&self, now: Duration) -> Health {
        match (self.rests_until, self.trial) {
            (Some(until), _) if now < until => Health::Resting { until },
            // A trial of which nothing was heard for a whole pause was given up.
            (Some(_), Some(since)) if now < since.saturating_add(self.pause) => Health::Trying,
            _ => Health::Up,
        }
    }

    /// Whether a request may be sent at `now`; else how long it would have to wait. After a pause a single one may try.
    ///
    /// # Errors
    /// The time to wait.
    pub fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        match self.health(now) {
            Health::Resting { until } => Err(until.saturating_sub(now)),
            Health::Trying => Err(self.pause),
            Health::Up => {
                if self.rests_until.is_some() {
                    self.trial = Some(now);
                }
                Ok(())
            }
        }
    }

    /// It worked.
    pub fn succeeded(&mut self) {
        *self = Self::new(self.most, self.pause);
    }

    /// It failed at `now`.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let was_trial = self.trial.take().is_some();
        let rests = self.rests_until.is_some_and(|until| now < until);
        if was_trial || (self.failures >= self.most && !rests) {
            let pause = self.pause.saturating_mul(1 << self.rests.min(DOUBLINGS));
            self.rests = self.rests.saturating_add(1);
            self.rests_until = Some(now.saturating_add(pause));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_rests_tries_once_and_rests_for_longer() {
        let mut breaker = Breaker::new(2, s(10));
        breaker.failed(s(0));
        assert_eq!(breaker.admit(s(1)), Ok(()));
        breaker.failed(s(1));
        assert_eq!(breaker.admit(s(2)), Err(s(9)));
        assert_eq!(breaker.admit(s(11)), Ok(()));
        assert_eq!((breaker.health(s(12)), breaker.admit(s(12))), (Health::Trying, Err(s(10))));
        breaker.failed(s(12));
        assert_eq!(breaker.health(s(31)), Health::Resting { until: s(32) });
        assert_eq!(breaker.admit(s(32)), Ok(()));
        breaker.succeeded();
        assert_eq!((breaker.admit(s(33)), breaker.admit(s(33))), (Ok(()), Ok(())));
        breaker.failed(s(34));
        assert_eq!(breaker.health(s(34)), Health::Up);
        // A trial that was never heard of does not keep it closed.
        let mut lost = Breaker::new(1, s(10));
        lost.failed(s(0));
        assert_eq!(
            (lost.admit(s(10)), lost.admit(s(15)), lost.admit(s(20))),
            (Ok(()), Err(s(10)), Ok(()))
        );
    }

    proptest! {
        #[test]
        fn pauses_are_bounded_and_end(acts in prop::collection::vec((0..50_u64, any::<bool>()), 0..200)) {
            let mut breaker = Breaker::new(3, s(10));
            let mut now = s(0);
            let mut row = 0;
            for (step, works) in acts {
                now += s(step);
                match breaker.admit(now) {
                    Ok(()) if works => { breaker.succeeded(); row = 0; }
                    Ok(()) => { breaker.failed(now); row += 1; }
                    Err(wait) => {
                        prop_assert!(row >= 3 && wait <= s(160), "{wait:?} after {row}");
                        prop_assert!(breaker.clone().admit(now + s(160)).is_ok());
                    }
                }
            }
        }
    }
}
