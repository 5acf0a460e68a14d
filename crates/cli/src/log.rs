//! The log of a server: to standard error or a file, for people or as JSON.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use manager::config::{Level, Logging};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::report::{Problem, Result};

/// Begins to log as the settings say.
pub(crate) fn begin(logging: &Logging) -> Result<()> {
    let level = match logging.level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let (writer, colours) = match &logging.file {
        None => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        Some(path) => {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|error| Problem::io("write", path, error))?;
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
    };
    let log =
        tracing_subscriber::fmt().with_max_level(level).with_writer(writer).with_ansi(colours);
    let begun =
        if logging.json { log.json().try_init() } else { log.with_target(false).try_init() };
    // Who has a log already keeps it.
    drop(begun);
    Ok(())
}
