//! Conversions of small checkpoints, compared with MLX's own and read back.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conversions;
mod quantizers;
