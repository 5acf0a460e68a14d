//! The rows one forward pass works on.

use std::cell::{OnceCell, RefCell};
use std::ops::{Deref, Range};

use kernels::{Indices, Span, Tensor, mixed, ops};

use crate::ImageSpan;
use crate::nn::plane;

/// The tokens of a batch: known to the host, or some of them to the device alone, which has just
/// chosen them. A network only looks them up in a table, which takes both.
#[derive(Debug, Default)]
pub struct Tokens {
    known: Vec<u32>,
    mixed: Option<Tensor>,
}

impl Tokens {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// The tokens themselves.
///
/// # Panics
///
/// If the host does not know them all: a network that computes with their numbers cannot be
/// continued with tokens that nobody has read.
impl Deref for Tokens {
    type Target = [u32];

    #[track_caller]
    fn deref(&self) -> &[u32] {
        assert!(self.mixed.is_none(), "tokens that only the device knows are read");
        &self.known
    }
}

impl<'a> From<&'a Tokens> for Indices<'a> {
    fn from(tokens: &'a Tokens) -> Self {
        match &tokens.mixed {
            Some(tensor) => Self::Device(tensor),
            None => Self::Host(&tokens.known),
        }
    }
}

/// Tokens of several sequences, packed end to end: no padding, so no mask. Prompts, parts of
/// prompts and single tokens stand side by side; only attention knows where a sequence begins.
#[derive(Debug, Default)]
pub struct Batch {
    /// The tokens, `[rows]`.
    pub tokens: Tokens,
    /// The position of each in its own sequence, `[rows]`.
    pub positions: Vec<u32>,
    /// The type of each, `[rows]`: 0, but 1 in the second text of a pair where the tokenizer says so.
    pub token_types: Vec<u32>,
    /// Which rows belong to which sequence, in order.
    pub spans: Vec<Span>,
    /// How long each sequence is known to be: up to its last row here, or longer where more of it
    /// follows in a later pass.
    pub lengths: Vec<usize>,
    /// The images of each sequence, in order: those before its rows here, and those among them.
    pub images: Vec<Vec<ImageSpan>>,
    in_plane: OnceCell<Vec<u32>>,
    taps: Taps,
}

/// What whoever compares a network with another wants to see of it; nothing by default.
#[derive(Debug, Default)]
pub struct Taps(Option<RefCell<Vec<(String, Tensor)>>>);

impl Taps {
    /// Those that record activations by name.
    pub fn recording() -> Self {
        Self(Some(RefCell::default()))
    }

    /// The recorded activations, in the order in which they were computed.
    pub fn recorded(self) -> Vec<(String, Tensor)> {
        self.0.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Records `value` as the output of the module `name`, and passes it on.
    #[must_use]
    pub fn tap(&self, name: &str, value: Tensor) -> Tensor {
        if let Some(taps) = &self.0 {
            taps.borrow_mut().push((name.to_owned(), value.clone()));
        }
        value
    }
}

impl Batch {
    /// Adds the `tokens` of one sequence, the first of which stands at position `start`, and whose
    /// past and present are kept in `pages`.
    pub fn push(&mut self, tokens: &[u32], start: usize, pages: Vec<u32>) {
        self.push_part(tokens, start, pages, start + tokens.len());
    }

    /// As [`push`](Self::push), of a sequence that is known to have `length` tokens: more than these
    /// and those before, if its rest follows in later passes.
    pub fn push_part(&mut self, tokens: &[u32], start: usize, pages: Vec<u32>, length: usize) {
        self.lengths.push(length);
        let from = self.tokens.len();
        self.tokens.known.extend_from_slice(tokens);
        self.positions.extend((start..start + tokens.len()).map(|position| position as u32));
        self.token_types.resize(self.tokens.len(), 0);
        self.spans.push(Span { rows: from..self.tokens.len(), start, pages });
        self.images.push(Vec::new());
    }

    /// Says where `images` stand in the sequence that was [pushed](Self::push) last. Its tokens there may be any that the
    /// network knows.
    ///
    /// # Panics
    ///
    /// If there is no sequence.
    #[track_caller]
    pub fn show(&mut self, images: Vec<ImageSpan>) {
        let Some(last) = self.images.last_mut() else { panic!("images of no sequence") };
        *last = images;
        self.in_plane = OnceCell::new();
    }

    /// Positions in time, down and across, `[rows, 3]`: see [`plane`].
    pub(crate) fn in_plane(&self) -> &[u32] {
        self.in_plane.get_or_init(|| {
            let of_span = |(span, images): (&Span, &Vec<ImageSpan>)| {
                plane::positions(span.start, span.rows.len(), images)
            };
            self.spans.iter().zip(&self.images).flat_map(of_span).collect()
        })
    }

    /// `embedded: [rows, hidden]` with the features of images in their places.
    ///
    /// # Panics
    ///
    /// If an image has rows here, but no features.
    pub fn with_images(&self, embedded: &Tensor) -> Tensor {
        let mut updates = Vec::new();
        for (span, images) in self.spans.iter().zip(&self.images) {
            let end = span.start + span.rows.len();
            for image in images {
                let here = image.positions.start.max(span.start)..image.positions.end.min(end);
                if here.is_empty() {
                    continue;
                }
                let Some(features) = &image.features else { panic!("an image without features") };
                let first = here.start - image.positions.start;
                let features = if here == image.positions {
                    features.clone()
                } else {
                    let rows: Vec<u32> =
                        (first..first + here.len()).map(|row| row as u32).collect();
                    ops::take(features, &rows)
                };
                updates.push((span.rows.start + here.start - span.start, features));
            }
        }
        ops::slice_update(embedded, &updates)
    }

    /// Says that some tokens are known to the device alone: for each pair `(row, from)` of `instead`,
    /// that of `row` is `drawn[from]`. Called once, after the last [`push`](Self::push).
    ///
    /// # Panics
    ///
    /// If a pair is out of bounds.
    #[track_caller]
    pub fn draw(&mut self, drawn: &Tensor, instead: &[(u32, u32)]) {
        self.tokens.mixed = Some(mixed(&self.tokens.known, drawn, instead));
    }

    /// Adds a pair of texts with the type of each token, from position 0.
    ///
    /// # Panics
    ///
    /// If there are not as many types as tokens.
    pub fn push_pair(&mut self, tokens: &[u32], types: &[u32]) {
        assert_eq!(tokens.len(), types.len(), "a type for each token");
        let from = self.tokens.len();
        self.push(tokens, 0, Vec::new());
        self.token_types[from..].copy_from_slice(types);
    }

    /// The rows of each sequence.
    pub(crate) fn sequences(&self) -> Vec<Range<usize>> {
        self.spans.iter().map(|span| span.rows.clone()).collect()
    }

    /// Makes the network record its activations by name, for whoever compares it with another.
    pub fn record(&mut self) {
        self.taps = Taps::recording();
    }

    /// What is recorded.
    pub fn taps(&self) -> &Taps {
        &self.taps
    }

    /// The recorded activations, in the order in which they were computed.
    pub fn recorded(self) -> Vec<(String, Tensor)> {
        self.taps.recorded()
    }

    /// Records `value` as the output of the module `name`, and passes it on.
    #[must_use]
    pub(crate) fn tap(&self, name: &str, value: Tensor) -> Tensor {
        self.taps.tap(name, value)
    }
}
