//! `cargo xtask goldens`: makes the fixtures and goldens anew with the reference implementations.
//!
//! Goldens are committed; neither the tests nor CI need the oracle. See docs/dev/goldens.md.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{must, python_environment};

/// Installs `fixtures/requirements.txt` and `requirements-alone.txt` under `target/oracle` and runs
/// `fixtures/goldens.py` with `arguments`.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<bool> {
    let pins = |name| {
        let path = root.join("fixtures").join(name);
        let file = std::fs::read_to_string(&path);
        let file = file.with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(requirements(&file))
    };
    let together = pins("requirements.txt")?;
    let alone = format!("--no-deps {}", pins("requirements-alone.txt")?);
    let python = python_environment(&root.join("target/oracle"), &[&together, &alone])
        .context("cannot install the oracle (it needs python3, its venv module, and PyPI)")?;
    must(Command::new(python).current_dir(root).arg("fixtures/goldens.py").args(arguments))?;
    Ok(true)
}

/// The requirements of a pip file, in one line: they are resolved together.
pub(crate) fn requirements(file: &str) -> String {
    let lines = file.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_requirements() {
        let file = "# The oracle.\nmlx[cpu]==0.32.4\n\nnumpy==2.4.6 # same\n";
        assert_eq!(requirements(file), "mlx[cpu]==0.32.4 numpy==2.4.6");
    }
}
