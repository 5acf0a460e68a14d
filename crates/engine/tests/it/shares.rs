//! Who goes first, who gets how much, and who waits how long at most.

use std::collections::BTreeMap;

use Priority::{Batch, Interactive, Normal};
use engine::{Event, Finish, Id, Limits, PagePool, Priority, Refusal, Request, Scheduler, Step};

fn limits() -> Limits {
    Limits { tokens: 16, sequences: 4, context: 4096, vocabulary: 50, ..Limits::default() }
}

fn scheduler(limits: Limits) -> Scheduler {
    Scheduler::new(limits, PagePool::new(4, 1024))
}

/// A request of its own: `id` stands in its tokens, so that nothing is shared.
fn request(id: u64, prompt: usize, max_tokens: usize) -> Request {
    let token = |n: u64| ((id * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 % 50;
    let prompt = (0..prompt as u64).map(token).collect();
    Request { prompt, max_tokens, ..Request::default() }
}

fn run(scheduler: &mut Scheduler) -> (Step, Vec<Event>) {
    let step = scheduler.schedule();
    let sampled: Vec<_> = step.iter().filter(|slice| slice.sample).map(|_| Ok(1)).collect();
    let events = scheduler.complete(&step, &sampled);
    (step, events)
}

/// The order in which requests get their first token.
fn firsts(scheduler: &mut Scheduler) -> Vec<u64> {
    let mut order = Vec::new();
    while !scheduler.is_idle() {
        for event in run(scheduler).1 {
            if let Event::Token(Id(id), _) = event
                && !order.contains(&id)
            {
                order.push(id);
            }
        }
    }
    order
}

#[test]
fn the_more_urgent_goes_first() {
    let mut scheduler = scheduler(limits());
    for (id, priority) in [(1, Batch), (2, Normal), (3, Interactive), (4, Normal)] {
        scheduler.add(Id(id), Request { priority, ..request(id, 40, 2) }).unwrap();
    }
    let status = scheduler.status();
    assert_eq!((status.waiting, status.waiting_by_priority), (4, [1, 2, 1]));
    assert_eq!(firsts(&mut scheduler), [3, 2, 4, 1]);
}

#[test]
fn the_less_urgent_makes_place_and_comes_back() {
    let limits = Limits { sequences: 1, ..limits() };
    let mut scheduler = scheduler(limits);
    scheduler.add(Id(1), Request { priority: Batch, ..request(1, 8, 6) }).unwrap();
    run(&mut scheduler);
    scheduler.add(Id(2), Request { priority: Interactive, ..request(2, 8, 3) }).unwrap();
    scheduler.add(Id(3), Request { priority: Interactive, ..request(3, 8, 3) }).unwrap();
    let mut ends = Vec::new();
    while !scheduler.is_idle() {
        let events = run(&mut scheduler).1;
        ends.extend(events.into_iter().filter_map(|event| match event {
            Event::Finished(Id(id), Finish::Length) => Some(id),
            Event::Begun(..)
            | Event::Progress(..)
            | Event::Likely(..)
            | Event::Token(..)
            | Event::Finished(..) => None,
        }));
    }
    // The second of the urgent ones did not put the first aside.
    assert_eq!((ends, scheduler.status().preemptions), (vec![2, 3, 1], 1));
}

/// Pages run out: the less urgent gives way, whoever came first.
#[test]
fn the_less_urgent_gives_its_pages() {
    let mut scheduler = Scheduler::new(limits(), PagePool::new(4, 8));
    scheduler.add(Id(1), Request { priority: Batch, ..request(1, 8, 20) }).unwrap();
    run(&mut scheduler);
    scheduler.add(Id(2), Request { priority: Interactive, ..request(2, 8, 20) }).unwrap();
    let mut last = BTreeMap::new();
    let mut steps = 0;
    while !scheduler.is_idle() {
        for event in run(&mut scheduler).1 {
            if let Event::Finished(Id(id), _) = event {
                last.insert(id, steps);
            }
        }
        steps += 1;
    }
    assert!(last[&2] < last[&1]);
    assert!(last[&2] <= 21, "the urgent one never waited: {last:?}");
    assert!(scheduler.status().preemptions >= 1);
}

#[test]
fn a_short_prompt_does_not_wait_behind_a_long_one() {
    let mut scheduler = scheduler(limits());
    scheduler.add(Id(1), request(1, 1600, 1)).unwrap();
    run(&mut scheduler);
    scheduler.add(Id(2), request(2, 20, 1)).unwrap();
    let mut steps = 0;
    loop {
        let (step, events) = run(&mut scheduler);
        let long = step.iter().find(|slice| slice.id == Id(1)).map_or(0, |s| s.tokens.len());
        assert!(long >= 8, "the long one keeps half");
        steps += 1;
        if events.iter().any(|event| matches!(event, Event::Finished(Id(2), _))) {
            break;
        }
    }
    assert_eq!(steps, 3, "20 tokens, 8 in a step");
}

/// Of two clients that always have work, the one with a hundred requests gets no more than the one with one.
#[test]
fn clients_share_however_many_requests_they_have() {
    let mut scheduler = scheduler(limits());
    let (mut id, mut live) = (0, BTreeMap::new());
    let mut got = [0_usize; 2];
    for step in 0..2_000 {
        for (client, most) in [(1_u64, 100), (2, 1)] {
            while live.values().filter(|&&of| of == client).count() < most {
                id += 1;
                let length = 10 + (id as usize * 13) % 50;
                let request = Request { client, ..request(id, length, 1) };
                scheduler.add(Id(id), request).unwrap();
                live.insert(Id(id), client);
            }
        }
        let (slices, events) = run(&mut scheduler);
        if step > 100 {
            for slice in &slices {
                got[live[&slice.id] as usize - 1] += slice.tokens.len();
            }
        }
        for event in events {
            if let Event::Finished(id, _) = event {
                live.remove(&id);
            }
        }
    }
    let share = got[1] as f64 / got[0] as f64;
    // A step that ends the only request of the second has nothing more for it.
    assert!((0.5..=1.1).contains(&share), "{got:?}");
}

/// Under urgent work without end, the rest ends all the same, within the bound that is promised.
#[test]
fn nothing_waits_for_ever() {
    let limits = Limits { ageing: 400, ..limits() };
    let mut scheduler = Scheduler::new(limits, PagePool::new(4, 40));
    const PUT_OFF: u64 = 6;
    for id in 0..PUT_OFF {
        let priority = [Batch, Normal][id as usize % 2];
        scheduler.add(Id(id), Request { priority, ..request(id, 60, 5) }).unwrap();
    }
    let (mut next, mut left, mut work) = (1_000, PUT_OFF, 0);
    while left > 0 {
        while scheduler.status().waiting_by_priority[0] < 3 {
            next += 1;
            // Each of somebody new, so that fairness between clients is no help.
            let (priority, client) = (Interactive, next);
            let request = Request { priority, client, ..request(next, 30, 4) };
            scheduler.add(Id(next), request).unwrap();
        }
        let (step, events) = run(&mut scheduler);
        work += step.iter().map(|slice| slice.tokens.len()).sum::<usize>();
        let ended = |event: &&Event| matches!(event, Event::Finished(Id(id), _) if *id < PUT_OFF);
        left -= events.iter().filter(ended).count() as u64;
        // Three of each priority stand first in turn; each then needs its own tokens, at half of each step.
        let bound = (PUT_OFF as usize / 2 + 1) * (400 + 16) + PUT_OFF as usize * 2 * (65 + 6 * 16);
        assert!(work <= bound, "{left} are left after {work} tokens");
    }
    assert_eq!(scheduler.status().promotions, PUT_OFF);
}

#[test]
fn the_queue_of_each_priority_is_bounded() {
    let mut scheduler = scheduler(Limits { waiting: 2, ..limits() });
    let mut add = |id, priority| scheduler.add(Id(id), Request { priority, ..request(id, 4, 1) });
    for id in 0..2 {
        assert_eq!(add(id, Batch), Ok(()));
    }
    let full = Refusal::QueueFull { priority: Batch, waiting: 2, limit: 2 };
    assert_eq!(add(2, Batch), Err(full));
    assert_eq!(add(3, Interactive), Ok(()), "a flood of the others shuts nobody out");
    assert_eq!(firsts(&mut scheduler), [3, 0, 1]);
}
