//! Vectors of texts, and what documents are worth, made elsewhere.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Backend, Error};
use crate::config::RemoteKind;
use crate::runtime::{EmbedOptions, Kinds, RerankOptions};

/// Vectors of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// One for each text, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, if the remote says it.
    pub tokens: Option<usize>,
}

/// What documents are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// One for each document.
    pub scores: Vec<f32>,
    /// Tokens of all, if the remote says it.
    pub tokens: Option<usize>,
}

impl Backend {
    /// Vectors of `texts`.
    ///
    /// # Errors
    /// If it does not answer, makes no vectors, or not one good one for each text.
    pub async fn embed(
        &self,
        model: &str,
        texts: &[String],
        options: &EmbedOptions,
    ) -> Result<Embedded, Error> {
        let mut body = json!({ "model": model, "input": texts });
        let EmbedOptions { prompt, truncate, dimensions, kinds } = options;
        let dimensions = *dimensions;
        // What is too long, a server that has no word for cutting refuses or cuts as it likes.
        self.says("prompt_name", prompt.is_none())?;
        self.says("kinds", [Kinds::OWN, Kinds::default()].contains(kinds))?;
        if let Some(dimensions) = dimensions {
            body["dimensions"] = json!(dimensions);
        }
        let path = match self.remote.kind {
            RemoteKind::Ollama => {
                body["truncate"] = json!(truncate);
                "api/embed"
            }
            RemoteKind::OpenAi | RemoteKind::Responses => {
                body["encoding_format"] = json!("float");
                "v1/embeddings"
            }
        };
        let answer = self.posted(path, &body, model).await?;
        let vectors = self.vectors(&answer, texts.len());
        let vectors = self.heard(vectors)?;
        if let (Some(dimensions), Some(first)) = (dimensions, vectors.first())
            && first.len() != dimensions
        {
            // Older servers do not know the field, and say nothing.
            let (remote, kind) = (self.name.clone(), self.remote.kind.name());
            return Err(Error::Unsupported { remote, kind, field: "dimensions" });
        }
        let tokens =
            answer["prompt_eval_count"].as_u64().or(answer["usage"]["prompt_tokens"].as_u64());
        Ok(Embedded { vectors, tokens: tokens.and_then(|tokens| usize::try_from(tokens).ok()) })
    }

    fn vectors(&self, answer: &Value, count: usize) -> Result<Vec<Vec<f32>>, Error> {
        let list = match self.remote.kind {
            RemoteKind::Ollama => answer["embeddings"].as_array().cloned(),
            RemoteKind::OpenAi | RemoteKind::Responses => answer["data"].as_array().map(|data| {
                let mut data: Vec<&Value> = data.iter().collect();
                data.sort_by_key(|entry| entry["index"].as_u64());
                data.into_iter().map(|entry| entry["embedding"].clone()).collect()
            }),
        };
        let list = list.ok_or_else(|| self.garbage("it holds no embeddings"))?;
        if list.len() != count {
            let what = format!("it holds {} embeddings of {count} texts", list.len());
            return Err(self.garbage(&what));
        }
        let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(count);
        for vector in &list {
            let number = |value: &Value| value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
            let numbers: Option<Vec<f32>> =
                vector.as_array().and_then(|vector| vector.iter().map(number).collect());
            let length = vectors.first().map(Vec::len);
            match numbers {
                Some(numbers)
                    if !numbers.is_empty() && length.is_none_or(|n| n == numbers.len()) =>
                {
                    vectors.push(numbers);
                }
                _ => return Err(self.garbage("an embedding of it is none")),
            }
        }
        Ok(vectors)
    }

    /// How well each of `documents` answers `query`, in their order: of servers that speak like OpenAI's and have `/v1/rerank`.
    ///
    /// # Errors
    /// If it does not answer, does not judge, or gives not one score for each document.
    pub async fn rerank(
        &self,
        model: &str,
        query: &str,
        documents: &[String],
        options: RerankOptions,
    ) -> Result<Judged, Error> {
        if self.remote.kind == RemoteKind::Ollama {
            return Err(self.unsupported("documents"));
        }
        self.says("raw_scores", !options.logits)?;
        let body = json!({ "model": model, "query": query, "documents": documents });
        let answer = self.posted("v1/rerank", &body, model).await?;
        let scores = self.scores(&answer, documents.len());
        let scores = self.heard(scores)?;
        let usage = &answer["usage"];
        let tokens = usage["prompt_tokens"].as_u64().or(usage["total_tokens"].as_u64());
        Ok(Judged { scores, tokens: tokens.and_then(|tokens| usize::try_from(tokens).ok()) })
    }

    fn scores(&self, answer: &Value, count: usize) -> Result<Vec<f32>, Error> {
        let list = answer["results"].as_array();
        let list = list.ok_or_else(|| self.garbage("it holds no results"))?;
        let mut scores = vec![None; count];
        for result in list {
            let at = result["index"].as_u64().and_then(|at| usize::try_from(at).ok());
            let score = result["relevance_score"].as_f64().map(|score| score as f32);
            match (at.and_then(|at| scores.get_mut(at)), score.filter(|score| score.is_finite())) {
                (Some(place @ None), Some(score)) => *place = Some(score),
                _ => return Err(self.garbage("a result of it is none")),
            }
        }
        let all: Option<Vec<f32>> = scores.into_iter().collect();
        all.ok_or_else(|| {
            self.garbage(&format!("it holds {} results of {count} documents", list.len()))
        })
    }

    /// The answer to `body`, asked as patiently as the settings say.
    async fn posted(&self, path: &str, body: &Value, model: &str) -> Result<Value, Error> {
        let bytes: Arc<[u8]> = body.to_string().into_bytes().into();
        self.admit()?;
        let asked = self
            .patiently(|| async {
                let response = self.send(Method::POST, path, Some(&bytes), model).await?;
                self.json(response).await
            })
            .await;
        self.heard(asked)
    }

    /// An error unless the remote has a word for `field`, or may go without it.
    fn says(&self, field: &'static str, does: bool) -> Result<(), Error> {
        if does || self.remote.may_drop.iter().any(|may| may == field) {
            return Ok(());
        }
        Err(self.unsupported(field))
    }

    fn unsupported(&self, field: &'static str) -> Error {
        let (remote, kind) = (self.name.clone(), self.remote.kind.name());
        Error::Unsupported { remote, kind, field }
    }
}
