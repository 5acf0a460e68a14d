//! How much of a prompt may stand beside streams that somebody watches.
//!
//! There is no clock here: whoever runs the steps says how long they took. The account is kept in the seconds
//! that were measured and not in those that were expected, so a bad guess is paid back and the share
//! holds on average whatever a prompt's tokens cost.
//!
//! The floor protects those who watch from one who is in no hurry to be short, not from each other: where several wait for
//! their first token, each of them but one has as good a claim on the time as each who watches, and the promise shrinks by
//! that. Otherwise sixteen who come at once would be let in one after the other.

/// What a step was made of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Shape {
    /// Sequences that were continued by one token.
    pub decode: usize,
    /// Tokens of prompts.
    pub prompt: usize,
}

/// Who has a claim on a step.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Audience {
    /// Those whose streams go on while somebody watches.
    pub(super) watching: usize,
    /// Those who would watch, and wait for their first token.
    pub(super) waiting: usize,
}

/// A floor under the rate of streams while prompts are read.
#[derive(Clone, Debug)]
pub(super) struct Floor {
    /// The share of its rate that a stream keeps beside one prompt; 0 promises nothing.
    share: f64,
    /// What is aimed for beside those who wait now: somewhat more, since it is a floor and not a mean.
    promised: f64,
    /// Tokens of prompts that are worth a step: fewer cost more for each.
    piece: usize,
    /// Seconds of a step without prompts, where none was just before it.
    decode: Option<f64>,
    /// Steps in a row without prompts, up to now.
    calm: usize,
    /// Tokens of prompts in the last step that had some.
    last: usize,
    /// Steps since one was that told how long they take when nothing else is done, [`None`] if there was none.
    told: Option<usize>,
    /// Seconds that a prompt's token adds to a step.
    token: Option<f64>,
    /// Seconds that prompts may take at once.
    credit: f64,
    /// Steps without prompts since the last with one.
    since: usize,
    /// Whether a prompt was refused a part of the step that is under way.
    owed: bool,
    /// Seconds that prompts may add to a step, for the sake of others on the device.
    longest: Option<f64>,
    /// Whether somebody watches, as of the last [question](Self::may_look).
    watched: bool,
    /// Whether an image was looked at since the last step with prompts, and whether one waits for that now.
    looked: bool,
    put_off: bool,
    /// By how many seconds looks at images are ahead of steps, where nobody watches.
    ahead: f64,
}

/// How much of a new measurement goes into what is known.
const NEW: f64 = 0.2;
/// A step that took so many times as long as others is not believed more than this.
const ODD: f64 = 1.5;
/// So many steps after a prompt take longer than later ones: what they read was driven out of the caches.
const SETTLES: usize = 4;
/// After so many steps that told nothing, prompts wait for one that does.
const STALE: usize = 256;
/// The part of the time that prompts would have that is left to streams as well. The rate that a stream would have is only known
/// from steps that went before, and these take longer and shorter by turns as others use the machine.
const MARGIN: f64 = 0.3;

impl Floor {
    pub(super) fn new(share: f64, piece: usize) -> Self {
        let (decode, token, credit, since) = (None, None, 0.0, 0);
        let share = if share.is_finite() { share.clamp(0.0, 0.99) } else { 0.0 };
        let piece = piece.max(1);
        let (owed, longest, ahead) = (false, None, 0.0);
        let (watched, looked, put_off) = (false, false, false);
        Self {
            share,
            promised: aim(share),
            piece,
            decode,
            calm: 0,
            last: 0,
            told: None,
            token,
            credit,
            since,
            owed,
            longest,
            watched,
            looked,
            put_off,
            ahead,
        }
    }

    /// Seconds that prompts earn with each second of a step without them.
    fn gain(&self) -> f64 {
        1.0 / self.promised - 1.0
    }

    /// Takes in who there is; whether somebody watches.
    fn face(&mut self, audience: Audience) -> bool {
        let Audience { watching, waiting } = audience;
        let others = waiting.saturating_sub(1);
        if watching > 0 {
            self.promised = aim(self.share * watching as f64 / (watching + others) as f64);
        }
        watching > 0
    }

    /// After so many steps without prompts there is one with them in any case.
    fn most_waits(&self) -> usize {
        // No token of a prompt takes longer than a step of its own.
        2 * ((self.piece as f64 / self.gain()).ceil() as usize).clamp(1, 1 << 16)
    }

    /// Sets how many seconds prompts may add to a step, for the sake of others on the device.
    pub(super) fn set_longest(&mut self, seconds: Option<f64>) {
        self.longest = seconds;
    }

    /// How many of `budget` tokens may be of prompts, if some wait, beside such an audience.
    pub(super) fn allows(&mut self, budget: usize, audience: Audience) -> usize {
        let watched = self.face(audience);
        let budget = match (self.longest, self.token) {
            (Some(seconds), Some(token)) => {
                budget.min(((seconds / token) as usize).max(self.piece))
            }
            _ => budget,
        };
        self.owed = false;
        if !watched || self.share == 0.0 || (self.decode.is_none() && self.token.is_none()) {
            (self.credit, self.since) = (0.0, 0);
            return budget;
        }
        let affordable = match (self.decode, self.token) {
            // What a step takes without prompts is to be known first.
            (None, _) => 0,
            (Some(_), None) => self.piece,
            // One step that was quick by chance is no reason for one that takes a hundred times as long.
            (Some(_), Some(token)) => {
                ((self.credit / token) as usize).min(2 * self.last.max(self.piece))
            }
        };
        let piece = self.piece.min(budget);
        let due = self.since >= self.most_waits();
        let stale = self.told.is_some_and(|steps| steps >= STALE) && self.decode.is_some();
        self.owed = (affordable < piece || stale) && !due;
        if self.owed { 0 } else { affordable.max(piece).min(budget) }
    }

    /// Whether a piece of a look at an image comes next, rather than a step: beside such an audience, and beside other prompts
    /// that wait or not.
    ///
    /// What a piece takes is not known before. So it is paid for after, by the same account as prompts, and there is none while
    /// there are debts. Prompts and looks take turns.
    pub(super) fn may_look(&mut self, audience: Audience, prompts: bool) -> bool {
        let watched = self.face(audience);
        self.watched = watched;
        if !watched || self.share == 0.0 {
            return self.ahead <= 0.0;
        }
        let turn = !prompts || !self.looked || self.since >= self.most_waits();
        self.put_off = !(self.decode.is_some() && self.credit >= 0.0 && turn);
        !self.put_off
    }

    /// Notes that no image waits to be looked at.
    pub(super) fn nothing_to_see(&mut self) {
        self.put_off = false;
    }

    /// Takes in that a piece of a look took so long.
    pub(super) fn looked(&mut self, seconds: f64) {
        if !seconds.is_finite() || seconds <= 0.0 {
            return;
        }
        (self.looked, self.calm) = (true, 0);
        if self.watched && self.share > 0.0 {
            self.credit -= seconds;
        } else {
            self.ahead += seconds;
        }
    }

    /// Seconds that a prompt's token adds to a step, as far as is known.
    pub(super) fn token_seconds(&self) -> Option<f64> {
        self.token
    }

    /// Takes in that a step of this shape took so long.
    pub(super) fn took(&mut self, shape: Shape, seconds: f64) {
        if !seconds.is_finite() || seconds <= 0.0 {
            return;
        }
        // Looks have as much time as steps, but what they had no use for is not saved up.
        self.ahead = (self.ahead - seconds).max(-seconds);
        self.looked &= shape.prompt == 0;
        let before = self.credit;
        let learn = |known: Option<f64>, new: f64| {
            Some(known.map_or(new, |known| known + NEW * (new - known)))
        };
        let prompt = shape.prompt as f64;
        if shape.prompt > 0 {
            (self.calm, self.last) = (0, shape.prompt);
        } else {
            self.calm += 1;
        }
        self.told = self.told.map(|steps| steps.saturating_add(1));
        match (shape.decode, shape.prompt, self.decode) {
            (0, 0, _) => return,
            (0, _, _) => {
                // All there is to a step, and so too much; better than nothing.
                self.token = self.token.or(Some(seconds / prompt));
                return;
            }
            (_, 0, known) => {
                let settled = self.calm > SETTLES;
                if settled || self.told.is_none() {
                    // Others had the cores if it took several times as long: that says little of the next.
                    let most = known.map_or(seconds, |known| ODD * known);
                    self.decode = learn(known, seconds.min(most));
                }
                if settled {
                    self.told = Some(0);
                }
                self.since += 1;
                if (self.owed || self.put_off) && self.share > 0.0 {
                    // What a step takes longer for a prompt before it is the prompt's to pay.
                    let lone = if settled { seconds } else { known.unwrap_or(seconds) };
                    self.credit += self.gain() * lone - (seconds - lone);
                }
            }
            (_, _, None) => self.token = learn(self.token, seconds / prompt),
            (_, _, Some(decode)) => {
                let more = seconds - decode;
                self.token = learn(self.token, (more / prompt).max(decode * 1e-4));
                self.since = 0;
                if self.share > 0.0 {
                    self.credit += self.gain() * decode - more;
                }
            }
        }
        let (Some(decode), true) = (self.decode, self.share > 0.0) else { return };
        // Neither is a burst saved up, nor a debt that keeps prompts waiting.
        let piece = 2.0 * self.piece as f64 * self.token.unwrap_or(0.0);
        let most = piece.max(4.0 * self.gain() * decode);
        // A look is paid for whatever it took: the next one waits for that.
        let least = (-(self.most_waits() as f64) * self.gain() * decode).min(before);
        self.credit = self.credit.clamp(least, most);
    }
}

/// What is aimed for where `share` is to hold.
fn aim(share: f64) -> f64 {
    share * (1.0 + MARGIN * (1.0 - share))
}

#[cfg(test)]
mod tests {
    use super::{Audience, Floor, Shape, aim};

    const NOBODY: Audience = Audience { watching: 0, waiting: 0 };
    const ONE: Audience = Audience { watching: 1, waiting: 1 };

    /// Runs a stream beside a prompt without end; what a step takes is `cost(prompt tokens)`. Returns the stream's share of its
    /// rate, the prompt's tokens for each second, and the longest step.
    fn run(floor: &mut Floor, cost: impl Fn(usize, usize) -> f64) -> (f64, f64, f64) {
        // The prompt comes when the stream has begun.
        floor.took(Shape { decode: 1, prompt: 0 }, cost(0, 0));
        let (mut seconds, mut tokens, mut longest) = (0.0_f64, 0, 0.0_f64);
        const STEPS: usize = 20_000;
        for step in 0..STEPS {
            let prompt = floor.allows(511, ONE);
            let took = cost(prompt, step);
            floor.took(Shape { decode: 1, prompt }, took);
            (seconds, tokens, longest) = (seconds + took, tokens + prompt, longest.max(took));
        }
        (STEPS as f64 * cost(0, 0) / seconds, tokens as f64 / seconds, longest)
    }

    #[test]
    fn the_share_holds_whatever_prompts_cost() {
        for token in [0.000_01, 0.000_2, 0.002, 0.01] {
            let cost = |prompt: usize, _| 0.01 + token * prompt as f64;
            let (share, prompt, longest) = run(&mut Floor::new(0.8, 16), cost);
            assert!(share > 0.8, "{share} with {token} a token");
            // All that is left is the prompt's, but for the margin; or all that fits.
            let fits = ((1.0 - aim(0.8)) / token).min(511.0 / (0.01 + 511.0 * token));
            assert!(prompt > 0.9 * fits, "{prompt} tokens/s with {token} a token");
            assert!(longest <= 0.01 + (33.0 * token).max(0.011), "{longest} with {token} a token");
        }
    }

    #[test]
    fn a_cost_that_is_no_line_is_paid_for_all_the_same() {
        // A step of few rows is nearly as cheap as one of one, and each begun eight costs.
        let cost = |prompt: usize, _| 0.01 + 0.004 * prompt.div_ceil(8) as f64;
        let (share, prompt, _) = run(&mut Floor::new(0.8, 16), cost);
        assert!(share > 0.8 && prompt > 0.8 * 0.15 * 2000.0, "{share} {prompt}");
        // The past of the prompt makes each of its tokens dearer.
        let cost =
            |prompt: usize, step: usize| 0.01 + prompt as f64 * (0.001 + step as f64 * 0.000_000_5);
        let (share, _, _) = run(&mut Floor::new(0.8, 16), cost);
        assert!(share > 0.8, "{share}");
    }

    /// A number from 0 to 1 that the seed decides.
    fn chance(seed: &mut u64) -> f64 {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 40) as f64 / (1_u64 << 24) as f64
    }

    /// One stream of 300 tokens beside a long prompt, after one of as many alone, on a machine that others use too: a step takes up
    /// to a tenth more or less, each fiftieth several times as long, and all of them more while somebody else computes. Steps after
    /// prompts are slow, and each token makes the past longer. Returns the share of its rate that the stream keeps where it is
    /// compared with the same steps alone, and the part of the time that prompts have.
    fn noisy(mut seed: u64, grows: f64) -> (f64, f64) {
        let seed = &mut seed;
        let mut floor = Floor::new(0.8, 16);
        let (mut busy, mut since, mut at) = (1.0_f64, 9, 0);
        let mut lone = |seed: &mut u64, length: usize| {
            at += 1;
            if at % 40 == 0 {
                busy = 1.0 + (chance(seed) - 0.5).max(0.0);
            }
            let rare = if chance(seed) < 0.02 { 1.0 + 4.0 * chance(seed) } else { 1.0 };
            (0.012 + grows * length as f64) * busy * rare * (0.9 + 0.2 * chance(seed))
        };
        for length in 0..300 {
            floor.took(Shape { decode: 1, prompt: 0 }, lone(seed, length));
        }
        let (mut alone, mut prompts, mut all) = (0.0, 0.0, 0.0);
        for length in 0..300 {
            let prompt = floor.allows(511, ONE);
            since = if prompt > 0 { 0 } else { since + 1 };
            let step = lone(seed, length);
            let cold = if (1..=4).contains(&since) { 0.08 * step } else { 0.0 };
            let more = 0.0025 * prompt as f64 * step / 0.012;
            floor.took(Shape { decode: 1, prompt }, step + cold + more);
            (alone, prompts, all) = (alone + step, prompts + more, all + step + cold + more);
        }
        (alone / all, prompts / all)
    }

    #[test]
    fn the_share_holds_in_single_runs_where_nothing_takes_as_long_as_before() {
        for grows in [0.0, 0.000_02] {
            let runs: Vec<_> = (0..500).map(|seed| noisy(seed * 7919 + 1, grows)).collect();
            let below = runs.iter().filter(|(share, _)| *share < 0.8).count();
            let least = runs.iter().map(|(share, _)| *share).fold(1.0, f64::min);
            let prompts = runs.iter().map(|(_, prompts)| prompts).sum::<f64>() / 500.0;
            assert!(below <= 5 && least > 0.77, "{below} of 500 below, {least} at least");
            assert!(prompts > 0.1, "{prompts}");
        }
    }

    #[test]
    fn what_a_step_takes_alone_is_looked_at_again() {
        // Prompts that cost next to nothing stand in every step, and the past grows meanwhile.
        let mut floor = Floor::new(0.8, 16);
        let (mut alone, mut all) = (0.0, 0.0);
        for step in 0..20_000 {
            let prompt = floor.allows(16, ONE);
            let lone = 0.01 + 0.000_005 * step as f64;
            let took = lone + 0.000_05 * prompt as f64;
            floor.took(Shape { decode: 1, prompt }, took);
            (alone, all) = (alone + lone, all + took);
        }
        assert!(alone / all > 0.9);
        assert!(floor.decode.is_some_and(|known| (known / 0.11 - 1.0).abs() < 0.05), "{floor:?}");
    }

    #[test]
    fn looks_are_paid_for_whatever_they_cost() {
        for (look, prompts) in [(0.001, false), (0.15, false), (5.0, false), (0.15, true)] {
            let mut floor = Floor::new(0.8, 16);
            floor.took(Shape { decode: 1, prompt: 0 }, 0.03);
            let (mut steps, mut seconds, mut looks, mut tokens) = (0.0, 0.0, 0.0, 0);
            while seconds < 2_000.0 {
                if floor.may_look(ONE, prompts) {
                    floor.looked(look);
                    (seconds, looks) = (seconds + look, looks + look);
                    continue;
                }
                // Who waits for an image is a prompt that wants a part of the step, but gets none.
                let prompt = floor.allows(511, ONE) * usize::from(prompts);
                let took = 0.03 + 0.002 * prompt as f64;
                floor.took(Shape { decode: 1, prompt }, took);
                (seconds, steps, tokens) = (seconds + took, steps + 1.0, tokens + prompt);
            }
            let share = steps * 0.03 / seconds;
            assert!(share > 0.8, "{share} with {look}");
            if prompts {
                assert!(looks > 0.05 * seconds, "{looks}");
                assert!(tokens as f64 * 0.002 > 0.005 * seconds, "{tokens}");
            } else {
                assert!(looks > 0.14 * seconds, "{looks} with {look}");
            }
        }
    }

    #[test]
    fn where_nobody_watches_looks_and_steps_take_as_long() {
        for look in [0.001, 0.02, 0.7] {
            let mut floor = Floor::new(0.8, 16);
            let (mut looks, mut steps) = (0.0, 0.0);
            while looks + steps < 1_000.0 {
                if floor.may_look(NOBODY, true) {
                    floor.looked(look);
                    looks += look;
                } else {
                    floor.took(Shape { decode: 4, prompt: 0 }, 0.02);
                    steps += 0.02;
                }
            }
            assert!((0.45..0.55).contains(&(looks / 1_000.0)), "{looks} with {look}");
        }
    }

    #[test]
    fn prompts_always_advance() {
        // A token that costs a hundred steps is more than can be earned.
        let mut floor = Floor::new(0.8, 16);
        let (_, prompt, _) = run(&mut floor, |prompt, _| 0.01 + prompt as f64);
        assert!(prompt > 0.0);
        let mut since = 0;
        for _ in 0..2_000 {
            let prompt = floor.allows(64, ONE);
            since = if prompt > 0 { 0 } else { since + 1 };
            assert!(since <= floor.most_waits());
            floor.took(Shape { decode: 1, prompt }, 0.01 + prompt as f64);
        }
    }

    #[test]
    fn nobody_is_held_back_for_nobody() {
        let mut floor = Floor::new(0.8, 16);
        assert_eq!(floor.allows(500, ONE), 500, "nothing was ever measured");
        floor.took(Shape { decode: 1, prompt: 0 }, 0.01);
        floor.took(Shape { decode: 1, prompt: 10 }, 0.02);
        assert_eq!(floor.allows(500, NOBODY), 500);
        assert!(floor.allows(500, ONE) < 100);
        assert_eq!(Floor::new(0.0, 16).allows(500, ONE), 500);
        // For others on the device, a step is no longer than they are to wait.
        floor.set_longest(Some(0.05));
        assert_eq!(floor.allows(500, NOBODY), 50);
        floor.set_longest(Some(0.0));
        assert_eq!(floor.allows(500, NOBODY), 16);
    }

    /// Streams that all come at once, of 128 tokens each after as many of prompts, where a step costs as on two cores. Returns
    /// when the last has ended, and when half of them had their first token.
    fn crowd(share: f64) -> (f64, f64) {
        const MANY: usize = 16;
        let mut floor = Floor::new(share, 16);
        let (mut clock, mut half) = (0.0, None);
        let (mut unread, mut left) = ([128; MANY], [128; MANY]);
        while left.iter().any(|&left| left > 0) {
            let going: Vec<_> = (0..MANY).filter(|&n| unread[n] == 0 && left[n] > 0).collect();
            let waiting = unread.iter().filter(|&&unread| unread > 0).count();
            let audience = Audience { watching: going.len(), waiting };
            let mut allowed = match waiting {
                0 => 0,
                _ => floor.allows(512 - going.len(), audience),
            };
            let mut prompt = 0;
            for unread in &mut unread {
                let read = allowed.min(*unread);
                (*unread, allowed, prompt) = (*unread - read, allowed - read, prompt + read);
            }
            let decode = going.len();
            let step = if decode == 0 { 0.0 } else { 0.011 + 0.003 * decode as f64 };
            let took = step + 0.0015 * prompt as f64;
            floor.took(Shape { decode, prompt }, took);
            clock += took;
            going.into_iter().for_each(|n| left[n] -= 1);
            if half.is_none() && unread.iter().filter(|&&unread| unread == 0).count() >= MANY / 2 {
                half = Some(clock);
            }
        }
        (clock, half.unwrap())
    }

    #[test]
    fn those_who_come_at_once_are_not_let_in_one_by_one() {
        let (fastest, soonest) = crowd(0.0);
        let (took, half) = crowd(0.85);
        assert!(took < 1.15 * fastest, "{took} s, and {fastest} s without a floor");
        assert!(half < 1.6 * soonest, "{half} s, and {soonest} s without a floor");
    }
}
