//! An answer that somebody waits for, from whichever model gives it.

use std::sync::Arc;

use super::{Error, House, Lease, apart};
use crate::runtime::{FinishReason, GenerateOptions, Generation, Piece, Prompt, Timings, Usage};

/// A question to a model.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The model's name.
    pub model: String,
    /// What is to be continued.
    pub prompt: Prompt,
    /// How.
    pub options: GenerateOptions,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// So many tokens of the prompt are read.
    Progress(usize),
    /// More words; never empty.
    Text(String),
    /// The end.
    End(End),
}

/// How an answer ended, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Why.
    pub reason: FinishReason,
    /// Its tokens.
    pub usage: Usage,
    /// Its times.
    pub timings: Timings,
}

/// An answer under way. Dropping it ends it, and gives the model back.
#[derive(Debug)]
pub struct Answer {
    // In this order: the request ends before the model may go.
    generation: Generation,
    lease: Lease,
}

impl House {
    /// Begins to answer, once the model is in memory.
    ///
    /// # Errors
    ///
    /// If there is no such model, it cannot be loaded, or it does not take the question.
    pub async fn answer(self: &Arc<Self>, ask: Ask) -> Result<Answer, Error> {
        let lease = self.lease(&ask.model).await?;
        apart(move || {
            let generation = lease.model().generate(&ask.prompt, &ask.options)?;
            Ok(Answer { generation, lease })
        })
        .await
    }

    /// How many tokens `prompt` has for a model.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub async fn count(self: &Arc<Self>, model: &str, prompt: Prompt) -> Result<usize, Error> {
        let lease = self.lease(model).await?;
        apart(move || Ok(lease.encode_prompt(&prompt)?.len())).await
    }
}

impl Answer {
    /// The name of the model that answers.
    pub fn model(&self) -> &str {
        self.lease.name()
    }

    /// What it took so far.
    pub fn usage(&self) -> Usage {
        self.generation.usage()
    }

    /// The next part, or `None` after the end.
    ///
    /// # Errors
    ///
    /// If the request broke while it was computed.
    pub async fn next(&mut self) -> Result<Option<Said>, Error> {
        Ok(self.generation.next_piece_async().await?.map(|piece| match piece {
            Piece::Progress(read) => Said::Progress(read),
            Piece::Text(text) => Said::Text(text),
            Piece::End(reason) => Said::End(End {
                reason,
                usage: self.generation.usage(),
                timings: self.generation.timings(),
            }),
        }))
    }
}
