//! Page headers, footers and page numbers beside what a model read.
//!
//! Models that were made for the task leave them out, others do not. What they are is known where the page has text of its
//! own: there they are added where the model left them out, or taken away where it did not.

use crate::{Block, BlockKind, Page};

/// What a model read, with what is to stand around it.
pub(crate) struct Framed<'a> {
    /// Blocks above the text.
    pub(crate) above: Vec<&'a Block>,
    /// The text.
    pub(crate) text: &'a str,
    /// Blocks below it.
    pub(crate) below: Vec<&'a Block>,
}

/// Lines at each end of a text that may be furniture.
const LINES: usize = 6;

/// A page's transcript with its furniture, or without it.
pub(crate) fn framed<'a>(page: &'a Page, text: &'a str, keep: bool) -> Framed<'a> {
    let blocks: Vec<(&Block, String)> = page
        .blocks
        .iter()
        .filter(|block| block.kind.is_furniture())
        .map(|block| (block, letters(&block.text())))
        .filter(|(_, letters)| !letters.is_empty())
        .collect();
    let (mut above, mut below) = (Vec::new(), Vec::new());
    if !keep {
        return Framed { above, text: without(text, &blocks), below };
    }
    let lines: Vec<String> = text.lines().map(letters).filter(|line| !line.is_empty()).collect();
    let first = &lines[..lines.len().min(LINES)];
    let last = &lines[lines.len().saturating_sub(LINES)..];
    for (block, letters) in &blocks {
        let on_top = (block.bbox.y0 + block.bbox.y1) / 2.0 < page.height / 2.0;
        let near = if on_top { first } else { last };
        // A number is somewhere in most lines; it must be all of one.
        let has = |line: &String| {
            line == letters || (letters.chars().count() > 5 && line.contains(letters))
        };
        if !near.iter().any(has) {
            if on_top { above.push(*block) } else { below.push(*block) }
        }
    }
    Framed { above, text, below }
}

/// A text without lines at its ends that say what a block of furniture says. A heading is none.
fn without<'a>(text: &'a str, blocks: &[(&Block, String)]) -> &'a str {
    let is = |line: &str| {
        let said = letters(line);
        !line.trim_start().starts_with(['#', '|', '<'])
            && blocks.iter().any(|(block, letters)| {
                let number = matches!(block.kind, BlockKind::PageNumber);
                *letters == said && (number || said.chars().count() > 2)
            })
    };
    let mut rest = text;
    for _ in 0..LINES {
        let body = rest.trim_start();
        let line = body.lines().next().unwrap_or_default();
        if line.is_empty() || !is(line) {
            break;
        }
        rest = &body[line.len()..];
    }
    for _ in 0..LINES {
        let body = rest.trim_end();
        let line = body.rsplit('\n').next().unwrap_or_default();
        if line.is_empty() || !is(line) {
            break;
        }
        rest = &body[..body.len() - line.len()];
    }
    // Nothing is taken from a page that would be left without anything.
    if rest.trim().is_empty() { text } else { rest }
}

/// What of a text is read aloud, in small letters.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::layout::Style;
    use crate::{Inline, Origin, Rect};

    fn page(furniture: &[(BlockKind, f32, &str)]) -> Page {
        let block = |(kind, y, text): &(BlockKind, f32, &str)| Block {
            kind: kind.clone(),
            bbox: Rect::new(10.0, *y, 90.0, *y + 10.0),
            inlines: vec![Inline { text: (*text).to_owned(), style: Style::PLAIN, link: None }],
            lines: Vec::new(),
        };
        Page {
            number: 3,
            width: 100.0,
            height: 200.0,
            rotation: 0,
            origin: Origin::Blank,
            need: None,
            agreement: None,
            blocks: furniture.iter().map(block).collect(),
            images: Vec::new(),
            warnings: BTreeMap::new(),
        }
    }

    const ENDS: [(BlockKind, f32, &str); 2] =
        [(BlockKind::Header, 5.0, "Annual Report 2020"), (BlockKind::PageNumber, 190.0, "3")];

    fn shown(text: &str, keep: bool) -> (usize, String, usize) {
        let page = page(&ENDS);
        let Framed { above, text, below } = framed(&page, text, keep);
        (above.len(), text.trim().to_owned(), below.len())
    }

    #[test]
    fn what_a_model_left_out_is_added_if_it_is_wanted() {
        assert_eq!(shown("Words of page 3.", true), (1, "Words of page 3.".to_owned(), 1));
        let all = "*Annual report 2020*\n\nWords.\n\n3";
        assert_eq!(shown(all, true), (0, all.to_owned(), 0));
    }

    #[test]
    fn what_it_did_not_leave_out_is_taken_away_if_it_is_not() {
        let all = "*Annual report 2020*\n\nWords of 3\n\n- 3 -\n";
        assert_eq!(shown(all, false), (0, "Words of 3".to_owned(), 0));
        for kept in
            ["# Annual Report 2020\n\nWords", "Words\n\n4", "3", "The Annual Report 2020 says"]
        {
            assert_eq!(shown(kept, false), (0, kept.to_owned(), 0));
        }
    }
}
