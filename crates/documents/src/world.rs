//! All that the pipelines may ask of the outside.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::picture::Picture;
use crate::pipeline::Reader;

/// Who can read pictures of pages, whoever runs them.
pub trait World: Sync {
    /// Who can read, the first choice first: each is asked for what those before it failed at.
    fn readers(&self) -> Vec<Reader>;

    /// Begins to read a picture and returns at once, or soon. The answer comes through `reply`, from any thread.
    fn transcribe(&self, ask: Ask, reply: Reply);
}

/// A world in which nobody can read: every page that has no text of its own stays unread.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModel;

impl World for NoModel {
    fn readers(&self) -> Vec<Reader> {
        Vec::new()
    }

    fn transcribe(&self, _: Ask, reply: Reply) {
        reply.send(Answer::Unusable { message: "there is no model".to_owned(), hint: None });
    }
}

/// A picture that is to be read.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who is to read it: one of [`World::readers`], by its place there.
    pub reader: usize,
    /// The page, upright as far as is known.
    pub picture: Arc<Picture>,
    /// What to tell a model; it stands before the picture.
    pub prompt: Arc<str>,
    /// Tokens of the answer at most.
    pub max_tokens: u32,
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Whether the answer is to be held to [`GUIDED_REGEX`](crate::pipeline::GUIDED_REGEX), where the reader can.
    pub guided: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A text.
    Text(Heard),
    /// The reader failed this time. That counts as an attempt.
    Failed {
        /// What it said.
        message: String,
    },
    /// The reader does not take this page, and would not another time.
    Refused {
        /// What it said.
        message: String,
    },
    /// The reader cannot be reached or has too much to do: the same is asked again later, and no attempt is lost.
    Unavailable {
        /// What it said.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The reader can read nothing at all: there is no such model, or the key is wrong.
    Unusable {
        /// What it said.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A text that a reader wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The text as it came.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt, the picture's included.
    pub input_tokens: u64,
    /// Tokens of the text.
    pub output_tokens: u64,
    /// Who wrote it, where that is another one than was asked.
    pub by: Option<String>,
}

/// Why a text ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The reader ended it.
    Stop,
    /// It was as long as it might be.
    Length,
    /// It went round in a circle and was ended.
    Repetition,
    /// It is not whole for another reason, which the reader calls so.
    Other(String),
}

impl fmt::Display for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("the answer ended"),
            Self::Length => f.write_str("the answer was cut off at the most tokens"),
            Self::Repetition => f.write_str("the answer repeated itself without end"),
            Self::Other(why) => write!(f, "the answer is not whole: {why}"),
        }
    }
}

/// Where an answer goes. One that is dropped without an answer says that the reader failed.
pub struct Reply {
    deliver: Option<Box<dyn FnOnce(Answer) + Send>>,
    wanted: Wanted,
}

impl Reply {
    /// Calls `deliver` with the answer, as long as it is wanted.
    pub fn new(wanted: Wanted, deliver: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self { deliver: Some(Box::new(deliver)), wanted }
    }

    /// Gives the answer.
    pub fn send(mut self, answer: Answer) {
        self.give(answer);
    }

    /// Whether somebody still wants it. Who reads may ask this, or be told by [`Wanted::when_over`].
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    fn give(&mut self, answer: Answer) {
        if let Some(deliver) = self.deliver.take() {
            deliver(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.give(Answer::Failed { message: "the reader ended without an answer".to_owned() });
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// Whether an answer is still wanted, as both sides know it.
#[derive(Clone, Default)]
pub struct Wanted(Arc<Mutex<Want>>);

#[derive(Default)]
struct Want {
    over: bool,
    told: Vec<Box<dyn FnOnce() + Send>>,
}

impl Wanted {
    /// Whether nobody waits any more.
    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Calls `told` once nobody waits any more; at once, if that is so already.
    pub fn when_over(&self, told: impl FnOnce() + Send + 'static) {
        let mut want = self.lock();
        if want.over {
            drop(want);
            told();
        } else {
            want.told.push(Box::new(told));
        }
    }

    /// Nobody waits any more.
    pub fn end(&self) {
        let told = {
            let mut want = self.lock();
            want.over = true;
            std::mem::take(&mut want.told)
        };
        for each in told {
            each();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Want> {
        // Nothing that can panic happens under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wanted").field(&!self.is_over()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_reply_that_is_dropped_is_a_failure() {
        let (sender, receiver) = channel();
        let reply = Reply::new(Wanted::default(), move |answer| sender.send(answer).unwrap());
        drop(reply);
        assert!(matches!(receiver.recv(), Ok(Answer::Failed { .. })));
        assert!(receiver.recv().is_err(), "there is one answer");
    }

    #[test]
    fn whoever_reads_is_told_that_it_is_over() {
        let wanted = Wanted::default();
        let (sender, receiver) = channel();
        let again = sender.clone();
        wanted.when_over(move || sender.send(1).unwrap());
        assert!(receiver.try_recv().is_err() && !wanted.is_over());
        wanted.clone().end();
        assert_eq!(receiver.try_recv(), Ok(1));
        wanted.when_over(move || again.send(2).unwrap());
        assert_eq!(receiver.try_recv(), Ok(2));
    }
}
