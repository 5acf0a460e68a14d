//! Who is in memory, who comes in, and who has to go for it: events in, decisions out. A pure value without a clock;
//! the caller passes the time, does what is decided, and says what came of it.
//!
//! - Every byte is booked in the [`Ledger`] before a [`Decision::Load`] is given, and stays booked until
//!   [`Event::Returned`] says that it is back.
//! - What does not fit takes of the caches of others what these can do without; see `cache`. Then it evicts idle models: lowest priority first, then the longest unused; never a pinned or a busy one.
//! - Where only busy models could make room, a request waits. Until it has waited for [`Policy::patience`], others go on
//!   as before it; then the eldest such request *owns* the next room: busy models that have to go for it are given no
//!   new requests, and nobody else is loaded. So it gets its turn as soon as the busy ones end.
//! - A model that was loaded answers those who waited for it before it can be evicted, and stays for about as long as its
//!   load took if it is in use: two models that do not fit together take turns, and do not only load.

mod cache;
mod need;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

pub use need::{Grant, Need, batch_within};

use crate::error::{Bytes, Kind};
use crate::ledger::{Class, Ledger, Reservation};

/// The owner of what the program itself takes, in the ledger.
pub const PROCESS: &str = "folio";

/// Names a request; the caller makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// How long is waited, and how many are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After so much waiting for busy models, a request owns the next room.
    pub patience: Duration,
    /// A model that was loaded a short while ago is evicted only once it was idle for so long.
    pub linger: Duration,
    /// The longest that a model counts as just loaded; else as long as its load took.
    pub longest_tenure: Duration,
    /// Models in memory at most.
    pub most_loaded: usize,
    /// Models that answer or load at once at most.
    pub most_running: usize,
    /// Requests that wait at most.
    pub most_waiting: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            linger: Duration::from_millis(250),
            longest_tenure: Duration::from_secs(30),
            most_loaded: usize::MAX,
            most_running: usize::MAX,
            most_waiting: 1024,
        }
    }
}

/// What holds for one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Bytes that it needs.
    pub need: Need,
    /// Lower ones are evicted first.
    pub priority: i32,
    /// Never evicted, neither for others nor for being idle.
    pub pinned: bool,
    /// Unloaded when it was idle for so long; never, if absent.
    pub ttl: Option<Duration>,
}

/// A request for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Names the request.
    pub ticket: Ticket,
    /// The model, by a name that [`Residency::know`] was given.
    pub model: String,
    /// How long it may wait; for ever, if absent.
    pub wait: Option<Duration>,
    /// Whether somebody else can answer: then it is told to fall back where it would be refused.
    pub fallback: bool,
    /// Bytes of cache that it needs, where that is known to be more than the least; 0 if not. A model that has less grows
    /// first, up to the most that it may have.
    pub cache: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request wants a model.
    Ask(Ask),
    /// A request that was served has ended; one that still waits gives up. Unknown tickets are nothing.
    Done(Ticket),
    /// A load has ended well.
    Loaded(String),
    /// A load has failed. What it took is still booked until [`Event::Returned`].
    LoadFailed(String),
    /// The bytes of a model that was unloaded, or whose load failed, are measured to be back, but for `missing` of them,
    /// which stay booked as [`Class::Unreturned`].
    Returned {
        /// The model.
        model: String,
        /// Bytes that did not come back.
        missing: u64,
    },
    /// What [`Decision::Resize`] of this number came to: the engine takes so many bytes for its cache now.
    Resized {
        /// The model.
        model: String,
        /// The number of the decision.
        number: u64,
        /// Bytes of its cache.
        cache: u64,
    },
    /// So many bytes of all that never came back are missing now: a later measurement.
    Unreturned(u64),
    /// Loads a model if there is room for it without evicting any.
    Preload(String),
    /// Unloads a model as soon as it is idle, pinned or not; because it broke or because somebody said so.
    Dismiss {
        /// The model.
        model: String,
        /// Why.
        why: Leave,
    },
    /// Another limit, in bytes. Idle models go until what is booked is within it.
    Limit(u64),
    /// Time has passed, or something was released in the ledger: see [`Residency::wake`].
    Tick,
}

/// Why a model is unloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leave {
    /// Another model needs its room.
    Evicted {
        /// The other model.
        by: String,
    },
    /// Nobody asked for so long.
    Idle,
    /// The limit was lowered.
    Limit,
    /// Somebody said so.
    Asked,
    /// It failed in a way that it does not recover from.
    Broken,
}

impl Leave {
    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Evicted { .. } => "evicted",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Asked => "asked",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicted { by } => write!(f, "`{by}` needs its room"),
            Self::Idle => f.write_str("nobody has asked for it lately"),
            Self::Limit => f.write_str("the limit on memory was lowered"),
            Self::Asked => f.write_str("somebody asked for it"),
            Self::Broken => f.write_str("it failed"),
        }
    }
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody knows the model.
    #[error("there is no model `{model}`")]
    Unknown {
        /// The model.
        model: String,
    },
    /// It does not fit, even if all others go that may go.
    #[error("`{model}` needs {}, and {} is the most that can be had{}", Bytes(*needed), Bytes(*most), pinned(kept))]
    TooLarge {
        /// The model.
        model: String,
        /// The least bytes that it needs.
        needed: u64,
        /// The most that it could get.
        most: u64,
        /// The pinned models that stay.
        kept: Vec<String>,
    },
    /// As many models are pinned as may be in memory.
    #[error("`{model}` has no place: {most} models may be in memory, and so many are pinned")]
    NoPlace {
        /// The model.
        model: String,
        /// The most models.
        most: usize,
    },
    /// It would have to wait for longer than it may.
    #[error("`{model}` is not in memory, and there was no room for it in time{}", behind(busy))]
    TimedOut {
        /// The model.
        model: String,
        /// How long it waited.
        waited: Duration,
        /// The models that were in its way.
        busy: Vec<String>,
    },
    /// Too many wait already.
    #[error("{waiting} requests wait already")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// It was loaded for this request, and that failed.
    #[error("`{model}` could not be loaded")]
    LoadFailed {
        /// The model.
        model: String,
    },
}

fn pinned(kept: &[String]) -> String {
    match kept {
        [] => String::new(),
        kept => format!(" beside what is pinned: {}", kept.join(", ")),
    }
}

fn behind(busy: &[String]) -> String {
    match busy {
        [] => String::new(),
        busy => format!(": {} had to end first", busy.join(", ")),
    }
}

impl Refusal {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::NotFound,
            Self::TooLarge { .. }
            | Self::NoPlace { .. }
            | Self::TimedOut { .. }
            | Self::QueueFull { .. } => Kind::Overloaded,
            Self::LoadFailed { .. } => Kind::Internal,
        }
    }

    /// Whether the same request may be answered later, with nothing changed by anybody.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::QueueFull { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "`folio list` shows which models are here",
            Self::TooLarge { kept, .. } if kept.is_empty() => {
                "raise `--memory`, shorten the context, or take a smaller model or fewer bits"
            }
            Self::TooLarge { .. } => "unpin a model, raise `--memory`, or take a smaller model",
            Self::NoPlace { .. } => "unpin a model, or let more be in memory",
            Self::TimedOut { .. } | Self::QueueFull { .. } => "ask again later",
            Self::LoadFailed { .. } => "the server's log says why",
        }
    }
}

/// What is to be done. Each request is told exactly one of `Serve`, `FallBack` and `Refuse`, unless it gives up before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may use the model, until [`Event::Done`].
    Serve {
        /// The request.
        ticket: Ticket,
        /// The model.
        model: String,
    },
    /// Load the model, with no more bytes than granted; they are booked. [`Event::Loaded`] or [`Event::LoadFailed`] follows.
    Load {
        /// The model.
        model: String,
        /// What it may take.
        grant: Grant,
    },
    /// Unload the model, which nobody uses, and measure; [`Event::Returned`] follows.
    Unload {
        /// The model.
        model: String,
        /// Why.
        why: Leave,
    },
    /// Make the cache of a model that is in memory one of so many bytes, or as near to that as can be without a loss for its
    /// requests; [`Event::Resized`] follows.
    Resize {
        /// The model.
        model: String,
        /// Names the decision.
        number: u64,
        /// Bytes of its cache.
        cache: u64,
    },
    /// The request waits; told when that begins.
    Wait {
        /// The request.
        ticket: Ticket,
        /// The models that it waits for: the one being loaded, or those that are to end or leave first.
        on: Vec<String>,
    },
    /// Somebody else is to answer.
    FallBack {
        /// The request.
        ticket: Ticket,
        /// Why this model does not.
        why: Refusal,
    },
    /// Nobody answers.
    Refuse {
        /// The request.
        ticket: Ticket,
        /// Why.
        why: Refusal,
    },
    /// A model is not preloaded.
    Skip {
        /// The model.
        model: String,
        /// Why, if it could never be loaded; else there was no room without evicting others.
        why: Option<Refusal>,
    },
}

/// What would become of a request for a model now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It is in memory.
    Ready,
    /// It is being loaded.
    Loading,
    /// It would be loaded, after these were evicted.
    Load {
        /// What it would be granted.
        grant: Grant,
        /// Who would have to go, first to go first.
        evicts: Vec<String>,
        /// Whose caches would have to shrink.
        shrinks: Vec<String>,
    },
    /// It would wait.
    Wait {
        /// For these to end, to leave, or to have had their time.
        on: Vec<String>,
    },
    /// It would be refused, or somebody else asked.
    Refused(Refusal),
}

/// What a model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not in memory.
    Unloaded,
    /// It is being loaded.
    Loading,
    /// It is in memory, and idle.
    Ready,
    /// It is answering so many requests.
    Busy(usize),
    /// It is being unloaded, until its bytes are back.
    Unloading,
}

impl Standing {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Busy(_) => "busy",
            Self::Unloading => "unloading",
        }
    }
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub standing: Standing,
    /// What holds for it.
    pub terms: Terms,
    /// Bytes that are booked for it.
    pub bytes: u64,
    /// What it was granted; its cache may have grown or shrunk since it was loaded.
    pub grant: Option<Grant>,
    /// Requests that wait for it.
    pub waiting: usize,
    /// When it was last asked, if ever.
    pub last_used: Option<Duration>,
    /// When it will be unloaded if nobody asks.
    pub expires: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unloaded,
    Loading { since: Duration },
    Ready { since: Duration, tenure: Duration, idle: Duration },
    Leaving,
}

#[derive(Debug)]
struct Model {
    terms: Terms,
    state: State,
    /// Its requests, and the cache that they were promised.
    active: BTreeMap<Ticket, u64>,
    last_used: Option<Duration>,
    grant: Option<Grant>,
    booked: Vec<(Class, Reservation)>,
    dismissed: Option<Leave>,
    /// What it needed when it was loaded.
    own: Need,
    resizing: Option<cache::Resizing>,
    /// Its cache did not shrink, or grow, as it was told; it is not asked again until one of its requests has ended.
    stiff: bool,
    full: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    ask: Ask,
    since: Duration,
    told: bool,
    /// Who is in its way.
    on: Vec<String>,
}

/// All models and all requests that wait.
#[derive(Debug)]
pub struct Residency {
    policy: Policy,
    ledger: Ledger,
    models: BTreeMap<String, Model>,
    serving: BTreeMap<Ticket, String>,
    queue: Vec<Waiting>,
    preloads: Vec<String>,
    /// Busy models that get no new requests, because the eldest request waits for their room.
    draining: BTreeSet<String>,
    /// What those have a right to that wait.
    claims: settle::Claims,
    unreturned: Vec<Reservation>,
    resizes: u64,
}

impl Residency {
    /// Nobody in memory yet.
    pub fn new(ledger: Ledger, policy: Policy) -> Self {
        Self {
            policy,
            ledger,
            models: BTreeMap::new(),
            serving: BTreeMap::new(),
            queue: Vec::new(),
            preloads: Vec::new(),
            draining: BTreeSet::new(),
            claims: settle::Claims::default(),
            unreturned: Vec::new(),
            resizes: 0,
        }
    }

    /// Makes a model known, or changes what holds for it. A new need is for its next load.
    pub fn know(&mut self, model: &str, terms: Terms) {
        match self.models.get_mut(model) {
            Some(known) => known.terms = terms,
            None => {
                let model = model.to_owned();
                let new = Model {
                    terms,
                    state: State::Unloaded,
                    active: BTreeMap::new(),
                    last_used: None,
                    grant: None,
                    booked: Vec::new(),
                    dismissed: None,
                    own: Need::default(),
                    resizing: None,
                    stiff: false,
                    full: false,
                };
                self.models.insert(model, new);
            }
        }
    }

    /// Forgets a model that is not in memory. Whether it did.
    pub fn forget(&mut self, model: &str) -> bool {
        let gone = self.models.get(model).is_some_and(|known| known.state == State::Unloaded);
        if gone {
            self.models.remove(model);
        }
        gone
    }

    /// Whether a model is known.
    pub fn knows(&self, model: &str) -> bool {
        self.models.contains_key(model)
    }

    /// The account.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The account, to book what is no model's. When something is released, an [`Event::Tick`] makes use of it.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// How long is waited.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Changes how long is waited.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What a model is doing; `None` if nobody knows it.
    pub fn status(&self, model: &str) -> Option<Status> {
        let known = self.models.get(model)?;
        let standing = match known.state {
            State::Unloaded => Standing::Unloaded,
            State::Loading { .. } => Standing::Loading,
            State::Ready { .. } if known.active.is_empty() => Standing::Ready,
            State::Ready { .. } => Standing::Busy(known.active.len()),
            State::Leaving => Standing::Unloading,
        };
        Some(Status {
            standing,
            terms: known.terms,
            bytes: known.held(&self.ledger),
            grant: known.grant,
            waiting: self.queue.iter().filter(|waiting| waiting.ask.model == model).count(),
            last_used: known.last_used,
            expires: known.expiry(),
        })
    }

    /// Every model that is known, by name.
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        let of = |name: &String| Some((name.clone(), self.status(name)?));
        self.models.keys().filter_map(of).collect()
    }

    /// Takes in what happened at `now`, and says what is to be done, in order. `now` never goes back.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Decision> {
        let mut out = Vec::new();
        self.take(now, event, &mut out);
        self.settle(now, &mut out);
        out
    }

    /// When something will be due that no event announces, after `now`: then there should be a [`Event::Tick`].
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        let mut due = Vec::new();
        for waiting in &self.queue {
            due.extend(waiting.ask.wait.map(|wait| waiting.since.saturating_add(wait)));
            due.push(waiting.since.saturating_add(self.policy.patience));
        }
        for model in self.models.values() {
            due.extend(model.expiry());
            if let State::Ready { since, tenure, idle } = model.state
                && !self.queue.is_empty()
            {
                due.push(since.saturating_add(tenure));
                due.push(idle.saturating_add(self.policy.linger));
            }
        }
        due.into_iter().filter(|&at| at > now).min()
    }
}

impl Model {
    /// Whether it answers or is about to.
    fn is_running(&self) -> bool {
        matches!(self.state, State::Loading { .. }) || !self.active.is_empty()
    }

    /// When it is to be unloaded for being idle.
    fn expiry(&self) -> Option<Duration> {
        let State::Ready { idle, .. } = self.state else { return None };
        let ttl = self.terms.ttl.filter(|_| self.active.is_empty() && !self.terms.pinned)?;
        Some(idle.saturating_add(ttl))
    }
}
