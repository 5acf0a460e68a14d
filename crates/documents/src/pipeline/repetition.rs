//! Notices while a text is written that it goes round in a circle.
//!
//! Vision models fall into loops on faint or empty pages and would write until nothing is left of their context. Pages
//! repeat themselves as well: dots that lead to a page number, lines to be filled in, rows of empty cells. So only what is
//! both long and often repeated is a loop.

use std::collections::HashMap;

/// What must be alike for two places to be one turn apart, in characters.
const WINDOW: usize = 32;
/// Characters that go in a circle, at least.
const LONG: usize = 3000;
/// Turns, at least.
const OFTEN: usize = 10;
/// The base of the rolling hash; any odd number that mixes well.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// Watches a text as it grows. Blanks of any sort and number count as one.
#[derive(Clone, Debug)]
pub struct Repetition {
    /// The last `WINDOW` characters, as a ring.
    ring: [u32; WINDOW],
    /// Characters so far.
    length: usize,
    hash: u64,
    /// `BASE` to the power of `WINDOW`.
    oldest: u64,
    /// Where each window ended last.
    ends: HashMap<u64, usize>,
    period: usize,
    /// For how many characters each one was the same as one period before.
    run: usize,
    blank: bool,
}

impl Default for Repetition {
    fn default() -> Self {
        let oldest = (0..WINDOW).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Self {
            ring: [0; WINDOW],
            length: 0,
            hash: 0,
            oldest,
            ends: HashMap::new(),
            period: 0,
            run: 0,
            blank: false,
        }
    }
}

impl Repetition {
    /// Adds more of the text; whether it is in a loop. The same for every division of a text into parts, up to the
    /// character at which it is first true.
    pub fn push(&mut self, text: &str) -> bool {
        text.chars().any(|c| self.add(c))
    }

    fn add(&mut self, c: char) -> bool {
        let blank = c.is_whitespace();
        if blank && self.blank {
            return false;
        }
        self.blank = blank;
        let c = if blank { u32::from(' ') } else { u32::from(c) };
        let place = self.length % WINDOW;
        let gone = std::mem::replace(&mut self.ring[place], c);
        // Numbers from 1, so that no character is lost among zeros.
        let term = |c: u32| u64::from(c) + 1;
        self.hash = self.hash.wrapping_mul(BASE).wrapping_add(term(c));
        if self.length >= WINDOW {
            self.hash = self.hash.wrapping_sub(term(gone).wrapping_mul(self.oldest));
        }
        self.length += 1;
        if self.length < WINDOW {
            return false;
        }
        match self.ends.insert(self.hash, self.length) {
            Some(end) if self.length - end == self.period => self.run += 1,
            Some(end) => (self.period, self.run) = (self.length - end, WINDOW),
            None => (self.period, self.run) = (0, 0),
        }
        self.run >= LONG && self.run >= OFTEN * self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many characters it takes until a loop is noticed.
    fn noticed(text: &str) -> Option<usize> {
        let mut watch = Repetition::default();
        text.chars().enumerate().find(|(_, c)| watch.add(*c)).map(|(at, _)| at + 1)
    }

    #[test]
    fn a_text_that_goes_round_is_noticed() {
        let before = "It was the best of times, it was the worst of times. ";
        for turn in
            ["0", "ab", "I am. ", "The same sentence, over and over again, in the same words.\n"]
        {
            let text = format!("{before}{}", turn.repeat(6000));
            let at = noticed(&text).expect(turn);
            assert!((LONG..LONG + 400).contains(&at), "{turn:?} after {at}");
        }
        let long: String = (0..80).map(|n| format!("word{n} ")).collect();
        let at = noticed(&long.repeat(20)).expect("a paragraph over and over");
        assert!(at > 9 * long.len() && at < 12 * long.len(), "{at} of {}", long.len());
    }

    #[test]
    fn what_pages_repeat_is_none() {
        let leaders: String =
            (1..300).map(|n| format!("Chapter {n} {} {}\n", ".".repeat(200), n * 7)).collect();
        assert_eq!(noticed(&leaders), None);
        let form = format!("Name: {}\n", "_".repeat(2000)).repeat(8);
        assert_eq!(noticed(&form), None);
        let row = "<tr><td></td><td></td><td></td></tr>\n";
        assert_eq!(noticed(&format!("<table>{}</table>", row.repeat(60))), None);
        let counted: String = (0..2000).map(|n| format!("{n}. item\n")).collect();
        assert_eq!(noticed(&counted), None);
    }

    #[test]
    fn it_does_not_matter_how_the_text_comes() {
        let text = format!("{}{}", "Ein Anfang – mit Ümlauten. ", "und weiter, und ".repeat(400));
        let whole = noticed(&text);
        assert!(whole.is_some());
        for size in [1, 3, 7, 64, 1000] {
            let mut watch = Repetition::default();
            let chars: Vec<char> = text.chars().collect();
            let mut read = 0;
            for part in chars.chunks(size) {
                read += part.len();
                if watch.push(&part.iter().collect::<String>()) {
                    break;
                }
            }
            let whole = whole.unwrap();
            assert!(read >= whole && read < whole + size, "{size}: {read}, {whole}");
        }
    }

    #[test]
    fn blanks_count_as_one() {
        assert_eq!(noticed(&" \n\t".repeat(10_000)), None);
        assert!(noticed(&"a  \n b\t ".repeat(2000)).is_some());
    }
}
