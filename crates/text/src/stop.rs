//! Stop strings, found in a stream.
//!
//! Text is held back only while it could be the beginning of a stop string, so never more than the longest stop string
//! less one byte. What comes out does not depend on how the text was cut into pieces.

/// What may be shown after a piece of text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StopOutput {
    /// Text that belongs to the answer for certain.
    pub text: String,
    /// The stop string that ended the answer; it is not part of `text`.
    pub stopped: Option<String>,
}

/// Watches a stream of text for stop strings.
///
/// The match that *begins* earliest wins; of those that begin at the same place the one that is complete first, thus the
/// shortest. After a match everything is dropped.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
    stopped: Option<String>,
}

impl StopStrings {
    /// Watches for these strings; empty ones never match.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let mut stops: Vec<String> = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        stops.sort();
        stops.dedup();
        Self { stops, held: String::new(), stopped: None }
    }

    /// Takes the next piece and tells what may be shown, and whether the answer ended.
    pub fn push(&mut self, piece: &str) -> StopOutput {
        if let Some(stop) = &self.stopped {
            return StopOutput { text: String::new(), stopped: Some(stop.clone()) };
        }
        if self.stops.is_empty() {
            return StopOutput { text: piece.to_owned(), stopped: None };
        }
        self.held.push_str(piece);
        let (safe, stop) = self.scan();
        self.take(safe, stop)
    }

    /// Ends the stream: whatever was held back is text after all.
    ///
    /// A stop string that was complete, but waited for an earlier beginning to be decided, still ends the answer.
    pub fn finish(&mut self) -> StopOutput {
        if let Some(stop) = &self.stopped {
            return StopOutput { text: String::new(), stopped: Some(stop.clone()) };
        }
        match self.earliest() {
            Some((at, stop)) => self.take(at, Some(stop)),
            None => self.take(self.held.len(), None),
        }
    }

    /// The stop string that ended the answer.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// How many bytes are safe, and the stop string that follows them if it is decided.
    fn scan(&self) -> (usize, Option<String>) {
        // The first place where some stop string could still begin, its end not having arrived yet.
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let open = (self.held.len().saturating_sub(longest)..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| {
                let tail = &self.held[at..];
                self.stops.iter().any(|stop| stop.len() > tail.len() && stop.starts_with(tail))
            })
            .unwrap_or(self.held.len());
        match self.earliest() {
            Some((at, stop)) if at <= open => (at, Some(stop)),
            _ => (open, None),
        }
    }

    /// The complete match that begins first, the shortest of those.
    fn earliest(&self) -> Option<(usize, String)> {
        self.stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at, stop.len(), stop)))
            .min()
            .map(|(at, _, stop)| (at, stop.clone()))
    }

    fn take(&mut self, safe: usize, stop: Option<String>) -> StopOutput {
        let rest = self.held.split_off(safe);
        let text = std::mem::replace(&mut self.held, rest);
        if stop.is_some() {
            self.held.clear();
            self.stopped.clone_from(&stop);
        }
        StopOutput { text, stopped: stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(stops: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let mut watch = StopStrings::new(stops.iter().map(|&stop| stop.to_owned()));
        let mut text = String::new();
        for piece in pieces {
            text += &watch.push(piece).text;
        }
        let end = watch.finish();
        (text + &end.text, end.stopped)
    }

    /// The definition, on the whole text.
    fn truth(stops: &[&str], text: &str) -> (String, Option<String>) {
        let found = stops
            .iter()
            .filter(|s| !s.is_empty())
            .filter_map(|s| text.find(s).map(|at| (at, s.len(), *s)));
        match found.min() {
            Some((at, _, stop)) => (text[..at].to_owned(), Some(stop.to_owned())),
            None => (text.to_owned(), None),
        }
    }

    #[test]
    fn the_earliest_beginning_wins_even_if_a_later_one_is_complete_first() {
        assert_eq!(all(&["abcd", "bc"], &["xabc", "d"]), ("x".into(), Some("abcd".into())));
        assert_eq!(all(&["abcd", "bc"], &["xabc", "e"]), ("xa".into(), Some("bc".into())));
        assert_eq!(all(&["abcd", "bc"], &["xabc"]), ("xa".into(), Some("bc".into())));
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_given_back() {
        assert_eq!(all(&["</s>"], &["a<", "/s"]), ("a</s".into(), None));
        let mut watch = StopStrings::new(["\n\n".to_owned()]);
        assert_eq!(watch.push("one\n").text, "one");
        assert_eq!(watch.push("two").text, "\ntwo");
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut watch = StopStrings::new(["END".to_owned(), String::new()]);
        assert_eq!(
            watch.push("a END b"),
            StopOutput { text: "a ".into(), stopped: Some("END".into()) }
        );
        assert_eq!(
            watch.push("more"),
            StopOutput { text: String::new(), stopped: Some("END".into()) }
        );
        assert_eq!(watch.finish().text, "");
        assert_eq!(watch.stopped(), Some("END"));
    }

    proptest! {
        #[test]
        fn every_split_gives_the_same(text in "[abcé]{0,24}", stops in prop::collection::vec("[abcé]{0,4}", 0..4),
                                      cuts in prop::collection::vec(0usize..48, 0..12)) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&at| text.is_char_boundary(at.min(text.len()))).map(|at| at.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for at in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[from..at]);
                from = at;
            }
            prop_assert_eq!(all(&stops, &pieces), truth(&stops, &text));
        }

        #[test]
        fn no_more_is_held_than_the_longest_stop_string(text in "[ab]{0,40}", stops in prop::collection::vec("[ab]{1,5}", 1..4)) {
            let longest = stops.iter().map(String::len).max().unwrap();
            let mut watch = StopStrings::new(stops);
            for letter in text.chars() {
                watch.push(letter.encode_utf8(&mut [0; 4]));
                prop_assert!(watch.held.len() < longest);
            }
        }
    }
}
