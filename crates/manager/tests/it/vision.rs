//! Conversations about pictures, from messages and PNG files to what the references computed of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::{Folder, Weights};
use manager::runtime::{
    EmbedOptions, Error, GenerateOptions, Kinds, LoadOptions, LoadedModel, Prompt, Runtime,
};
use manager::{CpuOptions, Image, Message, Part, Precision, RenderOptions, Role, architectures};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vision")
}

fn runtime() -> Arc<Runtime> {
    let options =
        CpuOptions { threads: Some(1), precision: Precision::Exact, ..CpuOptions::default() };
    Arc::new(Runtime::start(options).unwrap())
}

fn load(name: &str, adapter: Option<&str>) -> Arc<LoadedModel> {
    let adapter = adapter.map(|name| root().join(name));
    let options = LoadOptions::default();
    LoadedModel::load_adapted(&runtime(), &root().join(name), adapter.as_deref(), options).unwrap()
}

fn golden(name: &str) -> Weights {
    let bytes = fs::read(root().join(name).join("golden.safetensors")).unwrap();
    let files = [
        ("config.json".to_owned(), b"{}".as_slice().into()),
        ("model.safetensors".to_owned(), bytes.into()),
    ];
    Folder::from_files(files.into()).unwrap().weights().unwrap()
}

fn integers(golden: &Weights, name: &str) -> Option<Vec<i32>> {
    let tensor = golden.get(name)?;
    Some(tensor.bytes.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect())
}

fn floats(golden: &Weights, name: &str) -> Vec<f32> {
    let tensor = golden.get(name).unwrap_or_else(|| panic!("the golden has no `{name}`"));
    tensor.bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

fn picture(name: &str) -> Image {
    let path = root().join("pictures").join(format!("{name}.png"));
    Image::new(fs::read(&path).unwrap()).named(path.display().to_string())
}

/// A conversation of `prompts.json`.
fn messages(prompt: &Value) -> Vec<Message> {
    let mut names = prompt["images"].as_array().unwrap().iter();
    let turns = prompt["messages"].as_array().unwrap().iter();
    turns
        .map(|turn| {
            assert_eq!(turn["role"], "user");
            let mut message = Message::new(Role::User, "");
            let part = |part: &Value| match part["type"].as_str().unwrap() {
                "image" => Part::Image(picture(names.next().unwrap().as_str().unwrap())),
                _ => Part::Text(part["text"].as_str().unwrap().to_owned()),
            };
            message.content = match turn["content"].as_str() {
                Some(text) => {
                    // Words that mention images are made of them.
                    let (mut words, mut parts) = (text, Vec::new());
                    while let Some((_, rest)) =
                        words.strip_prefix("<|image_").and_then(|rest| rest.split_once("|>\n"))
                    {
                        parts.push(Part::Image(picture(names.next().unwrap().as_str().unwrap())));
                        words = rest;
                    }
                    parts.push(Part::Text(words.to_owned()));
                    parts
                }
                None => turn["content"].as_array().unwrap().iter().map(part).collect(),
            };
            message
        })
        .collect()
}

fn difference(ours: &[f32], truth: &[f32]) -> f32 {
    assert_eq!(ours.len(), truth.len());
    let scale = truth.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    let larger = |max: f32, d: f32| if d > max || d.is_nan() { d } else { max };
    ours.iter().zip(truth).map(|(a, b)| (a - b).abs() / scale).fold(0.0, larger)
}

/// Checkpoints with conversations, and a golden of their own.
fn conversations() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries
        .filter(|entry| {
            let has = |file| entry.path().join(file).exists();
            has("prompts.json") && has("golden.safetensors") && has("model.safetensors")
        })
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| {
            let config = fs::read(root().join(name).join("config.json")).unwrap();
            let config: Value = serde_json::from_slice(&config).unwrap();
            architectures().any(|known| config["model_type"] == known)
        })
        .collect();
    names.sort();
    assert!(names.len() > 1);
    names
}

#[test]
fn conversations_about_pictures_are_those_of_the_reference() {
    for name in conversations() {
        let (model, golden) = (load(&name, None), golden(&name));
        let prompts = fs::read(root().join(&name).join("prompts.json")).unwrap();
        let prompts: Value = serde_json::from_slice(&prompts).unwrap();
        for (p, prompt) in prompts.as_array().unwrap().iter().enumerate() {
            let options = Box::new(RenderOptions::answer());
            let chat = Prompt::Chat(messages(prompt), options);
            let tokens: Vec<_> =
                integers(&golden, &format!("prompt{p}.tokens")).unwrap().into_iter().collect();
            let ours = model.encode_prompt(&chat).unwrap();
            assert_eq!(ours.len(), tokens.len(), "{name}, prompt {p}");
            for (ours, truth) in ours.iter().zip(&tokens) {
                // A reference may mark rows of images by numbers that no token has.
                assert!(*truth < 0 || *ours == *truth as u32, "{name}, prompt {p}");
            }
            let reply = model.forward_prompt(&chat, false).unwrap();
            let rows = integers(&golden, &format!("prompt{p}.rows"));
            let logits = match rows {
                None => reply.rows,
                Some(rows) => {
                    let row = |&row: &i32| &reply.rows[row as usize * reply.width..][..reply.width];
                    rows.iter().flat_map(row).copied().collect()
                }
            };
            let off = difference(&logits, &floats(&golden, &format!("prompt{p}.logits")));
            assert!(off < 1e-4, "{name}, prompt {p}: logits off by {off:e}");
            let options = GenerateOptions {
                max_tokens: Some(8),
                temperature: Some(0.0),
                ignore_eos: true,
                ..GenerateOptions::default()
            };
            // The second time its beginning and its pictures are known.
            for time in 0..2 {
                let mut answer = model.generate(&chat, &options).unwrap();
                while answer.next_piece().unwrap().is_some() {}
                let truth = integers(&golden, &format!("prompt{p}.greedy")).unwrap();
                let ours: Vec<_> = answer.tokens().iter().map(|&token| token as i32).collect();
                assert_eq!(ours, truth, "{name}, prompt {p}, time {time}");
            }
        }
    }
}

#[test]
fn pages_and_queries_are_those_of_the_reference() {
    let multi = Kinds { dense: false, sparse: false, multi: true };
    let options = EmbedOptions { kinds: multi, ..EmbedOptions::default() };
    for (name, adapter, truth) in [
        ("colqwen2_5", Some("colqwen2_5_adapter"), "colqwen2_5_adapter"),
        ("colqwen2_5_merged", None, "colqwen2_5_merged"),
    ] {
        let (model, golden) = (load(name, adapter), golden(truth));
        let images = ["exact", "odd", "tall"].map(picture);
        for (i, page) in model.embed_images(&images).unwrap().into_iter().enumerate() {
            let truth = floats(&golden, &format!("page{i}.multi"));
            let off = difference(&page.multi.concat(), &truth);
            assert!(off < 1e-4, "{name}, page {i}: off by {off:e}");
        }
        let queries = fs::read(root().join(truth).join("queries.json")).unwrap();
        let queries: Value = serde_json::from_slice(&queries).unwrap();
        let queries: Vec<String> = serde_json::from_value(queries["queries"].clone()).unwrap();
        for (q, query) in model.embed(&queries, &options).unwrap().into_iter().enumerate() {
            let truth = floats(&golden, &format!("query{q}.multi"));
            let off = difference(&query.multi.concat(), &truth);
            assert!(off < 1e-4, "{name}, query {q}: off by {off:e}");
        }
        let dense = model.embed(&queries, &EmbedOptions::default());
        assert!(matches!(dense, Err(Error::Parameter { name: "kind", .. })), "{dense:?}");
    }
}

#[test]
fn what_cannot_be_seen_is_refused_by_name() {
    let model = load("qwen2_5_vl", None);
    let ask = |model: &Arc<LoadedModel>, message: Message| {
        let chat = Prompt::Chat(vec![message], Box::new(RenderOptions::answer()));
        model.encode_prompt(&chat).unwrap_err()
    };
    let mut message = Message::user("rent");
    message.content.insert(0, Part::Image(Image::new(*b"not a picture").named("page.png")));
    let error = ask(&model, message.clone());
    assert_eq!(error.to_string(), "page.png cannot be read");
    assert!(matches!(error, Error::Image { .. }) && error.hint().is_some());
    // One long line of pixels.
    message.content[0] = Part::Image(Image::new(line(300)));
    let error = ask(&model, message.clone());
    assert_eq!(error.to_string(), "image 1 cannot be shown to the model");
    // The words themselves mention an image that is not there.
    let error = ask(&model, Message::user("rent <|image_pad|>"));
    assert!(matches!(error, Error::Mentions { images: 0, mentions: 1 }), "{error}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2");
    let blind = LoadedModel::load(&runtime(), &folder, LoadOptions::default()).unwrap();
    let error = ask(&blind, message);
    assert!(error.to_string().contains("cannot be answered") && !blind.sees(), "{error}");
}

/// An uncompressed TIFF of `width` by 1 pixels, all black.
fn line(width: u16) -> Vec<u8> {
    let mut file = b"II\x2a\x00\x08\x00\x00\x00".to_vec();
    let pixels = 8 + 2 + 9 * 12 + 4;
    let fields: [(u16, u16, u32, u32); 9] = [
        (256, 3, 1, width.into()),
        (257, 3, 1, 1),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, pixels),
        (277, 3, 1, 1),
        (278, 3, 1, 1),
        (279, 4, 1, width.into()),
    ];
    file.extend((fields.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in fields {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file.resize(file.len() + usize::from(width), 0);
    file
}
