//! Shards and their index, whole and contradictory.

use checkpoint::{Error, Kind};
use testkit::safetensors::encode;

use crate::{folder, names};

fn shard(names: &[&str]) -> Vec<u8> {
    let tensors: Vec<_> =
        names.iter().map(|name| (*name, "F32", &[1usize][..], &[0u8; 4][..])).collect();
    encode(&tensors, &[("format", "mlx")])
}

fn index(places: &[(&str, &str)]) -> (&'static str, Vec<u8>) {
    let map: serde_json::Map<_, _> =
        places.iter().map(|(name, file)| ((*name).to_owned(), (*file).into())).collect();
    let json = serde_json::json!({"metadata": {"total_size": 8}, "weight_map": map});
    ("model.safetensors.index.json", json.to_string().into_bytes())
}

const ONE: &str = "model-00001-of-00002.safetensors";
const TWO: &str = "model-00002-of-00002.safetensors";

/// Both ways to read the weights give the same error.
fn refused(files: &[(&str, Vec<u8>)]) -> Error {
    let folder = folder(files).unwrap();
    let error = folder.weights().expect_err("weights");
    let again = folder.index().expect_err("index");
    assert_eq!(error.to_string(), again.to_string());
    error
}

#[test]
fn shards_are_one_checkpoint() {
    let files = [(ONE, shard(&["a"])), (TWO, shard(&["b", "c"]))];
    let with_index = [files.to_vec(), vec![index(&[("a", ONE), ("b", TWO), ("c", TWO)])]].concat();
    for files in [files.to_vec(), with_index] {
        let folder = folder(&files).unwrap();
        let weights = folder.weights().unwrap();
        for name in ["a", "b", "c"] {
            weights.root().take(name, &[1]).unwrap();
        }
        weights.finish().unwrap();
        let index = folder.index().unwrap();
        assert_eq!(index.tensors.iter().map(|tensor| tensor.file).collect::<Vec<_>>(), [0, 1, 1]);
        assert_eq!((index.parameters(), index.bytes(), index.files.len()), (3, 12, 2));
    }
}

#[test]
fn a_missing_shard_is_named() {
    let error = refused(&[(ONE, shard(&["a"])), index(&[("a", ONE), ("b", TWO)])]);
    assert!(matches!(&error, Error::ShardMissing { shard, .. } if shard == TWO));
    assert_eq!(error.kind(), Kind::NotFound);
    names(&error, &["model.safetensors.index.json", TWO]);
    names(&refused(&[(TWO, shard(&["a"]))]), &[ONE]);
}

#[test]
fn a_tensor_is_in_one_place() {
    let files = [(ONE, shard(&["a", "b"])), (TWO, shard(&["b"]))];
    names(&refused(&files), &["`b`", ONE, TWO]);
    let error = refused(&[files.to_vec(), vec![index(&[("a", ONE), ("b", TWO)])]].concat());
    assert!(matches!(&error, Error::DuplicateTensor { tensor, .. } if tensor == "b"));
}

#[test]
fn an_index_that_lies_is_caught() {
    let files = vec![(ONE, shard(&["a"])), (TWO, shard(&["b"]))];
    let with = |places: &[(&str, &str)]| refused(&[files.clone(), vec![index(places)]].concat());
    names(&with(&[("a", TWO), ("b", TWO)]), &["`a`", TWO, "does not hold"]);
    names(&with(&[("a", ONE), ("b", TWO), ("z", ONE)]), &["`z`", ONE]);
    let two = vec![(ONE, shard(&["a", "extra"])), index(&[("a", ONE)])];
    let error = refused(&two);
    assert!(matches!(&error, Error::NotIndexed { tensor, .. } if tensor == "extra"));
    names(&error, &["`extra`", ONE, "index.json"]);
    assert!(matches!(refused(&[index(&[])]), Error::NoWeights { .. }));
    for text in
        ["{}", "[]", r#"{"weight_map": {"a": 1}}"#, r#"{"weight_map": {"a": "x", "a": "y"}}"#, "{"]
    {
        let error = refused(&[("model.safetensors.index.json", text.into())]);
        names(&error, &["model.safetensors.index.json"]);
    }
}

#[test]
fn an_index_cannot_lead_out_of_the_folder() {
    for name in [
        "../x.safetensors",
        "/etc/passwd",
        "a/../../b",
        "..",
        "",
        "c:x",
        "a\\..\\b",
        "./x",
        "a\u{0}b",
    ] {
        let error = refused(&[index(&[("a", name)])]);
        assert!(matches!(error, Error::OutsideFolder { .. }), "{name:?}: {error}");
    }
}

#[test]
fn foreign_weights_are_named() {
    for (name, format) in [
        ("pytorch_model-00001-of-00002.bin", "PyTorch"),
        ("q4.gguf", "GGUF"),
        ("weights.npz", "npz"),
        ("model.onnx", "ONNX"),
    ] {
        let error = refused(&[(name, vec![0; 10])]);
        assert_eq!(error.kind(), Kind::Unsupported);
        names(&error, &[name, format]);
    }
    assert!(matches!(refused(&[("README.md", Vec::new())]), Error::NoWeights { .. }));
    assert!(matches!(refused(&[index(&[("a", "pytorch_model.bin")])]), Error::Format { .. }));
    // Anything beside safetensors is not looked at.
    assert!(
        folder(&[("training_args.bin", vec![]), ("model.safetensors", shard(&["a"]))])
            .unwrap()
            .weights()
            .is_ok()
    );
    assert!(folder(&[("weights.safetensors", shard(&["a"]))]).unwrap().weights().is_ok());
}
