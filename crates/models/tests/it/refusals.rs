//! Checkpoints that cannot be built: each is an error that names what is wrong.

use checkpoint::Folder;
use kernels::{Isa, Precision};
use models::Error;
use serde_json::{Value, json};

use crate::fixture;

/// What loading a fixture says after its configuration was changed.
fn load(name: &str, change: impl FnOnce(&mut Value)) -> Result<(), Error> {
    load_renamed(name, change, ("", ""))
}

/// The same, with some letters of the header of the weights replaced by as many others.
fn load_renamed(
    name: &str,
    change: impl FnOnce(&mut Value),
    (from, to): (&str, &str),
) -> Result<(), Error> {
    let mut files = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(fixture::root().join(name)).unwrap() {
        let entry = entry.unwrap();
        // What sentence-transformers keeps in folders is no matter of the network.
        let Ok(bytes) = std::fs::read(entry.path()) else { continue };
        files.insert(entry.file_name().into_string().unwrap(), bytes.into());
    }
    files.remove("golden.safetensors");
    let config: &bytes::Bytes = &files["config.json"];
    let mut config: Value = serde_json::from_slice(config).unwrap();
    change(&mut config);
    files.insert("config.json".to_owned(), config.to_string().into_bytes().into());
    if !from.is_empty() {
        let mut bytes = files["model.safetensors"].to_vec();
        let found =
            |bytes: &[u8]| bytes.windows(from.len()).position(|part| part == from.as_bytes());
        assert!(from.len() == to.len() && found(&bytes).is_some());
        while let Some(at) = found(&bytes) {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        }
        files.insert("model.safetensors".to_owned(), bytes.into());
    }
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
fn one_is_off_for_multipliers_only() {
    for field in ["attn_logit_softcapping", "sliding_window", "swiglu_limit", "qk_norm"] {
        refused("llama", |c| c[field] = json!(1), &[field, "1"]);
    }
    for field in ["logit_scale", "residual_multiplier", "routed_scaling_factor"] {
        load("llama", |c| c[field] = json!(1.0)).unwrap();
        refused("llama", |c| c[field] = json!(0), &[field, "0"]);
    }
}

#[test]
fn routing_that_is_not_computed_is_refused() {
    for (field, off, on) in [
        ("scoring_func", json!("softmax"), json!("sigmoid")),
        ("topk_method", json!("greedy"), json!("noaux_tc")),
        ("routed_scaling_factor", json!(1.0), json!(2.5)),
        ("n_group", json!(1), json!(8)),
        ("topk_group", json!(1), json!(4)),
        ("shared_expert_intermediate_size", json!(0), json!(64)),
    ] {
        load("qwen3_moe", |c| c[field] = off).unwrap();
        refused("qwen3_moe", |c| c[field] = on, &[field]);
    }
    refused("llama", |c| c["norm_topk_prob"] = json!(true), &["norm_topk_prob"]);
    load("llama", |c| c["norm_topk_prob"] = json!(false)).unwrap();
}

/// What Qwen3-Coder says beside the rest.
#[test]
fn a_config_with_what_is_so_anyway_loads() {
    let coder = |c: &mut Value| {
        c["use_qk_norm"] = json!(true);
        c["qkv_bias"] = json!(false);
        c["shared_expert_intermediate_size"] = json!(0);
        c["norm_topk_prob"] = Value::Null;
    };
    load("qwen3_moe", coder).unwrap();
    load("qwen3_moe_4bit", |c| c["mlp_only_layers"] = Value::Null).unwrap();
    refused("qwen3_moe", |c| c["use_qk_norm"] = json!(false), &["use_qk_norm"]);
}

#[test]
fn windows_are_known_for_each_layer_or_refused() {
    let name = "qwen3_moe";
    refused(name, |c| c["use_sliding_window"] = json!(true), &["use_sliding_window", "true"]);
    load(name, |c| c["sliding_window"] = json!(16)).unwrap();
    for (name, layers) in [("gemma3_text", 3), ("gpt_oss", 2), ("qwen2", 2), ("qwen3", 2)] {
        let field = "layer_types";
        let mut types = vec!["sliding_attention"; layers];
        load(name, |c| c[field] = json!(types)).unwrap();
        refused(name, |c| c[field] = json!(types[1..]), &[field, &(layers - 1).to_string()]);
        for other in ["chunked_attention", ""] {
            types[1] = other;
            refused(name, |c| c[field] = json!(types), &[field, other]);
        }
    }
}

#[test]
fn a_rotation_that_programs_read_otherwise_is_refused() {
    let name = "gpt_oss";
    refused(name, |c| c["rope_scaling"] = Value::Null, &["rope_scaling"]);
    refused(name, |c| c["rope_scaling"] = json!({}), &["rope_scaling"]);
    load(name, |c| c["rope_scaling"] = json!({"rope_type": "default"})).unwrap();
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

#[test]
fn experts_that_cannot_be_chosen_are_refused() {
    let name = "qwen3_moe";
    refused(name, |c| c["num_experts_per_tok"] = json!(7), &["num_experts_per_tok", "7"]);
    refused(name, |c| c["num_experts_per_tok"] = json!(0), &["num_experts_per_tok", "0"]);
    refused(name, |c| c["num_experts"] = json!(5), &["mlp.gate.weight"]);
    refused(name, |c| c["decoder_sparse_step"] = json!(0), &["decoder_sparse_step"]);
    refused(name, |c| c["mlp_only_layers"] = json!([]), &["model.layers.0.mlp.gate"]);
    refused("qwen3_moe_stacked", |c| c["num_experts"] = json!(7), &["mlp.gate.weight", "7"]);
    let name = "deepseek_v2_groups";
    refused(name, |c| c["n_group"] = json!(4), &["n_group", "4"]);
    refused(name, |c| c["topk_group"] = json!(0), &["topk_group", "0"]);
    refused(name, |c| c["topk_method"] = json!("noaux_tc"), &["topk_method", "noaux_tc"]);
    refused(name, |c| c["scoring_func"] = json!("sigmoid"), &["scoring_func", "sigmoid"]);
    refused(name, |c| c["norm_topk_prob"] = json!(true), &["norm_topk_prob"]);
    refused(name, |c| c["n_shared_experts"] = json!(3), &["shared_experts.gate_proj"]);
    // None are looked for, and those that are there are too many.
    refused(name, |c| c["n_shared_experts"] = json!(0), &["not used", "shared_experts"]);
    load(name, |c| c["norm_topk_prob"] = Value::Null).unwrap();
}

#[test]
fn widths_that_are_none_are_refused() {
    for field in ["kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "num_attention_heads"] {
        refused("deepseek_v2", |c| c[field] = json!(1_u64 << 62), &["tensor `model."]);
    }
    for field in ["kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"] {
        refused("deepseek_v2", |c| c[field] = json!(0), &[field, "0"]);
    }
    refused("deepseek_v2", |c| c["qk_rope_head_dim"] = json!(7), &["head_dim", "7"]);
    refused("gpt_oss", |c| c["num_local_experts"] = json!(1_u64 << 62), &["router.weight"]);
    refused("gpt_oss", |c| c["intermediate_size"] = json!(1_u64 << 62), &["gate_up_proj"]);
    refused("gpt_oss", |c| c["sliding_window"] = json!(0), &["sliding_window"]);
    refused("gpt_oss", |c| c["swiglu_limit"] = json!(-1.0), &["swiglu_limit"]);
    refused("phi3", |c| c["num_key_value_heads"] = json!(3), &["num_key_value_heads", "3"]);
    refused("phi3", |c| c["intermediate_size"] = json!(1_u64 << 62), &["gate_up_proj", "shape"]);
}

/// A sibling with capped scores, one that looks both ways, and pictures.
#[test]
fn what_the_text_half_does_not_compute_is_refused() {
    let name = "gemma3_text";
    refused(name, |c| c["model_type"] = json!("gemma2"), &["gemma2"]);
    refused(name, |c| c["attn_logit_softcapping"] = json!(50.0), &["attn_logit_softcapping"]);
    refused(name, |c| c["final_logit_softcapping"] = json!(30.0), &["final_logit_softcapping"]);
    refused(name, |c| c["use_bidirectional_attention"] = json!(true), &["bidirectional"]);
    refused(name, |c| c["hidden_activation"] = json!("gelu"), &["hidden_activation"]);
    refused(name, |c| c["query_pre_attn_scalar"] = json!(0), &["query_pre_attn_scalar"]);
    refused(name, |c| c["sliding_window_pattern"] = json!(0), &["sliding_window_pattern"]);
    refused("llama", |c| c["vision_config"] = json!({"depth": 3}), &["vision_config"]);
}

#[test]
fn a_stretched_rotation_is_whole_or_refused() {
    let change =
        |field: &'static str, value: Value| move |c: &mut Value| c["rope_scaling"][field] = value;
    let name = "phi3_long";
    refused(name, change("long_factor", json!([1.0, 2.0])), &["long_factor", "2"]);
    refused(name, change("short_factor", json!(vec![0.0; 6])), &["short_factor", "0"]);
    refused(name, change("type", json!("spiral")), &["rope_scaling.rope_type", "spiral"]);
    refused(name, |c| c["partial_rotary_factor"] = json!(1.5), &["partial_rotary_factor"]);
    let stretched = |c: &mut Value| {
        let factors = vec![1.0; 8];
        c["rope_scaling"] = json!({
            "type": "longrope", "long_factor": factors, "short_factor": factors,
            "original_max_position_embeddings": 32
        });
    };
    refused("llama", stretched, &["longrope"]);
    refused("llama", |c| c["partial_rotary_factor"] = json!(0.5), &["partial_rotary_factor"]);
    let by_kind = |c: &mut Value| {
        c["rope_parameters"] = json!({
            "full_attention": {"rope_type": "default"},
            "sliding_attention": {"rope_type": "default"}
        });
    };
    refused("llama", by_kind, &["rope_parameters"]);
    let one = json!({"full_attention": {"rope_type": "default"}});
    refused("llama", |c| c["rope_parameters"] = one.clone(), &["rope_parameters"]);
    let set = |value: Value| move |c: &mut Value| c["rope_parameters"] = value;
    let name = "gemma3_text";
    load(name, set(one)).unwrap();
    load(name, set(json!({"sliding_attention": {"rope_theta": 100}, "full_attention": null})))
        .unwrap();
    let spiral = json!({"sliding_attention": {"rope_type": "spiral"}});
    refused(name, set(spiral), &["rope_type", "spiral"]);
    let text = |error: Error| {
        let source =
            std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        format!("{error} {source}")
    };
    for (value, says) in [
        (json!({"sliding_attention": {"rope_theta": "far"}}), ".sliding_attention: "),
        (json!({"full_attention": {"factor": [8]}, "sliding_attention": {}}), ".full_attention: "),
        (json!({"rope_theta": "far"}), ": "),
        (json!({"full_attention": {}, "chunked_attention": {}}), ": `chunked_attention`"),
    ] {
        let error = text(load(name, set(value)).unwrap_err());
        assert!(error.contains(&format!("rope_parameters{says}")), "{error}");
    }
}

#[test]
fn chunks_are_whole_or_refused() {
    let name = "qwen2_chunks";
    let field = "dual_chunk_attention_config";
    refused(name, |c| c[field]["local_size"] = json!(16), &["chunk_size", "local_size"]);
    refused(name, |c| c[field]["chunk_size"] = json!(1_u64 << 62), &["chunk_size"]);
    refused(name, |c| c[field]["stride"] = json!(3), &["stride"]);
    let windowed = |c: &mut Value| {
        (c["use_sliding_window"], c["max_window_layers"]) = (json!(true), json!(0));
    };
    refused(name, windowed, &["use_sliding_window", field]);
    refused("qwen3", |c| c[field] = json!({"chunk_size": 16}), &[field]);
    load(name, |c| c[field]["sparse_attention_enabled"] = json!(true)).unwrap();
}

#[test]
fn experts_in_a_layout_of_their_own_are_named() {
    // As if there were a stack of floats, which some conversions have. Spaces in a header are nothing.
    let names =
        (r#"layers.0.mlp.experts.down_proj_bias":"#, r#"layers.0.mlp.experts.gate_up_proj"  :"#);
    let error = load_renamed("gpt_oss", |_| {}, names).unwrap_err().to_string();
    assert!(error.contains("mlp.experts.gate_up_proj") && error.contains("floats"), "{error}");
}

#[test]
fn encoders_refuse_what_they_do_not_compute() {
    let set = |field: &'static str, value: Value| move |c: &mut Value| c[field] = value;
    for (name, field, value) in [
        ("bert", "position_embedding_type", json!("relative_key")),
        ("bert", "is_decoder", json!(true)),
        ("bert", "type_vocab_size", json!(0)),
        ("xlm-roberta", "pad_token_id", json!(65)),
        ("xlm-roberta", "hidden_act", json!("silu")),
        ("xlm-roberta", "num_attention_heads", json!(5)),
        ("modernbert", "hidden_activation", json!("silu")),
        ("modernbert", "global_attn_every_n_layers", json!(0)),
        ("modernbert", "layer_types", json!(["full_attention"])),
        ("modernbert", "layer_types", json!(["a", "b", "c", "chunked_attention"])),
        ("modernbert", "rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("modernbert", "num_attention_heads", json!(0)),
        ("modernbert_rerank", "classifier_pooling", json!("max")),
        ("nomic_bert", "rotary_emb_interleaved", json!(true)),
        ("nomic_bert", "rotary_emb_fraction", json!(0.5)),
        ("nomic_bert", "prenorm", json!(true)),
        ("nomic_bert", "causal", json!(true)),
        ("nomic_bert", "moe_every_n_layers", json!(2)),
        ("nomic_bert", "activation_function", json!("gelu")),
        ("bert_rerank", "id2label", json!({})),
    ] {
        refused(name, set(field, value), &["config.json", field]);
    }
    refused("modernbert", set("norm_bias", json!(true)), &["norm.bias"]);
    refused("modernbert", set("mlp_bias", json!(true)), &["bias"]);
    refused("bert_classes", set("id2label", json!({"0": "a", "1": "b"})), &["classifier.weight"]);
    // A classifier of single tokens, not of passages.
    let tokens = json!(["BertForTokenClassification"]);
    refused(
        "bert_classes",
        set("architectures", tokens),
        &["classifier.bias", "classifier.weight"],
    );
    let huge = json!(1_u64 << 62);
    for (name, width) in [
        ("bert", "hidden_size"),
        ("xlm-roberta", "hidden_size"),
        ("modernbert", "intermediate_size"),
    ] {
        refused(name, set(width, huge.clone()), &["tensor `", "shape"]);
    }
    refused("modernbert_rerank", set("hidden_size", huge.clone()), &["head_dim"]);
    refused("nomic_bert", set("n_inner", huge.clone()), &["tensor `", "shape"]);
    refused("nomic_bert", set("n_embd", huge), &["head_dim"]);
}

/// Beyond the positions that it was trained for, a network may ask for frequencies that depend on a text's length.
#[test]
fn a_network_with_frequencies_by_length_takes_shorter_texts() {
    let context = |factor: Value| {
        let folder = Folder::open(&fixture::root().join("nomic_bert")).unwrap();
        let mut config = folder.config().value().clone();
        config["rotary_scaling_factor"] = factor;
        let files = ["model.safetensors"].map(|name| {
            let bytes = std::fs::read(fixture::root().join("nomic_bert").join(name)).unwrap();
            (name.to_owned(), bytes::Bytes::from(bytes))
        });
        let mut files = std::collections::BTreeMap::from(files);
        files.insert("config.json".to_owned(), config.to_string().into_bytes().into());
        let folder = Folder::from_files(files).unwrap();
        let device = fixture::device(Isa::Portable, Precision::Exact);
        models::load(&folder, &device).unwrap().context
    };
    assert_eq!((context(Value::Null), context(json!(2.0))), (256, 64));
}

/// A network that sees, from the folder of the others.
const CROPS: &str = "../vision/llava_next";

#[test]
fn towers_and_their_crops_are_whole_or_refused() {
    let set = |field: &'static str, value: Value| move |c: &mut Value| c[field] = value;
    load(CROPS, |_| {}).unwrap();
    for (field, value) in [
        ("vision_feature_select_strategy", json!("full")),
        ("vision_feature_layer", json!([-2, -3])),
        ("vision_feature_layer", json!(4)),
        ("vision_feature_layer", json!(-5)),
        ("vision_feature_layer", json!(i64::MIN)),
        ("use_image_newline_parameter", json!(false)),
        ("projector_hidden_act", json!("silu")),
        ("projector_hidden_act", json!("relu")),
        ("image_grid_pinpoints", json!([[56, 112]])),
        ("num_experts", json!(4)),
    ] {
        refused(CROPS, set(field, value), &[field]);
    }
    for (field, value) in [
        ("model_type", json!("siglip_vision_model")),
        ("hidden_act", json!("silu")),
        ("image_size", json!(112)),
        ("image_size", json!(0)),
        ("image_size", json!(1_u64 << 62)),
        ("patch_size", json!(0)),
        ("patch_size", json!(13)),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(5)),
        ("num_channels", json!(1)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(1_u64 << 62)),
    ] {
        refused(CROPS, |c| c["vision_config"][field] = value, &[field]);
    }
    for (field, value, says) in [
        ("hidden_size", json!(1_u64 << 62), "tensor `"),
        ("intermediate_size", json!(1_u64 << 62), "mlp.fc1"),
        ("num_hidden_layers", json!(2), "encoder.layers.2"),
        ("num_hidden_layers", json!(9), "encoder.layers.3"),
        ("patch_size", json!(7), "position_embedding"),
    ] {
        refused(CROPS, |c| c["vision_config"][field] = value, &[says]);
    }
    let fine = |c: &mut Value| {
        (c["vision_config"]["image_size"], c["vision_config"]["patch_size"]) =
            (json!(1024), json!(4));
    };
    refused(CROPS, fine, &["patch_size", "128th"]);
    refused(CROPS, |c| c["text_config"]["model_type"] = json!("qwen2"), &["model_type", "qwen2"]);
    refused(CROPS, |c| c["text_config"]["attention_bias"] = json!(true), &["attention_bias"]);
    // The published configurations leave out what is the reference's own, and then it is.
    let without =
        |c: &mut Value| drop(c["text_config"].as_object_mut().unwrap().remove("hidden_size"));
    refused(CROPS, without, &["4096"]);
    load(CROPS, |c| c["text_config"]["tie_word_embeddings"] = json!(false)).unwrap();
    load(CROPS, |c| c["vision_feature_layer"] = json!(2)).unwrap();
    load(CROPS, |c| c["vision_feature_layer"] = json!(-1)).unwrap();
    load(CROPS, |c| c["vision_feature_layer"] = json!(0)).unwrap();
}

/// A network that sees, whose tower is named and not described.
const BOARD: &str = "../vision/phi3_v";

#[test]
fn a_tower_that_is_named_is_the_one_that_is_known() {
    load(BOARD, |_| {}).unwrap();
    for (part, field, value) in [
        ("embd_layer", "hd_transform_order", json!("glb")),
        ("embd_layer", "embedding_cls", json!("audio")),
        ("embd_layer", "projection_cls", json!("linear")),
        ("embd_layer", "use_hd_transform", json!(false)),
        ("embd_layer", "with_learnable_separator", json!(false)),
        ("img_processor", "name", json!("siglip_vision_model")),
        ("img_processor", "model_name", json!("openai/clip-vit-base-patch32")),
        ("img_processor", "num_img_tokens", json!(576)),
        ("img_processor", "type_feature", json!("cls_patch")),
        ("img_processor", "image_dim_out", json!(0)),
        ("img_processor", "image_dim_out", json!(1_u64 << 62)),
        ("img_processor", "image_dim_out", json!(100)),
    ] {
        let set = |c: &mut Value| c[part][field] = value.clone();
        let says = if value == json!(100) { "num_attention_heads" } else { field };
        refused(BOARD, set, &[says]);
        // What is left out is refused alike, where it is off then.
        let without = |c: &mut Value| drop(c[part].as_object_mut().unwrap().remove(field));
        match field {
            "projection_cls" | "use_hd_transform" | "with_learnable_separator" => {
                refused(BOARD, without, &[field]);
            }
            "hd_transform_order" | "type_feature" => load(BOARD, without).unwrap(),
            _ => {}
        }
    }
    refused(BOARD, |c| c["img_processor"]["image_dim_out"] = json!(128), &["tensor `"]);
    refused(BOARD, |c| c["img_processor"]["layer_idx"] = json!(-5), &["layer_idx"]);
    load(BOARD, |c| c["img_processor"]["layer_idx"] = json!(-1)).unwrap();
    load(BOARD, |c| c["embd_layer"]["hd_transform_order"] = json!("glb_sub")).unwrap();
    refused(BOARD, |c| c["rope_scaling"]["short_factor"] = json!([1.0]), &["short_factor"]);
}

#[test]
fn the_text_half_is_found_where_newer_programs_put_it() {
    let names = ("language_model.model.", "model.language_model.");
    load_renamed("gemma3", |_| {}, names).unwrap();
}
