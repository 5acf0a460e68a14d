//! The log of a server: to standard error or a file, for people or as JSON.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use manager::config::{Level, Logging};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::report::{Problem, Result};

/// What can be changed of the log while a server runs.
struct Log {
    /// How much is written.
    level: reload::Handle<LevelFilter, Registry>,
    place: Arc<Place>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Where lines go: a file, or standard error.
#[derive(Default)]
struct Place(RwLock<Option<Arc<File>>>);

impl Place {
    fn set(&self, file: Option<File>) {
        // Nobody leaves it half changed.
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *place = file.map(Arc::new);
    }

    fn line(&self) -> Line {
        Line(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Takes one line. A file is opened for appending, so that lines of several threads do not mix.
struct Line(Option<Arc<File>>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(file) => (&**file).write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.0 {
            Some(file) => (&**file).flush(),
            None => io::stderr().flush(),
        }
    }
}

/// Begins to log as the settings say.
pub(crate) fn begin(logging: &Logging) -> Result<()> {
    let place = Arc::new(Place::default());
    place.set(opened(logging.file.as_deref())?);
    let colours = logging.file.is_none() && io::stderr().is_terminal();
    let (level, handle) = reload::Layer::new(filter(logging.level));
    let lines = Arc::clone(&place);
    let lines = fmt::layer().with_writer(move || lines.line()).with_ansi(colours);
    let all = tracing_subscriber::registry().with(level);
    let begun = if logging.json {
        all.with(lines.json()).try_init()
    } else {
        all.with(lines.with_target(false)).try_init()
    };
    if begun.is_ok() {
        // A second log is none: who has one already keeps it.
        drop(LOG.set(Log { level: handle, place }));
    }
    Ok(())
}

/// Logs as these settings say from now on, but for the form of lines. The file is opened anew: it may have been moved away.
pub(crate) fn change(logging: &Logging) -> Result<()> {
    let Some(log) = LOG.get() else { return Ok(()) };
    log.place.set(opened(logging.file.as_deref())?);
    let level = log.level.reload(filter(logging.level));
    level.map_err(|error| Problem::io("change", "the log".as_ref(), io::Error::other(error)))
}

fn opened(path: Option<&Path>) -> Result<Option<File>> {
    let open = |path: &Path| {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.map_err(|error| Problem::io("write", path, error))
    };
    path.map(open).transpose()
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
