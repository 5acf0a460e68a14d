//! The parent's side: one worker process and the file it has open.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::message::{Request, Response, VERSION};
use super::wire::{FrameError, read_frame, write_frame};
use crate::layout::{PageLayout, Warning};
use crate::picture::Picture;
use crate::pipeline::{Outline, Parse, Raster, Render};
use crate::source::FileBytes;
use crate::{Error, FileKind, Limits, OpenFailure, PageFailure, ProtocolFault, Source};

/// How long a new process may take to greet.
const GREETING: Duration = Duration::from_secs(20);
/// Bytes of a file per message.
const PART: usize = 1 << 20;
/// How much of the process's standard error is kept for the reason of its death.
const LAST_WORDS: usize = 4096;
/// How often memory is looked at where the system does not enforce the limit.
const WATCH: Duration = Duration::from_millis(250);

/// How to start a worker process.
pub(crate) type Start = dyn Fn() -> Command + Send + Sync;

/// A worker process. It is started when a file is opened, restarted when it dies, and killed when
/// this is dropped. Its environment is empty.
pub struct Worker {
    start: Arc<Start>,
    limits: Limits,
    running: Option<Running>,
    file: Option<Open>,
    omissions: BTreeMap<Warning, u32>,
}

/// The file that is open.
struct Open {
    bytes: Arc<FileBytes>,
    passwords: Vec<String>,
    /// Whether the running process has it open too.
    loaded: bool,
    deaths: u32,
}

struct Running {
    child: Child,
    /// `None` while another thread writes a file.
    input: Option<ChildStdin>,
    responses: Receiver<Result<Response, ProtocolFault>>,
    last_words: Option<JoinHandle<String>>,
}

/// Why there was no answer.
enum Silence {
    Timeout(Duration),
    Memory,
    Ended,
    Protocol(ProtocolFault),
}

impl Worker {
    /// A worker that is started with the command that `start` makes: the program itself, with the
    /// arguments of the hidden subcommand that calls [`main`](super::main).
    pub fn new(start: impl Fn() -> Command + Send + Sync + 'static, limits: Limits) -> Self {
        Self::shared(Arc::new(start), limits)
    }

    pub(crate) fn shared(start: Arc<Start>, limits: Limits) -> Self {
        Self { start, limits, running: None, file: None, omissions: BTreeMap::new() }
    }

    /// The number of the running process, if there is one.
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// The process, started if there is none.
    fn running(&mut self) -> Result<&mut Running, Error> {
        let running = match self.running.take() {
            Some(running) => running,
            None => Running::start(&mut (self.start)(), &self.limits)?,
        };
        Ok(self.running.insert(running))
    }

    /// Ends the process and tells why it did not answer.
    fn end(&mut self, silence: Silence) -> PageFailure {
        if let Some(file) = &mut self.file {
            file.loaded = false;
            file.deaths += 1;
        }
        let running = self.running.take();
        let limit = self.limits.memory_bytes;
        match silence {
            Silence::Timeout(limit) => PageFailure::Timeout { limit },
            Silence::Memory => PageFailure::Memory { limit },
            Silence::Protocol(fault) => PageFailure::Died { status: fault.to_string() },
            Silence::Ended => match running.map(Running::post_mortem) {
                Some((status, words)) => cause_of_death(status, &words, limit),
                None => PageFailure::Died { status: ProtocolFault::Ended.to_string() },
            },
        }
    }

    /// Sends the file to the process. The outer error is of the process, the inner of the file.
    fn load(&mut self) -> Result<Result<Outline, OpenFailure>, Error> {
        let limits = self.limits;
        let Some(file) = &self.file else {
            return Ok(Err(OpenFailure::Process(PageFailure::NoSuchPage)));
        };
        let (bytes, passwords) = (Arc::clone(&file.bytes), file.passwords.clone());
        let size = bytes.0.len() as u64;
        let running = self.running()?;
        let answer = running
            .send_file(bytes, passwords)
            .and_then(|()| running.receive(limits.open_time, limits.memory_bytes));
        Ok(match answer {
            Ok(Response::Opened(outline)) => {
                if let Some(file) = &mut self.file {
                    file.loaded = true;
                }
                Ok(outline)
            }
            Ok(Response::OpenFailed(OpenFailure::Damaged { .. })) => {
                Err(OpenFailure::Damaged { bytes: size })
            }
            Ok(Response::OpenFailed(failure)) => Err(failure),
            Ok(_) => {
                Err(OpenFailure::Process(self.end(Silence::Protocol(ProtocolFault::Unexpected))))
            }
            Err(silence) => Err(OpenFailure::Process(self.end(silence))),
        })
    }
}

impl Worker {
    /// Asks the process about a page, after giving it the file again if it is a new one.
    fn ask(&mut self, request: &Request) -> Result<Response, PageFailure> {
        let limits = self.limits;
        let Some(file) = &self.file else {
            return Err(PageFailure::NoSuchPage);
        };
        if file.deaths >= limits.deaths_per_file {
            return Err(PageFailure::GivenUp { deaths: file.deaths });
        }
        let died = |error: Error| PageFailure::Died { status: error.to_string() };
        if !file.loaded {
            match self.load().map_err(died)? {
                Ok(_) => {}
                Err(OpenFailure::Process(failure)) => return Err(failure),
                Err(failure) => return Err(PageFailure::Died { status: failure.to_string() }),
            }
        }
        let running = self.running().map_err(died)?;
        let answer = running
            .send(request)
            .and_then(|()| running.receive(limits.page_time, limits.memory_bytes));
        match answer {
            Ok(Response::Failed(failure)) => Err(failure),
            Ok(response) => Ok(response),
            Err(silence) => Err(self.end(silence)),
        }
    }
}

impl Parse for Worker {
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, Error> {
        let Source { name, bytes } = source;
        let kind = FileKind::of(&bytes);
        if !kind.is_document() {
            return Err(Error::Open { file: name, failure: OpenFailure::NotPdf { found: kind } });
        }
        self.file = Some(Open {
            bytes: Arc::new(FileBytes(bytes)),
            passwords: passwords.to_vec(),
            loaded: false,
            deaths: 0,
        });
        self.load()?.map_err(|failure| {
            self.file = None;
            Error::Open { file: name, failure }
        })
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        let Response::Page(page) = self.ask(&Request::Page { index })? else {
            return Err(self.end(Silence::Protocol(ProtocolFault::Unexpected)));
        };
        Ok(*page)
    }
}

impl Render for Worker {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        self.omissions.clear();
        let raster = raster.check()?;
        if let Response::Picture { picture, omissions } =
            self.ask(&Request::Render { index, raster })?
            && picture.width.max(picture.height) == raster.longest as usize
        {
            self.omissions = omissions;
            return Ok(picture);
        }
        Err(self.end(Silence::Protocol(ProtocolFault::Unexpected)))
    }

    fn omissions(&self) -> BTreeMap<Warning, u32> {
        self.omissions.clone()
    }
}

impl Running {
    fn start(command: &mut Command, limits: &Limits) -> Result<Self, Error> {
        let program = PathBuf::from(command.get_program());
        let mut child = match command
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(child) => child,
            Err(source) => return Err(Error::WorkerStart { program, source }),
        };
        let input = child.stdin.take();
        let (sender, responses) = mpsc::channel();
        if let Some(mut output) = child.stdout.take() {
            thread::spawn(move || {
                loop {
                    let response = match read_frame(&mut output) {
                        Ok(Some((tag, payload))) => Response::decode(tag, &payload),
                        Ok(None) | Err(FrameError::Io(_)) => return,
                        Err(FrameError::Fault(ProtocolFault::Ended)) => return,
                        Err(FrameError::Fault(fault)) => Err(fault),
                    };
                    let last = response.is_err();
                    if sender.send(response).is_err() || last {
                        return;
                    }
                }
            });
        }
        let last_words = child.stderr.take().map(|stderr| thread::spawn(|| last_words(stderr)));
        let mut running = Self { child, input, responses, last_words };
        let what = match running.receive(GREETING, u64::MAX) {
            Ok(Response::Hello { version: VERSION }) => None,
            Ok(Response::Hello { version }) => {
                Some(ProtocolFault::Version { theirs: version, ours: VERSION })
            }
            Ok(_) => Some(ProtocolFault::Unexpected),
            Err(Silence::Protocol(fault)) => Some(fault),
            Err(Silence::Timeout(_) | Silence::Memory) => Some(ProtocolFault::Silent),
            Err(Silence::Ended) => Some(ProtocolFault::Ended),
        };
        if let Some(what) = what {
            return Err(Error::WorkerProtocol { program, what });
        }
        if running.send(&Request::Start { limits: *limits }).is_err() {
            return Err(Error::WorkerProtocol { program, what: ProtocolFault::Ended });
        }
        Ok(running)
    }

    fn send(&mut self, request: &Request) -> Result<(), Silence> {
        let input = self.input.as_mut().ok_or(Silence::Ended)?;
        let (tag, payload) = request.encode();
        write_frame(input, tag, &payload).map_err(|_| Silence::Ended)
    }

    /// Writes a file from another thread, so that a process that does not read cannot stop us:
    /// the time limit of the answer kills it, and the thread with it.
    fn send_file(&mut self, bytes: Arc<FileBytes>, passwords: Vec<String>) -> Result<(), Silence> {
        let size = bytes.0.len() as u64;
        self.send(&Request::Open { bytes: size, passwords })?;
        if bytes.0.len() <= PART {
            return self.send(&Request::Data(bytes.0.clone()));
        }
        let mut input = self.input.take().ok_or(Silence::Ended)?;
        let (give, back) = mpsc::channel();
        thread::spawn(move || {
            let sent = bytes.0.chunks(PART).try_for_each(|part| {
                let (tag, payload) = Request::Data(part.to_vec()).encode();
                write_frame(&mut input, tag, &payload)
            });
            if sent.is_ok() {
                let _nobody_waits = give.send(input);
            }
        });
        // A healthy process reads a gigabyte in a few seconds.
        match back.recv_timeout(GREETING * 6) {
            Ok(input) => {
                self.input = Some(input);
                Ok(())
            }
            Err(RecvTimeoutError::Disconnected) => Err(Silence::Ended),
            Err(RecvTimeoutError::Timeout) => Err(Silence::Timeout(GREETING * 6)),
        }
    }

    fn receive(&mut self, limit: Duration, memory: u64) -> Result<Response, Silence> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Silence::Timeout(limit));
            }
            let wait = if cfg!(target_os = "macos") { left.min(WATCH) } else { left };
            match self.responses.recv_timeout(wait) {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(fault)) => return Err(Silence::Protocol(fault)),
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Ended),
                Err(RecvTimeoutError::Timeout) if wait == left => {
                    return Err(Silence::Timeout(limit));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if resident(self.child.id()).is_some_and(|bytes| bytes > memory) {
                        return Err(Silence::Memory);
                    }
                }
            }
        }
    }

    /// The exit status and the end of the standard error of a process whose output has ended.
    fn post_mortem(mut self) -> (Option<ExitStatus>, String) {
        self.input = None;
        let mut status = None;
        for _ in 0..200 {
            status = self.child.try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _already_dead = self.child.kill();
        let words = self.last_words.take().and_then(|thread| thread.join().ok());
        (status, words.unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Reads standard error to its end and keeps the last part.
fn last_words(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut part = [0; 1024];
    while let Ok(count) = stderr.read(&mut part) {
        if count == 0 {
            break;
        }
        kept.extend(&part[..count]);
        if kept.len() > 2 * LAST_WORDS {
            kept.drain(..kept.len() - LAST_WORDS);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// What a process died of, from its exit status and what it said last.
fn cause_of_death(status: Option<ExitStatus>, words: &str, memory: u64) -> PageFailure {
    if words.contains("memory allocation of") || words.contains("out of memory") {
        return PageFailure::Memory { limit: memory };
    }
    if words.contains("overflowed its stack") {
        return PageFailure::StackOverflow;
    }
    let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    // The message stands in the line below the place.
    let mut after = words.lines().skip_while(|line| !line.contains("panicked at"));
    if let Some(place) = after.next() {
        let message = after.next().unwrap_or(place).trim().to_owned();
        return PageFailure::Panic { message };
    }
    let mut said = status.map_or_else(|| "no exit status".to_owned(), |s| s.to_string());
    if !last.is_empty() {
        said.push_str(", last words: ");
        said.extend(last.chars().take(200));
    }
    PageFailure::Died { status: said }
}

/// The resident memory of a process, asked of `ps`; only used where an address-space limit is
/// accepted but not enforced.
fn resident(pid: u32) -> Option<u64> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let output =
        Command::new("/bin/ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    let kib: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_name_the_cause() {
        let cause = |words: &str| cause_of_death(None, words, 7);
        assert_eq!(
            cause("memory allocation of 99 bytes failed\n"),
            PageFailure::Memory { limit: 7 }
        );
        assert_eq!(
            cause(
                "\nthread 'page' has overflowed its stack\nfatal runtime error: stack overflow\n"
            ),
            PageFailure::StackOverflow
        );
        assert_eq!(
            cause("thread 'page' panicked at src/x.rs:1:2:\nindex out of bounds\nnote: more\n"),
            PageFailure::Panic { message: "index out of bounds".into() }
        );
        assert!(matches!(cause("bye"), PageFailure::Died { .. }));
    }
}
