//! The rows one forward pass works on.

use std::cell::RefCell;

use kernels::{Span, Tensor};

/// Tokens of several sequences, packed end to end: no padding, so no mask. Prompts, parts of
/// prompts and single tokens stand side by side; only attention knows where a sequence begins.
#[derive(Debug, Default)]
pub struct Batch {
    /// The tokens, `[rows]`.
    pub tokens: Vec<u32>,
    /// The position of each in its own sequence, `[rows]`.
    pub positions: Vec<u32>,
    /// Which rows belong to which sequence, in order.
    pub spans: Vec<Span>,
    /// How long each sequence is known to be: up to its last row here, or longer where more of it
    /// follows in a later pass.
    pub lengths: Vec<usize>,
    taps: Option<RefCell<Vec<(String, Tensor)>>>,
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
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((start..start + tokens.len()).map(|position| position as u32));
        self.spans.push(Span { rows: from..self.tokens.len(), start, pages });
    }

    /// Makes the network record its activations by name, for whoever compares it with another.
    pub fn record(&mut self) {
        self.taps = Some(RefCell::default());
    }

    /// The recorded activations, in the order in which they were computed.
    pub fn recorded(self) -> Vec<(String, Tensor)> {
        self.taps.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Records `value` as the output of the module `name`, and passes it on.
    #[must_use]
    pub(crate) fn tap(&self, name: &str, value: Tensor) -> Tensor {
        if let Some(taps) = &self.taps {
            taps.borrow_mut().push((name.to_owned(), value.clone()));
        }
        value
    }
}
