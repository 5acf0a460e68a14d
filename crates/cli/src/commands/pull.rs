//! `folio pull`: models from the hub.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use manager::Environment;
use manager::catalog::ModelName;
use manager::fetch::Selection;
use serde_json::json;

use crate::fetching::{Fetched, INTERRUPTED, fetch};
use crate::report::{self, Problem, Result};
use crate::{output, report::Failure};

/// Fetch models from the hub, or what is missing of them.
///
/// They go to the Hugging Face cache, where other programs find them. What is fetched is compared with the hub's
/// hashes. An interrupted pull goes on where it stopped, and files that are here are not fetched again. The model's
/// folder is printed on standard output, everything else on standard error.
///
/// HF_ENDPOINT names another hub, HF_TOKEN is sent for models that need one, HF_HUB_OFFLINE forbids the network, and
/// HF_HOME or HF_HUB_CACHE move the cache.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// Names: ORG/NAME, or ORG/NAME@REVISION for another branch, tag or commit than main
    #[arg(required = true, value_name = "NAME[@REVISION]")]
    names: Vec<String>,
    /// Fetch every file, not only what folio needs
    #[arg(long, alias = "all")]
    all_files: bool,
    /// Print a JSON object on a line for each model
    #[arg(long)]
    json: bool,
}

impl Pull {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let environment = Environment::from_process();
        let names = self.names.iter().map(|name| name.parse());
        // A name that cannot be is told before the first byte is fetched.
        let names = names.collect::<Result<Vec<ModelName>, manager::Error>>()?;
        let selection = if self.all_files { Selection::Everything } else { Selection::Inference };
        let mut failed = 0;
        for name in &names {
            eprintln!("{name}");
            let begun = Instant::now();
            match fetch(&environment, name, selection) {
                Ok(Fetched::Stopped) => return Ok(ExitCode::from(INTERRUPTED)),
                Ok(Fetched::Whole(pulled)) => {
                    let seconds = begun.elapsed().as_secs_f64();
                    if self.json {
                        let object = json!({
                            "name": name.to_string(),
                            "commit": pulled.commit,
                            "path": pulled.path,
                            "files": pulled.files,
                            "bytes": pulled.bytes,
                            "seconds": seconds,
                        });
                        output::line(&object.to_string())?;
                    } else {
                        let (files, bytes) = (pulled.files, output::bytes(pulled.bytes));
                        eprintln!("  {files} files, {bytes}, verified, in {seconds:.1} s");
                        output::line(&pulled.path.display().to_string())?;
                    }
                }
                Err(failure) if names.len() == 1 => return Err(failure),
                Err(failure) => {
                    report::print(failure);
                    failed += 1;
                }
            }
        }
        match failed {
            0 => Ok(ExitCode::SUCCESS),
            failed => Err(Failure::from(Problem::Models { failed, all: names.len() })),
        }
    }
}
