//! ColQwen2.5: pages and queries as a vector for each of their tokens, for late interaction.
//!
//! Qwen2.5-VL without its output head, and a map of the last hidden states to 128 dimensions, of length one. It reads from left
//! to right, as the decoder does. A checkpoint calls itself `qwen2_5_vl`, and has `custom_text_proj` besides, or has all of the
//! other below `vlm`, and `embedding_proj_layer`; the one that was published is to be loaded with its adapter.
//!
//! - Reference: `colpali_engine/models/qwen2_5/colqwen2_5/modeling_colqwen2_5.py`; Faysse et al., "ColPali" (2024)
//! - Checkpoints: `vidore/colqwen2.5-v0.2` on `vidore/colqwen2.5-base`

use checkpoint::Care;
use kernels::Tensor;

use super::qwen2_5_vl::{SeeingStack, build_as};
use crate::nn::Linear;
use crate::{Batch, Encoder, Model, Network, Result, Retrieval, Scope, Vision};

/// What checkpoints call the map.
const PROJECTIONS: [&str; 2] = ["custom_text_proj", "embedding_proj_layer"];

/// The widest vector that is believed.
const MOST_DIMENSIONS: usize = 1 << 16;

/// What the network was trained with: later programs leave `Query: ` out, and find less.
const QUERY: [&str; 2] = [
    "Query: ",
    "<|endoftext|><|endoftext|><|endoftext|><|endoftext|><|endoftext|>\
     <|endoftext|><|endoftext|><|endoftext|><|endoftext|><|endoftext|>",
];
const IMAGE: &str = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe the image.<|im_end|><|endoftext|>";

#[derive(Debug)]
struct Retriever {
    network: SeeingStack,
    custom_text_proj: Linear,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    build_as("colqwen2_5", root, true, |network, hidden| {
        let name = PROJECTIONS.into_iter().find(|name| root.has(name)).unwrap_or(PROJECTIONS[0]);
        let place = root.at(name);
        let rows = place.shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(128);
        let fits = (1..=MOST_DIMENSIONS).contains(&rows);
        root.expect(fits, name, rows, "a matrix of between 1 and 65536 rows")?;
        let custom_text_proj = Linear::load(&place, hidden, rows, true)?;
        place.note_care(Care::Float);
        Ok(Network::Encoder(Box::new(Retriever { network, custom_text_proj })))
    })
}

impl Encoder for Retriever {
    fn vision(&self) -> Option<&dyn Vision> {
        Some(&self.network.vision)
    }

    fn forward(&self, batch: &Batch) -> Tensor {
        Encoder::forward(&self.network, batch)
    }

    fn retrieval(&self) -> Option<Retrieval<'_>> {
        Some(Retrieval { vectors: &self.custom_text_proj, image: IMAGE, query: QUERY })
    }
}
