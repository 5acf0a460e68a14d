//! `folio config`: what a server would be told, where each word of it comes from, and what will not work.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manager::Environment;
use manager::catalog::Catalog;
use manager::config::{
    Candidate, Config, Finding, Origin, Severity, check, keys, memory_limit, variable_of,
};
use manager::machine::Machine;
use manager::remote::{Backend, ollama};
use serde_json::json;

use crate::output::{self, bytes};
use crate::report::{Problem, Result};
use crate::settings::Settings;

/// Explain the settings of `folio serve`.
#[derive(Args, Debug)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(Box<Check>),
    Keys(Keys),
    Schema(SchemaOfFile),
}

/// Tell what is in force, where it comes from, and what will not work.
///
/// Reads what `folio serve` would read: the file, the variables and the flags. Ends with a failure if the server would
/// not start.
#[derive(Args, Debug)]
struct Check {
    /// The file, in place of the one that would be found
    #[arg(value_name = "FILE", conflicts_with = "config")]
    path: Option<PathBuf>,
    /// Show the settings too that nobody has set
    #[arg(long)]
    all: bool,
    /// Ask each remote whether it answers, and for its models
    #[arg(long)]
    online: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// List every setting: its key, its flag, what it may be, and its default.
#[derive(Args, Debug)]
struct Keys {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Print a JSON Schema of the file, for editors that complete and check it.
#[derive(Args, Debug)]
struct SchemaOfFile {}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Check(check) => check.run(),
            What::Keys(keys) => keys.run(),
            What::Schema(SchemaOfFile {}) => {
                output::write(&format!("{:#}\n", manager::config::schema()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Check {
    fn run(&self) -> Result<ExitCode> {
        let mut settings = self.settings.clone();
        settings.file = self.path.clone().or(settings.file);
        let config = settings.load()?;
        let environment = Environment::from_process();
        let catalog = Catalog::scan(&environment);
        let machine = Machine::look();
        let most = machine.memory_limit.unwrap_or(machine.memory_total);
        let mut found = check(&config, &catalog, most, machine.memory_available);
        if self.online {
            found.extend(ask(&config, &environment)?);
        }
        let limit = memory_limit(&config, most, machine.memory_available).bytes;
        if self.json {
            output::line(&json(&config, &found, limit).to_string())?;
        } else {
            output::write(&self.text(&config, &found, limit))?;
        }
        let fails = found.iter().any(|finding| finding.severity == Severity::Error);
        Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn text(&self, config: &Config, found: &[Finding], limit: u64) -> String {
        let mut out = match &config.file {
            Some(file) => format!("file    {}\n", file.display()),
            None => "file    none\n".to_owned(),
        };
        out.push_str(&format!("memory  {} for all models together\n\n", bytes(limit)));
        let shown =
            config.settings.iter().filter(|setting| self.all || setting.origin != Origin::Default);
        let mut rows: Vec<Vec<String>> = shown
            .map(|setting| {
                vec![setting.key.clone(), setting.value.clone(), setting.origin.to_string()]
            })
            .collect();
        let left = config.settings.len() - rows.len();
        if !rows.is_empty() {
            rows.insert(0, ["setting", "value", "from"].map(str::to_owned).to_vec());
            out.push_str(&output::table(&rows, &[]));
        }
        if left > 0 {
            out.push_str(&format!("{left} settings have their defaults (--all shows them)\n"));
        }
        if found.is_empty() {
            out.push_str("\nnothing is wrong with it\n");
        }
        for finding in found {
            out.push_str(&format!(
                "\n{} {}: {}\n",
                word(finding.severity),
                finding.about,
                finding.what
            ));
            if let Some(hint) = &finding.hint {
                out.push_str(&format!("  {hint}\n"));
            }
        }
        out
    }
}

impl Keys {
    fn run(&self) -> Result<ExitCode> {
        let keys = keys();
        if self.json {
            let key = |key: &manager::config::Key| {
                let flag = key.flag();
                json!({
                    "key": key.key,
                    "meaning": key.meaning,
                    "expected": key.expected,
                    "default": (key.default != "-").then_some(&key.default),
                    "variable": flag.as_deref().map(variable_of),
                    "flag": flag.map(|flag| format!("--{flag}")),
                })
            };
            output::line(&json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() }).to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut rows = vec![["setting", "flag", "default", "may be"].map(str::to_owned).to_vec()];
        rows.extend(keys.iter().map(|key| {
            let flag = key.flag().map_or_else(|| "-".to_owned(), |flag| format!("--{flag}"));
            vec![key.key.clone(), flag, key.default.clone(), key.expected.clone()]
        }));
        output::write(&output::table(&rows, &[]))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn json(config: &Config, found: &[Finding], limit: u64) -> serde_json::Value {
    let settings = config.settings.iter().map(|setting| {
        json!({ "key": setting.key, "value": setting.value, "from": setting.origin.to_string() })
    });
    let findings = found.iter().map(|finding| {
        json!({
            "severity": word(finding.severity),
            "about": finding.about,
            "what": finding.what,
            "hint": finding.hint,
        })
    });
    json!({
        "file": config.file,
        "memory_bytes": limit,
        "settings": settings.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

/// Asks each remote for its models.
fn ask(config: &Config, environment: &Environment) -> Result<Vec<Finding>> {
    let mut remotes = config.remotes.clone();
    if config.fallback.find_ollama {
        let host = std::env::var("OLLAMA_HOST").ok();
        remotes.entry("ollama".to_owned()).or_insert_with(|| ollama(host.as_deref()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
    let mut found = Vec::new();
    for (name, remote) in &remotes {
        let about = format!("remotes.{name}");
        let asked = Backend::open(name, remote, environment)
            .and_then(|backend| runtime.block_on(backend.models()));
        let (severity, what, hint) = match asked {
            Ok(models) => {
                missing(config, name, &models, &mut found);
                (
                    Severity::Note,
                    format!("{} answers, with {} models", remote.url, models.len()),
                    None,
                )
            }
            // Nobody set it: it need not be there.
            Err(error) if !config.remotes.contains_key(name) => {
                (Severity::Note, format!("{}: {error}", remote.url), None)
            }
            Err(error) => {
                (Severity::Warning, format!("{}: {error}", remote.url), Some(error.hint()))
            }
        };
        found.push(Finding { severity, about, what, hint });
    }
    Ok(found)
}

/// Models of routes that a remote does not have.
fn missing(config: &Config, name: &str, models: &[String], found: &mut Vec<Finding>) {
    for (task, route) in &config.routes {
        for candidate in &route.candidates {
            let Candidate::Remote { remote, model } = candidate else { continue };
            let has = |there: &String| there == model || *there == format!("{model}:latest");
            if remote == name && !models.iter().any(has) {
                found.push(Finding {
                    severity: Severity::Warning,
                    about: format!("routes.{task}"),
                    what: format!("`{name}` has no model `{model}`"),
                    hint: None,
                });
            }
        }
    }
}
