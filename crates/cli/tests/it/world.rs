//! A home of its own for each test, and `folio` run in it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The commit of models in the made cache.
pub(crate) const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// The checkpoints that the repository ships.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name)
}

/// A home without models and without a network.
pub(crate) struct World {
    pub(crate) home: TempDir,
    variables: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let text = home.path().to_str().unwrap();
        let variables =
            [("HOME", text), ("HF_HUB_OFFLINE", "1"), ("FOLIO_THREADS", "1"), ("FOLIO_MLX", "off")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { variables: variables.to_vec(), home }
    }

    /// Sets a variable; an empty value counts as none.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.home.path().join(".cache/huggingface/hub")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_folio"));
        command.args(arguments).env_clear().current_dir(self.home.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, None)
    }

    /// Runs it with something on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: Option<&str>) -> Ran {
        let mut command = self.command(arguments);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes()).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| self.redact(&String::from_utf8(bytes).unwrap());
        Ran {
            arguments: self.redact(&arguments.join(" ")),
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Takes out of a text what differs from machine to machine.
    pub(crate) fn redact(&self, text: &str) -> String {
        let fixtures = fixture("");
        let fixtures = fixtures.to_str().unwrap().trim_end_matches('/').to_owned();
        let home = self.home.path().to_str().unwrap();
        text.replace(&fixtures, "[fixtures]").replace(home, "[home]")
    }

    /// A model in the made hub cache: links to blobs, as the hub's client leaves them. `files` maps names to contents.
    pub(crate) fn cached(&self, name: &str, files: &[(&str, &[u8])]) {
        let folder = self.cache().join(format!("models--{}", name.replace('/', "--")));
        let snapshot = folder.join("snapshots").join(COMMIT);
        fs::create_dir_all(folder.join("blobs")).unwrap();
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::create_dir_all(&snapshot).unwrap();
        fs::write(folder.join("refs/main"), COMMIT).unwrap();
        for (number, (file, content)) in files.iter().enumerate() {
            let blob = format!("{number:040}");
            fs::write(folder.join("blobs").join(&blob), content).unwrap();
            symlink(format!("../../blobs/{blob}"), snapshot.join(file)).unwrap();
        }
    }

    /// A checkpoint of the repository, in the made hub cache.
    pub(crate) fn cached_fixture(&self, name: &str, checkpoint: &str) {
        let wanted =
            ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
        let files = wanted.map(|file| (file, fs::read(fixture(checkpoint).join(file)).unwrap()));
        let files: Vec<_> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        self.cached(name, &files);
    }
}

/// How a run of `folio` ended, machine-dependent paths taken out.
pub(crate) struct Ran {
    arguments: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// All of it, as a transcript.
    pub(crate) fn transcript(&self) -> String {
        let Self { arguments, code, out, err } = self;
        let code = code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        let err = if err.is_empty() { String::new() } else { format!("--- standard error\n{err}") };
        format!("$ folio {arguments}\n{out}{err}--- exit {code}\n")
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}
