//! The worker process of the integration tests: the real one, and one that misbehaves on demand.

#![expect(clippy::print_stderr, reason = "misbehaving is what this is for")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use documents::layout::PageLayout;
use documents::picture::Picture;
use documents::pipeline::{Outline, Parse, Raster, Render};
use documents::{Error, PageFailure, Source, pdf, worker};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => worker::main(),
        Some("garbage") => {
            let written = std::io::stdout().write_all(b"Usage: something else entirely\n");
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Some("silent") => ExitCode::SUCCESS,
        Some("faulty") => {
            // The same limits as the real one, and pages that do what their text says.
            let start = |limits: documents::Limits| {
                worker::confine(limits.memory_bytes);
                Faulty(pdf::Reader::new(limits))
            };
            match worker::serve(std::io::stdin(), std::io::stdout(), start) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Some(_) => ExitCode::FAILURE,
    }
}

struct Faulty(pdf::Reader);

impl Parse for Faulty {
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, Error> {
        self.0.open(source, passwords)
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        let page = self.0.page(index)?;
        let text = format!("{:?}", page.regions);
        let wants = |fault: &str| text.contains(fault);
        if wants("PANIC") {
            panic!("asked to panic on page index {index}");
        }
        if wants("HANG") {
            std::thread::sleep(Duration::from_secs(3600));
        }
        if wants("EXIT") {
            eprintln!("going away");
            std::process::exit(7);
        }
        if wants("ABORT") {
            std::process::abort();
        }
        if wants("MEMORY") {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 64 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        if wants("STACK") {
            std::hint::black_box(deeper(u64::MAX));
        }
        Ok(page)
    }
}

impl Render for Faulty {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        // What its text asks for comes first.
        let _laid_out = self.page(index)?;
        self.0.render(index, raster)
    }
}

/// Runs out of stack.
fn deeper(left: u64) -> u64 {
    let frame = std::hint::black_box([left; 64]);
    if left == 0 { 0 } else { deeper(left - 1) + frame[0] % 2 }
}
