//! `folio mcp`: tools for programs that speak the Model Context Protocol, on standard input and output.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use manager::Environment;
use manager::house::House;
use server::Rules;

use super::serve::{furnished, offer};
use crate::args::{Compute, Kept};
use crate::report::{Problem, Result};
use crate::settings::Settings;
use crate::{log, material, models};

/// Offer models as tools over MCP, on standard input and output.
///
/// For programs that start it themselves: `{"command": "folio", "args": ["mcp"]}` in their settings. Models are loaded when
/// a tool first needs one. It ends when its input does. `folio serve` offers the same tools at http://HOST:PORT/mcp.
#[derive(Args, Debug)]
pub(crate) struct Mcp {
    /// Read settings from this file, which may be that of `folio serve` [default: folio.toml, folio.yaml or mlx_config.yaml
    /// here, then in the user's configuration folder] [env: FOLIO_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Offer this model: a folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first (may be
    /// given several times) [default: every model on this machine]
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// Let tools read files under this folder (may be given several times)
    #[arg(long, value_name = "FOLDER")]
    allow_root: Vec<String>,
    /// Let tools find pages of this index: a name of `folio index --index`, a folder, or a collection on a server (qdrant://,
    /// weaviate://; may be given several times; `*` is every one here that has a name)
    #[arg(long, value_name = "INDEX")]
    index: Vec<String>,
    /// Set anything else that `folio serve` can be set to, such as memory.limit=8GiB (may be given several times)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

impl Mcp {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let named = |key: &str, values: Vec<String>| -> Vec<(String, String)> {
            values.into_iter().map(|value| (key.to_owned(), value)).collect()
        };
        let (models, roots) = (named("model", self.model), named("server.roots", self.allow_root));
        let indexes = named("server.indexes", self.index);
        let flags = [models, roots, indexes, named("set", self.set)].concat();
        let config = Settings::of(self.config, flags).load()?;
        log::begin(&config.logging)?;
        let files = material::files(&config.server.roots)?;
        let rules = Rules { files, indexes: offer(&config)?, ..Rules::default() };
        for model in &config.models {
            models::locate(&model.name)?;
        }
        let options = furnished(&config, &self.kept);
        let device = models::runtime(self.compute)?;
        let house = House::open(device, Environment::from_process(), options);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let done = runtime.block_on(server::mcp::stdio(Arc::clone(&house), rules));
        house.close();
        // A read of standard input cannot be called back.
        runtime.shutdown_background();
        let done = done.map_err(std::io::Error::other);
        done.map_err(|error| Problem::io("speak MCP on", Path::new("standard input"), error))?;
        Ok(ExitCode::SUCCESS)
    }
}
