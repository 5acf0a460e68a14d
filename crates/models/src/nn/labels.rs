//! What heads that judge whole passages share.

use std::collections::BTreeMap;

use checkpoint::{Care, PoolingMode};
use kernels::{Span, Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use super::Linear;
use crate::{Result, Scope, pool};

/// The most classes that are believed.
const MOST_CLASSES: usize = 1 << 16;

/// The fields of a configuration that say whether a checkpoint judges passages. To be flattened into an architecture's
/// own.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LabelConfig {
    #[serde(default)]
    architectures: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, Value>>,
    num_labels: Option<usize>,
}

impl LabelConfig {
    /// How many classes a checkpoint that judges passages has; `None` for one that does not. Two where it does not say.
    pub(crate) fn classes(&self, root: &Scope<'_>) -> Result<Option<usize>> {
        let kinds = self.architectures.iter().flatten();
        if !kinds.into_iter().any(|kind| kind.ends_with("ForSequenceClassification")) {
            return Ok(None);
        }
        let named = self.id2label.as_ref().map(BTreeMap::len);
        let count = named.or(self.num_labels).unwrap_or(2);
        let field = if named.is_some() { "id2label" } else { "num_labels" };
        root.expect((1..=MOST_CLASSES).contains(&count), field, count, "between 1 and 65536")?;
        Ok(Some(count))
    }
}

/// The first row of each of `spans`, which are not empty: `[rows, width]` to `[spans, width]`.
pub(crate) fn first_rows(hidden: &Tensor, spans: &[Span]) -> Tensor {
    let first: Vec<_> = spans.iter().map(|span| span.rows.start as u32).collect();
    ops::take(hidden, &first)
}

/// The mean of the rows of each of `spans`, which are not empty: `[rows, width]` to `[spans, width]`.
pub(crate) fn mean_rows(hidden: &Tensor, spans: &[Span]) -> Tensor {
    let means = pool(hidden, spans, &[PoolingMode::Mean]);
    hidden.device().tensor(&[spans.len(), hidden.width()], means.concat())
}

/// A map of a head. Converters leave it a float: it is small, and every answer goes through it.
pub(crate) fn head_map(
    scope: &Scope<'_>,
    inputs: usize,
    outputs: usize,
    bias: bool,
) -> Result<Linear> {
    let map = Linear::load(scope, inputs, outputs, bias)?;
    scope.note_care(Care::Float);
    Ok(map)
}

/// The hyperbolic tangent of each element: of one row for each passage, so it needs no kernel.
pub(crate) fn tanh(x: &Tensor) -> Tensor {
    x.device().tensor(x.shape(), x.to_vec().into_iter().map(f32::tanh).collect())
}
