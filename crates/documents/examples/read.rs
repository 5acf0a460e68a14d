//! Reads PDFs and prints them, for work on the layout:
//! `cargo run -p documents --example read -- [--json|--plain|--time] [--worker=PROGRAM] FILE...`
//! In this process, or in a worker: the program is then `target/debug/documents-worker`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use documents::json::JsonOptions;
use documents::markdown::MarkdownOptions;
use documents::pipeline::lay_out;
use documents::worker::Worker;
use documents::{Block, BlockKind, Document, Limits, PageSet, Source, json, markdown, pdf};

fn main() -> ExitCode {
    let mut mode = String::new();
    let mut files = Vec::new();
    let mut worker = None;
    for arg in std::env::args().skip(1) {
        if let Some(program) = arg.strip_prefix("--worker=") {
            worker = Some(program.to_owned());
        } else if arg.starts_with("--") {
            mode = arg;
        } else {
            files.push(PathBuf::from(arg));
        }
    }
    let limits = Limits::default();
    let mut failed = false;
    let mut reader = pdf::Reader::new(limits);
    let mut worker = worker.map(|program| Worker::new(move || Command::new(&program), limits));
    for file in files {
        let start = Instant::now();
        let document = Source::read(&file, limits.file_bytes).and_then(|source| {
            let all = PageSet::all();
            match &mut worker {
                Some(worker) => lay_out(source, &all, &[], worker),
                None => lay_out(source, &all, &[], &mut reader),
            }
        });
        match document {
            Ok(document) => match mode.as_str() {
                "--json" => println!("{:#}", json::write(&document, JsonOptions { lines: false })),
                "--plain" => println!("{}", plain(&document)),
                "--time" => {
                    let seconds = start.elapsed().as_secs_f64();
                    println!("{}\t{}\t{seconds:.4}", file.display(), document.pages.len());
                }
                _ => {
                    let options = MarkdownOptions { page_markers: true, ..Default::default() };
                    print!("{}", markdown::write(&document, options));
                }
            },
            Err(error) => {
                eprintln!("{error}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn plain(document: &Document) -> String {
    let blocks = document.pages.iter().flat_map(|page| &page.blocks);
    let marked = |block: &Block| {
        if let BlockKind::ListItem { marker, .. } = &block.kind {
            format!("{marker} {}", block.text())
        } else {
            block.text()
        }
    };
    blocks.map(marked).collect::<Vec<_>>().join("\n\n")
}
