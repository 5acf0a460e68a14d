//! `cargo xtask clients`: the server, asked by the clients that their makers publish.
//!
//! They are installed under `target/clients`, from PyPI (Node among them) and by Node's own installer. What they ask stands
//! in `crates/server/tests/clients`: `ask.py`, `ask.mjs`, and `fuzz.py`, which asks what the server's own description lets be
//! asked, and what it does not. Workspaces are shared with olmOCR, whose own code runs beside ours: see
//! `crates/manager/tests/olmocr`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command::{cargo, must, python_environment, succeeds};
use crate::goldens::requirements;

/// What clients show; any word would do.
const KEY: &str = "sesame";
/// The index that is searched, of one document.
const INDEX: &str = "lease";
/// Seconds that random questions are asked for at most.
const FUZZ_SECONDS: &str = "90";

/// The version of olmOCR whose workspaces are shared.
const OLMOCR: &str = "olmocr==0.4.27";

/// Builds the program, starts its server on a free port, and lets all clients ask it.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let scripts = root.join("crates/server/tests/clients");
    let pins = scripts.join("requirements.txt");
    let pins = std::fs::read_to_string(&pins)
        .with_context(|| format!("cannot read {}", pins.display()))?;
    let target = root.join("target/clients");
    let python = python_environment(&target.join("python"), &[&requirements(&pins)])
        .context("cannot install the clients (it needs python3, its venv module, and PyPI)")?;
    let models = target.join("models");
    prepare(&root.join("fixtures/models"), &models)?;
    let javascript = javascript(&python, &scripts, &target)?;
    let keys = target.join("keys");
    std::fs::write(&keys, format!("tester {KEY}\n"))?;
    must(cargo(root).args(["build", "--locked", "--package", "cli"]))?;
    let program = root.join("target/debug/folio");
    let none = target.join("none");
    // What clients leave here is not kept beside what people keep.
    let data = target.join("data");
    let set = [
        ("FOLIO_MODELS", &*models),
        ("FOLIO_MLX", "off".as_ref()),
        ("HF_HOME", &*none),
        ("XDG_DATA_HOME", &*data),
    ];
    let mut index = Command::new(&program);
    index.arg("index").arg(root.join("examples/lease.pdf")).args(["--index", INDEX]);
    must(index.args(["--model", "bert"]).envs(set))?;
    let mut serve = Command::new(&program);
    serve.args(["serve", "--port", "0", "--index", INDEX, "--keys"]).arg(&keys).envs(set);
    let mut server = Server(serve.stdout(Stdio::piped()).spawn().context("cannot start folio")?);
    let address = server.address()?;
    let mut ask = Command::new(&python);
    ask.arg(scripts.join("ask.py")).args([&address, KEY]).arg(&program);
    let mut holds = succeeds(ask.arg(root.join("examples/lease.pdf")).envs(set))?;
    let mut ask = Command::new(beside(&python, "node"));
    ask.arg(scripts.join("ask.mjs")).args([&address, KEY]).arg(&javascript);
    holds &= succeeds(&mut ask)?;
    let mut fuzz = Command::new(&python);
    fuzz.arg(scripts.join("fuzz.py")).args([&address, KEY]).arg(target.join("fuzz"));
    holds &= succeeds(fuzz.arg(FUZZ_SECONDS))?;
    Ok(holds & workspaces(root, &target)?)
}

/// Lets olmOCR's own queue and ours work at the same workspaces, in folders and in an S3 of PyPI's.
fn workspaces(root: &Path, target: &Path) -> Result<bool> {
    let scripts = root.join("crates/manager/tests/olmocr");
    let pins = std::fs::read_to_string(scripts.join("requirements.txt"))?;
    // What olmOCR wants besides is for reading pages, which is not done here.
    let wanted = [requirements(&pins), format!("--no-deps {OLMOCR}")];
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let python = python_environment(&target.join("olmocr"), &wanted)
        .context("cannot install olmOCR (it needs python3, its venv module, and PyPI)")?;
    must(cargo(root).args([
        "build",
        "--locked",
        "--package",
        "manager",
        "--example",
        "workspace",
    ]))?;
    let program = root.join("target/debug/examples/workspace");
    let mut share = Command::new(&python);
    succeeds(share.arg(scripts.join("workspace.py")).arg(program).arg(target.join("workspaces")))
}

/// A program of the environment that `python` belongs to.
fn beside(python: &Path, name: &str) -> PathBuf {
    python.with_file_name(if cfg!(windows) { format!("{name}.exe") } else { name.to_owned() })
}

/// Installs the JavaScript clients as their lock file has them, and says where.
fn javascript(python: &Path, scripts: &Path, target: &Path) -> Result<PathBuf> {
    let folder = target.join("javascript");
    std::fs::create_dir_all(&folder)?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(scripts.join(name), folder.join(name))?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = python.parent().map(Path::to_path_buf);
    let path = std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path)))?;
    let mut npm = Command::new(beside(python, "npm"));
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
    must(npm.current_dir(&folder).env("PATH", path))
        .context("cannot install the JavaScript clients")?;
    Ok(folder)
}

/// A server, which ends with this.
struct Server(Child);

impl Server {
    /// Where it listens, which it says first.
    fn address(&mut self) -> Result<String> {
        let stdout = self.0.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        Ok(address.with_context(|| format!("the server said `{line}`"))?.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies the tiny models that are asked, one of them with positions enough for a description of tools.
fn prepare(from: &Path, to: &Path) -> Result<()> {
    for model in ["qwen3", "bert", "llama", "xlm-roberta"] {
        copy(&from.join(model), &to.join(model))?;
    }
    let path = to.join("qwen3/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["max_position_embeddings"] = 8192.into();
    std::fs::write(&path, config.to_string())?;
    Ok(())
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to)?;
        } else {
            std::fs::copy(file.path(), to)?;
        }
    }
    Ok(())
}
