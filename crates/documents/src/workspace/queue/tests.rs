//! The queue, run over many seeds by several workers at once, some of which die.
//!
//! A step of one worker may happen between any two questions that another asks the store, because the store itself
//! lets them in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::turns::draw;
use super::*;
use crate::workspace::store::is_key;
use crate::workspace::{Change, Doing, Entry, WorkspaceFault};

const START: u64 = 1_000_000;

/// The whole world: one store, one clock, all workers.
struct World {
    objects: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    now: AtomicU64,
    dice: Mutex<u64>,
    workers: Mutex<Vec<Option<Worker>>>,
    depth: AtomicU64,
    deaths: bool,
    broken: Mutex<Vec<String>>,
    /// How often each group was begun and not given back.
    begun: Mutex<BTreeMap<String, i32>>,
}

struct Worker {
    queue: Arc<Queue>,
    dead: Arc<AtomicBool>,
    work: Option<(Group, u64)>,
    ended: bool,
}

/// The store as one worker sees it.
struct Door {
    world: Arc<World>,
    dead: Arc<AtomicBool>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl World {
    fn roll(&self, below: u64) -> u64 {
        draw(&mut self.dice.lock().unwrap()) % below
    }

    fn now(&self) -> SystemTime {
        time(self.now.load(Ordering::Relaxed))
    }

    /// Nothing may ever be flagged whose results are not whole.
    fn check(&self) {
        let objects = self.objects.lock().unwrap();
        for key in objects.keys() {
            let Some(hash) = keys::hash_of_done_flag(key) else { continue };
            let results = objects.get(&keys::results(hash)).map(|(bytes, _)| bytes.clone());
            if results != Some(results_of(hash)) {
                self.broken.lock().unwrap().push(format!("{hash}: {results:?}"));
            }
        }
    }

    /// One worker does one thing.
    fn step(self: &Arc<Self>) {
        let worker = {
            let mut workers = self.workers.lock().unwrap();
            if workers.is_empty() {
                return;
            }
            let place = usize::try_from(self.roll(workers.len() as u64)).unwrap();
            workers[place].take().map(|worker| (place, worker))
        };
        // One that is in the middle of something is not here.
        let Some((place, mut worker)) = worker else { return };
        worker.step(self);
        if worker.dead.load(Ordering::Relaxed) {
            worker = Worker::new(self);
        }
        self.workers.lock().unwrap()[place] = Some(worker);
    }
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn results_of(hash: &str) -> Vec<u8> {
    format!("what the documents of {hash} say\n").into_bytes()
}

fn index(groups: usize) -> Index {
    let mut index = Index::default();
    let paths: Vec<String> = (0..groups).map(|n| format!("{n}.pdf")).collect();
    index.add(paths.iter().map(String::as_str), 1).unwrap();
    index
}

impl Worker {
    fn new(world: &Arc<World>) -> Self {
        let dead = Arc::new(AtomicBool::new(false));
        let store = Arc::new(Door { world: Arc::clone(world), dead: Arc::clone(&dead) });
        let groups = world.begun.lock().unwrap().len();
        loop {
            // Listing the flags may be what a worker dies of.
            dead.store(false, Ordering::Relaxed);
            let mark = format!("folio {}\n", world.roll(u64::MAX));
            if let Ok(mut queue) =
                Queue::open(Arc::clone(&store) as _, &index(groups), None, world.roll(99))
            {
                queue.mark = mark;
                return Self { queue: Arc::new(queue), dead, work: None, ended: false };
            }
        }
    }

    fn step(&mut self, world: &Arc<World>) {
        match self.work.take() {
            Some((group, left)) if left > 0 => {
                // A worker that was away for long may be late with this.
                let kept = self.queue.refresh(&group);
                if kept.is_ok() {
                    self.work = Some((group, left - 1));
                }
            }
            Some((group, _)) => match world.roll(12) {
                0 => {
                    *world.begun.lock().unwrap().get_mut(&group.hash).unwrap() -= 1;
                    drop(self.queue.give_back(group, true, world.now()));
                }
                _ => drop(self.queue.finish(&group, &results_of(&group.hash))),
            },
            None => match self.queue.claim(world.now()) {
                Ok(Claim::Work(group)) => {
                    *world.begun.lock().unwrap().get_mut(&group.hash).unwrap() += 1;
                    self.work = Some((group, world.roll(4)));
                }
                Ok(Claim::Empty) => self.ended = true,
                Ok(Claim::Wait(_) | Claim::Idle) | Err(_) => {}
            },
        }
        self.ended &= self.work.is_none();
    }
}

impl Door {
    /// What happens before each question: others may act, time passes, and who asks may die.
    fn knock(&self, key: &str) -> Result<(), Error> {
        let world = &self.world;
        if world.depth.load(Ordering::Relaxed) < 3 && world.roll(3) == 0 {
            world.depth.fetch_add(1, Ordering::Relaxed);
            world.step();
            world.depth.fetch_sub(1, Ordering::Relaxed);
        }
        world.now.fetch_add(world.roll(3), Ordering::Relaxed);
        if world.deaths && world.roll(60) == 0 {
            self.dead.store(true, Ordering::Relaxed);
        }
        if self.dead.load(Ordering::Relaxed) {
            let source = std::io::Error::other("dead");
            return Err(self.error(key, WorkspaceFault::Disk { doing: Doing::Reading, source }));
        }
        assert!(is_key(key.trim_end_matches('/')), "{key}");
        Ok(())
    }

    fn write(&self, key: &str, bytes: &[u8]) {
        let now = self.world.now.load(Ordering::Relaxed);
        self.world.objects.lock().unwrap().insert(key.to_owned(), (bytes.to_vec(), now));
        self.world.check();
    }
}

impl Store for Door {
    fn address(&self, key: &str) -> String {
        key.to_owned()
    }

    fn get(&self, key: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        self.knock(key)?;
        Ok(self.world.objects.lock().unwrap().get(key).map(|(bytes, _)| bytes.clone()))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.knock(key)?;
        self.write(key, bytes);
        // Who dies here never hears that it was written.
        self.knock(key)
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool, Error> {
        self.knock(key)?;
        let there = self.world.objects.lock().unwrap().contains_key(key);
        if !there {
            self.write(key, bytes);
        }
        self.knock(key).map(|()| !there)
    }

    fn change(&self, key: &str, _: u64, change: &mut Change<'_>) -> Result<(), Error> {
        self.knock(key)?;
        let there = self.world.objects.lock().unwrap().get(key).map(|(bytes, _)| bytes.clone());
        if let Some(bytes) = change(there.as_deref())? {
            self.write(key, &bytes);
        }
        self.knock(key)
    }

    fn append(&self, _: &str, _: &[u8]) -> Result<(), Error> {
        unreachable!("the queue keeps no lists")
    }

    fn grows(&self) -> bool {
        false
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.knock(key)?;
        self.world.objects.lock().unwrap().remove(key);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        self.knock(prefix)?;
        let objects = self.world.objects.lock().unwrap();
        let below = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let entry = |(key, (bytes, at)): (&String, &(Vec<u8>, u64))| Entry {
            key: key.clone(),
            bytes: bytes.len() as u64,
            modified: time(*at),
        };
        Ok(below.map(entry).collect())
    }

    fn modified(&self, key: &str) -> Result<Option<SystemTime>, Error> {
        Ok(self.entry(key)?.map(|entry| entry.modified))
    }

    fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.knock(key)?;
        let objects = self.world.objects.lock().unwrap();
        Ok(objects.get(key).map(|(bytes, at)| Entry {
            key: key.to_owned(),
            bytes: bytes.len() as u64,
            modified: time(*at),
        }))
    }
}

/// Runs a world to its end, and gives how often each group was begun and not given back.
fn run(
    seed: u64,
    groups: usize,
    workers: usize,
    deaths: bool,
    naps: bool,
) -> BTreeMap<String, i32> {
    let begun: BTreeMap<String, i32> =
        index(groups).groups().iter().map(|group| (group.hash.clone(), 0)).collect();
    let world = Arc::new(World {
        objects: Mutex::default(),
        now: AtomicU64::new(START),
        dice: Mutex::new(seed),
        workers: Mutex::default(),
        depth: AtomicU64::new(0),
        deaths,
        broken: Mutex::default(),
        begun: Mutex::new(begun),
    });
    for _ in 0..workers {
        let worker = Worker::new(&world);
        world.workers.lock().unwrap().push(Some(worker));
    }
    for step in 0.. {
        assert!(step < 200_000, "seed {seed}: it never ends");
        world.step();
        world.now.fetch_add(20, Ordering::Relaxed);
        if naps && world.roll(50) == 0 {
            // All sleep for a while: locks that were not refreshed are stale.
            world.now.fetch_add(1801, Ordering::Relaxed);
        }
        let workers = world.workers.lock().unwrap();
        if workers.iter().flatten().all(|worker| worker.ended) {
            break;
        }
    }
    assert_eq!(*world.broken.lock().unwrap(), [""; 0], "seed {seed}");
    let objects = world.objects.lock().unwrap();
    let given_up: usize = world
        .workers
        .lock()
        .unwrap()
        .iter()
        .flatten()
        .map(|worker| worker.queue.counts().left)
        .sum();
    for hash in world.begun.lock().unwrap().keys() {
        let done = objects.contains_key(&keys::done_flag(hash));
        assert!(done || given_up > 0, "seed {seed}: {hash} is lost");
        assert!(
            done || !objects.contains_key(&keys::worker_lock(hash)),
            "seed {seed}: {hash} is locked"
        );
    }
    let begun = world.begun.lock().unwrap().clone();
    world.workers.lock().unwrap().clear();
    begun
}

#[test]
fn nothing_is_lost_or_torn_whoever_dies_whenever() {
    for seed in 0..150 {
        run(seed, 6, 3, true, seed % 2 == 0);
    }
}

#[test]
fn a_group_is_done_once_where_nobody_dies_or_sleeps() {
    for seed in 0..150 {
        let begun = run(seed, 8, 4, false, false);
        // One in twelve is given back; one that this befell three times in each worker is left.
        assert!(begun.values().all(|times| (0..=1).contains(times)), "seed {seed}: {begun:?}");
        assert!(begun.values().sum::<i32>() >= 7, "seed {seed}: {begun:?}");
    }
}

#[test]
fn a_lock_holds_for_half_an_hour_and_not_a_second_longer() {
    let since = time(START);
    let locked = Sight::Locked { since, gone: false };
    let at = |seconds| judge(locked, time(START + seconds));
    assert_eq!(at(0), Verdict::Later(time(START + 60)));
    assert_eq!(at(1790), Verdict::Later(time(START + 1801)));
    assert_eq!(at(1800), Verdict::Later(time(START + 1801)));
    assert_eq!(at(1801), Verdict::TakeOver);
    assert_eq!(
        judge(locked, time(START - 500)),
        Verdict::Later(time(START - 440)),
        "from the future"
    );
    assert_eq!(judge(Sight::Locked { since, gone: true }, since), Verdict::TakeOver);
    assert_eq!(judge(Sight::Free, since), Verdict::Take);
    assert_eq!(judge(Sight::Done, since), Verdict::Skip);
}

#[test]
fn a_group_that_fails_comes_again_a_few_times() {
    let index = index(1);
    let mut turns = Turns::new(&index, &BTreeSet::new(), 0);
    let mut now = time(START);
    for attempt in 1..=TRIES {
        let Next::Look(group) = turns.next(now) else { panic!("attempt {attempt}") };
        turns.working(&group);
        assert_eq!(turns.next(now), Next::Idle);
        assert_eq!(turns.failed(group, now), attempt < TRIES);
        if let Next::Wait(until) = turns.next(now) {
            assert!(until > now);
            now = until;
        }
    }
    assert_eq!(turns.next(now), Next::Empty);
    assert_eq!(turns.counts(), Counts { total: 1, left: 1, ..Counts::default() });
}

#[test]
fn orders_differ_by_seed_and_hold_every_group() {
    let index = index(30);
    let order = |seed| {
        let mut turns = Turns::new(&index, &BTreeSet::new(), seed);
        std::iter::from_fn(|| match turns.next(time(START)) {
            Next::Look(group) => Some(group.hash),
            Next::Wait(_) | Next::Idle | Next::Empty => None,
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    let all: BTreeSet<String> = order(3).into_iter().collect();
    assert_eq!(all.len(), 30);
}
