//! How busy the machine is with other things, and a command that keeps it quiet.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

/// Keeps the machine quiet while something is measured.
#[derive(Debug)]
pub(super) struct Watch {
    guard: Option<Vec<String>>,
}

/// What `f` gives, and how many cores other processes kept busy meanwhile. `f` waits for every
/// process that it starts.
pub(super) fn during<T>(f: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let before = Moment::now();
    let out = f()?;
    let others = before.zip(Moment::now()).map_or(0.0, |(from, to)| from.others(&to));
    Ok((out, others))
}

/// A moment, in jiffies of processor time.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    /// Of all processes.
    busy: f64,
    /// Of this one and of those it has waited for.
    ours: f64,
}

/// What `/proc` counts in: a hundredth of a second wherever Linux runs.
const JIFFY: f64 = 0.01;

impl Watch {
    /// `guard` is a command that repeats the lines it reads, such as `flock FILE cat`.
    pub(super) fn new(guard: Option<&str>) -> Self {
        Self { guard: guard.map(|guard| guard.split_whitespace().map(str::to_owned).collect()) }
    }

    /// Starts the guard, if there is one: it runs until what this returns is dropped.
    pub(super) fn hold(&self) -> Result<Option<Guard>> {
        self.guard.as_deref().map(Guard::start).transpose()
    }
}

impl Moment {
    /// Now; `None` where there is no `/proc`.
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        Some(Self { at: Instant::now(), busy: busy(&stat)?, ours: ours(&own)? })
    }

    fn others(&self, later: &Self) -> f64 {
        let time = (later.at - self.at).as_secs_f64().max(JIFFY);
        ((later.busy - self.busy) - (later.ours - self.ours)).max(0.0) * JIFFY / time
    }
}

/// Jiffies that processes have taken: user, nice, system, interrupts, and what a host took away.
fn busy(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let all: Vec<f64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, irq, softirq, steal, ..] = all.as_slice() else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

/// Jiffies of a process and of its children that have ended.
fn ours(stat: &str) -> Option<f64> {
    // The name of the program may hold anything, and ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<f64>().ok()).sum()
}

/// A command that runs as long as this lives.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    fn start(command: &[String]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("an empty guard")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the guard `{program}`"))?;
        let input = child.stdin.as_mut().context("a guard has an input")?;
        input.write_all(b"ready\n").context("the guard reads nothing")?;
        let output = child.stdout.as_mut().context("a guard has an output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("the guard says nothing")?;
        ensure!(line == "ready\n", "the guard says {line:?} and not what it reads");
        Ok(Self(child))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_are_read() {
        assert_eq!(busy("cpu  1 2 4 1000 1000 8 16 32 64 0\ncpu0 0"), Some(63.0));
        assert_eq!(busy("intr 1"), None);
        let stat = "7 (a) b) R 1 1 1 0 -1 4194304 5 6 7 8 100 20 3 4 20 0 1 0";
        assert_eq!(ours(stat), Some(127.0));
    }

    #[cfg(unix)]
    #[test]
    fn a_guard_runs_meanwhile() {
        let held = Watch::new(Some("cat")).hold().unwrap();
        let (out, others) = during(|| Ok(7)).unwrap();
        assert!(held.is_some() && out == 7 && others >= 0.0);
        assert!(Watch::new(None).hold().unwrap().is_none());
        assert!(Watch::new(Some("true")).hold().is_err());
        assert!(Watch::new(Some("no-such-program")).hold().is_err());
    }
}
