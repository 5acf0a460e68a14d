//! Marks, found in a stream of characters.

/// Watches for marks. Text is held back only while it could be the beginning of one.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// None is the beginning of another.
    marks: Vec<&'static str>,
    held: String,
}

impl Watch {
    pub(super) fn new(marks: &[&'static str]) -> Self {
        Self { marks: marks.to_vec(), held: String::new() }
    }

    /// Takes the next character. Appends to `passed` what belongs to no mark; returns the mark that is complete now.
    pub(super) fn take(&mut self, c: char, passed: &mut String) -> Option<&'static str> {
        if self.held.is_empty() && !self.marks.iter().any(|mark| mark.starts_with(c)) {
            passed.push(c);
            return None;
        }
        self.held.push(c);
        let mut from = 0;
        // The longest end of what is held that a mark begins with.
        while !self.marks.iter().any(|mark| mark.starts_with(&self.held[from..])) {
            from += self.held[from..].chars().next().map_or(1, char::len_utf8);
        }
        passed.push_str(&self.held[..from]);
        self.held.drain(..from);
        let mark = self.marks.iter().copied().find(|mark| *mark == self.held)?;
        self.held.clear();
        Some(mark)
    }

    /// What is held back, now that nothing follows.
    pub(super) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_a_mark_passes() {
        let mut watch = Watch::new(&["<a><b>", "<b>", "é<"]);
        let mut passed = String::new();
        let mut found = Vec::new();
        for c in "<a<a><<b>x<a><b>éé<<a>".chars() {
            found.extend(watch.take(c, &mut passed));
        }
        // Of two that overlap, the one that is held longer wins.
        assert_eq!(found, ["<b>", "<a><b>", "é<"]);
        assert_eq!(passed, "<a<a><xé");
        assert_eq!(watch.rest(), "<a>");
    }
}
