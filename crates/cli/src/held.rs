//! What an answer is held to: flags, and the files that they name.

use std::path::{Path, PathBuf};

use clap::Args;
use manager::Grammar;

use crate::report::{Problem, Result};

/// What an answer must be, token by token. One of these at most.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(crate) struct Held {
    /// Answer with JSON that the JSON Schema in this file allows
    #[arg(long, value_name = "FILE", help_heading = "What the answer must be")]
    schema: Option<PathBuf>,
    /// Answer with some JSON object
    #[arg(long, help_heading = "What the answer must be")]
    json_object: bool,
    /// Answer with what this regular expression matches from end to end
    #[arg(long, value_name = "REGEX", help_heading = "What the answer must be")]
    regex: Option<String>,
    /// Answer with what the grammar in this file allows, in Lark's syntax
    #[arg(long, value_name = "FILE", help_heading = "What the answer must be")]
    grammar: Option<PathBuf>,
    /// Answer with this text, or with another that is given so (give it several times)
    #[arg(long, value_name = "TEXT", help_heading = "What the answer must be")]
    choice: Vec<String>,
}

impl Held {
    /// The grammar that was asked for, if one was.
    pub(crate) fn grammar(&self) -> Result<Option<Grammar>> {
        if let Some(path) = &self.schema {
            let schema = serde_json::from_str(&text(path)?);
            let wrong = |error| Problem::Flag {
                flag: "--schema",
                reason: format!("{} is not JSON: {error}", path.display()),
            };
            return Ok(Some(Grammar::JsonSchema(schema.map_err(wrong)?)));
        }
        if let Some(path) = &self.grammar {
            return Ok(Some(Grammar::Lark(text(path)?)));
        }
        if self.json_object {
            return Ok(Some(Grammar::JsonObject));
        }
        if let Some(regex) = &self.regex {
            return Ok(Some(Grammar::Regex(regex.clone())));
        }
        Ok((!self.choice.is_empty()).then(|| Grammar::Choice(self.choice.clone())))
    }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Problem::io("read", path, error))
}
