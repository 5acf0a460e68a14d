//! Fields of configurations that no architecture may overlook.

use std::collections::BTreeMap;

use kernels::Tensor;
use kernels::ops::{Gelu, gelu};
use serde::Deserialize;
use serde_json::Value;

use crate::{Result, Scope};

/// Fields that change the mathematics of a network, wherever they occur. An architecture that does
/// not read one of these must not load a checkpoint that sets it.
const MATHEMATICS: &[&str] = &[
    "alibi",
    "attention_bias",
    "attention_chunk_size",
    "attention_multiplier",
    "attn_logit_softcapping",
    "attn_temperature_tuning",
    "clip_qkv",
    "dual_chunk_attention_config",
    "embedding_multiplier",
    "final_logit_softcapping",
    "first_k_dense_replace",
    "kv_lora_rank",
    "layer_types",
    "logit_scale",
    "logits_scaling",
    "mlp_bias",
    "moe_intermediate_size",
    "n_group",
    "n_routed_experts",
    "n_shared_experts",
    "no_rope_layers",
    "norm_topk_prob",
    "num_experts",
    "num_experts_per_tok",
    "num_local_experts",
    "parallel_residual",
    "partial_rotary_factor",
    "qk_layernorm",
    "qk_norm",
    "query_pre_attn_scalar",
    "residual_multiplier",
    "rotary_pct",
    "routed_scaling_factor",
    "scoring_func",
    "shared_expert_intermediate_size",
    "sliding_window",
    "sliding_window_pattern",
    "swiglu_limit",
    "topk_group",
    "topk_method",
    "use_bidirectional_attention",
    "use_qk_norm",
    "use_sliding_window",
    "vision_config",
];

/// Those of them that 1 switches off, and 0 does not: multipliers, ratios, and counts of groups.
const NEUTRAL_AT_ONE: &[&str] = &[
    "embedding_multiplier",
    "logit_scale",
    "logits_scaling",
    "n_group",
    "partial_rotary_factor",
    "residual_multiplier",
    "rotary_pct",
    "routed_scaling_factor",
    "topk_group",
];

/// Fails if `rest`, the fields that an architecture's configuration did not read, holds one that
/// changes the mathematics.
pub(crate) fn refuse_unknown(
    scope: &Scope<'_>,
    architecture: &'static str,
    rest: &BTreeMap<String, Value>,
) -> Result<()> {
    for (field, value) in rest {
        if MATHEMATICS.contains(&field.as_str()) && !is_neutral(field, value) {
            return Err(scope.unsupported(architecture, field, value));
        }
    }
    Ok(())
}

/// Whether a value says that the feature of its field is off.
fn is_neutral(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => {
            let off = if NEUTRAL_AT_ONE.contains(&field) { 1.0 } else { 0.0 };
            number.as_f64() == Some(off)
        }
        // What everyone does who chooses experts at all.
        Value::String(name) => {
            matches!(
                (field, name.as_str()),
                ("scoring_func", "softmax") | ("topk_method", "greedy")
            )
        }
        Value::Array(items) => items.iter().all(|item| item == "full_attention"),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// `hidden_act`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum Activation {
    #[default]
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    #[serde(rename = "gelu")]
    Gelu,
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    #[serde(rename = "quick_gelu")]
    QuickGelu,
}

impl Activation {
    /// An error unless `hidden_act` is silu.
    pub(crate) fn expect_silu(self, root: &Scope<'_>) -> Result<()> {
        root.expect(self == Self::Silu, "hidden_act", format!("{self:?}"), "silu")
    }

    /// Applies a function of one operand; `None` for one that is only known in gated form here.
    pub(crate) fn apply(self, x: &Tensor) -> Option<Tensor> {
        match self {
            Self::Silu => None,
            Self::Gelu => Some(gelu(x, Gelu::Erf)),
            Self::GeluTanh => Some(gelu(x, Gelu::Tanh)),
            Self::QuickGelu => Some(gelu(x, Gelu::Quick)),
        }
    }
}
