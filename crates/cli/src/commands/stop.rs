//! `folio stop`: a model that a running server need not keep in memory.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::output;
use crate::report::Result;
use crate::running::Running;

/// Have a running server give up the memory of a model, as soon as nobody uses it.
#[derive(Args, Debug)]
pub(crate) struct Stop {
    /// Its name, as `folio ps` shows it
    model: String,
    #[command(flatten)]
    running: Running,
}

impl Stop {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let server = self.running.connect()?;
        server.post("api/generate", &json!({"model": self.model, "keep_alive": 0}))?;
        output::line(&format!("`{}` goes as soon as nobody uses it", self.model))?;
        Ok(ExitCode::SUCCESS)
    }
}
