//! Which attempt to read a page comes next: olmOCR's order of retries, as a function of what came of those before.
//!
//! - What the first attempt calls turned is turned and read again, one attempt after another.
//! - What failed otherwise is tried again at rising temperatures.
//! - An answer that is whole but says that the page is still turned is taken when nothing is left.

use super::{FrontMatter, TEMPERATURES};

/// How often a page is tried, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LadderOptions {
    /// Attempts, the first included; at least 1.
    pub max_page_retries: u32,
    /// The temperature of each attempt; the last is repeated.
    pub temperatures: Vec<f32>,
}

impl Default for LadderOptions {
    fn default() -> Self {
        Self { max_page_retries: 8, temperatures: TEMPERATURES.to_vec() }
    }
}

/// An attempt to read a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// Its number, from 0.
    pub index: u32,
    /// By how many degrees the picture is turned first, counter-clockwise: 0, 90, 180 or 270.
    pub turned: u16,
    /// The temperature.
    pub temperature: f32,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the answer said of the page, if it could be read at all.
    pub front_matter: Option<FrontMatter>,
    /// Whether it was there to its end: not cut off, not in a loop, of no more tokens than may be.
    pub whole: bool,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make these attempts at once; the first good one ends the others.
    Try(Vec<Attempt>),
    /// Take the answer of this attempt; what is still under way is not needed.
    Take(u32),
    /// Wait for the attempts under way.
    Wait,
    /// Nothing is left.
    GiveUp,
}

/// The attempts at one page.
#[derive(Clone, Debug)]
pub struct Ladder {
    options: LadderOptions,
    /// The next attempt's number.
    next: u32,
    open: u32,
    turned: u16,
    /// Whether the first attempt said that the page is turned.
    turning: bool,
    /// The last attempt whose answer was whole, though the page was turned.
    second_best: Option<u32>,
    done: bool,
}

impl Ladder {
    /// The attempts at a page, and the first of them.
    pub fn begin(options: LadderOptions) -> (Self, Attempt) {
        let mut ladder = Self {
            options,
            next: 0,
            open: 0,
            turned: 0,
            turning: false,
            second_best: None,
            done: false,
        };
        let first = ladder.attempt();
        (ladder, first)
    }

    /// What to do after attempt `index` ended. `idle` says that nothing but this page is left to do, so that the
    /// remaining attempts may be made at once.
    pub fn next(&mut self, index: u32, outcome: &Outcome, idle: bool) -> Step {
        self.open = self.open.saturating_sub(1);
        if self.done {
            return Step::Wait;
        }
        if let Some(front) = &outcome.front_matter {
            if outcome.whole && front.is_rotation_valid {
                self.done = true;
                return Step::Take(index);
            }
            if outcome.whole {
                self.second_best = Some(index);
            }
            if index == 0 && !front.is_rotation_valid {
                self.turning = true;
            }
            if self.turning {
                self.turned = (self.turned + front.rotation_correction) % 360;
            }
        }
        if self.open > 0 {
            return Step::Wait;
        }
        let left = self.options.max_page_retries.max(1).saturating_sub(self.next);
        if left == 0 {
            self.done = true;
            return self.second_best.map_or(Step::GiveUp, Step::Take);
        }
        // What is turned is found out step by step. The first retry of the others is made alone as well: most succeed.
        let at_once = if idle && !self.turning && index > 0 { left } else { 1 };
        Step::Try((0..at_once).map(|_| self.attempt()).collect())
    }

    /// How many attempts were begun.
    pub fn made(&self) -> u32 {
        self.next
    }

    fn attempt(&mut self) -> Attempt {
        let index = self.next;
        (self.next, self.open) = (self.next + 1, self.open + 1);
        let temperatures = &self.options.temperatures;
        let place = (index as usize).min(temperatures.len().saturating_sub(1));
        let temperature = temperatures.get(place).copied().unwrap_or_default();
        Attempt { index, turned: self.turned, temperature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(valid: bool, correction: u16, whole: bool) -> Outcome {
        let front_matter = FrontMatter {
            is_rotation_valid: valid,
            rotation_correction: correction,
            ..FrontMatter::default()
        };
        Outcome { front_matter: Some(front_matter), whole }
    }

    const NOTHING: Outcome = Outcome { front_matter: None, whole: true };

    /// Runs a script one attempt after the other; the turns and temperatures tried, and how it ended.
    fn run(max_page_retries: u32, script: &[Outcome]) -> (Vec<(u16, f32)>, Step) {
        let options = LadderOptions { max_page_retries, ..LadderOptions::default() };
        let (mut ladder, mut attempt) = Ladder::begin(options);
        let mut tried = Vec::new();
        for outcome in script {
            tried.push((attempt.turned, attempt.temperature));
            match ladder.next(attempt.index, outcome, false) {
                Step::Try(next) => attempt = next[0],
                end @ (Step::Take(_) | Step::Wait | Step::GiveUp) => return (tried, end),
            }
        }
        panic!("the script is too short");
    }

    #[test]
    fn the_first_good_answer_is_taken() {
        let good = read(true, 0, true);
        assert_eq!(run(8, std::slice::from_ref(&good)), (vec![(0, 0.1)], Step::Take(0)));
        let cut = read(true, 0, false);
        let (tried, end) = run(8, &[NOTHING, cut, NOTHING, good]);
        assert_eq!(end, Step::Take(3));
        assert_eq!(tried, [(0, 0.1), (0, 0.1), (0, 0.2), (0, 0.3)]);
    }

    #[test]
    fn a_turned_page_is_turned_and_the_turns_add_up() {
        let turned = |by| read(false, by, true);
        let (tried, end) = run(8, &[turned(90), turned(270), turned(90), read(true, 0, true)]);
        assert_eq!(end, Step::Take(3));
        let turns: Vec<u16> = tried.iter().map(|(turned, _)| *turned).collect();
        assert_eq!(turns, [0, 90, 0, 90]);
        // What fails in between does not turn it.
        let (tried, _) = run(8, &[turned(90), NOTHING, read(true, 0, true)]);
        assert_eq!(tried[2].0, 90);
    }

    #[test]
    fn a_later_answer_of_a_turned_page_is_but_a_failure() {
        let (tried, end) = run(4, &[NOTHING, read(false, 90, true), read(true, 0, true)]);
        assert_eq!((tried[2].0, end), (0, Step::Take(2)));
    }

    #[test]
    fn what_is_whole_but_turned_is_better_than_nothing() {
        let turned = read(false, 90, true);
        let (tried, end) = run(3, &[turned.clone(), turned.clone(), turned.clone()]);
        assert_eq!((tried.len(), end), (3, Step::Take(2)));
        let (_, end) = run(3, &[turned.clone(), turned, NOTHING]);
        assert_eq!(end, Step::Take(1));
        assert_eq!(run(2, &[NOTHING, read(true, 0, false)]).1, Step::GiveUp);
        assert_eq!(run(0, &[NOTHING]).1, Step::GiveUp);
    }

    #[test]
    fn the_last_temperature_is_repeated() {
        let (tried, end) = run(10, &vec![NOTHING; 10]);
        let temperatures: Vec<f32> = tried.iter().map(|(_, t)| *t).collect();
        assert_eq!(temperatures, [0.1, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.0, 1.0, 1.0]);
        assert_eq!(end, Step::GiveUp);
    }

    #[test]
    fn what_is_left_is_tried_at_once_when_nothing_else_is() {
        let (mut ladder, first) = Ladder::begin(LadderOptions::default());
        let Step::Try(second) = ladder.next(first.index, &NOTHING, true) else { panic!() };
        assert_eq!(second.len(), 1);
        let Step::Try(rest) = ladder.next(1, &NOTHING, true) else { panic!() };
        let indexes: Vec<u32> = rest.iter().map(|attempt| attempt.index).collect();
        assert_eq!(indexes, [2, 3, 4, 5, 6, 7]);
        assert_eq!(ladder.next(4, &NOTHING, true), Step::Wait);
        assert_eq!(ladder.next(3, &read(true, 0, true), true), Step::Take(3));
        assert_eq!(ladder.next(2, &read(true, 0, true), true), Step::Wait);
    }

    #[test]
    fn every_page_ends() {
        for seed in 1..2000_u64 {
            let mut state = seed;
            // xorshift64
            let mut below = |most: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % most
            };
            let most = 1 + below(9) as u32;
            let options = LadderOptions { max_page_retries: most, ..LadderOptions::default() };
            let (mut ladder, first) = Ladder::begin(options);
            let (mut open, mut made) = (vec![first], 1);
            let end = loop {
                let attempt = open.swap_remove(below(open.len() as u64) as usize);
                let outcome = match below(4) {
                    0 => NOTHING,
                    1 => read(false, 90 * below(4) as u16, below(2) == 0),
                    2 => read(true, 0, below(3) == 0),
                    _ => read(true, 0, false),
                };
                match ladder.next(attempt.index, &outcome, below(2) == 0) {
                    Step::Try(next) => {
                        made += next.len();
                        open.extend(next);
                    }
                    Step::Wait => {}
                    end @ (Step::Take(_) | Step::GiveUp) => break end,
                }
                assert!(!open.is_empty(), "nobody is waited for");
            };
            assert!(made <= most as usize);
            assert!(matches!(end, Step::GiveUp | Step::Take(_)));
            if end == Step::GiveUp {
                assert!(open.is_empty(), "given up while an attempt is under way");
            }
        }
    }
}
