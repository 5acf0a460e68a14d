//! The rules of the benchmark, one on each line of its files, and whether a page keeps them.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fuzzy::{near_matches, partial_ratio, ratio};
use super::plain::{normalize, one_space};
use super::table::{Side, Table, of_html, of_markdown};
use super::{footnote, math};

/// A rule for a page.
#[derive(Debug)]
pub(super) struct Rule {
    /// What nobody else is called.
    pub(super) id: String,
    /// The file, below the folder of files.
    pub(super) pdf: String,
    /// The page, from 1.
    pub(super) page: u64,
    /// The line as it came.
    pub(super) line: Value,
    max_diffs: usize,
    check: Check,
}

/// What is asked of a page.
#[derive(Debug)]
pub(super) enum Check {
    /// A text is there, or it is not.
    Text(Presence, bool),
    /// A text comes before another.
    Order(Order),
    /// A cell of a table has certain neighbours.
    Table(Box<Cell>),
    /// A formula is there.
    Math(Math),
    /// There is something, it does not go round in circles, and is in a script that is expected.
    Baseline(Baseline),
    /// A text is a heading, bold or in italics.
    Format(Format),
    /// A mark of a footnote is there, in the right place.
    Footnote(footnote::Footnote),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Presence {
    text: String,
    #[serde(default = "yes")]
    case_sensitive: bool,
    #[serde(default)]
    first_n: Option<usize>,
    #[serde(default)]
    last_n: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    before: String,
    after: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell {
    cell: String,
    #[serde(default)]
    up: Option<String>,
    #[serde(default)]
    down: Option<String>,
    #[serde(default)]
    left: Option<String>,
    #[serde(default)]
    right: Option<String>,
    #[serde(default)]
    top_heading: Option<String>,
    #[serde(default)]
    left_heading: Option<String>,
    #[serde(default)]
    ignore_markdown_tables: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Math {
    math: String,
    #[serde(default)]
    ignore_dollar_delimited: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    #[serde(default)]
    max_length: Option<usize>,
    #[serde(default)]
    max_length_skips_image_alt_tags: bool,
    #[serde(default = "thirty")]
    max_repeats: usize,
    #[serde(default = "yes")]
    check_disallowed_characters: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format {
    text: String,
    format: String,
    #[serde(default = "yes")]
    case_sensitive: bool,
}

fn yes() -> bool {
    true
}

fn thirty() -> usize {
    30
}

/// Why a page does not keep a rule.
pub(super) type Broken = String;

impl Rule {
    /// The rules of a file.
    pub(super) fn load(file: &Path) -> Result<Vec<Self>> {
        let text = fs_err(file)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                Self::read(line).with_context(|| format!("{}:{}", file.display(), index + 1))
            })
            .collect()
    }

    /// One line.
    pub(super) fn read(line: &str) -> Result<Self> {
        let line: Value = serde_json::from_str(line).context("is no JSON")?;
        let mut rest = line.as_object().context("is no object")?.clone();
        // Who wrote the rule, and whether somebody looked at it.
        for name in ["checked", "url"] {
            rest.remove(name);
        }
        let word = |rest: &mut Map<String, Value>, name: &str| {
            let word = rest.remove(name).and_then(|value| Some(value.as_str()?.to_owned()));
            word.filter(|word| !word.is_empty()).with_context(|| format!("has no `{name}`"))
        };
        let (id, pdf) = (word(&mut rest, "id")?, word(&mut rest, "pdf")?);
        let kind = word(&mut rest, "type")?;
        let page = rest.remove("page").and_then(|page| page.as_u64()).context("has no `page`")?;
        let max_diffs = match rest.remove("max_diffs") {
            Some(value) => value.as_u64().context("`max_diffs` is no number from 0")?,
            None => 0,
        };
        let max_diffs = usize::try_from(max_diffs)?;
        // What is not given is written as null by the benchmark's own tools.
        rest.retain(|_, value| !value.is_null());
        let rest = Value::Object(rest);
        let check = Check::read(&kind, rest, max_diffs).with_context(|| format!("rule {id}"))?;
        Ok(Self { id, pdf, page, line, max_diffs, check })
    }

    /// The rule that every file has: that its first page was read at all.
    pub(super) fn baseline(pdf: &str) -> Self {
        let id = format!("{pdf}_baseline");
        let line = serde_json::json!({"pdf": pdf, "page": 1, "id": id, "type": "baseline"});
        let check = Check::Baseline(Baseline {
            max_length: None,
            max_length_skips_image_alt_tags: false,
            max_repeats: thirty(),
            check_disallowed_characters: true,
        });
        Self { id, pdf: pdf.to_owned(), page: 1, line, max_diffs: 0, check }
    }

    /// What kind of rule it is, as the benchmark calls it.
    pub(super) fn kind(&self) -> &'static str {
        match &self.check {
            Check::Text(_, true) => "present",
            Check::Text(_, false) => "absent",
            Check::Order(_) => "order",
            Check::Table(_) => "table",
            Check::Math(_) => "math",
            Check::Baseline(_) => "baseline",
            Check::Format(_) => "format",
            Check::Footnote(_) => "footnote",
        }
    }

    /// Looks whether a page keeps the rule.
    pub(super) fn test(&self, page: &str) -> Result<(), Broken> {
        match &self.check {
            Check::Text(presence, wanted) => self.presence(presence, *wanted, page),
            Check::Order(order) => self.order(order, page),
            Check::Table(cell) => self.table(cell, page),
            Check::Math(math) => math.test(page),
            Check::Baseline(baseline) => baseline.test(page),
            Check::Format(format) => self.format(format, page),
            Check::Footnote(footnote) => footnote.test(page, self.max_diffs),
        }
    }

    /// How alike a text must be to `wanted`, from 0 to 1.
    fn threshold(&self, wanted: &[char]) -> f64 {
        threshold(wanted.len(), self.max_diffs)
    }

    fn presence(&self, presence: &Presence, wanted: bool, page: &str) -> Result<(), Broken> {
        let (mut text, mut page) = (presence.text.clone(), normalize(page));
        if !presence.case_sensitive {
            (text, page) = (text.to_lowercase(), page.to_lowercase());
        }
        let page: Vec<char> = page.chars().collect();
        let first = |n: usize| &page[..n.min(page.len())];
        let last = |n: usize| &page[page.len() - n.min(page.len())..];
        let given = |n: Option<usize>| n.filter(|n| *n > 0);
        let page = match (given(presence.first_n), given(presence.last_n)) {
            (Some(head), Some(tail)) => [first(head), last(tail)].concat(),
            (Some(head), None) => first(head).to_vec(),
            (None, Some(tail)) => last(tail).to_vec(),
            (None, None) => page,
        };
        let text: Vec<char> = text.chars().collect();
        let (least, best) = (self.threshold(&text), partial_ratio(&text, &page) / 100.0);
        if (best >= least) == wanted {
            return Ok(());
        }
        let not = if wanted { "" } else { "not " };
        let text = start(&presence.text);
        Err(format!("`{text}` should {not}be there; the best match is {best:.3} of {least:.3}"))
    }

    fn order(&self, order: &Order, page: &str) -> Result<(), Broken> {
        let page: Vec<char> = normalize(page).chars().collect();
        let places = |text: &str| {
            let wanted: Vec<char> = text.chars().collect();
            let places = near_matches(&wanted, &page, self.max_diffs);
            if places.is_empty() {
                Err(format!("`{}` is not there", start(text)))
            } else {
                Ok(places)
            }
        };
        let (before, after) = (places(&order.before)?, places(&order.after)?);
        if before.iter().min() < after.iter().max() {
            return Ok(());
        }
        Err(format!("`{}` does not come before `{}`", start(&order.before), start(&order.after)))
    }

    fn table(&self, wanted: &Cell, page: &str) -> Result<(), Broken> {
        let mut tables = if wanted.ignore_markdown_tables { Vec::new() } else { of_markdown(page) };
        tables.extend(of_html(page));
        if tables.is_empty() {
            return Err("there is no table".to_owned());
        }
        let alike = |wanted: &str, found: &str| {
            let wanted: Vec<char> = wanted.chars().collect();
            let found: Vec<char> = normalize(found).chars().collect();
            ratio(&wanted, &found) / 100.0 >= self.threshold(&wanted).max(0.5)
        };
        let neighbours = |table: &Table, cell: usize| -> Result<(), Broken> {
            let sides = [
                (&wanted.up, Side::Up, false),
                (&wanted.down, Side::Down, false),
                (&wanted.left, Side::Left, false),
                (&wanted.right, Side::Right, false),
                (&wanted.left_heading, Side::Left, true),
                (&wanted.top_heading, Side::Up, true),
            ];
            for (text, side, heading) in sides {
                let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { continue };
                let found =
                    if heading { table.headings(cell, side) } else { table.beside(cell, side) };
                if !found.iter().any(|cell| alike(text, table.text(*cell))) {
                    let there: Vec<_> = found.iter().map(|cell| table.text(*cell)).collect();
                    let what = if heading { " as heading" } else { "" };
                    return Err(format!(
                        "`{}` should have `{}` {side:?}{what}; there is {there:?}",
                        start(&wanted.cell),
                        start(text)
                    ));
                }
            }
            Ok(())
        };
        let mut broken = None;
        for table in &tables {
            for (number, _) in table.texts().filter(|(_, text)| alike(&wanted.cell, text)) {
                match neighbours(table, number) {
                    Ok(()) => return Ok(()),
                    Err(why) => broken = broken.or(Some(why)),
                }
            }
        }
        Err(broken.unwrap_or_else(|| format!("no table has a cell `{}`", start(&wanted.cell))))
    }

    fn format(&self, format: &Format, page: &str) -> Result<(), Broken> {
        let texts = super::format::texts(&format.format, page);
        let fold = |text: String| if format.case_sensitive { text } else { text.to_lowercase() };
        let wanted: Vec<char> = fold(format.text.clone()).chars().collect();
        let least = self.threshold(&wanted);
        let found = texts.iter().any(|text| {
            let text: Vec<char> = fold(normalize(text)).chars().collect();
            partial_ratio(&wanted, &text) / 100.0 >= least
        });
        if found {
            return Ok(());
        }
        Err(format!("`{}` is not written as {}", start(&format.text), format.format))
    }
}

impl Check {
    fn read(kind: &str, rest: Value, max_diffs: usize) -> Result<Self> {
        let filled = |text: &str, name: &str| -> Result<String> {
            let text = normalize(text);
            ensure!(!text.trim().is_empty(), "`{name}` is empty");
            Ok(text)
        };
        Ok(match kind {
            "present" | "absent" => {
                let mut presence: Presence = serde_json::from_value(rest)?;
                presence.text = filled(&presence.text, "text")?;
                Self::Text(presence, kind == "present")
            }
            "order" => {
                let Order { before, after } = serde_json::from_value(rest)?;
                let (before, after) = (filled(&before, "before")?, filled(&after, "after")?);
                let half = before.chars().count().min(after.chars().count()) / 2;
                ensure!(max_diffs <= half, "`max_diffs` is more than half of a text");
                Self::Order(Order { before, after })
            }
            "table" => {
                let mut cell: Cell = serde_json::from_value(rest)?;
                cell.cell = normalize(&cell.cell);
                let Cell { up, down, left, right, top_heading, left_heading, .. } = &mut cell;
                for side in [up, down, left, right, top_heading, left_heading] {
                    *side = side.as_deref().map(normalize);
                }
                Self::Table(Box::new(cell))
            }
            "math" => {
                let math: Math = serde_json::from_value(rest)?;
                ensure!(!math.math.trim().is_empty(), "`math` is empty");
                Self::Math(math)
            }
            "baseline" => Self::Baseline(serde_json::from_value(rest)?),
            "format" => {
                let mut format: Format = serde_json::from_value(rest)?;
                format.text = filled(&format.text, "text")?;
                let known = ["heading", "bold", "italic"].contains(&format.format.as_str());
                ensure!(known, "`format` is heading, bold or italic");
                Self::Format(format)
            }
            "footnote" => Self::Footnote(footnote::Footnote::read(rest)?),
            other => bail!("there is no type `{other}`"),
        })
    }
}

impl Math {
    fn test(&self, page: &str) -> Result<(), Broken> {
        let found = math::formulas(page, !self.ignore_dollar_delimited);
        if found.iter().any(|found| math::holds(found, &self.math)) {
            return Ok(());
        }
        Err(format!("none of {} formulas is or holds `{}`", found.len(), start(&self.math)))
    }
}

impl Baseline {
    fn test(&self, page: &str) -> Result<(), Broken> {
        let count = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        if let Some(most) = self.max_length {
            let length = if self.max_length_skips_image_alt_tags {
                count(&without_pictures(page))
            } else {
                count(page)
            };
            return if length > most {
                Err(format!("{length} letters on a page that should be blank"))
            } else {
                Ok(())
            };
        }
        if count(page) == 0 {
            return Err("there is no letter and no digit".to_owned());
        }
        let text: Vec<char> = one_space(page).chars().collect();
        for size in 1..=5.min(text.len()) {
            let times = repeats(&text, size);
            if times > self.max_repeats {
                return Err(format!("its end repeats {size} characters {times} times"));
            }
        }
        let strange = page.chars().find(|c| is_disallowed(*c));
        match strange.filter(|_| self.check_disallowed_characters) {
            Some(c) => Err(format!("it has {c:?}, of a script that is not expected")),
            None => Ok(()),
        }
    }
}

/// How often a text ends in its last characters.
fn repeats(text: &[char], size: usize) -> usize {
    let last = &text[text.len() - size..];
    text.rchunks_exact(size).take_while(|part| *part == last).count()
}

/// Characters of Chinese and Japanese, and emoji.
fn is_disallowed(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f1e0}'..='\u{1f1ff}')
}

/// A text without markdown's pictures.
fn without_pictures(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("![") {
        let line = rest[start..].split('\n').next().unwrap_or_default();
        let end = line.find("](").and_then(|middle| Some(middle + line[middle..].find(')')? + 1));
        out.push_str(&rest[..start]);
        let end = end.unwrap_or_else(|| {
            out.push_str("![");
            2
        });
        rest = &rest[start + end..];
    }
    out.push_str(rest);
    out
}

pub(super) fn threshold(length: usize, max_diffs: usize) -> f64 {
    1.0 - max_diffs as f64 / length.max(1) as f64
}

/// The beginning of a text, to show.
fn start(text: &str) -> String {
    text.chars().take(40).collect()
}

fn fs_err(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
