//! How fast a model answers, measured through the same road that requests take.

use std::sync::Arc;
use std::time::Instant;

use super::error::Error;
use super::generate::{GenerateOptions, Piece, Prompt};
use super::load::LoadedModel;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BenchOptions {
    /// Tokens of each prompt.
    pub prompt: usize,
    /// Tokens that are added to each.
    pub generate: usize,
    /// Sequences that run at once.
    pub batch: usize,
    /// How often; the median counts.
    pub repeat: usize,
}

/// Tokens over time: the median and the extremes of all repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// The median.
    pub tokens_per_second: f64,
    /// The slowest.
    pub least: f64,
    /// The fastest.
    pub most: f64,
}

/// Rounds before those that are counted.
const UNCOUNTED: usize = 2;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BenchReport {
    /// All prompts together, up to the first token of the last.
    pub prefill: Rate,
    /// All sequences together, from there to the end; absent if nothing more was generated.
    pub decode: Option<Rate>,
}

impl LoadedModel {
    /// Runs `options.batch` made-up prompts side by side, `options.repeat` times. Blocks.
    ///
    /// # Errors
    ///
    /// If the prompts do not fit the model.
    pub fn bench(self: &Arc<Self>, options: BenchOptions) -> Result<BenchReport, Error> {
        let BenchOptions { prompt, generate, batch, repeat } = options;
        let (mut prefill, mut decode) = (Vec::new(), Vec::new());
        // The first rounds also commit memory, fill caches, and see weights laid out: they are not
        // counted.
        for round in 0..UNCOUNTED + repeat.max(1) {
            let settings = GenerateOptions {
                max_tokens: Some(generate.max(1)),
                temperature: Some(0.0),
                ignore_eos: true,
                ..GenerateOptions::default()
            };
            let begun = Instant::now();
            let prompts = (0..batch).map(|n| {
                // Each its own, so that none finds its beginning in the cache.
                let seed = (round * batch + n) as u64;
                Prompt::Tokens(made_up(seed, prompt, self.facts.vocabulary))
            });
            let mut answers = prompts
                .map(|prompt| self.generate(&prompt, &settings))
                .collect::<Result<Vec<_>, _>>()?;
            let mut first = begun;
            let mut last = begun;
            for answer in &mut answers {
                while answer.next_piece()?.is_some_and(|piece| !matches!(piece, Piece::End(_))) {}
                let timings = answer.timings();
                let at = begun + timings.first_token.unwrap_or_default();
                (first, last) = (first.max(at), last.max(at + timings.decode));
            }
            if round < UNCOUNTED {
                continue;
            }
            prefill.push((prompt * batch) as f64 / (first - begun).as_secs_f64());
            if generate > 1 {
                let seconds = (last - first).as_secs_f64();
                decode.push(((generate - 1) * batch) as f64 / seconds);
            }
        }
        let decode = (!decode.is_empty()).then(|| rate(decode));
        Ok(BenchReport { prefill: rate(prefill), decode })
    }
}

/// The same tokens for the same seed.
fn made_up(seed: u64, n: usize, vocabulary: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % vocabulary as u64) as u32
    };
    (0..n.max(1)).map(|_| next()).collect()
}

fn rate(mut samples: Vec<f64>) -> Rate {
    samples.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (samples.first(), samples.last()) else {
        return Rate::default();
    };
    // Of an even number, the middle is between two.
    let (low, high) = (samples[(samples.len() - 1) / 2], samples[samples.len() / 2]);
    Rate { tokens_per_second: (low + high) / 2.0, least, most }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(rate(vec![3.0, 1.0, 2.0]).tokens_per_second, 2.0);
        assert_eq!(rate(vec![4.0, 1.0]).tokens_per_second, 2.5);
        assert_eq!(rate(vec![4.0, 1.0]).least, 1.0);
    }
}
