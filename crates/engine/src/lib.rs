//! Sequences, made into batches, made into tokens.
