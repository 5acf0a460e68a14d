//! `cargo xtask release`: an archive of the program for this machine's target, and the files that go with it.
//!
//! An archive holds all that folio needs: the stripped program, the library over MLX with MLX's own, licences, completions,
//! documents and the example. It is the same bytes for the same commit, compiler and machine. Archives of several targets,
//! put into one folder, share one `SHA256SUMS` and one formula.

mod archive;
mod formula;
mod notices;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::command::{cargo, must, output};
use crate::mlx;

/// What folio is released for.
const TARGETS: &[&str] =
    &["aarch64-apple-darwin", "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// What lies in an archive, at its root.
const PACKED: &[&str] = &[
    "folio",
    "mlx",
    "completions",
    "docs",
    "examples",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-",
    "THIRD-PARTY.txt",
];

/// Files of the repository that are packed as they are, by where they lie.
const COPIED: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/install.md",
    "docs/models.md",
    "docs/documents.md",
    "docs/performance.md",
    "examples/lease.pdf",
    "examples/clerk/README.md",
    "examples/clerk/config.json",
    "examples/clerk/generation_config.json",
    "examples/clerk/model.safetensors",
    "examples/clerk/tokenizer.json",
    "examples/clerk/tokenizer_config.json",
];

/// Shells and the names of their completions.
const SHELLS: &[(&str, &str)] =
    &[("bash", "folio.bash"), ("zsh", "_folio"), ("fish", "folio.fish")];

fn archive_name(version: &str, target: &str) -> String {
    format!("folio-{version}-{target}.tar.gz")
}

/// `[--target TARGET] [--to FOLDER] [--site URL] [--without-mlx]` builds; `--sums FOLDER [--site URL]` only writes the sums
/// and the formula of the archives that are there.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<bool> {
    let (mut target, mut to, mut site, mut sums) = (None, None, None, None);
    let mut with_mlx = true;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let place = match *word {
            "--target" => &mut target,
            "--to" => &mut to,
            "--site" => &mut site,
            "--sums" => &mut sums,
            "--without-mlx" => {
                with_mlx = false;
                continue;
            }
            other => bail!("unknown argument: {other}"),
        };
        *place = Some(*rest.next().with_context(|| format!("{word} needs a value"))?);
    }
    let mut metadata = cargo(root);
    metadata.args(["metadata", "--format-version=1", "--locked", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let program = packages.iter().find(|package| package["name"] == "cli");
    let version = program.and_then(|it| it["version"].as_str()).context("`cli` has a version")?;
    let folder = match sums {
        Some(folder) => PathBuf::from(folder),
        None => {
            let built = PathBuf::from(metadata["target_directory"].as_str().unwrap_or("target"));
            let folder = to.map_or_else(|| built.join("dist"), PathBuf::from);
            let staged = stage(root, &folder, version, target)?;
            build(root, &built, &staged, with_mlx)?;
            folder
        }
    };
    let sums = formula::write_sums(&folder, version)?;
    println!("{}", folder.join("SHA256SUMS").display());
    let Some(site) = site else {
        println!("no formula: name the address of the releases with --site");
        return Ok(true);
    };
    let template = fs::read_to_string(root.join("packaging/folio.rb"))?;
    let path = folder.join("folio.rb");
    fs::write(&path, formula::formula(&template, site, version, &sums)?)?;
    println!("{} ({} of {} targets)", path.display(), sums.len(), TARGETS.len());
    Ok(true)
}

/// An archive on its way: what it is for, and the folder that becomes it.
struct Staged {
    target: String,
    folder: PathBuf,
}

/// An empty folder for the archive of `target`, which must be this machine's.
fn stage(root: &Path, to: &Path, version: &str, target: Option<&str>) -> Result<Staged> {
    let host = output(Command::new("rustc").arg("-vV").current_dir(root))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it builds for")?;
    let target = target.unwrap_or(host);
    ensure!(
        TARGETS.contains(&target),
        "folio is released for {}, not for {target}",
        TARGETS.join(", ")
    );
    if target != host {
        // MLX's wheel and its library are of the machine that builds; so is the compiler's linker.
        let seen = if target.contains("apple") {
            "; what can be seen from here is `cargo xtask mlx --link-check`"
        } else {
            ""
        };
        bail!("an archive for {target} is built on such a machine, and this is {host}{seen}");
    }
    let folder = to.join(archive_name(version, target).trim_end_matches(".tar.gz"));
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(Staged { target: target.to_owned(), folder })
}

fn build(root: &Path, built: &Path, staged: &Staged, with_mlx: bool) -> Result<()> {
    let Staged { target, folder } = staged;
    let program = compile(root, built, target)?;
    put(&program, &folder.join("folio"))?;
    if with_mlx {
        mlx::run(root, &["--to", &folder.join("mlx").display().to_string()])?;
    }
    for name in COPIED {
        put(&root.join(name), &folder.join(name))?;
    }
    for (shell, name) in SHELLS {
        let script = output(Command::new(&program).args(["completions", shell]))?;
        let path = folder.join("completions").join(name);
        fs::create_dir_all(path.parent().context("a path in a folder")?)?;
        fs::write(path, script)?;
    }
    fs::write(folder.join("THIRD-PARTY.txt"), notices::notices(root, target)?)?;
    check(folder, with_mlx)?;
    let archive = archive::pack(folder, time(root))?;
    println!("{}", archive.display());
    if let Some(oldest) = glibc(&fs::read(&program)?) {
        println!("the program needs glibc 2.{oldest} or later");
    }
    // What MLX's wheel for Linux brings of others, it brings without their licences.
    let unlicensed = folder.join("mlx/mlx_cpu.libs");
    if unlicensed.exists() {
        println!("do not publish this archive as it is: it has libraries without their licences:");
        for entry in fs::read_dir(&unlicensed)? {
            println!("  {}", entry?.path().display());
        }
        println!("--without-mlx leaves them out, or docs/dev/releasing.md says what is missing");
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Builds the program with no path of this machine in it, and returns where it is.
fn compile(root: &Path, built: &Path, target: &str) -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let flags = format!(
        "--remap-path-prefix={}=/cargo --remap-path-prefix={}=/folio",
        home.display(),
        root.display()
    );
    let mut command = cargo(root);
    command.args(["build", "--release", "--locked", "-p", "cli", "--target", target]);
    must(command.env("RUSTFLAGS", flags))?;
    Ok(built.join(target).join("release/folio"))
}

fn put(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a path in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Runs the program from where it lies with what lies beside it: the example's question, on the CPU and, if it is
/// packed, on MLX.
fn check(folder: &Path, with_mlx: bool) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = PACKED.iter().any(|part| name.starts_with(part));
        ensure!(known, "`{name}` is packed, and no list of what an archive holds has it");
    }
    let program = folder.join("folio");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        output(command.current_dir(folder).env_remove("FOLIO_MLX").args(arguments))
    };
    if with_mlx {
        let report: Value = serde_json::from_str(&run(&["doctor", "--json"])?)?;
        let mlx = &report["backends"]["mlx"];
        let library = mlx["library"].as_str().map(PathBuf::from).unwrap_or_default();
        ensure!(
            library.starts_with(fs::canonicalize(folder)?.join("mlx")),
            "the packed program does not use the library beside it: {mlx}"
        );
    }
    for device in ["cpu", "mlx"].into_iter().take(1 + usize::from(with_mlx)) {
        let question = "When does the lease end?";
        let files = ["run", "examples/clerk", "--file", "examples/lease.pdf", "--device", device];
        let answer = run(&[&files[..], &[question]].concat())?;
        ensure!(answer.contains("2030"), "on {device}, the example is answered with {answer:?}");
    }
    Ok(())
}

/// The time that all files of an archive get: of the commit, or 1980 where there is none.
fn time(root: &Path) -> u64 {
    let mut git = Command::new("git");
    let time = output(git.current_dir(root).args(["log", "-1", "--format=%ct"]));
    time.ok().and_then(|time| time.trim().parse().ok()).unwrap_or(315_532_800)
}

/// The newest version of glibc that a program asks for, as its second number.
fn glibc(program: &[u8]) -> Option<u32> {
    let name = b"GLIBC_2.";
    let found = program.windows(name.len()).enumerate().filter(|(_, it)| it == name);
    let versions = found.filter_map(|(at, _)| {
        let digits = program[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        let digits: Vec<u8> = digits.copied().collect();
        std::str::from_utf8(&digits).ok()?.parse().ok()
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for name in COPIED {
            assert!(root.join(name).is_file(), "{name}");
            assert!(PACKED.iter().any(|part| name.starts_with(part)), "{name}");
        }
    }

    #[test]
    fn other_machines_targets_are_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let other = TARGETS.iter().find(|target| !target.starts_with(std::env::consts::ARCH));
        let error = run(root, &["--target", other.unwrap()]).unwrap_err().to_string();
        assert!(error.contains("built on such a machine"), "{error}");
        let error = run(root, &["--target", "vax"]).unwrap_err().to_string();
        assert!(error.contains("x86_64-unknown-linux-gnu"), "{error}");
        assert!(run(root, &["--to"]).is_err() && run(root, &["--fast"]).is_err());
    }

    #[test]
    fn the_newest_version_is_needed() {
        assert_eq!(glibc(b"xGLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE"), Some(34));
        assert_eq!(glibc(b"nothing"), None);
    }
}
