//! Pulling a model while a person watches, and stopping when they want.

use std::sync::Arc;
use std::time::Duration;

use manager::Environment;
use manager::catalog::ModelName;
use manager::fetch::{Hub, Patience, Pulled, Selection};
use tokio::sync::mpsc;

use crate::output::bytes;
use crate::progress::Display;
use crate::report::{Problem, Result};

/// How a pull ended.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Everything is here.
    Whole(Pulled),
    /// Ctrl-C came first. What is here stays.
    Stopped,
}

/// What a shell expects of a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// How often rates are told anew.
const TICK: Duration = Duration::from_millis(250);

/// How long writers may take to close their files after Ctrl-C.
const CLOSING: Duration = Duration::from_secs(5);

/// Pulls `name`, shows how it goes on standard error, and stops at Ctrl-C.
pub(crate) fn fetch(
    environment: &Environment,
    name: &ModelName,
    selection: Selection,
) -> Result<Fetched> {
    let hub = Hub::new(environment, Patience::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
    let mut display = Display::new();
    let ended = runtime.block_on(async {
        let (sender, mut events) = mpsc::unbounded_channel();
        // Whoever listens no more has stopped the pull.
        let observer = Arc::new(move |event| drop(sender.send(event)));
        let mut pull = Box::pin(hub.pull(name, selection, observer));
        let mut clock = tokio::time::interval(TICK);
        let mut interrupt = Box::pin(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupt => return None,
                _ = clock.tick() => display.tick(),
                Some(event) = events.recv() => display.show(event),
                pulled = &mut pull => return Some(pulled),
            }
        }
    });
    display.end();
    // Tasks that were stopped end when the executor next comes by, and their writers with them.
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    runtime.shutdown_timeout(CLOSING);
    match ended {
        Some(pulled) => Ok(Fetched::Whole(pulled?)),
        None => {
            let (done, total) = display.moved();
            let here = match total {
                0 => "nothing was fetched".to_owned(),
                _ => format!("{} of {} are here", bytes(done), bytes(total)),
            };
            eprintln!("stopped: {here}; `folio pull {name}` goes on from there");
            Ok(Fetched::Stopped)
        }
    }
}
