//! `folio bench index`: how fast documents become findable on this machine, and how fast they are found.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use manager::find::index::{Index, PageId, Writer};
use manager::find::{Asked, Encoders, IngestStages, IngestTotals, Part, Store, find};
use serde_json::json;

use crate::commands::index::Making;
use crate::commands::read::found;
use crate::output;
use crate::report::{Problem, Result};

/// Measure how fast documents are indexed and found, stage by stage.
///
/// The files go through the very work of `folio index`, into an index that is removed at the end. Parsing, drawing and
/// resizing go on beside the models, so that the stages together may take longer than all of it.
#[derive(Args, Debug)]
pub(crate) struct IndexBench {
    /// PDFs, images, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    making: Making,
    /// Questions that are asked, with words of the pages
    #[arg(long, value_name = "N", default_value_t = 20)]
    questions: usize,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// A folder that is gone when this is.
pub(crate) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("folio-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| Problem::io("make the folder", &path, error))?;
        Ok(Self(path))
    }
}

/// What was measured.
struct Measured {
    load: Duration,
    all: Duration,
    totals: IngestTotals,
    /// Vectors of looks of a page, the mean.
    vectors: Option<f64>,
    bytes: u64,
    peak: Option<u64>,
    /// The medians of making vectors of a question, and of all that follows; absent if nothing was asked.
    search: Option<(Duration, Duration)>,
}

impl IndexBench {
    pub(super) fn run(self) -> Result<ExitCode> {
        let begun = Instant::now();
        let encoders = self.making.encoders()?;
        let load = begun.elapsed();
        let scratch = Scratch::make()?;
        let (all, totals) = self.fill(&scratch.0, &encoders)?;
        let index =
            manager::find::open(&scratch.0, &encoders.profile(false), self.making.compute.cpu())?;
        let size = index.size()?;
        let peak = manager::peak_rss();
        let ids = every_page(&index)?;
        let vectors = mean_vectors(&index, &ids, &encoders);
        let search = self.search(&index, &encoders, &ids)?;
        let measured = Measured { load, all, totals, vectors, bytes: size.bytes, peak, search };
        if self.json {
            output::line(&self.object(&measured).to_string())?;
        } else {
            output::write(&shown(&measured))?;
        }
        let whole = measured.totals.lost == 0 && measured.totals.failed == 0;
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn fill(&self, folder: &Path, encoders: &Encoders) -> Result<(Duration, IngestTotals)> {
        let begun = Instant::now();
        let mut writer = Writer::create(folder, &encoders.profile(false))?;
        let filling = self.making.filling("ending after the pages that are under way");
        let totals = filling.run(&mut writer, encoders, &found(&self.files))?;
        if totals.pages == 0 {
            return Err(Problem::Nothing { hint: "no page could be read" }.into());
        }
        Ok((begun.elapsed(), totals))
    }

    /// Asks with the first words of pages: the medians of making vectors of a question, and of all that follows.
    fn search(
        &self,
        index: &Index,
        encoders: &Encoders,
        ids: &[PageId],
    ) -> Result<Option<(Duration, Duration)>> {
        let (mut question_times, mut index_times) = (Vec::new(), Vec::new());
        let step = (ids.len() / self.questions.max(1)).max(1);
        for &page in ids.iter().step_by(step).take(self.questions) {
            let text = index.text(page)?;
            let question = text.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
            let question = if question.is_empty() { "what is this".to_owned() } else { question };
            let asked = Asked { question: &question, limit: 10, ..Asked::default() };
            let took = find(index, encoders, &asked)?.took;
            let of = |own: bool| {
                took.iter().filter(|it| (it.part == Part::Question) == own).map(|it| it.time).sum()
            };
            question_times.push(of(true));
            index_times.push(of(false));
        }
        Ok((!index_times.is_empty())
            .then(|| (middle(&mut question_times), middle(&mut index_times))))
    }

    fn object(&self, measured: &Measured) -> serde_json::Value {
        let Measured { load, all, totals, vectors, bytes, peak, search } = measured;
        let seconds = |(name, time): (&str, Duration)| (name.to_owned(), json!(time.as_secs_f64()));
        json!({
            "files": self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
            "models": self.making.model,
            "precision": self.making.compute.precision().to_string(),
            "batch": self.making.batch,
            "pool": self.making.pool,
            "load_seconds": load.as_secs_f64(),
            "seconds": all.as_secs_f64(),
            "documents": totals.documents,
            "pages": totals.pages,
            "failed": totals.failed,
            "pages_per_minute": rate(totals.pages, *all),
            "stage_seconds": stages(&totals.stages).map(seconds).into_iter().collect::<serde_json::Map<_, _>>(),
            "vectors_per_page": vectors,
            "vector_bytes": bytes,
            "peak_rss_bytes": peak,
            "question_seconds": search.map(|(question, _)| question.as_secs_f64()),
            "search_seconds": search.map(|(_, search)| search.as_secs_f64()),
        })
    }
}

fn every_page(index: &Index) -> Result<Vec<PageId>> {
    let mut ids = Vec::new();
    for document in Store::documents(index)? {
        ids.extend(index.pages(document.document)?.into_iter().map(|(_, page)| page));
    }
    Ok(ids)
}

/// Vectors of looks of a page: the mean of the first hundred.
fn mean_vectors(index: &Index, ids: &[PageId], encoders: &Encoders) -> Option<f64> {
    let encoder = encoders.profile(false).vectors?;
    // A page that failed has none.
    let numbers = ids.iter().take(100).filter_map(|&page| index.vectors(page).ok());
    let counts: Vec<usize> =
        numbers.map(|(numbers, _)| numbers.len() / encoder.dim as usize).collect();
    Some(counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64)
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn rate(pages: usize, time: Duration) -> f64 {
    pages as f64 * 60.0 / time.as_secs_f64().max(1e-9)
}

fn stages(stages: &IngestStages) -> [(&'static str, Duration); 7] {
    let IngestStages { parse, draw, prepare, preview, encode, write, wait, read: _ } = *stages;
    [
        ("parse", parse),
        ("draw", draw),
        ("prepare", prepare),
        ("preview", preview),
        ("encode", encode),
        ("write", write),
        ("wait", wait),
    ]
}

fn shown(measured: &Measured) -> String {
    let Measured { load, all, totals, vectors, bytes, peak, search } = measured;
    let mut rows =
        vec![["stage", "seconds", "ms a page", "pages a minute"].map(String::from).to_vec()];
    for (name, time) in stages(&totals.stages).into_iter().chain([("all", *all)]) {
        let seconds = time.as_secs_f64();
        let rate = if name == "wait" || seconds < 1e-6 {
            "-".to_owned()
        } else {
            format!("{:.1}", rate(totals.pages, time))
        };
        let each = seconds * 1e3 / totals.pages as f64;
        rows.push(vec![name.to_owned(), format!("{seconds:.2}"), format!("{each:.1}"), rate]);
    }
    let mut text = output::table(&rows, &[1, 2, 3]);
    text += &format!(
        "\n{} pages of {} documents, {} failed; {} of vectors",
        totals.pages,
        totals.documents,
        totals.failed,
        output::bytes(*bytes)
    );
    if let Some(vectors) = vectors {
        text += &format!(" ({vectors:.0} a page)");
    }
    let peak = peak.map_or_else(|| "unknown".to_owned(), output::bytes);
    text += &format!("; peak memory {peak}; loaded in {:.0} ms\n", load.as_secs_f64() * 1e3);
    if let Some((question, search)) = search {
        text += &format!(
            "a question takes {:.1} ms to encode and {:.1} ms to be looked for (medians)\n",
            question.as_secs_f64() * 1e3,
            search.as_secs_f64() * 1e3
        );
    }
    text
}
