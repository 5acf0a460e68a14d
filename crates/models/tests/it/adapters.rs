//! Low-rank adapters against the programs that train them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use checkpoint::{Adapter, Folder};
use kernels::{Device, Isa, Precision};
use models::Network;
use serde_json::{Value, json};

use crate::fixture::{self, Fixture, Golden, cosine, difference, logits};

/// Each adapter, and the checkpoint that it is for.
const ADAPTERS: [(&str, &str); 3] =
    [("mlx", "qwen3_affine_4_g64"), ("peft", "llama_bias"), ("peft_rslora", "phi3")];

fn root() -> PathBuf {
    fixture::root().join("../adapters")
}

fn files(name: &str) -> BTreeMap<String, Bytes> {
    let entries = fs::read_dir(root().join(name)).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| {
        let bytes = fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), bytes.into())
    });
    files.filter(|(name, _): &(String, Bytes)| name != "golden.safetensors").collect()
}

fn load(base: &str, adapter: Adapter, device: Device) -> Result<Fixture, models::Error> {
    let folder = Folder::open(&fixture::root().join(base)).unwrap();
    let model = models::load_adapted(&folder, adapter, &device)?;
    Ok(Fixture { model, device })
}

#[test]
fn adapters_agree_with_the_reference() {
    assert_eq!(fs::read_dir(root()).unwrap().count(), ADAPTERS.len());
    for (name, base) in ADAPTERS {
        let golden = Golden::read(&format!("../adapters/{name}"));
        let tokens = golden.tokens("tokens");
        let truth = golden.values("logits");
        let exact = fixture::device(Isa::best(), Precision::Exact);
        for device in [Some(exact), fixture::mlx()].into_iter().flatten() {
            let adapter = Adapter::open(&root().join(name)).unwrap();
            let fixture = load(base, adapter, device).unwrap();
            let off = difference(&logits(&fixture, &tokens).0.to_vec(), truth);
            assert!(off < 1e-4, "{name}: the logits are off by {off:e}");
            assert!(matches!(fixture.model.network, Network::Decoder(_)));
        }
        for precision in [Precision::Bf16, Precision::Fast] {
            let adapter = Adapter::open(&root().join(name)).unwrap();
            let fixture = load(base, adapter, fixture::device(Isa::best(), precision)).unwrap();
            let cosine = cosine(&logits(&fixture, &tokens).0.to_vec(), truth);
            assert!(cosine >= 0.9995, "{name}, {precision:?}: cosine {cosine}");
        }
    }
}

/// What is wrong after a change of the adapter's configuration.
fn changed(name: &str, base: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut files = files(name);
    let mut config: Value = serde_json::from_slice(&files["adapter_config.json"]).unwrap();
    change(&mut config);
    files.insert("adapter_config.json".to_owned(), config.to_string().into_bytes().into());
    let device = fixture::device(Isa::Portable, Precision::Exact);
    let error = match Adapter::from_files(files) {
        Ok(adapter) => load(base, adapter, device).err().unwrap(),
        Err(error) => error.into(),
    };
    assert!(!error.hint().is_empty());
    error.to_string()
}

#[test]
fn other_sorts_of_adapters_are_refused_by_name() {
    for (field, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("lora_only")),
        ("modules_to_save", json!(["lm_head"])),
        ("peft_type", json!("IA3")),
        ("fan_in_fan_out", json!(true)),
        ("init_lora_weights", json!("pissa")),
        ("alpha_pattern", json!({"(q|v)_proj": 3})),
        ("alora_invocation_tokens", json!([1, 2])),
        ("peft_type", json!(3)),
    ] {
        let text = changed("peft", "llama_bias", |c| c[field] = value.clone());
        assert!(text.contains(field), "{field}: {text}");
    }
    let patterns = json!({"self_attn.q_proj": 3, "k_proj": 1, "q_proj": 4});
    let text = changed("peft", "llama_bias", |c| c["alpha_pattern"] = patterns);
    assert!(text.contains("`q_proj` and `self_attn.q_proj`"), "{text}");
    for kind in ["dora", "full"] {
        let base = "qwen3_affine_4_g64";
        let text = changed("mlx", base, |c| c["fine_tune_type"] = json!(kind));
        assert!(text.contains("fine_tune_type") && text.contains(kind), "{text}");
    }
    let text = changed("peft", "llama_bias", |c| c["lora_alpha"] = json!("much"));
    assert!(text.contains("lora_alpha"), "{text}");
}

#[test]
fn an_adapter_of_another_model_is_found_out() {
    let device = || fixture::device(Isa::Portable, Precision::Exact);
    let other = Adapter::open(&root().join("peft")).unwrap();
    let text = load("phi3", other, device()).err().unwrap().to_string();
    assert!(text.contains("q_proj.lora_A"), "{text}");
    let other = Adapter::open(&root().join("mlx")).unwrap();
    let text = load("llama", other, device()).err().unwrap().to_string();
    assert!(text.contains("lora_a"), "{text}");
    // One half of a pair.
    let mut files = files("mlx");
    let tensors = files["adapters.safetensors"].to_vec();
    let text = String::from_utf8_lossy(&tensors).replace("q_proj.lora_b", "q_proj.lora_x");
    assert!(text.contains("lora_x"));
    let at = tensors.windows(13).position(|part| part == b"q_proj.lora_b").unwrap();
    let mut broken = tensors.clone();
    broken[at + 12] = b'x';
    files.insert("adapters.safetensors".to_owned(), broken.into());
    let adapter = Adapter::from_files(files).unwrap();
    let text = load("qwen3_affine_4_g64", adapter, device()).err().unwrap().to_string();
    assert!(text.contains("q_proj.lora_b"), "{text}");
    let error = Adapter::open(&root()).err().unwrap();
    assert!(error.to_string().contains("no adapter"), "{error}");
}
