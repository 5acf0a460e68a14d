//! What goes in and what comes out.

use std::ops::Range;
use std::sync::Arc;

use kernels::Tensor;
use models::{ImageSpan, Picture};

use crate::{Constraint, Logprobs, Priority, Sampling};

/// Names a request for as long as it lives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id(pub u64);

/// A sequence to continue.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The prompt; never empty.
    pub prompt: Vec<u32>,
    /// The images in it, in order.
    pub images: Vec<PromptImage>,
    /// How many tokens to add at most.
    pub max_tokens: usize,
    /// Tokens that end the sequence. The one that does is reported like any other.
    pub stop: Vec<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// What the tokens that are added must obey; `max_tokens` may cut them short.
    pub constraint: Option<Arc<dyn Constraint>>,
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is: clients share what there is of their priority evenly. 0 is nobody in particular.
    pub client: u64,
    /// Whether the answer must not depend on what else is computed, to the last bit: its tokens are computed in
    /// passes of their own, cut where the prompt alone decides, which takes longer. It holds as long as the device computes
    /// the same pass in the same way: on a CPU, with weights that are not laid out meanwhile.
    pub invariant: bool,
}

/// An image in a prompt.
#[derive(Clone, Debug)]
pub struct PromptImage {
    /// The positions of its tokens, which may be any that the network knows.
    pub positions: Range<usize>,
    /// What the network reads of it.
    pub picture: Arc<Picture>,
    /// Tells its content from any other's: what was computed of an image is used again for the same.
    pub digest: [u8; 32],
}

impl PromptImage {
    /// Where it stands in a batch, with `features` if rows of it are there.
    pub fn span(&self, features: Option<Tensor>) -> ImageSpan {
        ImageSpan { positions: self.positions.clone(), grid: self.picture.grid, features }
    }
}

/// Why a request is not taken on at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is nothing to continue.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The caller asked for no tokens.
    #[error("max_tokens is 0")]
    NoTokens,
    /// The network has no such token.
    #[error("the prompt holds token {token}, but the vocabulary ends at {vocabulary}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// How many tokens there are.
        vocabulary: usize,
    },
    /// There are images, and the network sees none.
    #[error("the model reads text only, but the prompt holds {images} images")]
    Blind {
        /// How many.
        images: usize,
    },
    /// An image does not stand where it could.
    #[error(
        "an image of {tokens} tokens stands at {}..{} of a prompt of {prompt} tokens",
        positions.start, positions.end
    )]
    ImagePlace {
        /// Where it stands.
        positions: Range<usize>,
        /// How many tokens it has.
        tokens: usize,
        /// How many the prompt has.
        prompt: usize,
    },
    /// Every number that an image could have was given to one.
    #[error("more images were read than can be told apart")]
    WornOut,
    /// Too many of its priority wait already.
    #[error(
        "{waiting} {} requests wait already, and at most {limit} may", priority.name()
    )]
    QueueFull {
        /// How urgent it is.
        priority: Priority,
        /// How many of that priority wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The sequence could outgrow the memory there is for it, or the network's context.
    #[error(
        "{prompt} prompt tokens and up to {max_tokens} new ones make {}, but at most {limit} fit",
        prompt + max_tokens
    )]
    TooLong {
        /// Tokens in the prompt.
        prompt: usize,
        /// Tokens to add.
        max_tokens: usize,
        /// How many fit.
        limit: usize,
    },
}

/// Something that happened to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Its first pass was computed, without so many tokens that were found in the cache; comes once, before all others.
    Begun(Id, usize),
    /// So many tokens of the prompt are computed, and more are to come.
    Progress(Id, usize),
    /// How likely the next token is thought to be, if that was asked for: just before the token.
    Likely(Id, Box<Logprobs>),
    /// The next token.
    Token(Id, u32),
    /// Nothing more will come.
    Finished(Id, Finish),
}

/// Why a sequence ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finish {
    /// A stop token was sampled, or the constraint lets nothing follow.
    Stop,
    /// `max_tokens` was reached. What the constraint asks for, if there is one, was complete.
    Length,
    /// `max_tokens` was reached before what the constraint asks for was complete.
    Unfinished,
    /// The caller gave up.
    Cancelled,
    /// Something broke.
    Failed(Failure),
}

/// What broke.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A logit is no number: the weights are damaged, or overflowed their type.
    #[error("the network's output at position {position} holds a NaN (token {token})")]
    NotANumber {
        /// The position whose output it is.
        position: usize,
        /// The first token whose logit is no number.
        token: u32,
    },
    /// The constraint leaves no token that the network thinks possible.
    #[error("at position {position} no token may come next that the network thinks possible")]
    NothingAllowed {
        /// The position whose output would be chosen from.
        position: usize,
    },
    /// The constraint cannot tell which tokens may come next.
    #[error("the constraint failed after position {position}: {what}")]
    Constraint {
        /// The position of the last token.
        position: usize,
        /// Its own words.
        what: String,
    },
    /// A forward pass panicked.
    #[error("the network failed while computing: {what}")]
    Panicked {
        /// What it said.
        what: String,
    },
    /// The device refused or lost a computation.
    #[error("the device failed while computing: {what}")]
    Device {
        /// What it said.
        what: String,
    },
}
