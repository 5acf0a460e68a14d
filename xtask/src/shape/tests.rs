//! What is made can be opened, and gives finite numbers.

use kernels::{CpuOptions, DType, Device, Precision};
use models::{Batch, Cache, Network};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The last activations of a made model for some tokens: logits or hidden states.
fn answer(name: &str, flags: &[&str]) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    let arguments = [&[name, path.to_str().unwrap()], flags].concat();
    assert!(run(&root(), &arguments).unwrap());
    let options =
        CpuOptions { threads: Some(1), precision: Precision::Exact, ..CpuOptions::default() };
    let device = Device::cpu(options).unwrap();
    let folder = checkpoint::Folder::open(&path).unwrap();
    let model = models::load(&folder, &device).unwrap();
    let mut batch = Batch::default();
    batch.push(&[1, 7, 300, 511], 0, vec![0]);
    let out = match &model.network {
        Network::Decoder(decoder) => {
            let mut cache = Cache::new(&device, &decoder.layers(), 4, 1, DType::F32);
            decoder.unembed(&decoder.forward(&batch, &mut cache))
        }
        Network::Encoder(encoder) => encoder.forward(&batch),
        Network::Classifier(classifier) => classifier.forward(&batch),
    };
    out.to_vec()
}

#[test]
fn made_models_give_finite_numbers_of_a_sensible_size() {
    let all: &[&[&str]] = &[
        &[],
        &["--bits", "3", "--group", "32", "--dtype", "f16"],
        &["--bits", "8", "--dtype", "f32"],
        &["--mode", "mxfp4"],
        &["--mode", "mxfp8"],
        &["--mode", "nvfp4"],
        &["--mode", "dense"],
        &["--mode", "dense", "--dtype", "f32"],
    ];
    for flags in all {
        for name in ["tiny-decoder", "tiny-encoder", "tiny-colqwen"] {
            let out = answer(name, flags);
            assert!(out.iter().all(|x| x.is_finite()), "{name} {flags:?}");
            let square = out.iter().map(|x| x * x).sum::<f32>() / out.len() as f32;
            assert!((0.1..10.0).contains(&square.sqrt()), "{name} {flags:?}: {square}");
        }
    }
}

#[test]
fn the_same_weights_come_every_time() {
    assert_eq!(answer("tiny-decoder", &[]), answer("tiny-decoder", &[]));
}

#[test]
fn nonsense_is_refused() {
    for (arguments, said) in [
        (&["qwen"][..], "needs a name"),
        (&["unknown", "f"], "no shape `unknown`"),
        (&["tiny-decoder", "f", "--bits"], "needs a value"),
        (&["tiny-decoder", "f", "--bits", "7"], "no 7 bits"),
        (&["tiny-decoder", "f", "--mode", "dense", "--bits", "4"], "dense"),
        (&["tiny-decoder", "f", "--dtype", "u8"], "no float"),
        (&["tiny-decoder", "f", "--speed", "9"], "unknown option"),
    ] {
        let error = Options::parse(arguments).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
