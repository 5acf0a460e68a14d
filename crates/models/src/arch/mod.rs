//! One file per architecture. A file here is named in `registry.rs` and nowhere else.

pub(crate) mod bert;
pub(crate) mod colqwen2_5;
pub(crate) mod deepseek_v2;
pub(crate) mod gemma3;
pub(crate) mod gpt_oss;
pub(crate) mod llama;
pub(crate) mod llava_next;
pub(crate) mod mistral;
pub(crate) mod modernbert;
pub(crate) mod nomic_bert;
pub(crate) mod phi3;
pub(crate) mod phi3_v;
pub(crate) mod qwen2;
pub(crate) mod qwen2_5_vl;
pub(crate) mod qwen3;
pub(crate) mod qwen3_moe;
pub(crate) mod xlm_roberta;
