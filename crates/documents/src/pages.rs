//! Which pages of a file are wanted.

use crate::Error;

/// A set of page numbers, counted from 1; ranges keep their order and overlap is harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageSet {
    /// Inclusive ranges; an open end is `u32::MAX`. Empty means all pages.
    ranges: Vec<(u32, u32)>,
}

impl PageSet {
    /// Every page.
    pub const fn all() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Parses `1,3-5`, `7-` (to the end) or `-2` (from the start).
    ///
    /// # Errors
    /// [`Error::PageSyntax`] for anything else, page 0, or a range that runs backwards.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::PageSyntax { text: text.to_owned() };
        let number = |s: &str| s.trim().parse::<u32>().ok().filter(|&n| n > 0).ok_or_else(wrong);
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let range = match part.split_once('-') {
                None => {
                    let page = number(part)?;
                    (page, page)
                }
                Some(("", "")) => return Err(wrong()),
                Some(("", last)) => (1, number(last)?),
                Some((first, "")) => (number(first)?, u32::MAX),
                Some((first, last)) => (number(first)?, number(last)?),
            };
            if range.0 > range.1 {
                return Err(wrong());
            }
            ranges.push(range);
        }
        Ok(Self { ranges })
    }

    /// The wanted numbers of a file with `count` pages, ascending, each once.
    ///
    /// # Errors
    /// [`Error::PageMissing`] names the first wanted page that the file does not have.
    pub fn numbers(&self, file: &str, count: u32) -> Result<Vec<u32>, Error> {
        if self.ranges.is_empty() {
            return Ok((1..=count).collect());
        }
        for &(first, last) in &self.ranges {
            let wanted = if last == u32::MAX { first } else { last };
            if wanted > count {
                return Err(Error::PageMissing { file: file.to_owned(), page: wanted, count });
            }
        }
        Ok((1..=count).filter(|n| self.ranges.iter().any(|&(a, b)| (a..=b).contains(n))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_select_pages_once_and_in_order() {
        let numbers = |text: &str| PageSet::parse(text).unwrap().numbers("f", 6).unwrap();
        assert_eq!(numbers("1,3-5"), [1, 3, 4, 5]);
        assert_eq!(numbers("5, 1-2,2"), [1, 2, 5]);
        assert_eq!(numbers("4-"), [4, 5, 6]);
        assert_eq!(numbers("-2"), [1, 2]);
        assert_eq!(PageSet::all().numbers("f", 2).unwrap(), [1, 2]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0", "a", "3-1", "1,,2", "-", "1-2-3", "4294967296"] {
            assert!(matches!(PageSet::parse(text), Err(Error::PageSyntax { .. })), "{text}");
        }
        let error = PageSet::parse("2-9").unwrap().numbers("f.pdf", 6).unwrap_err();
        assert!(matches!(error, Error::PageMissing { page: 9, count: 6, .. }), "{error}");
    }
}
