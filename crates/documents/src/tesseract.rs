//! Tesseract, where it is installed: a program that recognises characters. It is asked when no model could read a page.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::picture::{Picture, png};

/// How long a page may take. A dense page takes some seconds.
const WITHIN: Duration = Duration::from_secs(120);
/// How long it may take to tell its version.
const GREETING: Duration = Duration::from_secs(10);
/// How often it is asked whether the answer is still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of an answer: a page has some thousands.
const MOST: u64 = 8 << 20;

/// The program, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tesseract {
    program: PathBuf,
    version: String,
    languages: Option<String>,
}

impl Tesseract {
    /// The one that is on the path, if there is one that works. `languages` are its own names for them, with `+` between;
    /// absent, it is what it takes itself.
    pub fn find(languages: Option<&str>) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("tesseract"))
            .find(|program| program.is_file())
            .and_then(|program| Self::at(&program, languages))
    }

    /// The program at `program`, if it works.
    pub fn at(program: &Path, languages: Option<&str>) -> Option<Self> {
        let told = run(program, &["--version".as_ref()], Vec::new(), GREETING, || false).ok()?;
        let first = told.lines().next()?.trim();
        let version = first.strip_prefix("tesseract ")?.trim_start_matches('v').to_owned();
        let languages = languages.map(str::to_owned);
        Some(Self { program: program.to_owned(), version, languages })
    }

    /// Its name and version.
    pub fn name(&self) -> String {
        format!("tesseract {}", self.version)
    }

    /// The text of a picture. `over` tells that nobody wants it any more.
    ///
    /// # Errors
    /// What it said, if it failed, took too long or wrote too much.
    pub fn read(&self, picture: &Picture, over: impl Fn() -> bool) -> Result<String, String> {
        let mut arguments: Vec<&OsStr> = vec!["stdin".as_ref(), "stdout".as_ref()];
        if let Some(languages) = &self.languages {
            arguments.extend([OsStr::new("-l"), languages.as_ref()]);
        }
        let text = run(&self.program, &arguments, png(picture), WITHIN, over)?;
        // A form feed ends each page.
        Ok(text.trim_end_matches(['\u{c}', '\n']).to_owned())
    }
}

/// Runs a program with some input; what it wrote.
fn run(
    program: &Path,
    arguments: &[&OsStr],
    input: Vec<u8>,
    within: Duration,
    over: impl Fn() -> bool,
) -> Result<String, String> {
    let failed = |what: &str| format!("{}: {what}", program.display());
    let mut command = Command::new(program);
    // One page is one thread: others are read beside it.
    command.args(arguments).env("OMP_THREAD_LIMIT", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    let mut running = Running(child);
    if let Some(mut pipe) = running.0.stdin.take() {
        // A program that ends early does not read to the end.
        thread::spawn(move || drop(pipe.write_all(&input)));
    }
    let gather = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                drop(pipe.take(MOST + 1).read_to_end(&mut bytes));
            }
            bytes
        })
    };
    let written = gather(running.0.stdout.take().map(|pipe| Box::new(pipe) as _));
    let said = gather(running.0.stderr.take().map(|pipe| Box::new(pipe) as _));
    let end = Instant::now() + within;
    let status = loop {
        match running.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if over() => return Err(failed("was given up")),
            Ok(None) if Instant::now() >= end => {
                return Err(failed(&format!("took longer than {} s", within.as_secs())));
            }
            Ok(None) if written.is_finished() && said.is_finished() => thread::sleep(LOOK / 10),
            Ok(None) => thread::sleep(LOOK),
            Err(error) => return Err(failed(&error.to_string())),
        }
    };
    let said = said.join().unwrap_or_default();
    let written = written.join().unwrap_or_default();
    if !status.success() {
        let words = String::from_utf8_lossy(&said);
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason");
        return Err(failed(&format!("{status}, saying: {last}")));
    }
    if written.len() as u64 > MOST {
        return Err(failed(&format!("wrote more than {MOST} bytes")));
    }
    String::from_utf8(written).map_err(|_| failed("wrote what is no text"))
}

/// Ends with whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A script that plays the part, and does what the language says.
    fn engine(language: &str) -> Tesseract {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join("../../fixtures/documents/tesseract/tesseract");
        Tesseract::at(&program, Some(language)).expect("the script runs")
    }

    fn picture() -> Picture {
        Picture { width: 2, height: 1, pixels: vec![0, 0, 0, 255, 255, 255] }
    }

    #[test]
    fn its_text_is_what_it_writes() {
        let engine = engine("words");
        assert_eq!(engine.name(), "tesseract 5.3.0");
        let text = engine.read(&picture(), || false).unwrap();
        assert_eq!(text, "stdin|stdout|-l|words|PNG");
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let error = engine("fail").read(&picture(), || false).unwrap_err();
        assert!(error.contains("no such language") && error.contains('3'), "{error}");
        assert!(engine("noise").read(&picture(), || false).unwrap_err().contains("no text"));
        assert_eq!(Tesseract::at(Path::new("/absent/tesseract"), None), None);
    }

    #[test]
    fn it_ends_when_nobody_waits() {
        let begun = Instant::now();
        let error = engine("sleep").read(&picture(), || true).unwrap_err();
        assert!(error.contains("given up"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(50));
    }
}
