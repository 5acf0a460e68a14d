//! Marks of footnotes: `[^1]`, `<sup>1</sup>` or raised digits, and the text around them.

use std::ops::Range;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::fuzzy::partial_ratio;
use super::plain::normalize;
use super::rule::{Broken, threshold};

/// How far before or after the mark its text may stand.
const REACH: usize = 200;

/// What is asked of a footnote.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footnote {
    marker: String,
    #[serde(default)]
    appears_before_marker: Option<String>,
    #[serde(default)]
    appears_after_marker: Option<String>,
}

impl Footnote {
    pub(super) fn read(rest: Value) -> Result<Self> {
        let mut footnote: Self = serde_json::from_value(rest)?;
        let marker = &footnote.marker;
        ensure!(!marker.is_empty() && !marker.contains(' '), "`marker` is no word");
        let Self { appears_before_marker: before, appears_after_marker: after, .. } = &mut footnote;
        for side in [before, after] {
            *side = side.as_deref().map(normalize).filter(|text| !text.is_empty());
            ensure!(side.as_ref().is_none_or(|text| !text.trim().is_empty()), "a text is empty");
        }
        Ok(footnote)
    }

    pub(super) fn test(&self, page: &str, max_diffs: usize) -> Result<(), Broken> {
        let marks = self.marks(page);
        if marks.is_empty() {
            return Err(format!("the mark `{}` is not there", self.marker));
        }
        let alike = |wanted: &Option<String>, part: &dyn Fn(&Range<usize>, usize) -> String| {
            let Some(wanted) = wanted else { return true };
            let least = threshold(wanted.chars().count(), max_diffs);
            let wanted = letters(wanted);
            marks.iter().any(|mark| {
                let part: Vec<char> = part(mark, 2 * wanted.len()).chars().collect();
                !part.is_empty() && partial_ratio(&wanted, &part) / 100.0 >= least
            })
        };
        let before = alike(&self.appears_before_marker, &|mark, most| {
            let all = &page[..mark.start];
            let from = all.char_indices().rev().take(REACH).last().map_or(0, |(index, _)| index);
            let part = letters(&all[from..]);
            part[part.len().saturating_sub(most)..].iter().collect()
        });
        let after = alike(&self.appears_after_marker, &|mark, most| {
            let part: String = page[mark.end..].chars().take(REACH).collect();
            letters(&part).into_iter().take(most).collect()
        });
        for (found, side) in [(before, "before"), (after, "after")] {
            if !found {
                return Err(format!(
                    "what should stand {side} the mark `{}` does not",
                    self.marker
                ));
            }
        }
        Ok(())
    }

    /// Where the mark stands.
    fn marks(&self, page: &str) -> Vec<Range<usize>> {
        let find = |text: &str| {
            let found = page.match_indices(text).map(|(start, text)| start..start + text.len());
            found.collect::<Vec<_>>()
        };
        let mut marks = find(&format!("[^{}]", self.marker));
        // The note itself is no mark.
        marks.retain(|mark| !page[mark.end..].starts_with(':'));
        let lower = page.to_ascii_lowercase();
        let ending = format!(">{}</sup>", self.marker.to_ascii_lowercase());
        for (close, _) in lower.match_indices(&ending) {
            if let Some(start) =
                lower[..close].rfind("<sup").filter(|s| !lower[*s..close].contains('>'))
            {
                marks.push(start..close + ending.len());
            }
        }
        let raised: Option<String> = self.marker.chars().map(raised).collect();
        marks.extend(raised.iter().flat_map(|raised| find(raised)));
        marks
    }
}

fn raised(c: char) -> Option<char> {
    let raised = [
        '\u{2070}', '\u{b9}', '\u{b2}', '\u{b3}', '\u{2074}', '\u{2075}', '\u{2076}', '\u{2077}',
        '\u{2078}', '\u{2079}',
    ];
    raised.get(c.to_digit(10)? as usize).copied()
}

fn letters(text: &str) -> Vec<char> {
    normalize(text).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
