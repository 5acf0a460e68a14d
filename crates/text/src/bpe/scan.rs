//! A cursor over JSON that borrows what it reads.
//!
//! `None` means "not as expected": the caller then leaves the file to the library, which either knows better or says
//! what is wrong. So this may be stricter than JSON, and never more lenient in what it returns.

use std::borrow::Cow;

/// Values within values that are followed: no tokenizer needs a tenth of it.
const DEEPEST: usize = 64;

#[derive(Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The next byte that is no white space, not yet taken.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Calls `entry` with each key of an object; it must take the value.
    pub(super) fn object(
        &mut self,
        mut entry: impl FnMut(Cow<'a, str>, &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            self.peek()?;
            let key = self.string()?;
            self.take(b':')?;
            self.peek()?;
            entry(key, self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return self.take(b'}'),
                _ => return None,
            }
        }
    }

    /// Calls `element` before each element of an array; it must take it.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.peek()? == b']' {
            return self.take(b']');
        }
        loop {
            self.peek()?;
            element(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return self.take(b']'),
                _ => return None,
            }
        }
    }

    /// A string, which begins here.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let from = self.at;
        let plain = self.rest().iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.at += plain;
        if self.rest()[0] == b'"' {
            self.at += 1;
            return self.text.get(from..self.at - 1).map(Cow::Borrowed);
        }
        let mut out = self.text.get(from..self.at)?.to_owned();
        loop {
            match *self.rest().first()? {
                b'"' => {
                    self.at += 1;
                    return Some(Cow::Owned(out));
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escaped()?);
                }
                0..0x20 => return None,
                _ => {
                    let from = self.at;
                    let stop =
                        self.rest().iter().position(|&b| matches!(b, b'"' | b'\\' | 0..0x20))?;
                    self.at += stop;
                    out.push_str(self.text.get(from..self.at)?);
                }
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let letter = *self.rest().first()?;
        self.at += 1;
        Some(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                let second = self.rest().starts_with(b"\\u").then(|| self.at += 2);
                second?;
                let second = self.four_digits()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return None;
                }
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?
            }
            _ => return None,
        })
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// A whole number without sign, point or leading zeros.
    pub(super) fn number(&mut self) -> Option<u32> {
        self.peek()?;
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = self.text.get(self.at..self.at + digits)?;
        if (text.len() > 1 && text.starts_with('0'))
            || matches!(self.rest().get(digits), Some(b'.' | b'e' | b'E'))
        {
            return None;
        }
        self.at += digits;
        text.parse().ok()
    }

    /// Passes over a value and returns how it is written. What is between its brackets is not checked.
    pub(super) fn raw(&mut self) -> Option<&'a str> {
        self.peek()?;
        let from = self.at;
        let mut depth = 0_usize;
        loop {
            match *self.rest().first()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\t' | b'\r' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let word = self.rest().iter().position(|&byte| {
                        matches!(byte, b',' | b':' | b']' | b'}' | b'"' | b'[' | b'{' | 0..=b' ')
                    });
                    let word = word.unwrap_or(self.rest().len());
                    if word == 0 {
                        return None;
                    }
                    self.at += word;
                }
            }
            if depth == 0 {
                return self.text.get(from..self.at);
            }
            if depth > DEEPEST {
                return None;
            }
        }
    }

    /// Passes over a value in which no object has a field twice.
    pub(super) fn distinct(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => {
                let mut seen = Vec::new();
                self.object(|key, cursor| {
                    if seen.contains(&key) {
                        return None;
                    }
                    seen.push(key);
                    cursor.distinct()
                })
            }
            b'[' => self.array(Self::distinct),
            _ => self.raw().map(drop),
        }
    }
}
