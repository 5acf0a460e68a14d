//! How a pull looks: bars on a terminal, a line for each file elsewhere. All of it on standard error.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use manager::fetch::Progress;

use crate::output::bytes;

/// Bars that are shown at once, and the rate at which they are drawn.
const FRAMES: u8 = 10;

/// The pull of one model, as a person sees it.
#[derive(Debug)]
pub(crate) struct Display {
    /// `None`: lines.
    bars: Option<Bars>,
    /// Bytes on disk of each file that was told of.
    done: BTreeMap<String, u64>,
    /// Bytes that were on disk before, and bytes in all.
    present: u64,
    total: u64,
}

#[derive(Debug)]
struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    files: BTreeMap<String, ProgressBar>,
}

impl Display {
    /// Bars if standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let screen =
                MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES));
            let total = screen.add(ProgressBar::new_spinner().with_style(style(SPIN)));
            total.set_message("asking the hub");
            total.enable_steady_tick(Duration::from_millis(100));
            Bars { screen, total, files: BTreeMap::new() }
        });
        Self { bars, done: BTreeMap::new(), present: 0, total: 0 }
    }

    /// Bytes on disk, and bytes in all.
    pub(crate) fn moved(&self) -> (u64, u64) {
        let done = self.done.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        (done.max(self.present).min(self.total), self.total)
    }

    /// Takes note of an event and shows it.
    pub(crate) fn show(&mut self, event: Progress) {
        match event {
            Progress::Listed { commit, files, bytes: total, present } => {
                (self.present, self.total) = (present, total);
                self.listed(&commit, files);
            }
            Progress::Moved { file, done, total } => {
                self.done.insert(file.clone(), done);
                if let Some(bars) = &mut self.bars {
                    bars.file(&file, total).set_position(done);
                }
            }
            Progress::Retrying { file, reason, wait } => {
                let of = file.map_or_else(String::new, |file| format!("{file}: "));
                self.say(&format!("{of}{reason}; again in {:.1} s", wait.as_secs_f64()));
            }
            Progress::Waiting { file } => {
                self.say(&format!("{file}: another process is fetching it; waiting for that"));
            }
            Progress::Finished { file, total } => {
                self.done.insert(file.clone(), total);
                match &mut self.bars {
                    Some(bars) => bars.end(&file),
                    None => eprintln!("  {file}  {}", bytes(total)),
                }
            }
            // An event that a later version may know is nothing to fail for.
            _ => {}
        }
        if let Some(bars) = &self.bars {
            bars.total.set_position(self.moved().0);
        }
    }

    /// Takes the bars away.
    pub(crate) fn end(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.files.values().for_each(ProgressBar::finish_and_clear);
            bars.total.finish_and_clear();
        }
    }

    fn listed(&self, commit: &str, files: usize) {
        let short = commit.get(..8).unwrap_or(commit);
        let have = match self.present {
            0 => String::new(),
            present if present == self.total => ", all of it here".to_owned(),
            present => format!(", {} of it here", bytes(present)),
        };
        let plural = if files == 1 { "" } else { "s" };
        self.say(&format!("commit {short}: {files} file{plural}, {}{have}", bytes(self.total)));
        if let Some(bars) = &self.bars {
            bars.total.disable_steady_tick();
            bars.total.set_length(self.total);
            bars.total.set_style(style(total_template()));
            bars.total.set_position(self.present);
            // What was here before says nothing of how fast the rest comes.
            bars.total.reset_eta();
        }
    }

    /// A line above the bars.
    fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.screen.suspend(|| eprintln!("  {line}")),
            None => eprintln!("  {line}"),
        }
    }
}

impl Bars {
    fn file(&mut self, name: &str, total: u64) -> &ProgressBar {
        self.files.entry(name.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::new(total).with_style(style(FILE)).with_message(name.to_owned());
            self.screen.insert_before(&self.total, bar)
        })
    }

    fn end(&mut self, name: &str) {
        if let Some(bar) = self.files.remove(name) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }
}

const SPIN: &str = "  {spinner} {msg}";
const FILE: &str = "  {wide_msg} {decimal_bytes:>10} of {decimal_total_bytes:<10} {percent:>3}%";
const WIDE: &str = "  {wide_bar} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left  {percent}%";
const NARROW: &str = "  {wide_bar} {decimal_bytes_per_sec} {eta} {percent}%";

/// What fits beside a bar that can still be seen.
fn total_template() -> &'static str {
    let columns = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(w, _)| w.0);
    if columns < 72 { NARROW } else { WIDE }
}

fn style(template: &str) -> ProgressStyle {
    let plain = ProgressStyle::default_bar();
    // The templates above are constant; one that cannot be read shows the library's own.
    let style = ProgressStyle::with_template(template).unwrap_or(plain);
    style.progress_chars("━╸ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_can_be_read() {
        for template in [SPIN, FILE, WIDE, NARROW] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn what_was_there_counts_once() {
        let mut display = Display { bars: None, done: BTreeMap::new(), present: 70, total: 100 };
        let moved = |display: &mut Display, file: &str, done| {
            display.show(Progress::Moved { file: file.to_owned(), done, total: 100 });
            display.moved().0
        };
        assert_eq!(moved(&mut display, "a", 60), 70);
        assert_eq!(moved(&mut display, "b", 20), 80);
        assert_eq!(moved(&mut display, "a", 0), 70);
    }
}
