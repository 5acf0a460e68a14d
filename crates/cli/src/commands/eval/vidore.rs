//! `folio eval vidore`: how well pages are found, by a benchmark in a folder.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use manager::find::index::{Candidates, Index, Writer};
use manager::find::{Asked, Encoders, Gain, Rerank, find, ndcg, recall};
use serde_json::json;

use super::bench_folder::BenchFolder;
use crate::commands::bench::Scratch;
use crate::commands::index::{Filling, GOES_ON, Making};
use crate::commands::search::Again;
use crate::output;
use crate::progress::counting;
use crate::report::{Problem, Result};

/// How many of the first are looked at.
const CUTS: [usize; 4] = [1, 5, 10, 100];

/// Measure how well pages are found, by a benchmark such as ViDoRe in a folder: nDCG and recall.
///
/// The folder has `corpus.jsonl` (`{"corpus-id": ..., "image": FILE}`), or a folder `images` with a file for each page;
/// `queries.jsonl` (`{"query-id": ..., "text": ...}`); and `qrels/test.tsv` (query-id, corpus-id, score). Pages go through the
/// very work of `folio index`. Scores are those of trec_eval, which mteb reports: means over the queries that have a relevant page.
#[derive(Args, Debug)]
pub(crate) struct Vidore {
    /// The folder
    folder: PathBuf,
    #[command(flatten)]
    making: Making,
    /// The folder of the index, which is kept: the same command goes on there [default: one that is removed at the end]
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// Compare by looks only what words and meaning have found
    #[arg(long)]
    fused: bool,
    #[command(flatten)]
    again: Again,
    /// What a grade counts for in nDCG: itself, as in trec_eval and mteb, or 2^grade - 1
    #[arg(long, value_name = "HOW", value_enum, default_value_t = How::Linear)]
    gain: How,
    /// Write the rankings to this file as trec_eval reads them
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum How {
    Linear,
    Exponential,
}

/// Sums over queries.
#[derive(Default)]
struct Sums {
    queries: usize,
    ndcg: [f64; CUTS.len()],
    recall: [f64; CUTS.len()],
}

impl Vidore {
    pub(super) fn run(self) -> Result<ExitCode> {
        let data = BenchFolder::read(&self.folder)?;
        let mut names: BTreeMap<String, &String> = BTreeMap::new();
        for (name, file) in &data.corpus {
            if let Some(other) = names.insert(manager::find::path(file), name) {
                let reason =
                    format!("`{other}` and `{name}` are the same file, {}", file.display());
                return Err(Problem::Benchmark { path: self.folder.clone(), reason }.into());
            }
        }
        let mut run = match &self.run {
            Some(file) => Some((
                file,
                std::fs::File::create(file).map_err(|error| Problem::io("write", file, error))?,
            )),
            None => None,
        };
        let encoders = self.making.encoders()?;
        let judge = self.again.judge(self.making.compute)?;
        let (scratch, folder) = match &self.index {
            Some(folder) => (None, folder.clone()),
            None => {
                let scratch = Scratch::make()?;
                let path = scratch.path().to_owned();
                (Some(scratch), path)
            }
        };
        let failed = self.fill(&folder, &data, &encoders)?;
        let index =
            manager::find::open(&folder, &encoders.profile(false), self.making.compute.cpu())?;
        let mut sums = Sums::default();
        let bar = counting(true, data.grades.len(), "queries");
        for (query, grades) in &data.grades {
            let words = &data.queries[query];
            let rerank = judge.as_deref().map(|model| Rerank {
                model,
                pages: self.again.pages(),
                told: &|_, _| (),
                stop: &|| false,
            });
            let ranked = self.ranked(&index, &encoders, words, rerank)?;
            let ranked: Vec<&String> =
                ranked.iter().filter_map(|path| names.get(path).copied()).collect();
            if let Some((file, out)) = &mut run {
                for (rank, page) in ranked.iter().enumerate() {
                    // What counts for trec_eval is the score, and the order is what was found.
                    writeln!(out, "{query} Q0 {page} {} {} folio", rank + 1, ranked.len() - rank)
                        .map_err(|error| Problem::io("write", file, error))?;
                }
            }
            sums.add(
                &ranked,
                &grades.iter().map(|(page, grade)| (page, *grade)).collect(),
                self.gain,
            );
            bar.inc(1);
        }
        bar.finish_and_clear();
        drop(scratch);
        self.tell(&data, &sums, failed)
    }

    /// Brings all pages into the index; answers how many cannot be found.
    fn fill(&self, folder: &Path, data: &BenchFolder, encoders: &Encoders) -> Result<usize> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Problem::io("make the folder", folder, error))?;
        let mut writer = Writer::create(folder, &encoders.profile(false))?;
        let ending = match self.index {
            Some(_) => GOES_ON,
            None => "ending after the pages that are under way",
        };
        let filling = Filling { previews: false, ..self.making.filling(ending) };
        let files: Vec<PathBuf> = data.corpus.values().cloned().collect();
        let totals = filling.run(&mut writer, encoders, &files)?;
        Ok(totals.failed + totals.lost)
    }

    fn ranked(
        &self,
        index: &Index,
        encoders: &Encoders,
        words: &str,
        rerank: Option<Rerank<'_>>,
    ) -> Result<Vec<String>> {
        let asked = Asked {
            question: words,
            candidates: if self.fused { Candidates::Fused } else { Candidates::All },
            limit: CUTS[CUTS.len() - 1],
            rerank,
            ..Asked::default()
        };
        let mut paths: Vec<String> = Vec::new();
        for hit in find(index, encoders, &asked)?.answer.hits {
            // Of a document of several pages the best one counts.
            if !paths.contains(&hit.path) {
                paths.push(hit.path);
            }
        }
        Ok(paths)
    }

    fn tell(&self, data: &BenchFolder, sums: &Sums, failed: usize) -> Result<ExitCode> {
        if sums.queries == 0 {
            let reason = "no query has a relevant page".to_owned();
            return Err(Problem::Benchmark { path: self.folder.clone(), reason }.into());
        }
        let mean = |sum: f64| sum / sums.queries as f64;
        if self.json {
            let named = |name: &str, sums: &[f64]| -> Vec<(String, serde_json::Value)> {
                CUTS.iter()
                    .zip(sums)
                    .map(|(k, sum)| (format!("{name}_at_{k}"), json!(mean(*sum))))
                    .collect()
            };
            let mut object = json!({
                "folder": self.folder.display().to_string(), "models": self.making.model, "rerank": self.again.rerank,
                "pool": self.making.pool, "fused": self.fused,
                "gain": if self.gain == How::Linear { "linear" } else { "exponential" },
                "pages": data.corpus.len(), "failed": failed, "queries": sums.queries,
            });
            for (name, value) in
                named("ndcg", &sums.ndcg).into_iter().chain(named("recall", &sums.recall))
            {
                object[name] = value;
            }
            output::line(&object.to_string())?;
        } else {
            let mut rows = vec![vec![String::new()]];
            rows[0].extend(CUTS.map(|k| format!("@{k}")));
            for (name, sums) in [("nDCG", &sums.ndcg), ("recall", &sums.recall)] {
                let mut row = vec![name.to_owned()];
                row.extend(sums.map(|sum| format!("{:.4}", mean(sum))));
                rows.push(row);
            }
            output::write(&output::table(&rows, &[1, 2, 3, 4]))?;
            let (pages, queries) = (data.corpus.len(), sums.queries);
            output::line(&format!("\n{pages} pages, {queries} queries with a relevant page"))?;
        }
        if failed > 0 {
            eprintln!("{failed} pages cannot be found, so these are scores of the others");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Sums {
    fn add(&mut self, ranked: &[&String], grades: &BTreeMap<&String, u32>, gain: How) {
        let gain = if gain == How::Linear { Gain::Linear } else { Gain::Exponential };
        let mut judged = false;
        for (at, &k) in CUTS.iter().enumerate() {
            let found = ndcg(ranked, grades, k, gain).zip(recall(ranked, grades, k));
            if let Some((ndcg, recall)) = found {
                self.ndcg[at] += ndcg;
                self.recall[at] += recall;
                judged = true;
            }
        }
        self.queries += usize::from(judged);
    }
}
