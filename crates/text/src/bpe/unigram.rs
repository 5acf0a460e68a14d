//! The most probable way to spell a text with pieces that each have a probability.
//!
//! The best way to each place of the text is the best of those that end in a piece there; letters without a piece are
//! unknown, at a price below that of any piece. Scores are summed as SentencePiece sums them, in `f32` from left to right,
//! and of two equal ones the first found stays.

use super::vocabulary::{NONE, Vocabulary};

/// What an unknown letter costs beyond the rarest piece.
const PENALTY: f32 = 10.0;

pub(super) struct Unigram {
    /// By id; NaN where an id is no piece of text.
    scores: Vec<f32>,
    lowest: f32,
    /// Bytes of the longest piece.
    longest: usize,
}

/// The best way to a place: where its last piece begins, which that is, and the sum.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    id: u32,
    score: f32,
}

impl Unigram {
    pub(super) fn new(scores: Vec<f32>, longest: usize) -> Self {
        let lowest = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let lowest = if lowest.is_finite() { lowest } else { 0.0 };
        Self { scores, lowest, longest }
    }

    /// Calls `piece` with each piece's place in the text and its id, `NONE` for an unknown letter.
    pub(super) fn spell(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        mut piece: impl FnMut(std::ops::Range<usize>, u32),
    ) {
        let start = Step { from: 0, id: NONE, score: 0.0 };
        let mut steps: Vec<Option<Step>> = vec![None; text.len() + 1];
        steps[0] = Some(start);
        for (at, letter) in text.char_indices() {
            // Every letter can be reached, at least as an unknown one after the one before.
            let Some(Step { score: before, .. }) = steps[at] else { continue };
            let wide = letter.len_utf8();
            let mut alone = false;
            let mut offer = |to: usize, id: u32, score: f32| {
                if steps[to].is_none_or(|step| score > step.score) {
                    steps[to] = Some(Step { from: at, id, score });
                }
            };
            let mut to = at;
            for letter in text[at..].chars() {
                to += letter.len_utf8();
                if to - at > self.longest {
                    break;
                }
                let Some(id) = vocabulary.id(&text.as_bytes()[at..to]) else { continue };
                let Some(&score) = self.scores.get(id as usize).filter(|it| !it.is_nan()) else {
                    continue;
                };
                alone |= to - at == wide;
                offer(to, id, before + score);
            }
            if !alone {
                offer(at + wide, NONE, before + (self.lowest - PENALTY));
            }
        }
        let mut way = Vec::new();
        let mut at = text.len();
        while at > 0 {
            let Some(step) = steps[at] else { break };
            way.push((step.from..at, step.id));
            at = step.from;
        }
        for (range, id) in way.into_iter().rev() {
            piece(range, id);
        }
    }
}
