//! `cargo xtask mlx`: builds the library over MLX that `folio` opens at run time.
//!
//! MLX comes from PyPI, one version, by the hashes of its files: `mlx-cpu` on Linux, `mlx-metal` on
//! macOS. Its wheel holds headers and libraries; the shim of `crates/kernels/mlx/` is compiled
//! against them. The result is a folder that can be moved as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{is_installed, must, python_environment};

/// The pinned MLX; `kernels::MLX_VERSION` says the same.
const VERSION: &str = "0.32.4";

/// Its wheels, as pip names them, by what they are for.
const LINUX: Wheel = Wheel {
    package: "mlx-cpu",
    hashes: &[
        "0e0a24fa2ce8b6b94d2e6a90604e8813aa8e29fcb918bb2aa01cfb6d133d8cee", // x86-64
        "1289e85e64af1fd16380bf331438bfe4afe875d27afc3e0bcf35f427c488fadd", // 64-bit Arm
    ],
    library: "libfolio_mlx.so",
    origin: "$ORIGIN",
};
const MACOS: Wheel = Wheel {
    package: "mlx-metal",
    hashes: &[
        "8019b2db622599267d66cc168b2f0dbf5af929790a6c3b3913e00eabc42a7947", // macOS 14
        "9f0a3cc26d89724434d9684932fc6f3e4e83669d2a895d858ed2c8a55eb84e8b", // macOS 15
        "514df92d41a286895d2564b4b18f4da45096bd7a4a0c47e1042f345ad5a7f936", // macOS 26
    ],
    library: "libfolio_mlx.dylib",
    origin: "@loader_path",
};

struct Wheel {
    package: &'static str,
    hashes: &'static [&'static str],
    library: &'static str,
    /// What the loader calls the folder of the library that needs another.
    origin: &'static str,
}

/// Parts of the wheel that are needed at run time, and its licence.
const KEPT: &[&str] = &["mlx/lib", "mlx_cpu.libs"];

/// Downloads MLX and builds the library into `target/mlx`, or the folder after `--to`, or with
/// `--user` the one of the user's data, where an installed `folio` finds it.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<bool> {
    let target = target(root);
    let folder = match arguments {
        [] => target.join("mlx"),
        ["--user"] => user_folder()?,
        ["--to", folder] => PathBuf::from(folder),
        ["--link-check"] => return link_check(root),
        other => bail!("unknown arguments: {}", other.join(" ")),
    };
    let wheel = if cfg!(target_os = "macos") { &MACOS } else { &LINUX };
    let shim = root.join("crates/kernels/mlx/shim.cpp");
    if is_current(&folder, wheel, &shim)? {
        println!("{} is up to date", folder.display());
        return Ok(true);
    }
    let unpacked = unpack(&target, wheel, &[])?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for part in KEPT.iter().map(|part| unpacked.join(part)).filter(|part| part.exists()) {
        let name = part.strip_prefix(&unpacked)?;
        copy(&part, &folder.join(name))?;
    }
    let info = format!("{}-{VERSION}.dist-info", wheel.package.replace('-', "_"));
    copy(&unpacked.join(&info).join("licenses"), &folder.join("licenses"))?;
    // What was put beside MLX when its wheel was made, with versions; of their licences it has none.
    let parts = unpacked.join(info).join("sboms");
    if parts.exists() {
        copy(&parts, &folder.join("licenses/sboms"))?;
    }
    // The only part of MLX's library by others whose notice the wheel has: at the head of its file.
    let header = unpacked.join("mlx/include/mlx/3rdparty/pocketfft.h");
    let text =
        fs::read_to_string(&header).with_context(|| format!("cannot read {}", header.display()))?;
    let notice = text.split_once("*/").context("pocketfft has no notice")?.0;
    let notice = notice.trim_start_matches("/*").trim();
    fs::write(folder.join("licenses/pocketfft"), format!("{notice}\n"))?;
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    ensure!(
        is_installed(&compiler, &["--version"]),
        "there is no C++ compiler `{compiler}`: install g++ or clang++, or name one in CXX"
    );
    let library = folder.join(wheel.library);
    let mut command = Command::new(compiler);
    command.args(flags(wheel, &unpacked)).arg(&shim).arg("-o").arg(&library);
    must(command.args(["-L"]).arg(unpacked.join("mlx/lib")).arg("-lmlx"))?;
    // Written last: what was interrupted is begun again.
    fs::write(folder.join(STAMP), stamp(&shim)?)?;
    println!("{}", library.display());
    Ok(true)
}

/// What a built folder was built from.
const STAMP: &str = "built-from";

fn stamp(shim: &Path) -> Result<String> {
    let text =
        fs::read_to_string(shim).with_context(|| format!("cannot read {}", shim.display()))?;
    Ok(format!("mlx {VERSION}\n{text}"))
}

fn is_current(folder: &Path, wheel: &Wheel, shim: &Path) -> Result<bool> {
    let stamp = stamp(shim)?;
    let built = fs::read_to_string(folder.join(STAMP)).is_ok_and(|built| built == stamp);
    Ok(built && folder.join(wheel.library).exists())
}

fn flags(wheel: &Wheel, unpacked: &Path) -> Vec<String> {
    let include = unpacked.join("mlx/include").display().to_string();
    let mut flags = vec!["-std=c++20", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall"];
    flags.extend(["-Werror", "-isystem", &include]);
    let mut flags: Vec<String> = flags.into_iter().map(str::to_owned).collect();
    flags.push(format!("-Wl,-rpath,{}/mlx/lib", wheel.origin));
    if wheel.origin == LINUX.origin {
        flags.push("-Wl,--no-undefined".to_owned());
        flags.push(format!("-Wl,-rpath-link,{}", unpacked.join("mlx_cpu.libs").display()));
    }
    flags
}

/// Downloads a wheel through pip, by its hashes, and unpacks it below `target`. `platform` is what
/// pip is told to fetch for; this machine if empty.
fn unpack(target: &Path, wheel: &Wheel, platform: &[&str]) -> Result<PathBuf> {
    let folder = target.join(format!("mlx-wheels/{}-{VERSION}", wheel.package));
    let unpacked = folder.join("unpacked");
    if unpacked.join("mlx/include/mlx/version.h").exists() {
        return Ok(unpacked);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let requirements = folder.join("requirements.txt");
    let hashes = wheel.hashes.iter().map(|hash| format!(" \\\n  --hash=sha256:{hash}"));
    let wanted = format!("{}=={VERSION}{}\n", wheel.package, hashes.collect::<String>());
    fs::write(&requirements, wanted)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--dest"]).arg(&folder);
    must(pip.args(platform).arg("--requirement").arg(&requirements))
        .context("cannot fetch MLX (it needs python3 with pip, and PyPI)")?;
    let wheels = fs::read_dir(&folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut wheels = wheels.filter(|path| path.extension().is_some_and(|it| it == "whl"));
    let path = wheels.next().context("pip fetched no wheel")?;
    must(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(path).arg(&unpacked))?;
    Ok(unpacked)
}

/// Links the shim for macOS against the wheel for macOS, from any machine: with PyPI's `ziglang`,
/// which brings a compiler and the system's headers. Nothing of it can be run here.
fn link_check(root: &Path) -> Result<bool> {
    let target = target(root);
    let python = python_environment(&target.join("ziglang"), &["ziglang==0.16.0"])?;
    let platforms = ["--platform", "macosx_15_0_arm64"];
    let unpacked = unpack(&target, &MACOS, &platforms)?;
    let out = target.join("mlx-wheels").join(MACOS.library);
    let mut zig = Command::new(python);
    zig.args(["-m", "ziglang", "c++", "-target", "aarch64-macos.15.0"]);
    zig.args(flags(&MACOS, &unpacked)).arg(root.join("crates/kernels/mlx/shim.cpp"));
    zig.arg("-L").arg(unpacked.join("mlx/lib")).args(["-lmlx", "-o"]).arg(&out);
    // The first time it compiles its standard library, with thousands of warnings.
    let linked = zig.output().context("cannot start zig")?;
    if !linked.status.success() {
        bail!("the shim does not link:\n{}", String::from_utf8_lossy(&linked.stderr));
    }
    println!("{} links against {} {VERSION}", out.display(), MACOS.package);
    Ok(true)
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// `folio/mlx` in the folder for what programs keep for their user, as `folio` looks for it.
fn user_folder() -> Result<PathBuf> {
    let named = std::env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty());
    let data = match named {
        Some(data) => PathBuf::from(data),
        None => {
            let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
            let mac = cfg!(target_os = "macos");
            home.join(if mac { "Library/Application Support" } else { ".local/share" })
        }
    };
    Ok(data.join("folio/mlx"))
}

/// Copies a file or a folder; a file that is there is replaced and not written into, since a
/// program may have it open.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        for entry in
            fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?
        {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if to.exists() {
        fs::remove_file(to).with_context(|| format!("cannot replace {}", to.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy to {}", to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_the_chore_pin_the_same_version() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let library = root.join("crates/kernels/src/mlx/library.rs");
        let library = fs::read_to_string(library).unwrap();
        assert!(library.contains(&format!("MLX_VERSION: &str = \"{VERSION}\"")));
        let abi = library.split("MLX_ABI: u32 = ").nth(1).unwrap().split(';').next().unwrap();
        let shim = fs::read_to_string(root.join("crates/kernels/mlx/shim.cpp")).unwrap();
        assert!(shim.contains(&format!("#define FOLIO_MLX_ABI {abi}\n")));
    }

    /// The table of the shim and its mirror name the same functions in the same order.
    #[test]
    fn the_border_is_the_same_on_both_sides() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let shim = fs::read_to_string(root.join("crates/kernels/mlx/shim.cpp")).unwrap();
        let table = shim.split("struct FolioMlx {").nth(1).unwrap().split("};").next().unwrap();
        let ours = table.lines().filter_map(|line| line.strip_suffix(';')?.rsplit(' ').next());
        let mirror = fs::read_to_string(root.join("crates/kernels/src/mlx/library.rs")).unwrap();
        let mirror =
            mirror.split("struct Functions {").nth(1).unwrap().split("\n}").next().unwrap();
        let fields = mirror.lines().filter_map(|line| {
            let line = line.strip_prefix("    ")?;
            let name = line.trim_start_matches("pub(super) ").split_once(':')?.0;
            name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(name)
        });
        assert_eq!(ours.collect::<Vec<_>>(), fields.collect::<Vec<_>>());
    }
}
