//! Words to tokens and back: tokenizer, detokenizer, chat template, stop strings.
//!
//! Takes bytes and strings, never paths; knows no device and no request. The usual road of a conversation:
//!
//! 1. [`Template::render`] turns [`Message`]s into one string, special tokens included.
//! 2. [`Tokenizer::encode`] with [`Special::Omit`] turns that string into ids. (`Add` would put a second
//!    beginning-of-text token before the one that the template already wrote.)
//! 3. [`Detokenizer::push`] turns each sampled id into text as soon as it is whole characters.
//! 4. [`StopStrings::push`] ends the text at the first stop string.
//! 5. [`Reader::push`] of the model's [`Dialect`] tells the answer from thinking and from calls of tools.
//!
//! Text that is not a conversation (a passage to embed, a prompt to continue) is encoded with [`Special::Add`], or with
//! [`Special::AddLiteral`] where a stranger wrote it.

mod around;
mod bpe;
mod detokenizer;
mod dialect;
mod engine;
mod error;
pub mod grammar;
mod message;
mod stop;
mod template;
mod tokenizer;

pub use detokenizer::Detokenizer;
pub use dialect::{Answer, Call, Dialect, Fault, Forced, Reader, Said, Tools};
pub use error::{Error, Kind, Result};
pub use message::{Image, Message, Part, Role, ToolCall};
pub use stop::{StopOutput, StopStrings};
pub use template::{LocalTime, RenderOptions, Template};
pub use tokenizer::{Pair, Special, Tokenizer};
