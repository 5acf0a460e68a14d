//! Reads PDFs in this process and prints them, for work on the layout:
//! `cargo run -p documents --example read -- [--json|--plain|--time] FILE...`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use documents::json::JsonOptions;
use documents::markdown::MarkdownOptions;
use documents::pipeline::{ReadOptions, read};
use documents::{Block, BlockKind, Document, Limits, NoModel, Source, json, markdown, pdf};

fn main() -> ExitCode {
    let mut mode = String::new();
    let mut files = Vec::new();
    for arg in std::env::args().skip(1) {
        if arg.starts_with("--") {
            mode = arg;
        } else {
            files.push(PathBuf::from(arg));
        }
    }
    let limits = Limits::default();
    let mut failed = false;
    for file in files {
        let start = Instant::now();
        let document = Source::read(&file, limits.file_bytes).and_then(|source| {
            read(source, &ReadOptions::default(), &mut pdf::Reader::new(limits), &mut NoModel)
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
