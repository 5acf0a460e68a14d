//! The crate from outside, against what the reference programs make of the same input.

mod golden;
mod stream;
mod template;
mod tokenizer;
