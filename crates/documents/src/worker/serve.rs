//! The worker's side.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use super::confine::confine;
use super::message::{Request, Response, VERSION};
use super::wire::{FrameError, read_frame, write_frame};
use crate::pipeline::Render;
use crate::{Error, Limits, Local, OpenFailure, PageFailure, ProtocolFault, Source};

/// The whole life of a worker process: the hidden subcommand calls this and returns its value.
/// Speaks over standard input and output, lowers the process's limits, and ends when the parent
/// closes the pipe.
pub fn main() -> ExitCode {
    let start = |limits: Limits| {
        confine(limits.memory_bytes);
        Local::new(limits)
    };
    match serve(std::io::stdin(), std::io::stdout(), start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Answers requests until `input` ends; `start` makes the parser once the limits are known. When
/// the input ends during a request, or the parser panics, this returns at once and leaves the
/// threads to the end of the process.
///
/// # Errors
/// When a pipe breaks, the parent does not keep to the protocol, or the parser panics.
pub fn serve<P: Render>(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    start: impl FnOnce(Limits) -> P + Send + 'static,
) -> Result<(), Error> {
    let (requests, inbox) = mpsc::channel();
    let (ends, ended) = mpsc::channel();
    let reader_ends = ends.clone();
    // Whoever ends first sends; nobody may be left to hear the other.
    thread::spawn(move || {
        let _late = reader_ends.send(forward(input, &requests));
        // Keep the parser's inbox open: its answer to the last request is not wanted any more, and
        // its end must not be taken for ours.
        thread::park();
    });
    thread::spawn(move || {
        let worked = catch_unwind(AssertUnwindSafe(|| work(output, start, &inbox)));
        let _late = ends.send(worked.unwrap_or_else(|_| Err(broken(ProtocolFault::Ended))));
    });
    ended.recv().unwrap_or(Ok(()))
}

/// Passes requests on until the input ends.
fn forward(mut input: impl Read, requests: &mpsc::Sender<Request>) -> Result<(), Error> {
    loop {
        let request = match read_frame(&mut input) {
            Ok(None) => return Ok(()),
            Ok(Some((tag, payload))) => Request::decode(tag, &payload).map_err(broken)?,
            Err(FrameError::Io(source)) => return Err(Error::WorkerPipe { source }),
            Err(FrameError::Fault(fault)) => return Err(broken(fault)),
        };
        if requests.send(request).is_err() {
            return Ok(());
        }
    }
}

fn broken(what: ProtocolFault) -> Error {
    Error::WorkerProtocol { program: "the parent process".into(), what }
}

fn work<P: Render>(
    mut output: impl Write,
    start: impl FnOnce(Limits) -> P,
    inbox: &mpsc::Receiver<Request>,
) -> Result<(), Error> {
    let mut send = |response: &Response| {
        let (tag, payload) = response.encode();
        write_frame(&mut output, tag, &payload).map_err(|source| Error::WorkerPipe { source })
    };
    send(&Response::Hello { version: VERSION })?;
    let Ok(Request::Start { limits }) = inbox.recv() else {
        return Err(broken(ProtocolFault::Unexpected));
    };
    let file_bytes = limits.file_bytes;
    let mut parser = start(limits);
    while let Ok(request) = inbox.recv() {
        let response = match request {
            Request::Open { bytes, passwords } => {
                if bytes > file_bytes {
                    return Err(broken(ProtocolFault::TooLong { bytes, limit: file_bytes }));
                }
                let bytes = receive(inbox, bytes)?;
                let source = Source { name: String::new(), bytes };
                match parser.open(source, &passwords) {
                    Ok(outline) => Response::Opened(outline),
                    Err(Error::Open { failure, .. }) => Response::OpenFailed(failure),
                    Err(error) => Response::OpenFailed(OpenFailure::Process(PageFailure::Panic {
                        message: error.to_string(),
                    })),
                }
            }
            Request::Page { index } => match parser.page(index) {
                Ok(page) => Response::Page(Box::new(page)),
                Err(failure) => Response::Failed(failure),
            },
            Request::Render { index, raster } => match parser.render(index, raster) {
                Ok(picture) => Response::Picture { picture, omissions: parser.omissions() },
                Err(failure) => Response::Failed(failure),
            },
            Request::Start { .. } | Request::Data(_) => {
                return Err(broken(ProtocolFault::Unexpected));
            }
        };
        send(&response)?;
    }
    Ok(())
}

/// The bytes of a file.
fn receive(inbox: &mpsc::Receiver<Request>, size: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        match inbox.recv() {
            Ok(Request::Data(part)) if !part.is_empty() => bytes.extend(part),
            Ok(_) => return Err(broken(ProtocolFault::Unexpected)),
            Err(_) => return Err(broken(ProtocolFault::Ended)),
        }
    }
    Ok(bytes)
}
