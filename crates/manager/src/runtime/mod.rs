//! Models in memory: the thread that owns the device, and the handles that others hold on it.
//!
//! Words become tokens on the caller's side of the border, tokens become numbers on the device
//! thread's. Nothing here blocks an async caller; those who are not async have blocking twins.

mod backend;
mod bench;
mod constrain;
mod device;
mod embed;
mod error;
#[cfg(test)]
pub(crate) mod fault;
mod generate;
mod inspect;
mod late;
mod leaving;
mod load;
mod logprobs;
mod look;
mod perplexity;
mod rerank;
mod share;
mod shelf;
mod turns;

pub use backend::{Backend, MlxState};
pub use bench::{BenchOptions, BenchReport, PageStages, PagesOptions, Rate};
pub use device::{ForwardReply, ModelFacts, ModelId, ModelKind, Runtime};
pub use embed::{BATCH_TOKENS, EmbedOptions, Embedding, Kinds, Places, PreparedImage};
pub use engine::{Priority, Status};
pub use error::Error;
pub use generate::{
    FinishReason, GenerateOptions, Generation, MOST_BIASES, MOST_LOGPROBS, MustCall, Piece, Prompt,
    Timings, Usage,
};
pub use late::{Compared, Scoring};
pub use load::{KvCodes, LoadOptions, LoadedModel, Preemption, base_of_adapter, tokenizer};
pub(crate) use load::{chat_template, with_images};
pub use logprobs::{TokenLogprob, TokenLogprobs};
pub use perplexity::{Comparison, Score};
pub use rerank::{Relevance, RerankOptions};
pub use shelf::PageStore;
