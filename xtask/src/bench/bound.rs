//! What a model must read and compute for one token, from the header of its file.

use std::path::Path;

use anyhow::Result;
use checkpoint::Folder;

/// The least work of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bound {
    /// Bytes of the files.
    pub(super) file: u64,
    /// Bytes of weights that a token of an answer reads.
    pub(super) token: u64,
    /// Weights that each token of a prompt is multiplied with: not the head, which only the last
    /// token needs, nor a table of which it takes a row.
    pub(super) multiplied: u64,
    /// The limit that those multiplications count against.
    pub(super) peak: &'static str,
    /// Whether it answers; an encoder does not.
    pub(super) is_decoder: bool,
}

impl Bound {
    /// The bound of the checkpoint in `folder`.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let index = Folder::open(folder)?.index()?;
        let untied = index.get("lm_head.weight").is_some();
        let is_decoder = index.get("model.norm.weight").is_some();
        let mut out = Self { file: index.bytes(), peak: "f32", is_decoder, ..Self::default() };
        for tensor in &index.tensors {
            let is_table = tensor.name.contains("embed");
            if !is_table || (is_decoder && !untied) {
                out.token += tensor.bytes;
            }
            let is_matrix = tensor.name.ends_with(".weight") && tensor.shape.len() == 2;
            if is_matrix && !is_table && !tensor.name.starts_with("lm_head.") {
                out.multiplied += tensor.parameters;
                if tensor.quantization.is_some() {
                    out.peak = "int8";
                } else if tensor.dtype == checkpoint::Dtype::BF16 {
                    out.peak = "bf16";
                }
            }
        }
        Ok(out)
    }
}
