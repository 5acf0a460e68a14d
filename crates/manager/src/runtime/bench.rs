//! How fast a model answers, measured through the same road that requests take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Status;
use text::{Image, Message, Part, RenderOptions};

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

/// What is measured of pages that are looked at.
#[derive(Clone, Debug)]
pub struct PagesOptions<'a> {
    /// What the model is told of each.
    pub prompt: &'a str,
    /// Tokens that are written of each.
    pub generate: usize,
    /// How often; the median counts.
    pub repeat: usize,
}

/// How long each stage took for all pages of a round together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PageStages {
    /// Pictures decoded, resized, and put among the tokens of a prompt.
    pub prepare: Duration,
    /// The tower that looks at them.
    pub encode: Duration,
    /// Prompts read, rows of pictures included, up to the first token of the last.
    pub prefill: Duration,
    /// From there to the end of the last.
    pub decode: Duration,
    /// Tokens of a prompt, those of its picture included: the mean.
    pub prompt_tokens: usize,
    /// Tokens that were written, of all.
    pub generated: usize,
}

/// Rounds of pages before those that are counted: a look at pages is long enough to need no more.
const UNCOUNTED_PAGES: usize = 1;

impl LoadedModel {
    /// Shows `pages` to the model side by side, `options.repeat` times. `pages` makes them anew for each round, so that none
    /// was seen before. Each round shows them twice, with other words before them the second time: then the
    /// tower has nothing to do, and what that spares is its time. Blocks.
    ///
    /// # Errors
    ///
    /// If the model sees nothing, the pages do not fit it, or so many are not kept until they are shown again.
    pub fn bench_pages(
        self: &Arc<Self>,
        pages: &mut dyn FnMut(usize) -> Vec<Image>,
        options: &PagesOptions<'_>,
    ) -> Result<PageStages, Error> {
        let mut rounds = Vec::new();
        for round in 0..UNCOUNTED_PAGES + options.repeat.max(1) {
            let pages = pages(round);
            // The words come first, so that no beginning of a prompt is found in the cache.
            let chat = |time: usize, n: usize, page: &Image| {
                let words = format!("{round}.{time}.{n} {}", options.prompt);
                let content = vec![Part::Text(words), Part::Image(page.clone())];
                let message = Message { content, ..Message::user("") };
                Prompt::Chat(vec![message], Box::new(RenderOptions::answer()))
            };
            let prompts = |time: usize| -> Vec<Prompt> {
                pages.iter().enumerate().map(|(n, page)| chat(time, n, page)).collect()
            };
            let begun = Instant::now();
            let mut tokens = 0;
            for prompt in &prompts(0) {
                tokens += self.encode_prompt(prompt)?.len();
            }
            let prepare = begun.elapsed();
            let first = self.show(&prompts(1), options.generate)?;
            let looks = |status: Status| status.sight.asked - status.sight.found;
            let before = looks(self.status()?);
            let again = self.show(&prompts(2), 1)?;
            if looks(self.status()?) > before {
                return Err(Error::Parameter {
                    name: "concurrency",
                    value: pages.len().to_string(),
                    expected: "so few pages that what was seen of all of them is kept at once",
                });
            }
            if round < UNCOUNTED_PAGES {
                continue;
            }
            rounds.push(PageStages {
                prepare,
                encode: first.0.saturating_sub(again.0),
                prefill: again.0.saturating_sub(prepare),
                decode: first.1,
                prompt_tokens: tokens / pages.len().max(1),
                generated: first.2,
            });
        }
        let middle = |of: fn(&PageStages) -> Duration| {
            let mut all: Vec<_> = rounds.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        let last = rounds.last().copied().unwrap_or_default();
        Ok(PageStages {
            prepare: middle(|round| round.prepare),
            encode: middle(|round| round.encode),
            prefill: middle(|round| round.prefill),
            decode: middle(|round| round.decode),
            ..last
        })
    }

    /// Asks all `prompts` at once: how long it took to the first token of the last, from there to the end, and how many tokens
    /// came.
    fn show(
        self: &Arc<Self>,
        prompts: &[Prompt],
        generate: usize,
    ) -> Result<(Duration, Duration, usize), Error> {
        let settings = GenerateOptions {
            max_tokens: Some(generate.max(1)),
            temperature: Some(0.0),
            ignore_eos: true,
            ..GenerateOptions::default()
        };
        let begun = Instant::now();
        let (mut first, mut last, mut tokens) = (begun, begun, 0);
        let mut answers = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            answers.push((Instant::now(), self.generate(prompt, &settings)?));
        }
        for (asked, answer) in &mut answers {
            while answer.next_piece()?.is_some_and(|piece| !matches!(piece, Piece::End(_))) {}
            let timings = answer.timings();
            let at = *asked + timings.first_token.unwrap_or_default();
            (first, last) = (first.max(at), last.max(at + timings.decode));
            tokens += answer.usage().completion_tokens;
        }
        Ok((first - begun, last - first, tokens))
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
