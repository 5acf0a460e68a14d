//! A folder that is watched: what arrives in it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use clap::Args;
use documents::pipeline::{Mode, read};
use documents::worker::Pool;
use documents::{Document, Error, Limits, Origin, Source, fingerprint};
use serde_json::{Value, json};

use super::Read;
use super::arrivals::{Done, Ledger, Stat, State, line};
use super::form::Form;
use super::gallery::{self, Gallery};
use super::show::Show;
use super::sight::Eyes;
use crate::report::{self, Failure, Problem, Result};
use crate::signals::interrupted;
use crate::{material, output};

/// What is known of files that were read, in the folder of texts.
const STATE: &str = ".folio-watch.jsonl";
/// What could not be read.
const FAILURES: &str = "failures.jsonl";
/// How deep folders lie within folders, and how many files are looked at.
const DEEPEST: usize = 32;
const MOST_FILES: usize = 200_000;
/// How long a watch waits after a server could not be reached.
const REST: Duration = Duration::from_secs(30);
/// Kinds of files that are read, by their names.
const EXTENSIONS: [&str; 9] = ["pdf", "png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "gif"];

/// How a folder is watched.
#[derive(Args, Debug)]
#[command(next_help_heading = "Watching")]
pub(super) struct Watching {
    /// Read what lies in the folder FILE and what arrives in it, into --out, until Ctrl-C
    #[arg(long, requires = "out")]
    pub(super) watch: bool,
    /// Seconds between looks at the folder; a file is read when two looks find it the same
    #[arg(long, value_name = "SECONDS", requires = "watch", default_value_t = 2.0,
          value_parser = seconds)]
    every: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    if (0.05..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.05 to 86400 seconds are possible".to_owned())
    }
}

/// A file that is to be read.
struct Order {
    name: String,
    path: PathBuf,
    done: Done,
    target: PathBuf,
}

/// What became of it.
struct Outcome {
    name: String,
    done: Done,
    target: PathBuf,
    document: Result<Document, Trouble>,
    seconds: f64,
}

/// Why a file was not read.
enum Trouble {
    /// For a reason of its own.
    Lost(Failure),
    /// For a reason that passes.
    Passing(Failure),
    /// The watch ends, or the file has changed or gone meanwhile.
    Stopped,
}

pub(super) fn run(asked: &Read) -> Result<ExitCode> {
    let flag = |reason: String| Problem::Flag { flag: "--watch", reason };
    let ([folder], Some(texts)) = (&asked.inputs[..], &asked.out) else {
        return Err(flag("one folder is watched at a time".to_owned()).into());
    };
    if !folder.is_dir() {
        return Err(flag(format!("{} is no folder", folder.display())).into());
    }
    let form = Form::of(asked)?;
    fs::create_dir_all(texts).map_err(|error| Problem::io("make the folder", texts, error))?;
    let whole =
        |path: &Path| fs::canonicalize(path).map_err(|error| Problem::io("find", path, error));
    let (inside, own) = (whole(folder)?, whole(texts)?);
    if inside == own {
        let reason =
            "texts go to another folder than the one that is watched: name it with `--out`";
        return Err(flag(reason.to_owned()).into());
    }
    let mut book = Book::open(texts, &form, asked.batch.is_retry())?;
    let limits = asked.limits();
    let mut eyes =
        asked.sight.open(asked.mode(Mode::Auto), asked.pages()?, asked.password.clone())?;
    if asked.keep_headers {
        asked.sight.keep_headers(&mut eyes.options);
    }
    let shown = eyes.options.target_longest_image_dim;
    let gallery = match &asked.figures {
        Some(dir) => Some(Gallery::new(dir, texts, shown)?),
        None => None,
    };
    let looks = !eyes.world.readers().is_empty();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = asked.workers.unwrap_or(cores).clamp(1, 64);
    let pool = Pool::new(material::worker()?, workers, limits);
    let show = Show::new(0, looks, true, asked.verbose);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
    let main = thread::current();
    let stop = interrupted(runtime.handle(), move || main.unpark());
    let every = Duration::from_secs_f64(asked.watching.every);
    let (at, seconds) = (folder.display(), asked.watching.every);
    show.suspend(|| eprintln!("{at}: looked at every {seconds} s; Ctrl-C ends it"));
    let (orders, waiting) = channel();
    let (finished, outcomes) = channel();
    let bench = Bench {
        waiting: Mutex::new(waiting),
        pool: &pool,
        eyes: &eyes,
        limits,
        gallery: gallery.as_ref(),
        show: &show,
        stop: &stop,
    };
    let turn = Turn { folder, own: &own, limits, show: &show, form: &form };
    let ended = thread::scope(|scope| {
        for _ in 0..workers {
            let (bench, finished, main) = (&bench, finished.clone(), thread::current());
            scope.spawn(move || bench.work(&finished, &main));
        }
        let ended = turn.go(&mut book, every, &stop, &orders, &outcomes);
        stop.store(true, Ordering::Relaxed);
        drop(orders);
        ended
    });
    // What was read while it ended is kept, too.
    drop(finished);
    for outcome in outcomes {
        turn.finish(&mut book, outcome)?;
    }
    show.end();
    ended?;
    eprintln!("ended; what is read is kept, and the same command goes on from there");
    Ok(ExitCode::SUCCESS)
}

/// Who reads what has arrived.
struct Bench<'a> {
    waiting: Mutex<Receiver<Order>>,
    pool: &'a Pool,
    eyes: &'a Eyes,
    limits: Limits,
    gallery: Option<&'a Gallery>,
    show: &'a Show,
    stop: &'a AtomicBool,
}

impl Bench<'_> {
    fn work(&self, finished: &Sender<Outcome>, main: &thread::Thread) {
        loop {
            let order = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(order) = order else { return };
            let begun = Instant::now();
            let Order { name, path, done, target } = order;
            let document = match Source::read(&path, self.limits.file_bytes) {
                Ok(source) if fingerprint(&source.bytes) == done.digest => self.read(source),
                Ok(_) | Err(_) => Err(Trouble::Stopped),
            };
            let seconds = begun.elapsed().as_secs_f64();
            let outcome = Outcome { name, done, target, document, seconds };
            if finished.send(outcome).is_err() {
                return;
            }
            main.unpark();
        }
    }

    fn read(&self, source: Source) -> Result<Document, Trouble> {
        let Self { pool, eyes, show, stop, .. } = self;
        if stop.load(Ordering::Relaxed) {
            return Err(Trouble::Stopped);
        }
        let file = PathBuf::from(&source.name);
        let mut worker = pool.lease();
        let mut watch = show.file(&file, stop);
        let (world, room) = (&*eyes.world, &eyes.room);
        let document = read(source, &eyes.options, &mut *worker, world, room, &mut watch);
        let mut document = document.map_err(|error| {
            let passes = matches!(
                error,
                Error::Unreachable { .. }
                    | Error::Unusable { .. }
                    | Error::NoReader { .. }
                    | Error::WorkerStart { .. }
            );
            if matches!(error, Error::Stopped { .. }) {
                Trouble::Stopped
            } else if passes {
                Trouble::Passing(error.into())
            } else {
                Trouble::Lost(error.into())
            }
        })?;
        if let Some(gallery) = self.gallery {
            let cut = gallery.hang(&mut document, &file, &mut *worker).map_err(Trouble::Passing)?;
            show.suspend(|| gallery::tell(&document.name, &cut));
        }
        Ok(document)
    }
}

/// What is written down, and where texts go.
struct Book {
    texts: PathBuf,
    state: File,
    ledger: Ledger,
    form: String,
}

impl Book {
    /// Opens the state in a folder of texts, which nobody else may have open; `again` forgets what failed.
    fn open(texts: &Path, form: &Form<'_>, again: bool) -> Result<Self> {
        let path = texts.join(STATE);
        let fail = |error| Problem::io("open", &path, error);
        let mut state =
            OpenOptions::new().create(true).append(true).read(true).open(&path).map_err(fail)?;
        if state.try_lock().is_err() {
            let reason = format!("another `folio read --watch` writes into {}", texts.display());
            return Err(Problem::Flag { flag: "--out", reason }.into());
        }
        let bytes = fs::read(&path).map_err(fail)?;
        let mut ledger = Ledger::default();
        let text = String::from_utf8_lossy(&bytes);
        let damaged = text.lines().filter(|line| !line.is_empty() && !ledger.take(line)).count();
        if damaged > 0 {
            eprintln!("{}: {damaged} damaged lines, which count for nothing", path.display());
        }
        // A line that a crash cut short is ended, so that it spoils nothing but itself.
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            state.write_all(b"\n").map_err(fail)?;
        }
        if again {
            ledger.forget_failed();
        }
        let form = form.extension().to_owned();
        Ok(Self { texts: texts.to_owned(), state, ledger, form })
    }

    fn record(&mut self, name: &str, done: Option<Done>) -> Result<()> {
        let written = self.state.write_all(line(name, done.as_ref()).as_bytes());
        written.map_err(|error| Problem::io("write", &self.texts.join(STATE), error))?;
        match done {
            Some(done) => self.ledger.record(name.to_owned(), done),
            None => self.ledger.forget(name),
        }
        Ok(())
    }

    /// What could not be read of a file, each on a line.
    fn lose(&self, lines: &[Value]) -> Result<()> {
        let path = self.texts.join(FAILURES);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Problem::io("write", &path, error))
    }

    /// Where the text of a file goes: a name that is free, or its own already.
    fn output(&self, name: &str) -> Result<String, String> {
        let stem = Path::new(name).with_extension("");
        let stem = stem.to_string_lossy();
        for output in [format!("{stem}.{}", self.form), format!("{name}.{}", self.form)] {
            let own = self.ledger.of(name).is_some_and(|done| done.output == output);
            let others = self.ledger.owner(&output, name).is_some();
            if own || (!others && fs::symlink_metadata(self.texts.join(&output)).is_err()) {
                return Ok(output);
            }
        }
        Err(format!("files called {stem}.{0} and {name}.{0} stand there already", self.form))
    }
}

/// The looks at a folder, one after the other.
struct Turn<'a> {
    folder: &'a Path,
    /// The folder of texts, which may lie in the one that is watched.
    own: &'a Path,
    limits: Limits,
    show: &'a Show,
    form: &'a Form<'a>,
}

impl Turn<'_> {
    fn go(
        &self,
        book: &mut Book,
        every: Duration,
        stop: &AtomicBool,
        orders: &Sender<Order>,
        outcomes: &Receiver<Outcome>,
    ) -> Result<()> {
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            while let Ok(outcome) = outcomes.try_recv() {
                if let Some(rest) = self.finish(book, outcome)? {
                    next = next.max(Instant::now() + rest);
                }
            }
            let now = Instant::now();
            if now < next {
                thread::park_timeout(next - now);
                continue;
            }
            next = now + every;
            match self.seen() {
                Ok(seen) => {
                    let found = book.ledger.look(seen);
                    for (name, stat) in found.arrived {
                        self.arrived(book, name, stat, orders)?;
                    }
                    for name in found.gone {
                        if let Some(done) = book.ledger.of(&name) {
                            let text = book.texts.join(&done.output);
                            self.say(&format!("{name} is gone; {} stays", text.display()));
                        }
                    }
                }
                Err(failure) => {
                    // A folder that comes back is looked at again.
                    self.show.suspend(|| report::print(failure));
                    next = now + REST.max(every);
                }
            }
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        self.show.suspend(|| eprintln!("{text}"));
    }

    /// The documents of the folder.
    fn seen(&self) -> Result<BTreeMap<String, Stat>> {
        let mut seen = BTreeMap::new();
        let mut folders = vec![(self.folder.to_owned(), 0)];
        let mut known = BTreeSet::new();
        while let Some((folder, depth)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                // One within the other that goes while it is looked at is no failure.
                Err(_) if depth > 0 => continue,
                Err(error) => return Err(Problem::io("look into", &folder, error)),
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let Some(name) = path.strip_prefix(self.folder).ok().and_then(Path::to_str) else {
                    continue;
                };
                let hidden = entry.file_name().to_string_lossy().starts_with('.');
                // Where a link leads may be gone.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                if hidden || seen.len() >= MOST_FILES {
                    continue;
                }
                if metadata.is_dir() {
                    let whole = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                    // Links may lead in circles.
                    if whole != self.own && depth < DEEPEST && known.insert(whole) {
                        folders.push((path, depth + 1));
                    }
                    continue;
                }
                let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
                if metadata.is_file() && extension.is_some_and(|e| EXTENSIONS.contains(&&*e)) {
                    let modified =
                        metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                    let modified =
                        modified.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
                    seen.insert(name.to_owned(), Stat { bytes: metadata.len(), modified });
                }
            }
        }
        Ok(seen)
    }

    /// Has a file read, unless that was done already.
    fn arrived(
        &self,
        book: &mut Book,
        name: String,
        stat: Stat,
        orders: &Sender<Order>,
    ) -> Result<()> {
        let path = self.folder.join(&name);
        let source = Source::read(&path, self.limits.file_bytes);
        let source = source.map(|source| fingerprint(&source.bytes));
        // What cannot be read is told again when it is another.
        let digest = match &source {
            Ok(digest) => digest.clone(),
            Err(Error::Missing { .. }) => {
                book.ledger.ended(&name);
                return Ok(());
            }
            Err(error) => fingerprint(error.to_string().as_bytes()),
        };
        let before = book.ledger.of(&name).cloned();
        let form = book.form.clone();
        if let Some(before) = &before
            && before.digest == digest
            && before.form == form
            && before.state != State::Begun
            && (before.state == State::Failed || book.texts.join(&before.output).exists())
        {
            book.ledger.ended(&name);
            return book.record(&name, Some(Done { stat, ..before.clone() }));
        }
        let output = match book.output(&name) {
            Ok(output) => output,
            Err(reason) => {
                let done = Done { stat, digest, form, output: String::new(), state: State::Failed };
                let lost = Problem::Flag { flag: "--out", reason };
                return self.lose(book, &name, done, lost.into());
            }
        };
        let target = book.texts.join(&output);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|e| Problem::io("make the folder", parent, e))?;
        }
        let done = Done { stat, digest, form, output, state: State::Begun };
        if let Err(error) = source {
            return self.lose(book, &name, Done { state: State::Failed, ..done }, error.into());
        }
        if self.take_over(book, &name, &done)? {
            book.ledger.ended(&name);
            return Ok(());
        }
        book.record(&name, Some(done.clone()))?;
        // Its bytes are read again when its turn comes: many may wait.
        let order = Order { name, path, done, target };
        // Whoever reads is there as long as this is.
        let _ = orders.send(order);
        Ok(())
    }

    /// Takes the text of a file of the same bytes, which has another name now or is there twice.
    fn take_over(&self, book: &mut Book, name: &str, done: &Done) -> Result<bool> {
        let Some((other, twin, gone)) = book.ledger.twin(name, &done.digest, &done.form) else {
            return Ok(false);
        };
        let (other, from) = (other.to_owned(), book.texts.join(&twin.output));
        let Ok(text) = fs::read_to_string(&from) else { return Ok(false) };
        let called = |name: &str| self.folder.join(name).display().to_string();
        let text = self.form.renamed(&text, &called(&other), &called(name));
        book.record(name, Some(done.clone()))?;
        put(&book.texts.join(&done.output), &text)?;
        book.record(name, Some(Done { state: State::Read, ..done.clone() }))?;
        let target = book.texts.join(&done.output);
        if gone {
            if from != target {
                let _ = fs::remove_file(&from);
            }
            book.record(&other, None)?;
            self.say(&format!("{other} is called {name} now"));
        } else {
            self.say(&format!("{name} is the same as {other}"));
        }
        self.show.suspend(|| output::line(&target.display().to_string()))?;
        Ok(true)
    }

    /// Writes what was read; how long to rest if nobody can read now.
    fn finish(&self, book: &mut Book, outcome: Outcome) -> Result<Option<Duration>> {
        let Outcome { name, done, target, document, seconds } = outcome;
        book.ledger.ended(&name);
        let document = match document {
            Ok(document) => document,
            Err(Trouble::Stopped) => return Ok(None),
            Err(Trouble::Passing(failure)) => {
                self.show.suspend(|| report::print(failure));
                let rest = REST.as_secs();
                self.say(&format!("{name} is tried again in {rest} s"));
                return Ok(Some(REST));
            }
            Err(Trouble::Lost(failure)) => {
                self.lose(book, &name, Done { state: State::Failed, ..done }, failure)?;
                return Ok(None);
            }
        };
        self.show.suspend(|| material::unread(&document));
        let lost: Vec<Value> = document
            .pages
            .iter()
            .filter_map(|page| {
                let message = if let Origin::Failed(failure) = &page.origin {
                    failure.to_string()
                } else if matches!(page.origin, Origin::NoText { .. }) {
                    "it has no text of its own, and nobody looked".to_owned()
                } else {
                    return None;
                };
                Some(json!({ "file": name, "page": page.number, "message": message }))
            })
            .collect();
        put(&target, &self.form.write(&document)?)?;
        if !lost.is_empty() {
            book.lose(&lost)?;
        }
        book.record(&name, Some(Done { state: State::Read, ..done }))?;
        let (pages, noun) = match document.pages.len() {
            1 => (1, "page"),
            n => (n, "pages"),
        };
        self.say(&format!("{name}: {pages} {noun} in {seconds:.1} s"));
        self.show.suspend(|| output::line(&target.display().to_string()))?;
        Ok(None)
    }

    /// Tells of a file that cannot be read, once.
    fn lose(&self, book: &mut Book, name: &str, done: Done, failure: Failure) -> Result<()> {
        book.ledger.ended(name);
        let message = failure.to_string();
        self.show.suspend(|| report::print(failure));
        book.lose(&[json!({ "file": name, "page": null, "message": message })])?;
        book.record(name, Some(done))
    }
}

/// Writes a text that is whole, old or new, at every moment.
fn put(target: &Path, text: &str) -> Result<()> {
    let mut partial = target.to_owned().into_os_string();
    partial.push(".partial");
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, target));
    written.map_err(|error| Problem::io("write", target, error))
}
