//! Anthropic's endpoints.

pub(crate) mod count;
pub(crate) mod message;
pub(crate) mod messages;
