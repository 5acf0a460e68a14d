//! `folio ps`: the models that a running server has in memory.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::output::{self, bytes, table};
use crate::report::Result;
use crate::running::Running;

/// List the models that a running server has in memory.
#[derive(Args, Debug)]
pub(crate) struct Ps {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

impl Ps {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let server = self.running.connect()?;
        let models = server.get("v1/models")?;
        let memory = server.get("v1/memory")?;
        let all = models["data"].as_array().map_or(&[][..], Vec::as_slice);
        let here: Vec<_> = all.iter().filter(|model| model["status"] != "unloaded").collect();
        if self.json {
            let told = serde_json::json!({"models": here, "memory": memory});
            output::line(&told.to_string())?;
        } else {
            output::write(&shown(&here, &memory))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(models: &[&Value], memory: &Value) -> String {
    let number = |name: &str| memory[name].as_u64().unwrap_or(0);
    let booked = format!("{} of {} booked\n", bytes(number("reserved")), bytes(number("limit")));
    if models.is_empty() {
        return format!("no model is in memory; {booked}");
    }
    let head = "model|state|requests|idle|weights|cache|in all";
    let mut rows = vec![head.split('|').map(str::to_owned).collect::<Vec<_>>()];
    for model in models {
        let name = model["id"].as_str().unwrap_or("-");
        let classes = &memory["owners"][name];
        let class = |class: &str| classes[class].as_u64().unwrap_or(0);
        let idle = memory["idle_seconds"][name].as_f64();
        rows.push(vec![
            name.to_owned(),
            model["status"].as_str().unwrap_or("-").to_owned(),
            model["users"].as_u64().map_or("-".to_owned(), |users| users.to_string()),
            idle.map_or("-".to_owned(), |seconds| format!("{seconds:.0} s")),
            bytes(class("weights")),
            bytes(class("kv") + class("prefix")),
            bytes(model["memory"]["reserved"].as_u64().unwrap_or(0)),
        ]);
    }
    format!("{}\n{booked}", table(&rows, &[2, 3, 4, 5, 6]))
}
