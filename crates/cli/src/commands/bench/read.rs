//! `folio bench read`: how fast a model reads pages of a document on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use documents::picture::{self, Picture};
use documents::pipeline::{PROMPT, Parse as _, Raster, Render as _};
use documents::worker::Pool;
use documents::{Limits, Source};
use manager::Image;
use manager::runtime::{PageStages, PagesOptions};
use serde_json::{Value, json};

use crate::args::{Compute, Kept};
use crate::report::{Problem, Result};
use crate::{material, models, output};

/// Measure how fast a vision model reads pages, stage by stage.
///
/// Pages are drawn, prepared, looked at, read and written about as `folio read` does it, so many at
/// once. Answers have --max-tokens tokens each, whatever the model would say: with random weights
/// they are as long as with others. Times are medians over --repeat rounds, after one that is not
/// counted; rates are what one stage could do if it were the only one.
#[derive(Args, Debug)]
pub(crate) struct ReadBench {
    /// A PDF or an image; its pages are taken in turn
    file: PathBuf,
    /// The vision model: a folder, a name that `folio list` shows, or ORG/NAME of the hub
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Pages at once (several: 1,2,4,8)
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2,4,8")]
    concurrency: Vec<usize>,
    /// Tokens that are written for each page
    #[arg(long, value_name = "N", visible_alias = "max_tokens", default_value_t = 256)]
    max_tokens: usize,
    /// Pixels of the longer side of a page
    #[arg(
        long,
        value_name = "N",
        visible_alias = "target_longest_image_dim",
        default_value_t = 1288,
        value_parser = clap::value_parser!(u32).range(28..=8192)
    )]
    target_longest_image_dim: u32,
    /// Rounds that are counted
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

/// What was measured with so many pages at once.
struct Run {
    concurrency: usize,
    render: Duration,
    stages: PageStages,
    /// The most memory that the process had held until then.
    peak: Option<u64>,
}

impl Run {
    /// Every stage, and all of them one after the other.
    fn times(&self) -> [(&'static str, Duration); 6] {
        let PageStages { prepare, encode, prefill, decode, .. } = self.stages;
        let all = self.render + prepare + encode + prefill + decode;
        [
            ("render", self.render),
            ("prepare", prepare),
            ("encode", encode),
            ("prefill", prefill),
            ("decode", decode),
            ("all", all),
        ]
    }

    /// Pages that a stage could do in a minute.
    fn rate(&self, time: Duration) -> Option<f64> {
        let seconds = time.as_secs_f64();
        (seconds > 0.0).then(|| self.concurrency as f64 * 60.0 / seconds)
    }
}

impl ReadBench {
    pub(super) fn run(self) -> Result<ExitCode> {
        if let Some(wrong) = self.concurrency.iter().find(|&&pages| !(1..=64).contains(&pages)) {
            let reason = format!("{wrong} is not from 1 to 64");
            return Err(Problem::Flag { flag: "--concurrency", reason }.into());
        }
        let limits = Limits::default();
        let source = Source::read(&self.file, limits.file_bytes)?;
        let begun = Instant::now();
        let model = models::load_keeping(&self.model, self.compute, self.kept)?;
        let load = begun.elapsed();
        if !model.sees() {
            let reason = format!("`{}` sees no images", self.model);
            return Err(Problem::Flag { flag: "--model", reason }.into());
        }
        let mut runs = Vec::new();
        for &concurrency in &self.concurrency {
            let (render, pictures) = self.draw(&source, concurrency, limits)?;
            let options = PagesOptions {
                prompt: PROMPT,
                generate: self.max_tokens.max(1),
                repeat: self.repeat.max(1),
            };
            let mut stamp = 0;
            let stages = model.bench_pages(
                &mut |_| {
                    let stamped = pictures.iter().map(|picture| {
                        stamp += 1;
                        Image::new(picture::png(&stamped(picture, stamp)))
                    });
                    stamped.collect()
                },
                &options,
            )?;
            runs.push(Run { concurrency, render, stages, peak: manager::peak_rss() });
        }
        let name = model.name();
        if self.json {
            let object = json!({
                "model": name,
                "architecture": model.facts().architecture,
                "file": self.file.display().to_string(),
                "precision": self.compute.precision().to_string(),
                "target_longest_image_dim": self.target_longest_image_dim,
                "max_tokens": self.max_tokens,
                "repeat": self.repeat,
                "load_seconds": load.as_secs_f64(),
                "runs": runs.iter().map(told).collect::<Vec<_>>(),
            });
            output::line(&object.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        output::write(&table(&runs))?;
        let tokens = runs.first().map_or(0, |run| run.stages.prompt_tokens);
        output::line(&format!(
            "\npages a minute, of {tokens} tokens and {} written; loaded in {:.0} ms",
            self.max_tokens,
            load.as_secs_f64() * 1e3,
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Draws so many pages, each in a process of its own, and how long that took with all of them open.
    fn draw(
        &self,
        source: &Source,
        pages: usize,
        limits: Limits,
    ) -> Result<(Duration, Vec<Picture>)> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = pages.min(cores);
        let pool = Pool::new(material::worker()?, workers, limits);
        let raster = Raster { longest: self.target_longest_image_dim };
        let mut leases = Vec::new();
        let mut count = 1;
        for _ in 0..workers {
            let mut lease = pool.lease();
            count = lease.open(source.clone(), &[])?.pages.max(1);
            leases.push(lease);
        }
        let (next, begun) = (AtomicUsize::new(0), Instant::now());
        let drawn = std::thread::scope(|scope| {
            let drawing: Vec<_> = leases
                .iter_mut()
                .map(|lease| {
                    let next = &next;
                    scope.spawn(move || {
                        let mut drawn = Vec::new();
                        loop {
                            let at = next.fetch_add(1, Ordering::Relaxed);
                            if at >= pages {
                                return Ok(drawn);
                            }
                            let picture = lease.render(at as u32 % count, raster)?;
                            // What a model is sent is a PNG.
                            picture::png(&picture);
                            drawn.push(picture);
                        }
                    })
                })
                .collect();
            let ended = drawing.into_iter().map(|drawing| drawing.join());
            ended.map(|drawn| drawn.unwrap_or_else(|_| Ok(Vec::new()))).collect::<Vec<_>>()
        });
        let render = begun.elapsed();
        let mut pictures = Vec::new();
        for part in drawn {
            let part: std::result::Result<Vec<Picture>, documents::PageFailure> = part;
            pictures.extend(part.map_err(|failure| Problem::Flag {
                flag: "FILE",
                reason: format!("{} cannot be drawn: {failure}", self.file.display()),
            })?);
        }
        Ok((render, pictures))
    }
}

/// The same picture for the eye, and another one for whoever remembers what was seen.
fn stamped(picture: &Picture, stamp: u32) -> Picture {
    let mut stamped = picture.clone();
    // Black or white in the first row, of 14 by 2 pixels for each bit, so that resizing does not lose them.
    let width = stamped.width * 3;
    for bit in 0..12 {
        let shade = if stamp >> bit & 1 == 1 { 0 } else { 255 };
        for row in 0..2 {
            let from = row * width + bit * 14 * 3;
            if let Some(pixels) = stamped.pixels.get_mut(from..from + 14 * 3) {
                pixels.fill(shade);
            }
        }
    }
    stamped
}

fn told(run: &Run) -> Value {
    let stage = |time: Duration| {
        let pages = run.rate(time);
        json!({"seconds": time.as_secs_f64(), "pages_per_minute": pages})
    };
    let mut told = json!({
        "concurrency": run.concurrency,
        "prompt_tokens": run.stages.prompt_tokens,
        "generated_tokens": run.stages.generated,
        "peak_rss_bytes": run.peak,
    });
    for (name, time) in run.times() {
        told[name] = stage(time);
    }
    told
}

fn table(runs: &[Run]) -> String {
    let mut rows = vec![vec!["at once".to_owned()]];
    if let Some(run) = runs.first() {
        rows[0].extend(run.times().map(|(name, _)| name.to_owned()));
    }
    rows[0].push("peak memory".to_owned());
    for run in runs {
        let mut row = vec![run.concurrency.to_string()];
        let rate = |(_, time)| run.rate(time).map_or_else(|| "-".to_owned(), |r| format!("{r:.1}"));
        row.extend(run.times().map(rate));
        row.push(run.peak.map_or_else(|| "unknown".to_owned(), output::bytes));
        rows.push(row);
    }
    output::table(&rows, &[0, 1, 2, 3, 4, 5, 6, 7])
}
