//! `folio list`: the models on this machine.

use std::process::ExitCode;

use clap::Args;
use manager::catalog::{Catalog, Entry};
use manager::describe::{WeightFacts, weigh};
use manager::{Environment, Kind};
use serde_json::{Value, json};

use crate::output;
use crate::report::Result;

/// List the models on this machine.
///
/// Looks through the Hugging Face cache, LM Studio's folders and those that FOLIO_MODELS names. Models that are not
/// whole or not supported are listed too, with the reason.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Whether a model can be run, by what is quickly known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Incomplete,
    Unsupported,
    Damaged,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Incomplete => "incomplete",
            Self::Unsupported => "not supported",
            Self::Damaged => "damaged",
        }
    }

    pub(crate) fn of_kind(kind: Kind) -> Self {
        if kind == Kind::Unsupported { Self::Unsupported } else { Self::Damaged }
    }
}

/// A model, and what its headers say.
struct Row {
    entry: Entry,
    state: State,
    reasons: Vec<String>,
    weights: Option<WeightFacts>,
}

impl Row {
    fn of(entry: Entry) -> Self {
        let mut row = Self { state: State::Ready, reasons: Vec::new(), weights: None, entry };
        if !row.entry.is_complete() {
            row.state = State::Incomplete;
            row.reasons.extend(row.entry.gaps.iter().map(ToString::to_string));
        }
        if !row.entry.format.supported() {
            row.state = State::Unsupported;
            row.reasons.insert(0, row.entry.format.to_string());
        }
        if row.state != State::Ready {
            return row;
        }
        match weigh(&row.entry.path) {
            Ok(weights) => row.weights = Some(weights),
            Err(error) => {
                row.state = State::of_kind(error.kind());
                row.reasons.push(within(&error.to_string(), &row.entry));
            }
        }
        if row.state == State::Ready {
            row.check_architecture();
        }
        row
    }

    fn check_architecture(&mut self) {
        let lack = match &self.entry.model_type {
            None => "config.json names no architecture".to_owned(),
            Some(name) if manager::architectures().any(|known| known == name) => return,
            Some(name) => format!("architecture {name}"),
        };
        self.state = State::Unsupported;
        self.reasons.push(lack);
    }

    fn cells(&self) -> Vec<String> {
        let bits = self.weights.as_ref().and_then(|weights| weights.bits_per_weight);
        let state = match self.reasons.as_slice() {
            [] => self.state.name().to_owned(),
            [only] => format!("{}: {only}", self.state.name()),
            [first, rest @ ..] => {
                format!("{}: {first}, and {} more", self.state.name(), rest.len())
            }
        };
        vec![
            self.entry.name.clone(),
            self.entry.model_type.clone().unwrap_or_else(|| "-".to_owned()),
            output::bytes(self.entry.bytes),
            bits.map_or_else(|| "-".to_owned(), |bits| format!("{bits:.2}")),
            self.entry.source.to_string(),
            state,
        ]
    }

    fn json(&self) -> Value {
        let revision = self.entry.revision.as_ref();
        json!({
            "name": self.entry.name,
            "architecture": self.entry.model_type,
            "bytes": self.entry.bytes,
            "parameters": self.weights.as_ref().map(|weights| weights.parameters),
            "bits_per_weight": self.weights.as_ref().and_then(|weights| weights.bits_per_weight),
            "format": self.entry.format.to_string(),
            "source": self.entry.source.to_string(),
            "path": self.entry.path,
            "commit": revision.map(|revision| &revision.commit),
            "references": revision.map(|revision| &revision.references),
            "state": self.state.name(),
            "reasons": self.reasons,
        })
    }
}

impl List {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let environment = Environment::from_process();
        let catalog = Catalog::scan(&environment);
        let rows: Vec<Row> = catalog.entries().iter().cloned().map(Row::of).collect();
        let troubles = catalog.troubles();
        if self.json {
            let troubles = troubles.iter().map(
                |trouble| json!({ "path": trouble.path, "reason": trouble.source.to_string() }),
            );
            let object = json!({
                "models": rows.iter().map(Row::json).collect::<Vec<_>>(),
                "bytes": catalog.bytes(),
                "unreadable": troubles.collect::<Vec<_>>(),
            });
            output::line(&object.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        for trouble in troubles {
            eprintln!("warning: cannot read {}: {}", trouble.path.display(), trouble.source);
        }
        if rows.is_empty() {
            eprintln!("there are no models in");
            for folder in folders(&environment) {
                eprintln!("  {folder}");
            }
            eprintln!("`folio pull ORG/NAME` fetches one; FOLIO_MODELS names folders of your own");
            return Ok(ExitCode::SUCCESS);
        }
        let head = ["NAME", "ARCHITECTURE", "SIZE", "BITS", "WHERE", "STATE"];
        let mut table = vec![head.map(str::to_owned).to_vec()];
        table.extend(rows.iter().map(Row::cells));
        output::write(&output::table(&table, &[2, 3]))?;
        let plural = if rows.len() == 1 { "" } else { "s" };
        let bytes = output::bytes(catalog.bytes());
        output::line(&format!("{} model{plural}, {bytes}", rows.len()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is said of a model, without the way to its folder.
pub(crate) fn within(text: &str, entry: &Entry) -> String {
    let folder = entry.path.display().to_string();
    text.replace(&format!("{folder}/"), "").replace(&format!("{folder}: "), "")
}

/// Where models are looked for.
pub(crate) fn folders(environment: &Environment) -> Vec<String> {
    let all = environment.folders.iter().chain([&environment.hub_cache]);
    all.chain(&environment.lm_studio).map(|path| path.display().to_string()).collect()
}
