//! `folio rm`: a model's files, off the disk.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use manager::Environment;
use manager::catalog::{Catalog, Item, Removal};
use serde_json::json;

use crate::output;
use crate::report::{Problem, Result};

/// Remove a model from this machine.
///
/// Shows every file that would go, and asks. Files that another revision of the model shares stay. What folio did not
/// put there (folders of your own, LM Studio's) is removed with --force only. A model that a process is using, loading
/// or fetching is not removed.
#[derive(Args, Debug)]
pub(crate) struct Rm {
    /// A name that `folio list` shows, or a folder
    model: String,
    /// Show what would go, and leave it
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Also remove what other programs put there
    #[arg(long)]
    force: bool,
    /// Remove all revisions of the model that are here
    #[arg(long)]
    all_revisions: bool,
    /// Answer with one JSON object: files, bytes, whether they are gone
    #[arg(long)]
    json: bool,
}

impl Rm {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let entry = Catalog::scan(&Environment::from_process()).find(&self.model)?;
        let removal = if self.all_revisions {
            Removal::of_repository(&entry, self.force)?
        } else {
            Removal::of(&entry, self.force)?
        };
        let bytes = removal.bytes();
        let files: Vec<_> = removal
            .items()
            .iter()
            .map(|item| json!({ "path": item.path, "bytes": item.bytes }))
            .collect();
        let mut object =
            json!({ "name": removal.name(), "bytes": bytes, "files": files, "removed": false });
        if !self.json {
            output::write(&listing(&removal))?;
        }
        if self.dry_run {
            if self.json {
                output::line(&object.to_string())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes && !confirmed(removal.name(), bytes)? {
            eprintln!("nothing was removed");
            return Ok(ExitCode::FAILURE);
        }
        let freed = removal.execute()?;
        if self.json {
            object["removed"] = json!(true);
            object["bytes"] = json!(freed);
            output::line(&object.to_string())?;
        } else {
            eprintln!("removed, {} are free again", output::bytes(freed));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What would go: the files that free room, then links and what else is empty.
fn listing(removal: &Removal) -> String {
    let items = removal.items();
    let around = around(items);
    let name = |item: &Item| {
        let within = item.path.strip_prefix(&around).unwrap_or(&item.path);
        within.display().to_string()
    };
    let (heavy, light): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|item| item.bytes > 0);
    let mut rows: Vec<_> =
        heavy.into_iter().map(|item| vec![output::bytes(item.bytes), name(item)]).collect();
    rows.extend(light.into_iter().map(|item| vec!["-".to_owned(), name(item)]));
    let (bytes, folder) = (output::bytes(removal.bytes()), around.display());
    format!("{}: {bytes} in {folder}\n{}", removal.name(), output::table(&rows, &[0]))
}

/// The innermost folder that all of them lie in.
fn around(items: &[Item]) -> PathBuf {
    let mut folders = items.iter().filter_map(|item| item.path.parent());
    let Some(first) = folders.next() else { return PathBuf::new() };
    folders.fold(first.to_owned(), |around, folder| {
        let shared = around.components().zip(folder.components());
        shared.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// Asks on a terminal.
fn confirmed(name: &str, bytes: u64) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Problem::Unconfirmed { name: name.to_owned() }.into());
    }
    eprint!("remove {name} ({})? [y/N] ", output::bytes(bytes));
    let failed = |error| Problem::io("read from", "the terminal".as_ref(), error);
    io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
