//! How long work looks. A pull: bars on a terminal, a line for each file elsewhere. All of it on standard error.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{
    HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use manager::fetch::Progress;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

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
    /// Bytes on disk at the last ticks.
    history: VecDeque<(Instant, u64)>,
}

#[derive(Debug)]
struct Bars {
    _silence: Option<Silence>,
    screen: MultiProgress,
    total: ProgressBar,
    files: BTreeMap<String, ProgressBar>,
}

impl Display {
    /// Bars if standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bars = io::stderr().is_terminal().then(|| {
            let screen =
                MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES));
            let total = screen.add(ProgressBar::new_spinner().with_style(style(SPIN)));
            total.set_message("asking the hub");
            total.enable_steady_tick(Duration::from_millis(100));
            Bars { _silence: Silence::begin(), screen, total, files: BTreeMap::new() }
        });
        Self { bars, done: BTreeMap::new(), present: 0, total: 0, history: VecDeque::new() }
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

    /// Tells the rate of the last seconds, also when nothing comes any more.
    pub(crate) fn tick(&mut self) {
        let (done, total) = self.moved();
        let Some(bars) = &self.bars else { return };
        if total == 0 {
            return;
        }
        self.history.push_back((Instant::now(), done));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        let (Some(first), Some(last)) = (self.history.front(), self.history.back()) else { return };
        bars.total.set_message(pace(done - first.1.min(done), last.0 - first.0, total - done));
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
            bars.total.set_message("");
            bars.total.set_length(self.total);
            bars.total.set_style(style(total_template()));
            bars.total.set_position(self.present);
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

/// A terminal that does not show `^C`, which would push bars off their lines and stand in the middle of an answer.
/// Dropping this lets it show that again.
#[derive(Debug)]
pub(crate) struct Silence(Termios);

impl Silence {
    /// `None` if standard error is no terminal.
    pub(crate) fn begin() -> Option<Self> {
        let before = termios::tcgetattr(io::stderr()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHOCTL);
        termios::tcsetattr(io::stderr(), OptionalActions::Now, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The terminal may be gone, and then nobody sees the difference.
        let _ = termios::tcsetattr(io::stderr(), OptionalActions::Now, &self.0);
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
const READ: &str = "  reading {wide_bar} {pos} of {len} tokens, {elapsed}";
const COUNT: &str = "  {wide_bar} {pos} of {len} {msg}, {eta} left";
const PAGES: &str = "  {wide_bar} {counted}, {rate}, {left}  {msg}";
const WRITE: &str = "  {wide_bar} {decimal_bytes} of {decimal_total_bytes}, {eta} left  {msg:40!}";
const FILE: &str = "  {wide_msg} {decimal_bytes:>10} of {decimal_total_bytes:<10} {percent:>3}%";
const WIDE: &str = "  {wide_bar} {decimal_bytes} of {decimal_total_bytes}  {msg}  {percent}%";
const NARROW: &str = "  {wide_bar} {msg}  {percent}%";

/// Ticks over which the rate is taken: some seconds.
const HISTORY: usize = 20;

/// `12.3 MB/s, 4 min left`.
fn pace(moved: u64, time: Duration, left: u64) -> String {
    let rate = moved as f64 / time.as_secs_f64();
    if time.is_zero() || rate < 1.0 {
        return if time.is_zero() { String::new() } else { "nothing comes".to_owned() };
    }
    let seconds = left as f64 / rate;
    let left = match seconds {
        0.0..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    };
    format!("{}/s, {left} left", bytes(rate as u64))
}

/// What fits beside a bar that can still be seen.
fn total_template() -> &'static str {
    let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(w, _)| w.0);
    if columns < 72 { NARROW } else { WIDE }
}

fn style(template: &str) -> ProgressStyle {
    let plain = ProgressStyle::default_bar();
    // The templates above are constant; one that cannot be read shows the library's own.
    let style = ProgressStyle::with_template(template).unwrap_or(plain);
    style.progress_chars("━╸ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

/// Prompts shorter than this are read before a bar could be seen.
const LONG: usize = 1024;

/// How far a prompt of `tokens` tokens is read: a bar on a terminal if it is long, else nothing.
pub(crate) fn reading(show: bool, tokens: usize) -> ProgressBar {
    if !show || tokens < LONG || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(
        Some(tokens as u64),
        ProgressDrawTarget::stderr_with_hz(FRAMES),
    );
    let bar = bar.with_style(style(READ));
    bar.tick();
    // An image may take a minute, in which no token is read.
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// How many of `all` things (`what`: files, texts) are done: a bar on a terminal if it is to be
/// `show`n, else nothing.
pub(crate) fn counting(show: bool, all: usize, what: &'static str) -> ProgressBar {
    if !show || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(FRAMES);
    ProgressBar::with_draw_target(Some(all as u64), target)
        .with_style(style(COUNT))
        .with_message(what)
}

/// How many pages are read, how many that makes a minute, and how long it takes: a bar on a terminal, else nothing. It
/// grows as pages are found; `looked` counts those that take their time, and the rate is theirs.
pub(crate) fn pages(looked: Arc<AtomicU64>) -> ProgressBar {
    steps(looked, |(position, length)| format!("{position} of {length} pages"))
}

/// The same of steps, of which `counted` says in words how many are done and how many there are.
pub(crate) fn steps(
    looked: Arc<AtomicU64>,
    counted: impl Fn((u64, u64)) -> String + Clone + Send + Sync + 'static,
) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let a_minute = move |state: &ProgressState| {
        let minutes = state.elapsed().as_secs_f64() / 60.0;
        looked.load(Ordering::Relaxed) as f64 / minutes.max(1e-3)
    };
    let left = {
        let a_minute = a_minute.clone();
        move |state: &ProgressState, out: &mut dyn Write| {
            let pages = state.len().unwrap_or(0).saturating_sub(state.pos());
            let rate = a_minute(state);
            // A bar that cannot be written is not seen.
            let _ = match rate > 0.0 {
                true => {
                    let left = Duration::from_secs_f64((pages as f64 / rate * 60.0).min(1e9));
                    write!(out, "{} left", HumanDuration(left))
                }
                false => Ok(()),
            };
        }
    };
    let rate = move |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{:.1} a minute", a_minute(state));
    };
    let counted = move |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{}", counted((state.pos(), state.len().unwrap_or(0))));
    };
    let style = style(PAGES).with_key("rate", rate).with_key("left", left);
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(FRAMES))
        .with_style(style.with_key("counted", counted))
}

/// How many of `all` bytes are written: a bar on a terminal if it is to be `show`n, else nothing.
pub(crate) fn moving(show: bool, all: u64) -> ProgressBar {
    if !show || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(FRAMES))
        .with_style(style(WRITE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_can_be_read() {
        for template in [SPIN, READ, COUNT, WRITE, FILE, WIDE, NARROW] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn rates_are_told() {
        let pace = |moved, seconds, left| pace(moved, Duration::from_secs(seconds), left);
        assert_eq!(pace(5_000_000, 5, 30_000_000), "1.00 MB/s, 30 s left");
        assert_eq!(pace(5_000_000, 5, 900_000_000), "1.00 MB/s, 15 min left");
        assert_eq!(pace(5_000_000, 5, 9_000_000_000), "1.00 MB/s, 2.5 h left");
        assert_eq!(pace(0, 5, 1), "nothing comes");
        assert_eq!(pace(7, 0, 1), "");
    }

    #[test]
    fn what_was_there_counts_once() {
        let mut display = Display { bars: None, present: 70, total: 100, ..Display::new() };
        let moved = |display: &mut Display, file: &str, done| {
            display.show(Progress::Moved { file: file.to_owned(), done, total: 100 });
            display.moved().0
        };
        assert_eq!(moved(&mut display, "a", 60), 70);
        assert_eq!(moved(&mut display, "b", 20), 80);
        assert_eq!(moved(&mut display, "a", 0), 70);
    }
}
