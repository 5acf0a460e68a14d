//! The small files beside the weights.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The most bytes of a file that is copied: the largest tokenizers have a quarter of it.
const LIMIT: u64 = 128 << 20;

/// What tells how to use a model, by the ends of names. Programs are left behind: nobody needs to run them. The maps that
/// make weights and vectors of single tokens are small, and stay as they are.
const KEPT: [&str; 7] = [".json", ".jinja", ".txt", ".model", ".tiktoken", ".md", "_linear.pt"];

/// What a conversion writes itself.
const OURS: [&str; 2] = ["config.json", "model.safetensors.index.json"];

/// Files to copy from the model folder `from`, with their names in it: tokenizer, templates, generation settings,
/// licence, and what sentence-transformers keeps in folders.
pub(crate) fn find(from: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    look(from, "", &mut found)?;
    found.sort();
    Ok(found)
}

fn look(folder: &Path, prefix: &str, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let fail = |source| Error::Io { path: folder.to_owned(), action: "list", source };
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // A name that is no text is none that a model's files refer to.
        let Ok(name) = entry.file_name().into_string() else { continue };
        // The hub's cache holds links, and what they lead to is what is meant.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_dir() {
            // `1_Pooling`, `2_Dense`: a module's own weights are small and stay as they are.
            let module = name.split_once('_').is_some_and(|(number, _)| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            });
            if prefix.is_empty() && module {
                look(&entry.path(), &format!("{name}/"), found)?;
            }
            continue;
        }
        let kept = KEPT.iter().any(|end| name.ends_with(end))
            || ["LICENSE", "LICENCE", "NOTICE", "COPYING"]
                .iter()
                .any(|start| name.starts_with(start))
            || (!prefix.is_empty() && name.ends_with(".safetensors"));
        let ours = prefix.is_empty()
            && (OURS.contains(&name.as_str()) || name.ends_with(".safetensors.index.json"));
        if kept && !ours && !name.starts_with('.') && metadata.len() <= LIMIT {
            found.push((entry.path(), format!("{prefix}{name}")));
        }
    }
    Ok(())
}
