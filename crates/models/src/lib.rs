//! Architectures: a configuration and weights, made into a function.
