//! Whole folders.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use checkpoint::{Declared, Dtype, Folder, Mode, NewTensor, Quantization};
use forge::{Conversion, Error, Override, Progress, Recipe};
use kernels::{CpuOptions, Device, Precision};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn model(name: &str) -> PathBuf {
    fixtures().join("models").join(name)
}

fn affine(bits: u64, group_size: u64) -> Option<Quantization> {
    Quantization::new(Mode::Affine, bits, group_size)
}

fn recipe(quantization: Option<Quantization>) -> Recipe {
    Recipe { quantization, ..Recipe::default() }
}

fn on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every byte of a folder, by name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_architecture_can_be_converted_and_loaded() {
    let scratch = tempfile::tempdir().unwrap();
    let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
    for name in [
        "bert",
        "bert_pretraining",
        "bert_rerank",
        "deepseek_v2",
        "gemma3",
        "llama",
        "mistral",
        "modernbert",
        "modernbert_rerank",
        "nomic_bert",
        "phi3",
        "qwen2",
        "qwen3",
        "qwen3_moe",
        "xlm-roberta",
        "xlm-roberta_rerank",
    ] {
        for quantization in [affine(4, 32), affine(8, 32), Some(Mode::Mxfp8.default_parameters())] {
            let to = scratch.path().join(format!("{name} {}", quantization.unwrap()));
            let conversion = Conversion::plan(&model(name), recipe(quantization)).unwrap();
            assert!(conversion.matrices().0 > 0, "{name}");
            conversion.write(&to, &mut on).unwrap();
            let folder = Folder::open(&to).unwrap();
            models::load(&folder, &device).unwrap();
            let index = folder.index().unwrap();
            assert_eq!(index.bytes(), conversion.bytes(), "{name}");
            let ours = index.tensors.iter().filter(|tensor| tensor.quantization.is_some());
            assert_eq!(ours.count(), conversion.matrices().0, "{name}");
            let before = Folder::open(&model(name)).unwrap().index().unwrap();
            assert!(index.bytes() < before.bytes(), "{name}");
            for file in [
                "tokenizer.json",
                "tokenizer_config.json",
                "1_Pooling/config.json",
                "sparse_linear.pt",
            ] {
                let (from, copy) = (model(name).join(file), to.join(file));
                assert_eq!(fs::read(from).ok(), fs::read(copy).ok(), "{name}: {file}");
            }
        }
    }
}

/// Encoders in fewer bits: hidden states near (random networks forgive least) those of the floats, and classes and types of tokens left alone.
#[test]
fn encoders_in_fewer_bits_stay_near() {
    let scratch = tempfile::tempdir().unwrap();
    let options =
        CpuOptions { threads: Some(1), precision: Precision::Exact, ..CpuOptions::default() };
    let device = Device::cpu(options).unwrap();
    let hidden = |path: &Path| {
        let model = models::load(&Folder::open(path).unwrap(), &device).unwrap();
        let mut batch = models::Batch::default();
        batch.push(&[2, 17, 40, 90, 200, 33, 3], 0, Vec::new());
        model.network.encoder().unwrap().forward(&batch).to_vec()
    };
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for name in [
        "bert",
        "bert_rerank",
        "modernbert",
        "modernbert_rerank",
        "nomic_bert",
        "xlm-roberta",
        "xlm-roberta_rerank",
    ] {
        let truth = hidden(&model(name));
        for (bits, least) in [(8, 0.9995), (4, 0.85)] {
            let to = scratch.path().join(format!("{name} {bits}"));
            let conversion = Conversion::plan(&model(name), recipe(affine(bits, 32))).unwrap();
            conversion.write(&to, &mut on).unwrap();
            let near = cosine(&hidden(&to), &truth);
            assert!(near > least && near < 1.0, "{name} with {bits} bits: {near}");
            let index = Folder::open(&to).unwrap().index().unwrap();
            let small = |name: &str| {
                let parts = ["token_type_embeddings", "classifier", "pooler", "head"];
                parts.iter().any(|part| name.contains(part))
            };
            let small = index.tensors.iter().filter(|tensor| small(&tensor.name));
            let kept = small.clone().filter(|tensor| tensor.quantization.is_none());
            assert_eq!(kept.count(), small.count(), "{name}");
        }
    }
}

#[test]
fn exceptions_are_declared_where_the_network_finds_them() {
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("out");
    let exception = |place: &str, quantization| Override { place: place.to_owned(), quantization };
    let recipe = Recipe {
        quantization: affine(4, 32),
        overrides: vec![
            exception("*.v_proj", affine(8, 64)),
            exception("model.embed_tokens", None),
        ],
        dtype: Some(Dtype::BF16),
    };
    let conversion = Conversion::plan(&model("llama"), recipe).unwrap();
    conversion.write(&to, &mut on).unwrap();
    let folder = Folder::open(&to).unwrap();
    let rules = folder.config().quantization().unwrap();
    assert_eq!(rules.default, affine(4, 32));
    let place = "model.layers.0.self_attn.v_proj";
    assert_eq!(rules.declared(place), Declared::Quantized(affine(8, 64).unwrap()));
    let index = folder.index().unwrap();
    assert_eq!(index.get("model.embed_tokens.weight").unwrap().dtype, Dtype::BF16);
    assert_eq!(index.get("model.norm.weight").unwrap().dtype, Dtype::BF16);
    assert_eq!(index.get("model.layers.0.self_attn.v_proj.scales").unwrap().dtype, Dtype::BF16);
    assert_eq!(folder.config().value()["torch_dtype"], "bfloat16");
    let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
    models::load(&folder, &device).unwrap();
}

#[test]
fn what_was_stopped_goes_on_and_ends_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let plan =
        || Conversion::plan(&model("llama"), recipe(affine(4, 32))).unwrap().in_files_of(4096);
    let whole = scratch.path().join("whole");
    plan().write(&whole, &mut on).unwrap();
    let files = contents(&whole);
    assert!(files.iter().filter(|(name, _)| name.ends_with("safetensors")).count() > 3);
    let to = scratch.path().join("stopped");
    let mut written = Vec::new();
    // Each run gets a little farther than the one before, and none begins again.
    for run in 1.. {
        let mut seen = 0;
        let mut first = None;
        let result = plan().write(&to, &mut |progress| {
            first.get_or_insert(progress.done);
            seen += 1;
            if seen > 8 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        written.extend(first);
        match result {
            Ok(()) => break,
            Err(Error::Stopped) => assert!(!to.exists() && run < 100),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written.len() > 2 && written.is_sorted_by(|a, b| a < b), "{written:?}");
    assert_eq!(contents(&to), files);
}

#[test]
fn what_stands_in_the_way_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("out");
    let plan = |bits| Conversion::plan(&model("llama"), recipe(affine(bits, 32))).unwrap();
    let stop = &mut |_: &Progress| ControlFlow::Break(());
    assert!(matches!(plan(4).write(&to, stop), Err(Error::Stopped)));
    assert!(matches!(plan(8).write(&to, &mut on), Err(Error::OtherConversion { .. })));
    plan(4).write(&to, &mut on).unwrap();
    assert!(matches!(plan(4).write(&to, &mut on), Err(Error::Exists { .. })));
    let strange = scratch.path().join("strange.partial");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("notes.txt"), "mine").unwrap();
    let result = plan(4).write(&scratch.path().join("strange"), &mut on);
    assert!(matches!(result, Err(Error::OtherConversion { .. })));
    assert_eq!(fs::read_to_string(strange.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |name: &str, recipe| Conversion::plan(&model(name), recipe).unwrap_err();
    let error = refused("llama_affine_4_g64", recipe(affine(8, 64)));
    assert!(matches!(error, Error::AlreadyQuantized { .. }), "{error}");
    let error = refused("llama", recipe(None));
    assert!(matches!(error, Error::NothingToDo { .. }), "{error}");
    let exception = Override { place: "*.w1".to_owned(), quantization: None };
    let error = refused("llama", Recipe { overrides: vec![exception], ..recipe(affine(4, 32)) });
    assert!(matches!(error, Error::IdleOverride { .. }), "{error}");
    assert!(error.hint().unwrap().contains("embed_tokens"), "{error:?}");
}

#[test]
fn an_element_that_cannot_be_kept_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::copy(model("llama").join("config.json"), source.join("config.json")).unwrap();
    let folder = Folder::open(&model("llama")).unwrap();
    let weights = folder.weights().unwrap();
    for (bad, dtype, tensor) in [
        (f32::NAN, None, "model.layers.0.mlp.up_proj.weight"),
        (1e6, Some(Dtype::F16), "model.norm.weight"),
    ] {
        let index = folder.index().unwrap();
        let mut owned: Vec<_> = index
            .tensors
            .iter()
            .map(|found| (found, weights.get(&found.name).unwrap().bytes.to_vec()))
            .collect();
        let (_, bytes) = owned.iter_mut().find(|(found, _)| found.name == tensor).unwrap();
        bytes[40..44].copy_from_slice(&bad.to_le_bytes());
        let tensors: Vec<_> = owned
            .iter()
            .map(|(found, bytes)| NewTensor {
                name: &found.name,
                dtype: found.dtype,
                shape: &found.shape,
                bytes,
            })
            .collect();
        checkpoint::write(&source.join("model.safetensors"), &tensors, &Default::default())
            .unwrap();
        let conversion =
            Conversion::plan(&source, Recipe { dtype, ..recipe(affine(4, 32)) }).unwrap();
        let to = scratch.path().join(format!("{dtype:?}"));
        let error = conversion.write(&to, &mut on).unwrap_err();
        assert!(matches!(&error, Error::Unfit { tensor: named, .. } if named == tensor), "{error}");
        assert!(!to.exists());
    }
}

/// A network that sees: what makes features of images stays as it is, in every layout, and what tells how is copied.
#[test]
fn towers_keep_their_floats() {
    let scratch = tempfile::tempdir().unwrap();
    let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
    for (name, tower, files) in [
        ("llava_next", "vision_tower.", ["preprocessor_config.json", "chat_template.json"]),
        (
            "phi3_v",
            "model.vision_embed_tokens.",
            ["preprocessor_config.json", "tokenizer_config.json"],
        ),
        ("qwen2_5_vl", "visual.", ["preprocessor_config.json", "chat_template.json"]),
        ("qwen2_5_vl_nested", "model.visual.", ["processor_config.json", "chat_template.jinja"]),
        ("colqwen2_5_merged", "visual.", ["processor_config.json", "chat_template.jinja"]),
    ] {
        let from = fixtures().join("vision").join(name);
        let to = scratch.path().join(name);
        let conversion = Conversion::plan(&from, recipe(affine(4, 32))).unwrap();
        conversion.write(&to, &mut on).unwrap();
        let folder = Folder::open(&to).unwrap();
        models::load(&folder, &device).unwrap();
        let [before, index] = [&Folder::open(&from).unwrap(), &folder].map(|f| f.index().unwrap());
        for tensor in &index.tensors {
            let floats = tensor.name.starts_with(tower) || tensor.name.contains("custom_text_proj");
            assert!(!floats || tensor.quantization.is_none(), "{name}: {}", tensor.name);
            assert!(!floats || before.get(&tensor.name).unwrap().dtype == tensor.dtype);
        }
        let coded = index.tensors.iter().filter(|tensor| tensor.quantization.is_some());
        assert_eq!(coded.count(), conversion.matrices().0, "{name}");
        // A tower may be deeper than it is read.
        for tensor in before.tensors.iter().filter(|tensor| tensor.name.starts_with(tower)) {
            assert!(index.get(&tensor.name).is_some(), "{name}: {} is gone", tensor.name);
        }
        // Rows of 80 have no groups of 32.
        let layers = folder.config().part("text_config").unwrap();
        let layers =
            layers.as_ref().unwrap_or(folder.config()).value()["num_hidden_layers"].as_u64();
        let each = if name.starts_with("phi3") { 3 } else { 6 };
        assert!(
            conversion.matrices().0 >= layers.unwrap() as usize * each,
            "{name}: {each} of each layer"
        );
        for file in files {
            let copies = [&from, &to].map(|folder| fs::read(folder.join(file)).unwrap());
            assert_eq!(copies[0], copies[1], "{name}: {file}");
        }
    }
}

/// Experts that lie one by one become stacks, in the order of their numbers; the router keeps eight bits, and stays
/// what it is where an exception says so.
#[test]
fn experts_are_stacked_and_routers_keep_their_bits() {
    let scratch = tempfile::tempdir().unwrap();
    let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
    let router = "model.layers.1.mlp.gate";
    let exception = Override { place: "*.mlp.gate".to_owned(), quantization: None };
    for (overrides, expected) in [(vec![], affine(8, 64)), (vec![exception], None)] {
        let to = scratch.path().join(format!("{}", overrides.len()));
        let recipe = Recipe { overrides, ..recipe(affine(4, 32)) };
        Conversion::plan(&model("qwen3_moe"), recipe).unwrap().write(&to, &mut on).unwrap();
        let folder = Folder::open(&to).unwrap();
        models::load(&folder, &device).unwrap();
        let index = folder.index().unwrap();
        assert_eq!(index.get(&format!("{router}.weight")).unwrap().quantization, expected);
        let stack = index.get("model.layers.1.mlp.switch_mlp.up_proj.weight").unwrap();
        assert_eq!(stack.shape, [6, 32, 8]);
        assert!(index.tensors.iter().all(|tensor| !tensor.name.contains(".experts.")));
    }
    // Only the type changes: each part of a stack is the expert of its number.
    let to = scratch.path().join("floats");
    let recipe = Recipe { dtype: Some(Dtype::F32), ..recipe(None) };
    Conversion::plan(&model("qwen3_moe"), recipe).unwrap().write(&to, &mut on).unwrap();
    let [before, after] = [model("qwen3_moe"), to].map(|path| Folder::open(&path).unwrap());
    models::load(&after, &device).unwrap();
    let (before, after) = (before.weights().unwrap(), after.weights().unwrap());
    let stack = after.get("model.layers.1.mlp.switch_mlp.down_proj.weight").unwrap();
    let size = stack.bytes.len() / 6;
    for expert in 0..6 {
        let name = format!("model.layers.1.mlp.experts.{expert}.down_proj.weight");
        let one = before.get(&name).unwrap();
        let wide: Vec<u8> =
            one.bytes.as_chunks::<2>().0.iter().flat_map(|half| [0, 0, half[0], half[1]]).collect();
        assert_eq!(stack.bytes[expert * size..][..size], wide);
    }
}

/// Experts that are codes already stay as they are; the rest is made smaller, and the configuration names them for MLX.
#[test]
fn blocks_of_codes_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("out");
    let conversion = Conversion::plan(&model("gpt_oss"), recipe(affine(4, 64))).unwrap();
    conversion.write(&to, &mut on).unwrap();
    let [before, after] = [model("gpt_oss"), to].map(|path| Folder::open(&path).unwrap());
    let rules = after.config().quantization().unwrap();
    let experts = "model.layers.0.mlp.experts";
    let mxfp4 = Declared::Quantized(Mode::Mxfp4.default_parameters());
    for name in ["gate_proj", "up_proj", "down_proj"] {
        assert_eq!(rules.declared(&format!("{experts}.{name}")), mxfp4);
    }
    assert_eq!(
        rules.declared("model.layers.0.mlp.router"),
        Declared::Quantized(affine(8, 64).unwrap())
    );
    let (old, new) = (before.weights().unwrap(), after.weights().unwrap());
    for name in ["gate_up_proj_blocks", "gate_up_proj_scales", "down_proj_blocks"] {
        let name = format!("{experts}.{name}");
        assert_eq!(old.get(&name).unwrap().bytes, new.get(&name).unwrap().bytes);
    }
    let parameters = before.index().unwrap().parameters();
    assert_eq!(after.index().unwrap().parameters(), parameters);
    assert!(conversion.bits_per_weight() < 6.0, "{}", conversion.bits_per_weight());
}
