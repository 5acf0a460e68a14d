//! Streams of bytes made into lines and events, the same for every split of the stream, and within bounds.

/// The longest line: an answer that is not streamed, or the arguments of a call in one piece.
pub(super) const LONGEST: usize = 8 << 20;

/// A line is longer than any true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Lines that end with LF, CR or both.
#[derive(Debug)]
pub(super) struct Lines {
    rest: Vec<u8>,
    after_cr: bool,
    longest: usize,
}

impl Lines {
    pub(super) fn new(longest: usize) -> Self {
        Self { rest: Vec::new(), after_cr: false, longest }
    }

    /// The lines that `bytes` complete, each without its end.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), TooLong> {
        for &byte in bytes {
            let second = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    if !second {
                        each(&self.rest);
                        self.rest.clear();
                    }
                }
                byte => {
                    if self.rest.len() == self.longest {
                        return Err(TooLong);
                    }
                    self.rest.push(byte);
                }
            }
        }
        Ok(())
    }

    /// The last line, if it has no end.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then(|| std::mem::take(&mut self.rest))
    }
}

/// Server-sent events: the data of each.
#[derive(Debug)]
pub(super) struct Events {
    lines: Lines,
    data: Vec<u8>,
    has_data: bool,
    first: bool,
}

impl Events {
    pub(super) fn new(longest: usize) -> Self {
        Self { lines: Lines::new(longest), data: Vec::new(), has_data: false, first: true }
    }

    /// The data of the events that `bytes` complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut found = Vec::new();
        let Self { lines, data, has_data, first } = self;
        let longest = lines.longest;
        let mut over = false;
        lines.push(bytes, |line| {
            let line = if std::mem::take(first) {
                line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
            } else {
                line
            };
            if line.is_empty() {
                if std::mem::take(has_data) {
                    found.push(std::mem::take(data));
                }
                return;
            }
            let Some(value) = field(line) else { return };
            if std::mem::replace(has_data, true) {
                data.push(b'\n');
            }
            over |= data.len() + value.len() > longest;
            if !over {
                data.extend_from_slice(value);
            }
        })?;
        if over { Err(TooLong) } else { Ok(found) }
    }
}

/// The value of a `data` field, if the line is one.
fn field(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None if rest.is_empty() => Some(rest),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<String>, TooLong> {
        let mut events = Events::new(64);
        let mut found = Vec::new();
        for chunk in chunks {
            for data in events.push(chunk)? {
                found.push(String::from_utf8_lossy(&data).into_owned());
            }
        }
        Ok(found)
    }

    fn lines(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Lines::new(64);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk, |line| found.push(line.to_vec()))?;
        }
        found.extend(lines.finish());
        Ok(found)
    }

    #[test]
    fn events_as_the_standard_has_them() {
        let text = "\u{feff}data: a\r\n: comment\r\nevent: x\r\ndata:b\r\n\r\ndata\n\nid: 1\n\ndata: c\rdata:  d\r\rdata: lost";
        assert_eq!(events(&[text.as_bytes()]).unwrap(), ["a\nb", "", "c\n d"]);
        assert_eq!(events(&[b"dataset: x\n\n"]).unwrap(), [""; 0]);
    }

    #[test]
    fn long_ones_are_refused() {
        let long = format!("data: {}\n\n", "x".repeat(80));
        assert_eq!(events(&[long.as_bytes()]), Err(TooLong));
        let many = "data: xxxxxxxxxx\n".repeat(10) + "\n";
        assert_eq!(events(&[many.as_bytes()]), Err(TooLong));
        assert_eq!(lines(&[&[b'x'; 65]]), Err(TooLong));
        assert_eq!(lines(&[&[b'x'; 64]]).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn splits_change_nothing(
            text in "(data: ?|event: |[a-c\u{e9}]|\r|\n|\r\n|: ){0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(events(&chunks), events(&[bytes]));
            prop_assert_eq!(events(&single), events(&[bytes]));
            prop_assert_eq!(lines(&chunks), lines(&[bytes]));
            prop_assert_eq!(lines(&single), lines(&[bytes]));
        }
    }
}
