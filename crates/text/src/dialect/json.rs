//! JSON, checked one character at a time.

/// How deep values may be nested: as deep as `serde_json` reads them.
const DEPTH: usize = 127;

/// What a character did to a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The value goes on.
    More,
    /// The value ended with this character.
    Done,
    /// The value ended before this character, which was not taken. Only numbers end so.
    Over,
    /// Not JSON, from this character on.
    Bad,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Before a value.
    Value,
    /// Behind `[`.
    FirstItem,
    /// Behind `{`.
    FirstKey,
    /// Behind a comma in an object.
    Key,
    Colon,
    /// Behind a value in a list or an object.
    Next,
    Text {
        key: bool,
    },
    Escape {
        key: bool,
    },
    Unicode {
        key: bool,
        digits: u8,
    },
    Number(Number),
    /// What is still to come of `true`, `false` or `null`.
    Word(&'static str),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    fn whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }

    fn next(self, c: char) -> Option<Self> {
        Some(match (self, c) {
            (Self::Minus, '0') => Self::Zero,
            (Self::Minus, '1'..='9') | (Self::Whole, '0'..='9') => Self::Whole,
            (Self::Zero | Self::Whole, '.') => Self::Point,
            (Self::Point | Self::Fraction, '0'..='9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, 'e' | 'E') => Self::Exponent,
            (Self::Exponent, '+' | '-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, '0'..='9') => Self::Power,
            _ => return None,
        })
    }
}

/// One value on its way.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// The lists and objects around; `true` for an object.
    within: Vec<bool>,
    at: At,
}

impl Default for Scan {
    fn default() -> Self {
        Self { within: Vec::new(), at: At::Value }
    }
}

impl Scan {
    /// Takes the next character. What it is in `out` is what it was, but for a control character within a string: models
    /// write line ends so, and it becomes its escape.
    pub(super) fn take(&mut self, c: char, out: &mut String) -> Step {
        let step = self.advance(c);
        match step {
            Step::More | Step::Done if c < ' ' && matches!(self.at, At::Text { .. }) => match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                _ => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            },
            Step::More | Step::Done => out.push(c),
            Step::Over | Step::Bad => {}
        }
        step
    }

    /// The input ends here: whether the value is whole. Only a number can be without having said so.
    #[cfg(test)]
    pub(super) fn ends(&self) -> bool {
        self.within.is_empty() && matches!(self.at, At::Number(number) if number.whole())
    }

    fn advance(&mut self, c: char) -> Step {
        let blank = matches!(c, ' ' | '\t' | '\n' | '\r');
        match (self.at, c) {
            (At::Text { key }, '"') => {
                if key {
                    self.at = At::Colon;
                    return Step::More;
                }
                return self.close();
            }
            (At::Text { key }, '\\') => self.at = At::Escape { key },
            (At::Text { .. }, _) => {}
            (At::Escape { key }, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                self.at = At::Text { key };
            }
            (At::Escape { key }, 'u') => self.at = At::Unicode { key, digits: 0 },
            (At::Unicode { key, digits }, c) if c.is_ascii_hexdigit() => {
                self.at = match digits {
                    3 => At::Text { key },
                    _ => At::Unicode { key, digits: digits + 1 },
                };
            }
            (At::Number(number), c) => match number.next(c) {
                Some(number) => self.at = At::Number(number),
                None if !number.whole() => return Step::Bad,
                None if self.within.is_empty() => return Step::Over,
                None => {
                    self.at = At::Next;
                    return self.advance(c);
                }
            },
            (At::Word(rest), c) => match rest.strip_prefix(c) {
                Some("") => return self.close(),
                Some(rest) => self.at = At::Word(rest),
                None => return Step::Bad,
            },
            _ if blank => {}
            (At::FirstItem, ']') | (At::FirstKey, '}') => {
                self.within.pop();
                return self.close();
            }
            (At::Value | At::FirstItem, _) => return self.begin(c),
            (At::FirstKey | At::Key, '"') => self.at = At::Text { key: true },
            (At::Colon, ':') => self.at = At::Value,
            (At::Next, ',') => {
                self.at = if self.within.last() == Some(&true) { At::Key } else { At::Value };
            }
            (At::Next, '}' | ']') if self.within.last() == Some(&(c == '}')) => {
                self.within.pop();
                return self.close();
            }
            _ => return Step::Bad,
        }
        Step::More
    }

    fn begin(&mut self, c: char) -> Step {
        self.at = match c {
            '{' | '[' => {
                if self.within.len() == DEPTH {
                    return Step::Bad;
                }
                self.within.push(c == '{');
                if c == '{' { At::FirstKey } else { At::FirstItem }
            }
            '"' => At::Text { key: false },
            't' => At::Word("rue"),
            'f' => At::Word("alse"),
            'n' => At::Word("ull"),
            '-' => At::Number(Number::Minus),
            '0' => At::Number(Number::Zero),
            '1'..='9' => At::Number(Number::Whole),
            _ => return Step::Bad,
        };
        Step::More
    }

    /// A value has ended.
    fn close(&mut self) -> Step {
        self.at = At::Next;
        if self.within.is_empty() { Step::Done } else { Step::More }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Whether a text is exactly one value.
    fn accepts(text: &str) -> Option<String> {
        let (mut scan, mut out) = (Scan::default(), String::new());
        let mut letters = text.chars();
        while let Some(c) = letters.next() {
            match scan.take(c, &mut out) {
                Step::More => {}
                Step::Done => {
                    return letters.all(|c| " \t\r\n".contains(c)).then_some(out);
                }
                Step::Over => {
                    let blank = |c| " \t\r\n".contains(c);
                    return (blank(c) && letters.all(blank)).then_some(out);
                }
                Step::Bad => return None,
            }
        }
        scan.ends().then_some(out)
    }

    #[test]
    fn line_ends_in_strings_are_escaped() {
        let out = accepts("{\"a\tb\": \"x\ny\u{1}\", \"c\":\n[1]}").unwrap();
        assert_eq!(out, "{\"a\\tb\": \"x\\ny\\u0001\", \"c\":\n[1]}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

        /// `serde_json` is the truth, except that it refuses halves of surrogate pairs and control characters in strings.
        #[test]
        fn accepts_what_is_json(text in r#"([\[\]{}:,"0-9.eE+ -]|\\u00e9|\\n|true|null|"k":|"v"|1,|\{"a":|\[1|\}){0,12}"#) {
            let truth = serde_json::from_str::<Value>(&text).is_ok()
                // Numbers that no double holds.
                || serde_json::from_str::<Value>(&text).is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert_eq!(accepts(&text).is_some(), truth, "{}", text);
        }
    }
}
