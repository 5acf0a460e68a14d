//! Texts that obey.
