//! Which models are on disk, in memory and in use.
