//! What some checkpoints make of each token, besides the embedding of the passage: a weight for lexical search, and a
//! vector for late interaction.
//!
//! Source: Chen et al., "BGE M3-Embedding" (2024). The maps are in files of their own beside the model's weights, as
//! `torch.save` wrote them.

use std::collections::BTreeMap;

use checkpoint::Folder;
use kernels::{Device, Tensor};

use crate::nn::Linear;
use crate::{Batch, Error, Result, Scope, normalize};

const SPARSE: &str = "sparse_linear.pt";
const MULTI: &str = "colbert_linear.pt";

/// The widest vector of a token that is believed.
const MOST_DIMENSIONS: usize = 1 << 16;

/// The maps of a checkpoint that has any.
#[derive(Debug)]
pub struct TokenHeads {
    sparse: Option<Linear>,
    multi: Option<Linear>,
}

impl TokenHeads {
    /// Reads `sparse_linear.pt` and `colbert_linear.pt` in `folder`; `hidden` is the width of the network's hidden states.
    ///
    /// # Errors
    ///
    /// If a file is damaged or does not fit the network.
    pub fn load(folder: &Folder, device: &Device, hidden: usize) -> Result<Self> {
        let head = |file: &'static str, outputs: Option<usize>| -> Result<Option<Linear>> {
            let Some(weights) = folder.side_weights(file)? else { return Ok(None) };
            let scope = Scope::new(weights.root(), folder.config(), device);
            let rows = || weights.root().shape("weight").and_then(|shape| shape.first().copied());
            let outputs = outputs.or_else(rows).unwrap_or(hidden);
            if !(1..=MOST_DIMENSIONS).contains(&outputs) {
                let (file, value) = (folder.path().join(file), outputs.to_string());
                let expected = "a matrix of between 1 and 65536 rows";
                return Err(Error::Config { file, field: "weight", value, expected });
            }
            let linear = Linear::load(&scope, hidden, outputs, true)?;
            drop(scope);
            weights.finish()?;
            Ok(Some(linear))
        };
        Ok(Self { sparse: head(SPARSE, Some(1))?, multi: head(MULTI, None)? })
    }

    /// Whether there are weights of tokens.
    pub fn has_sparse(&self) -> bool {
        self.sparse.is_some()
    }

    /// Whether there are vectors of tokens.
    pub fn has_multi(&self) -> bool {
        self.multi.is_some()
    }

    /// For each passage of `batch` the weight of each of its tokens, `relu(w h + b)`, the largest where a token occurs
    /// more than once. Tokens without a weight and those in `special` are left out; so is everything where the checkpoint
    /// has no such map.
    pub fn sparse(
        &self,
        hidden: &Tensor,
        batch: &Batch,
        special: &[u32],
    ) -> Vec<BTreeMap<u32, f32>> {
        let Some(map) = &self.sparse else { return Vec::new() };
        let weights = map.forward(hidden).to_vec();
        let one = |rows: std::ops::Range<usize>| {
            let mut found = BTreeMap::new();
            for (&token, &weight) in batch.tokens[rows.clone()].iter().zip(&weights[rows]) {
                // A NaN is kept, for somebody to find it.
                if special.contains(&token) || weight <= 0.0 {
                    continue;
                }
                let most = found.entry(token).or_insert(weight);
                if weight > *most || weight.is_nan() {
                    *most = weight;
                }
            }
            found
        };
        batch.spans.iter().map(|span| one(span.rows.clone())).collect()
    }

    /// For each passage of `batch` a vector of length one for each token but the first; nothing where the checkpoint has no
    /// such map.
    pub fn multi(&self, hidden: &Tensor, batch: &Batch) -> Vec<Vec<Vec<f32>>> {
        self.multi.as_ref().map_or_else(Vec::new, |map| token_vectors(map, hidden, batch, 1))
    }
}

/// For each passage of `batch` what `map` makes of each of its tokens but the first `skipped`, at length one.
pub fn token_vectors(
    map: &Linear,
    hidden: &Tensor,
    batch: &Batch,
    skipped: usize,
) -> Vec<Vec<Vec<f32>>> {
    let vectors = map.forward(hidden);
    let (rows, width) = (vectors.to_vec(), vectors.width());
    let one = |rows: &[f32]| {
        let rows = rows.chunks_exact(width).skip(skipped);
        let mut vectors: Vec<_> = rows.map(<[f32]>::to_vec).collect();
        vectors.iter_mut().for_each(|vector| normalize(vector));
        vectors
    };
    let spans = batch.spans.iter();
    spans.map(|span| one(&rows[span.rows.start * width..span.rows.end * width])).collect()
}
