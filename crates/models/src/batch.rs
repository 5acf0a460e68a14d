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
    taps: Option<RefCell<Vec<(String, Tensor)>>>,
}

impl Batch {
    /// Adds the `tokens` of one sequence, the first of which stands at position `start`, and whose
    /// past and present are kept in `pages`.
    pub fn push(&mut self, tokens: &[u32], start: usize, pages: Vec<u32>) {
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
