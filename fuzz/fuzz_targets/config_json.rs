//! A stranger's model folder, all of its small files.
//!
//! The input is cut at zero bytes (JSON has none) into the files of one folder, in the order of `NAMES`.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use checkpoint::Folder;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// One matrix at `a.b`, 2 x 64, affine with 4 bits and groups of 64.
fn shard() -> Bytes {
    let header = br#"{"a.b.weight":{"dtype":"U32","shape":[2,8],"data_offsets":[0,64]},"a.b.scales":{"dtype":"F16","shape":[2,1],"data_offsets":[64,68]},"a.b.biases":{"dtype":"F16","shape":[2,1],"data_offsets":[68,72]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.resize(file.len() + 72, 0);
    file.into()
}

fuzz_target!(|input: &[u8]| {
    let mut files: BTreeMap<String, Bytes> = NAMES
        .iter()
        .zip(input.split(|byte| *byte == 0))
        .filter(|(_, content)| !content.is_empty())
        .map(|(name, content)| ((*name).to_owned(), Bytes::copy_from_slice(content)))
        .collect();
    files.insert("model-00001-of-00001.safetensors".to_owned(), shard());
    let folder = match Folder::from_files(files) {
        Ok(folder) => folder,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            return;
        }
    };
    let generation = folder.generation();
    assert!(generation.temperature.is_none_or(|value| value.is_finite() && value >= 0.0));
    assert!(generation.eos.is_sorted());
    let config = folder.config();
    let _ = (config.model_type(), config.quantization(), config.part("text_config"));
    let _ = config.parse::<BTreeMap<String, u32>>("fuzz");
    if let Ok(Some(sentences)) = folder.sentence_transformers() {
        assert!(!sentences.modules.is_empty());
    }
    if let Ok(index) = folder.index() {
        // Without the width, 4 bits in groups of 64 cannot be told from 8 in 32 or 2 in 128.
        assert!([64, 128, 256].contains(&index.parameters()));
    }
    if let Ok(weights) = folder.weights() {
        let _ = weights.root().at("a").at("b").matrix(2, 64);
        let _ = weights.finish();
    }
});
