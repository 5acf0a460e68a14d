//! One answer on its way: thinking first, then text and calls.

use super::out::Out;
use super::said::Said;
use super::watch::Watch;

/// How a model writes calls. Fed one character at a time, so that no split of the stream can make a difference.
pub(super) trait Form: std::fmt::Debug + Send {
    /// Takes the next character.
    fn take(&mut self, c: char, out: &mut Out);
    /// Nothing follows.
    fn finish(&mut self, out: &mut Out);
}

/// Where an answer is in its thinking.
#[derive(Debug)]
enum Thought {
    /// Before anything but whitespace, which is kept.
    Before(Watch, String),
    /// Within: behind the opening mark nothing but whitespace was read yet.
    First(Watch, Watch),
    Within(Watch),
    /// Behind it, or a model that does not think.
    After,
}

/// The marks around thinking.
pub(super) type Marks = (&'static str, &'static str);

/// Reads one answer of a model as it comes, and tells its text from its thinking and its calls.
///
/// What the pieces make together does not depend on how the stream was cut. Whitespace next to a mark belongs to the mark.
/// A mark is a mark however the model spelled it, as one token or in letters, where it can stand: a thought only begins an
/// answer, and a call's mark is one only if a call follows. Within a thought and within arguments nothing is a mark but their end.
#[derive(Debug)]
pub struct Reader {
    marks: Vec<&'static str>,
    thought: Thought,
    form: Box<dyn Form>,
    out: Out,
}

impl Reader {
    pub(super) fn new(form: Box<dyn Form>, marks: Vec<&'static str>, out: Out) -> Self {
        Self { marks, thought: Thought::After, form, out }
    }

    /// The same for a model that thinks, and may be doing so already.
    pub(super) fn thinking(mut self, (open, close): Marks, within: bool) -> Self {
        self.marks.extend([open, close]);
        self.thought = if within {
            self.out.mark();
            Thought::First(Watch::new(&[open]), Watch::new(&[close]))
        } else {
            Thought::Before(Watch::new(&[open]), String::new())
        };
        self
    }

    /// The marks that must reach the reader. Where one is a special token, the detokenizer has to keep it:
    /// [`Detokenizer::keep`](crate::Detokenizer::keep).
    pub fn marks(&self) -> &[&'static str] {
        &self.marks
    }

    /// Takes more of the answer, and returns what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<Said> {
        text.chars().for_each(|c| self.take(c));
        self.out.drain()
    }

    /// The answer has ended: returns the rest.
    pub fn finish(mut self) -> Vec<Said> {
        match std::mem::replace(&mut self.thought, Thought::After) {
            Thought::Before(mut watch, space) => {
                (space + &watch.rest()).chars().for_each(|c| self.form.take(c, &mut self.out));
            }
            Thought::First(mut open, mut close) => {
                self.out.reasoning(&open.rest());
                self.out.reasoning(&close.rest());
            }
            Thought::Within(mut close) => self.out.reasoning(&close.rest()),
            Thought::After => {}
        }
        self.form.finish(&mut self.out);
        self.out.end(Some(super::Fault::Unfinished));
        self.out.flush();
        self.out.drain()
    }

    fn take(&mut self, c: char) {
        match &mut self.thought {
            Thought::After => self.form.take(c, &mut self.out),
            Thought::Before(watch, space) => {
                let mut passed = String::new();
                if watch.take(c, &mut passed).is_some() {
                    let close = self.marks[self.marks.len() - 1];
                    self.out.mark();
                    self.thought = Thought::Within(Watch::new(&[close]));
                    return;
                }
                space.push_str(&passed);
                if !passed.trim().is_empty() {
                    let text = std::mem::take(space) + &watch.rest();
                    self.thought = Thought::After;
                    text.chars().for_each(|c| self.form.take(c, &mut self.out));
                }
            }
            Thought::First(open, close) => {
                // The template opened the thought, and some models open it again.
                let mut passed = String::new();
                if open.take(c, &mut passed).is_some() {
                    self.thought = Thought::Within(close.clone());
                    return;
                }
                if !passed.trim().is_empty() {
                    passed.push_str(&open.rest());
                    self.thought = Thought::Within(close.clone());
                    passed.chars().for_each(|c| self.take(c));
                }
            }
            Thought::Within(watch) => {
                let mut passed = String::new();
                let ended = watch.take(c, &mut passed).is_some();
                self.out.reasoning(&passed);
                if ended {
                    self.out.mark();
                    self.thought = Thought::After;
                }
            }
        }
    }
}
