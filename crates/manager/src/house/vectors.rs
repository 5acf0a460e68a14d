//! Vectors and judgements, from whichever model makes them.

use std::sync::Arc;

use text::Image;

use super::{Error, House, apart};
use crate::runtime::{EmbedOptions, Embedding, Relevance, RerankOptions};

/// What was made of texts or images.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The model that made it.
    pub model: String,
    /// One for each, in order.
    pub embeddings: Vec<Embedding>,
}

/// What documents are worth.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The model that judged.
    pub model: String,
    /// One for each, in order.
    pub relevances: Vec<Relevance>,
}

impl House {
    /// Makes vectors of `texts`.
    ///
    /// # Errors
    ///
    /// If there is no such model, it makes no such vectors, or a text is too long.
    pub async fn embed(
        self: &Arc<Self>,
        model: &str,
        texts: Vec<String>,
        options: EmbedOptions,
    ) -> Result<Embedded, Error> {
        let lease = self.lease(model).await?;
        apart(move || {
            let embeddings = lease.embed(&texts, &options)?;
            Ok(Embedded { model: lease.name().to_owned(), embeddings })
        })
        .await
    }

    /// Makes vectors of `images`, as pages that are to be found.
    ///
    /// # Errors
    ///
    /// If there is no such model, it makes no such vectors, or an image cannot be read.
    pub async fn embed_images(
        self: &Arc<Self>,
        model: &str,
        images: Vec<Image>,
    ) -> Result<Embedded, Error> {
        let lease = self.lease(model).await?;
        apart(move || {
            let embeddings = lease.embed_images(&images)?;
            Ok(Embedded { model: lease.name().to_owned(), embeddings })
        })
        .await
    }

    /// Judges how well `documents` answer `query`.
    ///
    /// # Errors
    ///
    /// If there is no such model, it is no reranker, or a document is too long.
    pub async fn rerank(
        self: &Arc<Self>,
        model: &str,
        query: String,
        documents: Vec<String>,
        options: RerankOptions,
    ) -> Result<Judged, Error> {
        let lease = self.lease(model).await?;
        apart(move || {
            let relevances = lease.rerank(&query, &documents, options)?;
            Ok(Judged { model: lease.name().to_owned(), relevances })
        })
        .await
    }
}
