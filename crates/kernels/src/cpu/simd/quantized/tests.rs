//! Integer dot products, on every level.
