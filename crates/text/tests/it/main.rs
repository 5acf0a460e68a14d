//! The crate from outside, against what the reference programs make of the same input.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

mod dialect;
mod golden;
mod grammar;
mod sentencepiece;
mod stream;
mod template;
mod tokenizer;
