//! Checkpoints that cannot be built: each is an error that names what is wrong.

use checkpoint::Folder;
use kernels::{Isa, Precision};
use models::Error;
use serde_json::{Value, json};

use crate::fixture;

/// What loading a fixture says after its configuration was changed.
fn load(name: &str, change: impl FnOnce(&mut Value)) -> Result<(), Error> {
    let mut files = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(fixture::root().join(name)).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        files.insert(entry.file_name().into_string().unwrap(), bytes.into());
    }
    files.remove("golden.safetensors");
    let config: &bytes::Bytes = &files["config.json"];
    let mut config: Value = serde_json::from_slice(config).unwrap();
    change(&mut config);
    files.insert("config.json".to_owned(), config.to_string().into_bytes().into());
    let folder = Folder::from_files(files).unwrap();
    let device = fixture::device(Isa::Portable, Precision::Exact);
    models::load(&folder, &device).map(|_| ())
}

#[track_caller]
fn refused(name: &str, change: impl FnOnce(&mut Value), says: &[&str]) {
    let error = load(name, change).unwrap_err();
    let text = error.to_string();
    for part in says {
        assert!(text.contains(part), "`{text}` does not name `{part}`");
    }
    assert!(!error.hint().is_empty());
}

#[test]
fn an_unchanged_fixture_loads() {
    load("llama", |_| {}).unwrap();
}

#[test]
fn an_unknown_architecture_is_named() {
    refused("llama", |c| c["model_type"] = json!("mamba"), &["config.json", "mamba"]);
    let error = load("llama", |c| c["model_type"] = json!("mamba")).unwrap_err();
    assert!(error.hint().contains("llama"), "{}", error.hint());
}

#[test]
fn an_unknown_rope_type_is_named() {
    let change = |c: &mut Value| c["rope_scaling"] = json!({"rope_type": "spiral", "factor": 2.0});
    refused("llama", change, &["rope_scaling.rope_type", "spiral"]);
}

#[test]
fn a_field_that_changes_the_mathematics_is_not_overlooked() {
    refused("llama", |c| c["num_local_experts"] = json!(8), &["num_local_experts", "8"]);
    refused("llama", |c| c["attn_logit_softcapping"] = json!(50.0), &["attn_logit_softcapping"]);
    load("llama", |c| c["attn_logit_softcapping"] = Value::Null).unwrap();
    load("llama", |c| c["a_word_from_the_trainer"] = json!("hello")).unwrap();
}

#[test]
fn a_silent_config_is_tied_as_its_tensors_say() {
    let silent = |c: &mut Value| {
        c.as_object_mut().unwrap().remove("tie_word_embeddings");
    };
    load("llama", silent).unwrap();
    load("qwen3_untied", silent).unwrap();
    let tied = |c: &mut Value| c["tie_word_embeddings"] = json!(true);
    load("qwen3_untied", tied).unwrap();
}

#[test]
fn a_config_that_lies_is_found_out() {
    refused("llama", |c| c["hidden_size"] = json!(128), &["embed_tokens", "128"]);
    refused("llama", |c| c["num_hidden_layers"] = json!(3), &["model.layers.2."]);
    refused("llama", |c| c["num_hidden_layers"] = json!(1), &["model.layers.1."]);
    refused("llama", |c| c["num_key_value_heads"] = json!(3), &["num_key_value_heads", "3"]);
    refused("llama", |c| c["num_key_value_heads"] = json!(0), &["num_key_value_heads", "0"]);
    refused("llama", |c| c["num_attention_heads"] = json!(0), &["num_attention_heads"]);
    refused("llama", |c| c["head_dim"] = json!(15), &["head_dim", "15"]);
    refused("llama", |c| c["vocab_size"] = json!(-1), &["vocab_size"]);
    refused("llama", |c| c["rope_theta"] = json!(-1.0), &["rope_theta", "-1"]);
    refused("llama", |c| c["hidden_act"] = json!("gelu"), &["hidden_act"]);
    refused("llama", |c| c["tie_word_embeddings"] = json!(false), &["lm_head"]);
    refused("llama", |c| c["attention_bias"] = json!(true), &["bias"]);
    refused("llama", |c| c["head_dim"] = json!(1_u64 << 62), &["head_dim", "4611686018427387904"]);
    for field in ["num_attention_heads", "hidden_size", "vocab_size", "intermediate_size"] {
        refused("llama", |c| c[field] = json!(1_u64 << 62), &["tensor `model.", "shape"]);
    }
}
