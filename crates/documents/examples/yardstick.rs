//! Measures drawing and text of a folder of PDFs beside another program's:
//! `cargo run --release -p documents --example yardstick -- FOLDER [--pages=5] [--each=8] [--list] [--no-drawing]`
//!
//! The other program is poppler's `pdftoppm` and `pdftotext`, which must be installed; they run as processes of their own.
//! Of each folder that holds files, at most `--each` are taken, and of each file the first `--pages` pages. `--list` prints
//! a line for each file. With `--memory=PROGRAM` the pages of one file are drawn again and again by a worker, and its
//! memory is printed; with `--hostile=PROGRAM` a worker draws files that ask for more than a page should, and how each
//! ends is printed. PROGRAM is `target/release/documents-worker`. Linux only: the processor's time is read off `/proc`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use documents::layout::{Line, PageLayout, Region};
use documents::picture::{Picture, png};
use documents::pipeline::{Parse, Raster, Render};
use documents::worker::Worker;
use documents::{Limits, Source, pdf};
use testkit::hostile::{self, Hostile};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

const RASTER: Raster = Raster { longest: 1288 };
/// A document with fewer words than these in the other program's reading is no document with text.
const FEWEST: usize = 50;

fn main() -> ExitCode {
    let mut folder = None;
    let (mut pages, mut each, mut list, mut drawing) = (5, 8, false, true);
    let mut memory = None;
    for argument in std::env::args().skip(1) {
        let number = |text: &str| text.parse::<u32>().unwrap_or(1).max(1);
        if let Some(count) = argument.strip_prefix("--pages=") {
            pages = number(count);
        } else if let Some(count) = argument.strip_prefix("--each=") {
            each = number(count) as usize;
        } else if let Some(program) = argument.strip_prefix("--memory=") {
            memory = Some(program.to_owned());
        } else if let Some(program) = argument.strip_prefix("--hostile=") {
            return besiege(program);
        } else if argument == "--list" {
            list = true;
        } else if argument == "--no-drawing" {
            drawing = false;
        } else {
            folder = Some(PathBuf::from(argument));
        }
    }
    let Some(folder) = folder else {
        eprintln!("usage: yardstick FOLDER [--pages=N] [--each=N] [--list] [--no-drawing]");
        return ExitCode::FAILURE;
    };
    if let Some(program) = memory {
        return watch_memory(&folder, &program);
    }
    let mut files = Vec::new();
    collect(&folder, each, &mut files);
    let mut sum = Sum::default();
    for file in &files {
        measure(file, pages, drawing, list, &mut sum);
    }
    sum.print(files.len());
    ExitCode::SUCCESS
}

/// The first files of each folder, in the order of their names.
fn collect(folder: &Path, each: usize, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let pdfs = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "pdf"));
    into.extend(pdfs.take(each).cloned());
    for path in paths.iter().filter(|path| path.is_dir()) {
        collect(path, each, into);
    }
}

#[derive(Default)]
struct Sum {
    refused: usize,
    pages: usize,
    failed: usize,
    omissions: BTreeMap<&'static str, u32>,
    /// Seconds of the processor: ours for layouts, ours for drawing, theirs for drawing, theirs for text, and ours for
    /// writing PNGs and telling blank pages.
    seconds: [f64; 5],
    /// Pages that are drawn blank: such without text, and such with.
    blank: [usize; 2],
    /// Bytes of all PNGs.
    bytes: usize,
    /// How far our picture of a page is from the other program's, and which page it is.
    apart: Vec<(f64, PathBuf, usize)>,
    texts: Vec<Text>,
}

/// How the words of one document agree with the other program's.
struct Text {
    file: PathBuf,
    words: usize,
    recall: f64,
    precision: f64,
    order: f64,
    /// The better of the order's agreement with the program's usual order and with that of the content.
    either: f64,
}

fn measure(file: &Path, pages: u32, drawing: bool, list: bool, sum: &mut Sum) {
    let mut reader = pdf::Reader::new(Limits::default());
    let begin = processor(false);
    let opened = Source::read(file, u64::MAX).and_then(|source| reader.open(source, &[]));
    let outline = match opened {
        Ok(outline) => outline,
        Err(error) => {
            eprintln!("{error}");
            sum.refused += 1;
            return;
        }
    };
    let last = outline.pages.min(pages);
    let layouts: Vec<_> = (0..last).map(|index| reader.page(index)).collect();
    let laid_out = processor(false);
    sum.seconds[0] += laid_out - begin;
    sum.pages += last as usize;
    if drawing {
        let mut pictures = Vec::new();
        for index in 0..last {
            match reader.render(index, RASTER) {
                Ok(picture) => pictures.push((index as usize, picture)),
                Err(failure) => {
                    eprintln!("{}: page {}: {failure}", file.display(), index + 1);
                    sum.failed += 1;
                }
            }
            for (warning, count) in reader.omissions() {
                *sum.omissions.entry(warning.name()).or_default() += count;
            }
        }
        let drawn = processor(false);
        sum.seconds[1] += drawn - laid_out;
        for (index, picture) in &pictures {
            let index = *index;
            let text = layouts[index].as_ref().map_or(0, |page| page.visible_glyphs);
            if picture.is_blank() {
                sum.blank[usize::from(text > 0)] += 1;
                if text > 0 {
                    eprintln!(
                        "{}: page {}: {text} characters, but blank",
                        file.display(),
                        index + 1
                    );
                }
            }
            sum.bytes += png(picture).len();
        }
        sum.seconds[4] += processor(false) - drawn;
        let theirs = processor(true);
        let longest = RASTER.longest.to_string();
        let drawn = run("pdftoppm", &["-cropbox", "-scale-to", &longest], last, file, &[]);
        sum.seconds[2] += processor(true) - theirs;
        for (index, other) in ppms(&drawn).into_iter().enumerate() {
            if let Some((_, picture)) = pictures.iter().find(|(at, _)| *at == index) {
                sum.apart.push((apart(picture, &other), file.to_owned(), index + 1));
            }
        }
    }
    let theirs = processor(true);
    let text = run("pdftotext", &["-enc", "UTF-8"], last, file, &["-"]);
    sum.seconds[3] += processor(true) - theirs;
    let raw = run("pdftotext", &["-raw", "-enc", "UTF-8"], last, file, &["-"]);
    let [wanted, raw] = [text, raw].map(|text| {
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split('\x0c').map(words).collect::<Vec<_>>()
    });
    let ours: Vec<Vec<String>> = layouts
        .iter()
        .map(|layout| layout.as_ref().map(|page| words(&said(page))).unwrap_or_default())
        .collect();
    let Some(mut text) = compare(file, &ours, &wanted) else { return };
    // Tables are read by the column in the one order, by the row in the other.
    if let Some(raw) = compare(file, &ours, &raw) {
        text.either = text.order.max(raw.order);
    }
    if list {
        println!(
            "{:.3} {:.3} {:.3} {:.3} {:5} {}",
            text.recall,
            text.precision,
            text.order,
            text.either,
            text.words,
            file.display()
        );
    }
    sum.texts.push(text);
}

/// What the other program prints about the first pages of a file; nothing if it fails.
fn run(program: &str, options: &[&str], last: u32, file: &Path, after: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(options).args(["-f", "1", "-l", &last.to_string()]).arg(file).args(after);
    match command.stdin(Stdio::null()).stderr(Stdio::null()).output() {
        Ok(output) => output.stdout,
        Err(error) => {
            eprintln!("{program}: {error}");
            Vec::new()
        }
    }
}

/// The pictures of a stream of PPMs.
fn ppms(mut stream: &[u8]) -> Vec<Picture> {
    let mut pictures = Vec::new();
    loop {
        let mut fields = Vec::new();
        let mut at = 0;
        while fields.len() < 4 {
            let Some(length) = stream[at..].iter().position(u8::is_ascii_whitespace) else {
                return pictures;
            };
            fields.push(String::from_utf8_lossy(&stream[at..at + length]).into_owned());
            at += length + 1;
        }
        let side = |field: &str| field.parse::<usize>().unwrap_or(0);
        let (width, height) = (side(&fields[1]), side(&fields[2]));
        let Some((pixels, rest)) = stream[at..].split_at_checked(width * height * 3) else {
            return pictures;
        };
        pictures.push(Picture { width, height, pixels: pixels.to_vec() });
        stream = rest;
    }
}

/// The share of squares of four pixels whose mean colour differs by more than 80 of 255; 1 if the sizes do. Edges of
/// letters, which every program smooths in its own way, are lost in the mean.
fn apart(a: &Picture, b: &Picture) -> f64 {
    const SIDE: usize = 4;
    if a.width.abs_diff(b.width) > 1 || a.height.abs_diff(b.height) > 1 {
        return 1.0;
    }
    let (columns, rows) = (a.width.min(b.width) / SIDE, a.height.min(b.height) / SIDE);
    let mean = |picture: &Picture, column: usize, row: usize, colour: usize| {
        let rows = (row * SIDE..(row + 1) * SIDE).flat_map(|y| {
            (column * SIDE..(column + 1) * SIDE).map(move |x| (y * picture.width + x) * 3)
        });
        rows.map(|at| i32::from(picture.pixels[at + colour])).sum::<i32>() / (SIDE * SIDE) as i32
    };
    let differs = |column, row| {
        (0..3)
            .any(|colour| (mean(a, column, row, colour) - mean(b, column, row, colour)).abs() > 80)
    };
    let count: usize =
        (0..rows).map(|row| (0..columns).filter(|&column| differs(column, row)).count()).sum();
    count as f64 / (columns * rows).max(1) as f64
}

/// All text of a page in reading order.
fn said(page: &PageLayout) -> String {
    let mut text = String::new();
    let mut add = |lines: &[Line]| {
        for line in lines {
            for word in &line.words {
                if word.spaced {
                    text.push(' ');
                }
                text.push_str(&word.text);
            }
            text.push('\n');
        }
    };
    for region in &page.regions {
        match region {
            Region::Flow(flow) => add(&flow.lines),
            Region::Table(table) => {
                for cell in table.rows.iter().flatten() {
                    add(&cell.lines);
                }
            }
        }
    }
    text
}

/// Words as they are compared: runs of letters and digits, and each sign of a script that sets no spaces; with ligatures
/// resolved. Dots that lead to the number of a page are none.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.nfkc() {
        let unspaced =
            matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..);
        let joined = c.is_alphanumeric() && !unspaced || is_combining_mark(c);
        if joined {
            word.push(c);
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if unspaced && c.is_alphanumeric() {
            words.push(c.to_string());
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Compares page by page; `None` if there is too little text.
fn compare(file: &Path, ours: &[Vec<String>], wanted: &[Vec<String>]) -> Option<Text> {
    let (mut common, mut in_order) = (0, 0);
    for (ours, wanted) in ours.iter().zip(wanted) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in wanted {
            *counts.entry(word).or_default() += 1;
        }
        for word in ours {
            if let Some(left) = counts.get_mut(word.as_str()).filter(|left| **left > 0) {
                *left -= 1;
                common += 1;
            }
        }
        in_order += longest_common(ours, wanted);
    }
    let count = |pages: &[Vec<String>]| pages.iter().map(Vec::len).sum::<usize>();
    let words = count(wanted);
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    (words >= FEWEST).then(|| Text {
        file: file.to_owned(),
        words,
        recall: share(common, words),
        precision: share(common, count(ours)),
        order: share(in_order, common),
        either: share(in_order, common),
    })
}

/// The length of the longest list of words that both have in the same order.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for word in a {
        let mut above_left = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { above_left + 1 } else { above.max(row[at]) };
            above_left = above;
        }
    }
    row[b.len()]
}

impl Sum {
    fn print(&self, files: usize) {
        let milliseconds = |at: usize| self.seconds[at] * 1000.0 / self.pages.max(1) as f64;
        println!("{files} files, {} refused; {} pages", self.refused, self.pages);
        println!(
            "CPU ms a page: layout {:.1}, drawing {:.1}; pdftotext {:.1}, pdftoppm {:.1}",
            milliseconds(0),
            milliseconds(1),
            milliseconds(3),
            milliseconds(2)
        );
        println!(
            "{:.1} ms for a PNG of {} KB; blank: {} pages without text, {} with",
            milliseconds(4),
            self.bytes / self.pages.max(1) / 1000,
            self.blank[0],
            self.blank[1],
        );
        let mut apart: Vec<_> = self.apart.iter().collect();
        apart.sort_by(|a, b| b.0.total_cmp(&a.0));
        let below = |share: f64| {
            let count = apart.iter().filter(|(far, ..)| *far < share).count();
            100.0 * count as f64 / apart.len().max(1) as f64
        };
        println!(
            "{} pages beside pdftoppm's: median {:.3} %, {:.1} % of them below 0.5 %, {:.1} % below 2 %",
            apart.len(),
            100.0 * apart.get(apart.len() / 2).map_or(0.0, |(far, ..)| *far),
            below(0.005),
            below(0.02),
        );
        for (far, file, page) in apart.iter().take(12) {
            println!("  {:.2} % {} page {page}", far * 100.0, file.display());
        }
        println!("{} pages not drawn; left out: {:?}", self.failed, self.omissions);
        let mean = |value: fn(&Text) -> f64| {
            self.texts.iter().map(value).sum::<f64>() / self.texts.len().max(1) as f64
        };
        let poor = self.texts.iter().filter(|text| text.recall < 0.8).count();
        println!(
            "{} documents with text: recall {:.3}, precision {:.3}, order {:.3}, in either of its \
             orders {:.3}; {poor} below 0.8",
            self.texts.len(),
            mean(|text| text.recall),
            mean(|text| text.precision),
            mean(|text| text.order),
            mean(|text| text.either),
        );
        let mut worst: Vec<&Text> = self.texts.iter().collect();
        worst.sort_by(|a, b| a.recall.total_cmp(&b.recall));
        for text in worst.iter().take(12) {
            println!(
                "  {:.3} {:.3} {:.3} {:5} {}",
                text.recall,
                text.precision,
                text.order,
                text.words,
                text.file.display()
            );
        }
    }
}

/// Seconds of the processor that this process has used, or its children that have ended.
fn processor(children: bool) -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold spaces; fields 14 to 17 are hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let at = if children { 13 } else { 11 };
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(at) + ticks(at + 1)) / 100.0
}

/// Draws hostile files in a worker, within the usual limits, and prints how each ends.
fn besiege(program: &str) -> ExitCode {
    let program = PathBuf::from(program);
    let mut worker = Worker::new(move || Command::new(&program), Limits::default());
    for Hostile { name, bytes, .. } in hostile::files() {
        let (size, start) = (bytes.len(), Instant::now());
        let ended = match worker.open(Source { name: String::new(), bytes }, &[]) {
            Ok(_) => match worker.render(0, RASTER) {
                Ok(_) => "drawn".to_owned(),
                Err(failure) => failure.to_string(),
            },
            Err(error) => error.to_string(),
        };
        println!("{name} ({size} bytes): {ended}, {:.1} s", start.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}

/// Draws the pages of a file over and over in a worker, and prints its memory.
fn watch_memory(file: &Path, program: &str) -> ExitCode {
    let program = PathBuf::from(program);
    let mut worker = Worker::new(move || Command::new(&program), Limits::default());
    let outline = match Source::read(file, u64::MAX).and_then(|source| worker.open(source, &[])) {
        Ok(outline) => outline,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    for drawn in 0..1000 {
        if let Err(failure) = worker.render(drawn % outline.pages, RASTER) {
            eprintln!("page {}: {failure}", drawn % outline.pages + 1);
        }
        if (drawn + 1) % 100 == 0 {
            let pid = worker.process_id().unwrap_or(0);
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let of = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
                line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
            };
            let (now, most) = (of("VmRSS:") >> 10, of("VmHWM:") >> 10);
            let seconds = start.elapsed().as_secs_f64();
            println!("{} pages: {now} MiB, at most {most} MiB, {seconds:.1} s", drawn + 1);
        }
    }
    ExitCode::SUCCESS
}
