//! The documents, and what comments may not say.

use super::Breach;
use super::tree::{File, Tree};

/// Marks of unfinished work.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// What has no place in the project's texts, in small letters, with the reason.
const DENIED: &[(&str, &str)] = &[
    ("/work/", "a path of one machine"),
    ("/home/", "a path of one machine"),
    ("../shared/", "a path of one machine"),
    ("issue #", "an issue's number"),
    ("issues show", "a tool of one workplace"),
    ("as an ai", "not the project's voice"),
    ("co-authored-by", "belongs to version control"),
    ("copilot", "not the project's voice"),
    ("chatgpt", "not the project's voice"),
];

const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, file) in tree.files() {
        if is_document(path) {
            out.extend(words(path, &file.text));
            out.extend(dates(path, &file.text));
            out.extend(links(tree, path, &file.text));
        } else if let Some(rust) = &file.rust {
            out.extend(words(path, &rust.comments));
        } else if is_written_by_hand(path) {
            out.extend(words(path, &file.text));
        }
        if is_document(path) || file.rust.is_some() || is_written_by_hand(path) {
            out.extend(white_space(path, file));
        }
    }
    out
}

fn is_document(path: &str) -> bool {
    path.ends_with(".md") && !path.starts_with("fixtures/") && !path.starts_with("examples/")
}

fn is_written_by_hand(path: &str) -> bool {
    path.starts_with(".ci/") || path.ends_with(".toml") || path.ends_with(".py")
}

fn words(path: &str, text: &str) -> Vec<Breach> {
    let mut out = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut said = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(mark) = said.find(|word| MARKS.contains(word)) {
            let what = format!("`{mark}` marks unfinished work");
            out.push(Breach::new(path, index + 1, what, "finish it, or file it as an issue"));
        }
        let small = line.to_lowercase();
        for (denied, why) in DENIED.iter().filter(|(denied, _)| small.contains(denied)) {
            let what = format!("`{denied}` is {why}");
            out.push(Breach::new(path, index + 1, what, "leave it out"));
        }
    }
    out
}

/// A date makes a text old; only the headings of releases carry one.
fn dates(path: &str, text: &str) -> Vec<Breach> {
    let mut out = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if path == "CHANGELOG.md" && line.starts_with("## [") {
            continue;
        }
        if let Some(date) = date(line) {
            let what = format!("the date `{date}`");
            out.push(Breach::new(path, index + 1, what, "say what holds now; history is in git"));
        }
    }
    out
}

/// The first date in `line`: `2031-05-17`, or `May 2031`.
fn date(line: &str) -> Option<&str> {
    let is_year = |s: &str| s.len() == 4 && s.starts_with("20") && s.parse::<u16>().is_ok();
    let is_day = |s: &str| s.len() == 2 && s.parse::<u8>().is_ok();
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let mut before = "";
    for word in words.filter(|word| !word.is_empty()) {
        let mut parts = word.split('-');
        let is_date = parts.next().is_some_and(is_year)
            && parts.next().is_some_and(is_day)
            && parts.next().is_some_and(is_day);
        if is_date || (is_year(word) && MONTHS.contains(&before)) {
            return Some(word);
        }
        before = word;
    }
    None
}

fn white_space(path: &str, file: &File) -> Vec<Breach> {
    let mut out = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            let what = "white space at the end of the line";
            out.push(Breach::new(path, index + 1, what, "remove it"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let line = file.text.lines().count();
        out.push(Breach::new(path, line, "the last line has no end", "end it with a newline"));
    }
    out
}

/// Every relative link leads to a file of the repository, and to a heading that stands in it.
fn links(tree: &Tree, path: &str, text: &str) -> Vec<Breach> {
    let mut out = Vec::new();
    for (line, target) in targets(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let to = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
        let Some(to) = to.filter(|to| tree.exists(to)) else {
            let what = format!("the link to `{target}` leads nowhere");
            out.push(Breach::new(path, line, what, "mend the path, or remove the link"));
            continue;
        };
        let text = tree.get(&to).map_or("", |file| file.text.as_str());
        if !anchor.is_empty() && to.ends_with(".md") && !headings(text).any(|h| h == anchor) {
            let what = format!("`{to}` has no heading `#{anchor}`");
            out.push(Breach::new(path, line, what, "mend the anchor"));
        }
    }
    out
}

/// The lines of a Markdown text that are not in a fenced block, from 1.
fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!fenced && !is_fence).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)`, each with its line.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    outside_fences(text).flat_map(|(line, content)| {
        content
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(move |(target, _)| (line, target.split(' ').next().unwrap_or(target)))
    })
}

/// The anchors of a Markdown text, as GitHub makes them of its headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    outside_fences(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// `link`, as it stands in the file `from`, as a path from the root. `None` if it leads outside.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, none, one};
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        let other = ("docs/dev/ops.md", "# Adding an op\n\n## The `reference`\n");
        let good = "[a](dev/ops.md) [b](../README.md#folio) [c](dev/) [d](https://x.y/z) \
                    [e](dev/ops.md#the-reference) [f](#here)\n\n# Here\n```\n[g](none.md)\n```\n";
        let readme = ("README.md", "# folio\n");
        none(check, &[other, readme, ("docs/a.md", good)]);
        for bad in ["op.md", "../../x.md", "dev/ops.md#nothing", "#nowhere", "/README.md2"] {
            let text = format!("\nsee [it]({bad}).\n");
            one(check, &[other, ("docs/a.md", &text)], "docs/a.md:2: ");
        }
    }

    #[test]
    fn unfinished_work_is_found() {
        one(check, &[("docs/a.md", "TODO: more\n")], "docs/a.md:1: `TODO` marks");
        one(check, &[("crates/a/src/b.rs", "// FIXME\n")], "crates/a/src/b.rs:1: `FIXME`");
        none(check, &[("crates/a/src/b.rs", "const A: &str = \"TODO\";\n")]);
        none(check, &[("docs/a.md", "TODOS and todo\n")]);
    }

    #[test]
    fn what_does_not_belong_is_found() {
        one(check, &[("docs/a.md", "see Issue #12\n")], "docs/a.md:1: `issue #`");
        one(check, &[("crates/a/src/b.rs", "\n// in /work/x\n")], "crates/a/src/b.rs:2: `/work/`");
        one(check, &[("fixtures/a.py", "P = '/home/me'\n")], "fixtures/a.py:1: `/home/`");
        none(check, &[("docs/a.md", "an issue, a framework/library\n")]);
    }

    #[test]
    fn dates_are_found() {
        for bad in ["since 2031-05-17.", "(May 2031)", "on 3 June 2031"] {
            one(check, &[("docs/a.md", &format!("{bad}\n"))], "docs/a.md:1: the date");
        }
        for good in ["2031 tokens", "may 20", "Llama-2-7b", "2031-5", "RFC 2045-11"] {
            none(check, &[("docs/a.md", &format!("{good}\n"))]);
        }
        none(check, &[("CHANGELOG.md", "## [1.0.0] - 2031-05-17\n")]);
        one(check, &[("CHANGELOG.md", "- 2031-05-17\n")], "CHANGELOG.md:1: the date");
        none(check, &[("examples/lease.md", "Signed on 2031-05-17\n")]);
    }

    #[test]
    fn white_space_is_found() {
        one(check, &[("a.md", "a \nb\n")], "a.md:1: white space");
        one(check, &[("Cargo.toml", "a = 1\n\t\n")], "Cargo.toml:2: white space");
        one(check, &[("a.md", "a\nb")], "a.md:2: the last line has no end");
        assert!(found(check, &[("fixtures/a.txt", "a ")]).is_empty());
    }
}
