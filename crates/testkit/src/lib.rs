//! Tiny models, scripted worlds and tolerances, for tests only.
