//! Single decisions, and whole worlds run over many seeds: nobody over the limit, nobody forgotten, nobody told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn terms(bytes: u64) -> Terms {
    Terms { need: Need { weights: bytes, ..Need::default() }, ..Terms::default() }
}

fn ask(ticket: u64, model: &str) -> Ask {
    Ask { ticket: Ticket(ticket), model: model.to_owned(), wait: None, fallback: false, cache: 0 }
}

/// A house of 100 bytes.
fn house(models: &[(&str, Terms)]) -> Residency {
    let mut house = Residency::new(Ledger::new(100), Policy::default());
    for (name, terms) in models {
        house.know(name, *terms);
    }
    house
}

/// Asks at `at`, and lets the load end at once.
fn in_memory(house: &mut Residency, at: u64, ticket: u64, model: &str) {
    let out = house.step(ms(at), Event::Ask(ask(ticket, model)));
    assert!(matches!(&out[..], [Decision::Load { .. }, Decision::Wait { .. }]), "{out:?}");
    let out = house.step(ms(at), Event::Loaded(model.to_owned()));
    assert_eq!(out, [serve(ticket, model)]);
}

fn serve(ticket: u64, model: &str) -> Decision {
    Decision::Serve { ticket: Ticket(ticket), model: model.to_owned() }
}

fn unload(model: &str, by: &str) -> Decision {
    Decision::Unload { model: model.to_owned(), why: Leave::Evicted { by: by.to_owned() } }
}

fn returned(model: &str) -> Event {
    Event::Returned { model: model.to_owned(), missing: 0 }
}

#[test]
fn bytes_are_booked_before_a_load_and_until_they_are_back() {
    let need = Need {
        weights: 30,
        cache_least: 10,
        cache_most: 40,
        activations: 5,
        vision: 0,
        loading: 15,
    };
    let mut house = house(&[("a", Terms { need, ..Terms::default() }), ("b", terms(60))]);
    let out = house.step(ms(0), Event::Ask(ask(1, "a")));
    let grant = Grant { weights: 30, cache: 40, activations: 5, vision: 0, loading: 15 };
    assert_eq!(out[0], Decision::Load { model: "a".into(), grant });
    assert_eq!(house.ledger().reserved(), 90);
    assert_eq!(house.ledger().of_class(Class::Loading), 15);
    // A load in flight counts: what would not fit beside it waits.
    let out = house.step(ms(1), Event::Ask(ask(2, "b")));
    assert_eq!(out, [Decision::Wait { ticket: Ticket(2), on: vec!["a".into()] }]);
    house.step(ms(2), Event::Loaded("a".into()));
    assert_eq!(house.ledger().reserved(), 75);
    assert_eq!(house.status("a").unwrap().standing, Standing::Busy(1));
    let out = house.step(ms(4), Event::Done(Ticket(1)));
    assert_eq!(out, [unload("a", "b")]);
    assert_eq!(house.ledger().of_class(Class::Leaving), 75);
    assert_eq!(house.status("a").unwrap().standing, Standing::Unloading);
    assert_eq!(house.step(ms(4), Event::Tick), []);
    let out = house.step(ms(5), Event::Returned { model: "a".into(), missing: 7 });
    assert!(matches!(&out[..], [Decision::Load { model, .. }] if model == "b"), "{out:?}");
    // What never came back stays in the books, until it is measured to be less.
    assert_eq!(house.ledger().of_class(Class::Unreturned), 7);
    house.step(ms(6), Event::Unreturned(3));
    assert_eq!(house.ledger().reserved(), 63);
    house.step(ms(6), Event::Unreturned(0));
    assert_eq!(house.ledger().reserved(), 60);
}

#[test]
fn the_least_important_and_longest_unused_goes_first() {
    let low = Terms { priority: -1, ..terms(30) };
    let pinned = Terms { pinned: true, ..terms(10) };
    let mut house = house(&[
        ("old", terms(30)),
        ("new", terms(30)),
        ("low", low),
        ("pinned", pinned),
        ("x", terms(30)),
        ("y", terms(55)),
        ("z", terms(95)),
    ]);
    for (at, name) in ["pinned", "old", "new", "low"].into_iter().enumerate() {
        in_memory(&mut house, at as u64, at as u64, name);
        assert_eq!(house.step(ms(at as u64), Event::Done(Ticket(at as u64))), []);
    }
    let outlook = house.outlook(ms(9), "x");
    assert!(matches!(outlook, Outlook::Load { evicts, .. } if evicts == ["low"]));
    let outlook = house.outlook(ms(9), "y");
    assert!(matches!(outlook, Outlook::Load { evicts, .. } if evicts == ["low", "old"]));
    let Outlook::Refused(why) = house.outlook(ms(9), "z") else { panic!("it cannot fit") };
    assert_eq!(
        why.to_string(),
        "`z` needs 95 bytes, and 90 bytes is the most that can be had beside what is pinned: pinned"
    );
    let out = house.step(ms(9), Event::Ask(ask(9, "x")));
    assert_eq!(out[0], unload("low", "x"));
    // Who comes later does not get the room that was made for the first.
    let out = house.step(ms(9), Event::Ask(ask(10, "low")));
    assert_eq!(out[0], unload("old", "low"));
    let out = house.step(ms(10), returned("low"));
    assert!(matches!(&out[..], [Decision::Load { model, .. }] if model == "x"), "{out:?}");
    let out = house.step(ms(10), Event::Ask(Ask { fallback: true, ..ask(11, "z") }));
    assert!(matches!(&out[..], [Decision::FallBack { why: Refusal::TooLarge { .. }, .. }]));
}

#[test]
fn one_large_model_goes_rather_than_a_small_one_too() {
    let mut house = house(&[("small", terms(10)), ("large", terms(80)), ("x", terms(85))]);
    in_memory(&mut house, 0, 1, "small");
    in_memory(&mut house, 1, 2, "large");
    house.step(ms(2), Event::Done(Ticket(1)));
    house.step(ms(3), Event::Done(Ticket(2)));
    let out = house.step(ms(4), Event::Ask(ask(3, "x")));
    assert_eq!(out[0], unload("large", "x"));
    assert_eq!(out.len(), 2, "{out:?}");
}

#[test]
fn the_eldest_gets_the_room_of_a_model_that_is_never_idle() {
    let mut house = house(&[("a", terms(70)), ("b", terms(60)), ("c", terms(20))]);
    in_memory(&mut house, 0, 0, "a");
    assert!(house.step(ms(1), Event::Ask(ask(900, "b"))).len() == 1);
    // Requests for `a` go on before it, and overlap; for a while.
    for n in 2..60 {
        let at = 100 * n;
        let out = house.step(ms(at), Event::Ask(ask(n, "a")));
        let patient = at < 5001;
        assert_eq!(out == [serve(n, "a")], patient, "at {at}: {out:?}");
        if n == 51 {
            // Nor is anybody else loaded before it, but where there is room for both.
            let out = house.step(ms(at), Event::Ask(ask(100, "c")));
            assert!(matches!(&out[..], [Decision::Wait { .. }]), "{out:?}");
        }
        let out = house.step(ms(at + 50), Event::Done(Ticket(n - 2)));
        if n == 52 {
            assert_eq!(out[0], unload("a", "b"));
            assert!(matches!(&out[1..], [Decision::Load { model, .. }] if model == "c"), "{out:?}");
        } else {
            assert_eq!(out, [], "at {at}");
        }
    }
    let out = house.step(ms(7000), returned("a"));
    assert!(matches!(&out[..], [Decision::Load { model, .. }] if model == "b"), "{out:?}");
    assert_eq!(house.step(ms(8000), Event::Loaded("b".into()))[0], serve(900, "b"));
}

#[test]
fn who_may_not_wait_is_told_at_once_and_who_may_in_time() {
    let mut house = house(&[("a", terms(70)), ("b", terms(60))]);
    let at_once = Ask { wait: Some(ms(0)), fallback: true, ..ask(1, "a") };
    let out = house.step(ms(0), Event::Ask(at_once));
    assert!(matches!(&out[..], [Decision::FallBack { why: Refusal::TimedOut { .. }, .. }]));
    assert_eq!(house.ledger().reserved(), 0);
    in_memory(&mut house, 0, 2, "a");
    let out = house.step(ms(1), Event::Ask(Ask { wait: Some(ms(500)), ..ask(3, "b") }));
    assert_eq!(out, [Decision::Wait { ticket: Ticket(3), on: vec!["a".into()] }]);
    assert_eq!(house.wake(ms(1)), Some(ms(250)));
    assert_eq!(house.wake(ms(250)), Some(ms(501)));
    let out = house.step(ms(501), Event::Tick);
    let why = Refusal::TimedOut { model: "b".into(), waited: ms(500), busy: vec!["a".to_owned()] };
    assert!(why.is_passing() && why.to_string().contains("a had to end first"));
    assert_eq!(out, [Decision::Refuse { ticket: Ticket(3), why }]);
    assert_eq!(house.wake(ms(501)), None);
}

#[test]
fn idle_models_leave_in_time_and_pinned_ones_stay() {
    let ttl = Some(ms(1000));
    let mut house = house(&[
        ("a", Terms { ttl, ..terms(10) }),
        ("p", Terms { ttl, pinned: true, ..terms(10) }),
        ("k", terms(10)),
    ]);
    for (n, name) in ["a", "p", "k"].into_iter().enumerate() {
        in_memory(&mut house, 0, n as u64, name);
        house.step(ms(10), Event::Done(Ticket(n as u64)));
    }
    assert_eq!(house.wake(ms(10)), Some(ms(1010)));
    assert_eq!(house.status("a").unwrap().expires, Some(ms(1010)));
    assert_eq!(house.step(ms(1009), Event::Tick), []);
    let idle = Decision::Unload { model: "a".into(), why: Leave::Idle };
    assert_eq!(house.step(ms(1010), Event::Tick), [idle]);
    assert_eq!(house.wake(ms(1010)), None);
    // Somebody who says so is stronger than a pin; a busy model leaves when it is idle.
    assert_eq!(house.step(ms(1011), Event::Ask(ask(7, "p"))), [serve(7, "p")]);
    let dismiss = Event::Dismiss { model: "p".into(), why: Leave::Asked };
    assert_eq!(house.step(ms(1012), dismiss), []);
    let out = house.step(ms(1013), Event::Ask(ask(8, "p")));
    assert!(matches!(&out[..], [Decision::Wait { .. }]));
    let gone = Decision::Unload { model: "p".into(), why: Leave::Asked };
    assert_eq!(house.step(ms(1014), Event::Done(Ticket(7))), [gone]);
    let out = house.step(ms(1015), returned("p"));
    assert!(matches!(&out[..], [Decision::Load { .. }]), "{out:?}");
}

#[test]
fn a_failed_load_is_told_to_all_who_waited() {
    let mut house = house(&[("a", terms(70))]);
    house.step(ms(0), Event::Ask(ask(1, "a")));
    house.step(ms(0), Event::Ask(Ask { fallback: true, ..ask(2, "a") }));
    let out = house.step(ms(1), Event::LoadFailed("a".into()));
    let why = Refusal::LoadFailed { model: "a".into() };
    let refuse = Decision::Refuse { ticket: Ticket(1), why: why.clone() };
    assert_eq!(out, [refuse, Decision::FallBack { ticket: Ticket(2), why }]);
    assert_eq!(house.ledger().reserved(), 70);
    house.step(ms(2), returned("a"));
    assert_eq!(house.ledger().reserved(), 0);
    in_memory(&mut house, 3, 3, "a");
}

#[test]
fn preloads_take_free_room_only() {
    let mut house = house(&[("a", terms(70)), ("b", terms(60)), ("c", terms(101))]);
    let out = house.step(ms(0), Event::Preload("a".into()));
    assert!(matches!(&out[..], [Decision::Load { .. }]));
    // What is being loaded may leave room when it is there.
    assert_eq!(house.step(ms(0), Event::Preload("b".into())), []);
    let out = house.step(ms(0), Event::Preload("c".into()));
    assert!(matches!(&out[..], [Decision::Skip { why: Some(Refusal::TooLarge { .. }), .. }]));
    let out = house.step(ms(1), Event::Loaded("a".into()));
    assert_eq!(out, [Decision::Skip { model: "b".into(), why: None }]);
    assert_eq!(house.step(ms(1), Event::Preload("a".into())), []);
}

#[test]
fn as_many_run_and_lie_in_memory_as_may() {
    let mut house = house(&[("a", terms(10)), ("b", terms(10)), ("c", terms(10))]);
    house.set_policy(Policy { most_loaded: 2, most_running: 1, ..Policy::default() });
    in_memory(&mut house, 0, 1, "a");
    let out = house.step(ms(1), Event::Ask(ask(2, "b")));
    assert_eq!(out, [Decision::Wait { ticket: Ticket(2), on: vec!["a".into()] }]);
    let out = house.step(ms(2), Event::Done(Ticket(1)));
    assert!(matches!(&out[..], [Decision::Load { model, .. }] if model == "b"));
    assert_eq!(house.step(ms(3), Event::Loaded("b".into())), [serve(2, "b")]);
    assert!(matches!(house.outlook(ms(3), "a"), Outlook::Wait { on } if on == ["b"]));
    house.step(ms(4), Event::Done(Ticket(2)));
    let out = house.step(ms(5), Event::Ask(ask(3, "c")));
    assert_eq!(out[0], unload("a", "c"));
    house.set_policy(Policy { most_waiting: 1, ..house.policy() });
    let out = house.step(ms(5), Event::Ask(ask(4, "a")));
    let why = Refusal::QueueFull { waiting: 1 };
    assert_eq!(out, [Decision::Refuse { ticket: Ticket(4), why }]);
}

#[test]
fn a_lower_limit_sends_idle_models_away() {
    let mut house = house(&[("a", terms(40)), ("b", terms(40))]);
    in_memory(&mut house, 0, 1, "a");
    in_memory(&mut house, 0, 2, "b");
    assert_eq!(house.step(ms(1), Event::Limit(50)), []);
    let gone = Decision::Unload { model: "b".into(), why: Leave::Limit };
    assert_eq!(house.step(ms(2), Event::Done(Ticket(2))), [gone]);
    house.step(ms(3), returned("b"));
    assert_eq!(house.ledger().over(), 0);
    let why = house.step(ms(4), Event::Ask(ask(3, "nobody")));
    assert!(matches!(&why[..], [Decision::Refuse { why: Refusal::Unknown { .. }, .. }]));
}

/// A model of `weights` bytes with a cache between 10 and 50.
fn cached(weights: u64) -> Terms {
    let need = Need { weights, cache_least: 10, cache_most: 50, ..Need::default() };
    Terms { need, ..Terms::default() }
}

fn resize(model: &str, number: u64, cache: u64) -> Decision {
    Decision::Resize { model: model.to_owned(), number, cache }
}

fn resized(model: &str, number: u64, cache: u64) -> Event {
    Event::Resized { model: model.to_owned(), number, cache }
}

#[test]
fn caches_shrink_before_anybody_goes_or_waits() {
    let mut house = house(&[("a", cached(20)), ("b", cached(20)), ("c", cached(20))]);
    in_memory(&mut house, 0, 1, "a");
    assert_eq!(house.status("a").unwrap().bytes, 70);
    // It fits beside what there is; then the third, for which both give what they have beyond the least.
    in_memory(&mut house, 1, 2, "b");
    assert_eq!(house.ledger().free(), 0);
    let outlook = house.outlook(ms(2), "c");
    assert!(
        matches!(&outlook, Outlook::Load { grant, evicts, shrinks }
            if grant.cache == 10 && evicts.is_empty() && shrinks == &["a"]),
        "{outlook:?}"
    );
    let out = house.step(ms(2), Event::Ask(ask(3, "c")));
    let wait = Decision::Wait { ticket: Ticket(3), on: vec!["a".into()] };
    assert_eq!(out, [resize("a", 1, 20), wait]);
    // Nothing is free before it is back.
    assert_eq!(house.ledger().free(), 0);
    let out = house.step(ms(3), resized("a", 1, 20));
    assert!(
        matches!(&out[..], [Decision::Load { model, grant }] if model == "c" && grant.cache == 10)
    );
    assert_eq!(house.ledger().reserved(), 100);
    assert_eq!(house.step(ms(4), Event::Loaded("c".into())), [serve(3, "c")]);
    // When there is room again, who is at work has it.
    house.step(ms(5), Event::Dismiss { model: "b".into(), why: Leave::Asked });
    assert_eq!(
        house.step(ms(6), Event::Done(Ticket(2))),
        [Decision::Unload { model: "b".into(), why: Leave::Asked }]
    );
    let out = house.step(ms(7), returned("b"));
    assert_eq!(out, [resize("c", 2, 40)]);
    assert_eq!(house.ledger().free(), 0);
    // It took less: the rest is free, and it is not asked again before it has less to do.
    assert_eq!(house.step(ms(8), resized("c", 1, 30)), [], "an answer to another question");
    assert_eq!(house.step(ms(8), resized("c", 2, 30)), [resize("a", 3, 30)]);
    assert_eq!(house.step(ms(9), resized("a", 3, 30)), []);
    assert_eq!(house.ledger().free(), 0);
}

#[test]
fn who_cannot_shrink_is_asked_again_when_it_has_less_to_do() {
    let mut house = house(&[("a", cached(40)), ("b", terms(40))]);
    in_memory(&mut house, 0, 1, "a");
    let out = house.step(ms(1), Event::Ask(ask(2, "b")));
    assert_eq!(out[0], resize("a", 1, 20));
    let out = house.step(ms(2), resized("a", 1, 45));
    assert_eq!(out, []);
    assert_eq!((house.ledger().free(), house.status("a").unwrap().bytes), (15, 85));
    let out = house.step(ms(9), Event::Done(Ticket(1)));
    assert_eq!(out, [resize("a", 2, 20)]);
    let out = house.step(ms(9), resized("a", 2, 20));
    assert!(matches!(&out[..], [Decision::Load { model, .. }] if model == "b"));
}

#[test]
fn a_request_that_wants_more_cache_makes_it_grow() {
    let mut house = house(&[("a", cached(20)), ("b", cached(20)), ("c", terms(10))]);
    in_memory(&mut house, 0, 1, "b");
    house.step(ms(0), Event::Done(Ticket(1)));
    in_memory(&mut house, 0, 2, "a");
    house.step(ms(0), Event::Done(Ticket(2)));
    assert_eq!(house.status("a").unwrap().grant.unwrap().cache, 10);
    let out = house.step(ms(1), Event::Ask(Ask { cache: 30, ..ask(3, "a") }));
    let wait = Decision::Wait { ticket: Ticket(3), on: vec!["b".into()] };
    assert_eq!(out, [resize("b", 1, 30), wait]);
    assert_eq!(house.step(ms(2), resized("b", 1, 30)), [resize("a", 2, 30)]);
    assert_eq!(house.step(ms(3), resized("a", 2, 30)), [serve(3, "a")]);
    // What it was promised is not taken from it while it is at work; what the other has is.
    let out = house.step(ms(4), Event::Ask(ask(4, "c")));
    assert_eq!(out[0], resize("b", 3, 20));
    // More than it may ever have is the most that it may have, and others go for it.
    house.step(ms(5), resized("b", 3, 20));
    house.step(ms(5), Event::Loaded("c".into()));
    house.step(ms(5), Event::Done(Ticket(4)));
    let out = house.step(ms(6), Event::Ask(Ask { cache: 1000, ..ask(5, "a") }));
    assert_eq!(
        out[..2],
        [unload("b", "a"), Decision::Wait { ticket: Ticket(5), on: vec!["b".into()] }]
    );
    let out = house.step(ms(7), returned("b"));
    assert_eq!(out, [resize("a", 4, 50)]);
    assert_eq!(house.step(ms(8), resized("a", 4, 50)), [serve(5, "a")]);
}

#[test]
fn models_that_fit_together_with_small_caches_are_all_preloaded() {
    let mut house = house(&[("a", cached(20)), ("b", cached(20)), ("c", cached(20))]);
    let out = house.step(ms(0), Event::Preload("a".into()));
    assert!(matches!(&out[..], [Decision::Load { .. }]));
    assert_eq!(house.step(ms(0), Event::Preload("b".into())).len(), 1);
    assert_eq!(house.step(ms(0), Event::Preload("c".into())), []);
    assert_eq!(house.step(ms(1), Event::Loaded("a".into())), [resize("a", 1, 20)]);
    assert_eq!(house.step(ms(2), Event::Loaded("b".into())), []);
    let out = house.step(ms(3), resized("a", 1, 20));
    assert!(matches!(&out[..], [Decision::Load { model, .. }] if model == "c"), "{out:?}");
}

/// Numbers without chance: the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Serving,
    Told,
}

/// A made-up machine: it allocates what it is told to load, gives back what it unloads, and complains.
struct World {
    house: Residency,
    dice: Dice,
    now: u64,
    agenda: BTreeMap<(u64, u64), Event>,
    next: u64,
    allocated: BTreeMap<String, u64>,
    /// What each cache has room for, and what changes that.
    caches: BTreeMap<String, u64>,
    resizes: BTreeMap<String, u64>,
    resized: [usize; 2],
    wants: BTreeMap<Ticket, (String, u64)>,
    /// Loaded, with the requests that each serves and how many it has served.
    up: BTreeMap<String, (BTreeSet<Ticket>, usize)>,
    dismissed: BTreeSet<String>,
    fates: BTreeMap<Ticket, Fate>,
    limit: u64,
    loads: usize,
    loading: u64,
    failures: bool,
    lasts: u64,
}

impl World {
    fn new(seed: u64, limit: u64, policy: Policy) -> Self {
        Self {
            house: Residency::new(Ledger::new(limit), policy),
            dice: Dice(seed),
            now: 0,
            agenda: BTreeMap::new(),
            next: 0,
            allocated: BTreeMap::new(),
            caches: BTreeMap::new(),
            resizes: BTreeMap::new(),
            resized: [0; 2],
            wants: BTreeMap::new(),
            up: BTreeMap::new(),
            dismissed: BTreeSet::new(),
            fates: BTreeMap::new(),
            limit,
            loads: 0,
            loading: 0,
            failures: false,
            lasts: 2000,
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.next += 1;
        self.agenda.insert((at, self.next), event);
    }

    /// Runs until nothing is left to happen, or `until`.
    fn run(&mut self, until: u64) {
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 200_000, "it does not come to an end");
            let wake = self.house.wake(ms(self.now)).map(|at| at.as_millis() as u64);
            let first = self.agenda.first_key_value().map(|(key, _)| key.0);
            let Some(at) = first.into_iter().chain(wake).min().filter(|&at| at <= until) else {
                break;
            };
            assert!(at > self.now || first == Some(at), "it wakes for nothing");
            self.now = at;
            let event = if first == Some(at) {
                self.agenda.pop_first().map_or(Event::Tick, |(_, event)| event)
            } else {
                Event::Tick
            };
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Ask(ask) => {
                self.wants.insert(ask.ticket, (ask.model.clone(), ask.cache));
                assert!(self.fates.insert(ask.ticket, Fate::Pending).is_none());
            }
            Event::Done(ticket) => {
                for (serving, _) in self.up.values_mut() {
                    serving.remove(ticket);
                }
                self.fates.insert(*ticket, Fate::Told);
            }
            Event::Loaded(model) => {
                self.up.insert(model.clone(), (BTreeSet::new(), 0));
                let loading = self.house.status(model).unwrap().grant.unwrap().loading;
                *self.allocated.get_mut(model).unwrap() -= loading;
            }
            Event::Returned { model, .. } => {
                self.allocated.remove(model);
                self.dismissed.remove(model);
            }
            Event::Dismiss { model, .. } => {
                self.dismissed.insert(model.clone());
            }
            Event::Resized { model, number, cache } => {
                if self.resizes.get(model) == Some(number) {
                    self.resizes.remove(model);
                    let booked = self.house.status(model).unwrap().grant.unwrap().cache;
                    *self.allocated.get_mut(model).unwrap() -= booked - cache;
                    self.caches.insert(model.clone(), *cache);
                }
            }
            Event::LoadFailed(_)
            | Event::Unreturned(_)
            | Event::Preload(_)
            | Event::Limit(_)
            | Event::Tick => {}
        }
        let fresh = if let Event::Loaded(model) = &event { Some(model.clone()) } else { None };
        let waited = fresh.as_ref().map_or(0, |model| self.who_wait(model));
        for decision in self.house.step(ms(self.now), event) {
            self.obey(decision);
        }
        if let Some(model) = fresh.filter(|_| waited > 0) {
            assert!(self.up[&model].1 > 0, "`{model}` was loaded and answered nobody");
        }
        let sum: u64 = self.allocated.values().sum();
        assert_eq!(sum, self.house.ledger().reserved(), "the books are wrong");
        assert!(sum <= self.limit, "{sum} of {} bytes", self.limit);
        let policy = self.house.policy();
        assert!(self.allocated.len() <= policy.most_loaded);
        let busy = self.up.values().filter(|(serving, _)| !serving.is_empty()).count();
        let loading = self
            .allocated
            .keys()
            .filter(|name| self.house.status(name).unwrap().standing == Standing::Loading);
        assert!(busy + loading.count() <= policy.most_running);
    }

    /// How many wait for a model and want no more cache than it has.
    fn who_wait(&self, model: &str) -> usize {
        let pending = self.fates.iter().filter(|(_, fate)| **fate == Fate::Pending);
        let wants = pending.filter_map(|(ticket, _)| self.wants.get(ticket));
        wants.filter(|(of, cache)| of == model && *cache <= self.caches[model]).count()
    }

    fn obey(&mut self, decision: Decision) {
        match decision {
            Decision::Resize { model, number, cache } => {
                let before = self.caches[&model];
                let status = self.house.status(&model).unwrap();
                let takes = self.dice.roll(300);
                let given = if cache < before {
                    self.resized[0] += 1;
                    let (serving, _) = &self.up[&model];
                    let wants = serving.iter().map(|ticket| self.wants[ticket].1);
                    let most = status.terms.need.cache_most;
                    assert!(cache >= wants.max().unwrap_or(0).min(most), "a promise is broken");
                    assert!(cache >= status.terms.need.cache_least, "less than the least");
                    // From now on it may have no more; when it is back is another question.
                    self.caches.insert(model.clone(), cache);
                    let busy = !serving.is_empty() && self.dice.roll(2) == 0;
                    if busy { cache + self.dice.roll(before - cache + 1) } else { cache }
                } else {
                    self.resized[1] += 1;
                    *self.allocated.get_mut(&model).unwrap() += cache - before;
                    let less = self.dice.roll(8) == 0;
                    if less { before + self.dice.roll(cache - before + 1) } else { cache }
                };
                self.resizes.insert(model.clone(), number);
                self.at(self.now + takes, Event::Resized { model, number, cache: given });
            }
            Decision::Load { model, grant } => {
                self.caches.insert(model.clone(), grant.cache);
                assert!(self.allocated.insert(model.clone(), grant.total()).is_none());
                let takes = 1 + if self.loading > 0 { self.loading } else { self.dice.roll(3000) };
                self.loads += 1;
                let fails = self.failures && self.dice.roll(10) == 0;
                if fails {
                    self.at(self.now + takes, Event::LoadFailed(model.clone()));
                    self.at(self.now + takes + 5, Event::Returned { model, missing: 0 });
                } else {
                    self.at(self.now + takes, Event::Loaded(model));
                }
            }
            Decision::Unload { model, .. } => {
                let (serving, _) = self.up.remove(&model).expect("it was loaded");
                assert!(serving.is_empty(), "`{model}` was busy");
                self.resizes.remove(&model);
                let pinned = self.house.status(&model).unwrap().terms.pinned;
                assert!(!pinned || self.dismissed.contains(&model), "`{model}` is pinned");
                let takes = self.dice.roll(200);
                self.at(self.now + takes, Event::Returned { model, missing: 0 });
            }
            Decision::Serve { ticket, model } => {
                assert_eq!(self.fates.insert(ticket, Fate::Serving), Some(Fate::Pending));
                let (serving, served) = self.up.get_mut(&model).expect("it is loaded");
                serving.insert(ticket);
                let most = self.house.status(&model).unwrap().terms.need.cache_most;
                assert!(self.caches[&model] >= self.wants[&ticket].1.min(most), "too little cache");
                *served += 1;
                let takes = self.dice.roll(self.lasts);
                self.at(self.now + takes, Event::Done(ticket));
            }
            Decision::FallBack { ticket, .. } | Decision::Refuse { ticket, .. } => {
                assert_eq!(self.fates.insert(ticket, Fate::Told), Some(Fate::Pending));
            }
            Decision::Wait { ticket, on } => {
                assert_eq!(self.fates.get(&ticket), Some(&Fate::Pending));
                assert!(!on.is_empty(), "{ticket:?} waits for nobody");
            }
            Decision::Skip { .. } => {}
        }
    }
}

fn random_world(seed: u64) -> [usize; 2] {
    let mut dice = Dice(seed);
    let limit = 50 + dice.roll(200);
    let some =
        |dice: &mut Dice| if dice.roll(2) == 0 { usize::MAX } else { 1 + dice.roll(4) as usize };
    let policy = Policy {
        patience: ms(dice.roll(8000)),
        most_loaded: some(&mut dice),
        most_running: some(&mut dice),
        most_waiting: if dice.roll(4) == 0 { 3 } else { 1024 },
        ..Policy::default()
    };
    let mut world = World::new(seed, limit, policy);
    world.failures = dice.roll(2) == 0;
    let count = 1 + dice.roll(6);
    for n in 0..count {
        let part = |dice: &mut Dice, most: u64| if dice.roll(2) == 0 { 0 } else { dice.roll(most) };
        let cache_least = part(&mut dice, 30);
        let need = Need {
            weights: dice.roll(120),
            cache_least,
            cache_most: cache_least + part(&mut dice, 100),
            activations: part(&mut dice, 10),
            vision: part(&mut dice, 10),
            loading: part(&mut dice, 20),
        };
        let terms = Terms {
            need,
            priority: dice.roll(3) as i32 - 1,
            pinned: dice.roll(6) == 0,
            ttl: (dice.roll(2) == 0).then(|| ms(dice.roll(10_000))),
        };
        world.house.know(&n.to_string(), terms);
    }
    let mut waits = BTreeMap::new();
    for ticket in 0..dice.roll(60) {
        let at = dice.roll(20_000);
        let wait = (dice.roll(2) == 0).then(|| ms(dice.roll(10_000)));
        let model = dice.roll(count).to_string();
        let ticket = Ticket(ticket);
        waits.insert(ticket, (at, wait));
        let fallback = dice.roll(2) == 0;
        let cache = if dice.roll(3) == 0 { dice.roll(150) } else { 0 };
        world.at(at, Event::Ask(Ask { ticket, model, wait, fallback, cache }));
        if dice.roll(5) == 0 {
            world.at(at + 1 + dice.roll(4000), Event::Done(ticket));
        }
    }
    for _ in 0..dice.roll(6) {
        let model = dice.roll(count).to_string();
        let at = dice.roll(20_000);
        let why = Leave::Asked;
        let event =
            if dice.roll(2) == 0 { Event::Preload(model) } else { Event::Dismiss { model, why } };
        world.at(at, event);
    }
    world.run(u64::MAX);
    assert_eq!(world.house.waiting(), 0, "some wait for ever");
    for (ticket, fate) in &world.fates {
        assert_eq!(*fate, Fate::Told, "{ticket:?}");
    }
    assert!(world.up.values().all(|(serving, _)| serving.is_empty()));
    world.resized
}

#[test]
fn worlds_of_all_sorts_come_to_an_end() {
    let mut resized = [0, 0];
    for seed in 0..3000 {
        let run = std::panic::catch_unwind(|| random_world(seed));
        let Ok([fewer, more]) = run else { panic!("with seed {seed}") };
        resized = [resized[0] + fewer, resized[1] + more];
    }
    assert!(resized.iter().all(|&times| times > 1000), "{resized:?}");
}

/// Two clients who ask without a pause, each for a model that fits only without the other.
#[test]
fn two_models_take_turns_without_only_loading() {
    for (loading, lasts, seed) in [(1000, 100, 1), (200, 2000, 2), (5000, 20, 3), (50, 50, 4)] {
        let mut world = World::new(seed, 100, Policy::default());
        world.loading = loading;
        world.lasts = lasts;
        world.house.know("a", terms(70));
        world.house.know("b", terms(70));
        let mut served = [0, 0];
        let mut tickets = [Ticket(0), Ticket(1)];
        let until = 200_000;
        for (ticket, model) in tickets.into_iter().zip(["a", "b"]) {
            world.at(0, Event::Ask(ask(ticket.0, model)));
        }
        let mut longest = [0, 0];
        let mut since = [0, 0];
        while world.now < until {
            world.run(world.now + 1);
            world.now += 1;
            for (n, model) in ["a", "b"].into_iter().enumerate() {
                if world.fates.get(&tickets[n]) == Some(&Fate::Told) {
                    served[n] += 1;
                    longest[n] = longest[n].max(world.now - since[n]);
                    since[n] = world.now;
                    tickets[n] = Ticket(tickets[n].0 + 2);
                    world.at(world.now + 1, Event::Ask(ask(tickets[n].0, model)));
                }
            }
        }
        let spent = world.loads as u64 * world.loading;
        assert!(spent * 10 < until * 6, "{spent} of {until} ms with loading");
        assert!(served.iter().all(|&n| n > 10), "{served:?}");
        let bound = 5000 + 3 * loading + 2 * lasts + 1000;
        assert!(longest.iter().all(|&took| took < bound), "{longest:?} over {bound}");
    }
}

/// Clients who ask three models that fit together with small caches, some of them for more cache than the least.
#[test]
fn those_that_fit_together_are_loaded_once() {
    for seed in 0..50 {
        let mut world = World::new(seed, 100, Policy::default());
        (world.loading, world.lasts) = (1000, 3000);
        for name in ["a", "b", "c"] {
            world.house.know(name, cached(20));
        }
        for n in 0..300 {
            let model = ["a", "b", "c"][world.dice.roll(3) as usize];
            let cache = if world.dice.roll(10) == 0 { 15 } else { 0 };
            world.at(n * 300, Event::Ask(Ask { cache, ..ask(n, model) }));
        }
        world.run(u64::MAX);
        assert!(world.fates.values().all(|fate| *fate == Fate::Told), "{seed}");
        assert!(world.loads < 6, "{} loads with seed {seed}", world.loads);
        assert!(world.resized[0] + world.resized[1] < 300, "{:?}", world.resized);
    }
}

/// Many overlapping requests for one model do not keep another out.
#[test]
fn nobody_starves_behind_a_crowd() {
    for seed in 0..20 {
        let mut world = World::new(seed, 100, Policy::default());
        world.loading = 1000;
        world.lasts = 4000;
        world.house.know("crowd", terms(70));
        world.house.know("rare", Terms { priority: -5, ..terms(60) });
        for n in 0..1000 {
            world.at(n * 100, Event::Ask(ask(n, "crowd")));
        }
        for n in 0..10 {
            world.at(n * 9000 + 100 * seed, Event::Ask(ask(5000 + n, "rare")));
        }
        world.run(110_000);
        for n in 0..10 {
            assert_eq!(world.fates.get(&Ticket(5000 + n)), Some(&Fate::Told), "{n}");
        }
        world.run(u64::MAX);
        assert!(world.fates.values().all(|fate| *fate == Fate::Told));
    }
}
