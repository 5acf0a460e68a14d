//! `config.json`: what it says, and how it lies.

use checkpoint::{Declared, Error, Kind, Mode, Quantization};
use serde::Deserialize;

use crate::{folder, names};

#[derive(Debug, Deserialize)]
struct Llama {
    hidden_size: usize,
    rope_theta: Option<f32>,
    rope_scaling: Option<Scaling>,
}

#[derive(Debug, Deserialize)]
struct Scaling {
    factor: f32,
}

fn parse(json: &str) -> Result<Llama, Error> {
    folder(&[("config.json", json.into())])?.config().parse::<Llama>("llama")
}

#[test]
fn an_architecture_reads_its_own_fields() {
    let config = parse(
        r#"{"hidden_size": 64, "rope_theta": 1e6, "rope_scaling": {"factor": 8}, "other": []}"#,
    )
    .unwrap();
    assert_eq!((config.hidden_size, config.rope_theta), (64, Some(1e6)));
    assert_eq!(config.rope_scaling.unwrap().factor, 8.0);
}

#[test]
fn a_lie_is_named_with_its_field() {
    for (json, field) in [
        (r#"{"hidden_size": -1}"#, "`hidden_size`"),
        (r#"{"hidden_size": 64.5}"#, "`hidden_size`"),
        (r#"{"hidden_size": 1e30}"#, "`hidden_size`"),
        (r#"{"hidden_size": "64"}"#, "`hidden_size`"),
        (r#"{"hidden_size": 99999999999999999999999}"#, "`hidden_size`"),
        (r#"{"rope_theta": 1}"#, "missing field `hidden_size`"),
        (r#"{"hidden_size": 1, "rope_scaling": {"factor": "x"}}"#, "`rope_scaling.factor`"),
    ] {
        let error = parse(json).expect_err(json);
        assert_eq!(error.kind(), Kind::Invalid);
        names(&error, &["config.json", "`llama`", field]);
    }
    for json in [
        r#"{"hidden_size": NaN}"#,
        r#"{"hidden_size": 1e999}"#,
        r#"{"hidden_size": 1, "hidden_size": 2}"#,
        "[1]",
        "7",
        "",
        "\u{feff}{}",
    ] {
        let error = parse(json).expect_err(json);
        names(&error, &["config.json"]);
    }
    let bomb = format!(r#"{{"a": {}"#, "[{\"a\":".repeat(50_000));
    names(&parse(&bomb).unwrap_err(), &["config.json", "recursion limit"]);
    let large = folder(&[("config.json", vec![b' '; (16 << 20) + 1])]).unwrap_err();
    assert!(matches!(large, Error::TooLarge { limit: 16_777_216, .. }));
}

#[test]
fn a_number_beyond_f32_is_named() {
    let error = parse(r#"{"hidden_size": 1, "rope_theta": 1e300}"#).unwrap_err();
    names(&error, &["config.json", "`rope_theta`", "1e+300"]);
    let error = parse(r#"{"hidden_size": 1, "rope_scaling": {"factor": 1, "long": [1, -1e39]}}"#)
        .unwrap_err();
    names(&error, &["`rope_scaling.long.1`"]);
    assert!(parse(r#"{"hidden_size": 1, "mask": -3.4028235e38}"#).is_ok());
}

#[test]
fn parts_keep_their_place() {
    let json =
        r#"{"model_type": "qwen2_5_vl", "text_config": {"hidden_size": "x"}, "vision_config": 3}"#;
    let folder = folder(&[("config.json", json.into())]).unwrap();
    assert_eq!(folder.config().model_type().unwrap(), "qwen2_5_vl");
    let text = folder.config().part("text_config").unwrap().unwrap();
    names(&text.parse::<Llama>("qwen2").unwrap_err(), &["`text_config.hidden_size`"]);
    names(&text.model_type().unwrap_err(), &["`text_config.model_type`", "absent"]);
    assert!(folder.config().part("audio_config").unwrap().is_none());
    names(&folder.config().part("vision_config").unwrap_err(), &["`vision_config`", "an object"]);
}

#[test]
fn quantization_is_read_as_mlx_writes_it() {
    let read =
        |json: &str| folder(&[("config.json", json.into())]).unwrap().config().quantization();
    assert_eq!(read("{}").unwrap().default, None);
    let rules = read(
        r#"{"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4",
            "model.layers.2.mlp.down_proj": {"group_size": 64, "bits": 6, "mode": "affine"},
            "lm_head": false, "model.embed_tokens": {"mode": "nvfp4", "group_size": null}},
            "quantization_config": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}"#,
    )
    .unwrap();
    assert_eq!(rules.default, Some(Mode::Mxfp4.default_parameters()));
    let six = Quantization { mode: Mode::Affine, bits: 6, group_size: 64 };
    assert_eq!(rules.declared("model.layers.2.mlp.down_proj"), Declared::Quantized(six));
    assert_eq!(rules.declared("lm_head"), Declared::Dense);
    assert_eq!(
        rules.declared("model.embed_tokens"),
        Declared::Quantized(Mode::Nvfp4.default_parameters())
    );
    assert_eq!(rules.declared("model"), Declared::Nothing);
    // The duplicate alone will do, and null is the mode's default.
    let rules = read(r#"{"quantization_config": {"group_size": null, "bits": 8}}"#).unwrap();
    assert_eq!(rules.default, Some(Quantization { mode: Mode::Affine, bits: 8, group_size: 64 }));
    let nested = read(r#"{"text_config": {"quantization": {"bits": 8}}}"#).unwrap();
    assert_eq!(nested.default.unwrap().bits, 8);
}

#[test]
fn other_quantizations_are_named() {
    let refused = |json: &str| {
        let error = folder(&[("config.json", json.into())])
            .unwrap()
            .config()
            .quantization()
            .expect_err(json);
        names(&error, &["config.json"]);
        error
    };
    for method in ["gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors"] {
        let error = refused(&format!(
            r#"{{"quantization_config": {{"quant_method": "{method}", "bits": 4}}}}"#
        ));
        assert_eq!(error.kind(), Kind::Unsupported);
        names(&error, &[method]);
    }
    names(&refused(r#"{"quantization_config": {"load_in_4bit": true}}"#), &["bitsandbytes"]);
    names(&refused(r#"{"quantization": {"mode": "int4"}}"#), &["int4", "`quantization`"]);
    names(&refused(r#"{"quantization": {"bits": 7}}"#), &["affine with 7 bits"]);
    names(
        &refused(r#"{"quantization": {"a.b": {"group_size": 48}}}"#),
        &["`quantization.a.b`", "groups of 48"],
    );
    names(&refused(r#"{"quantization": {"mode": "mxfp4", "bits": 8}}"#), &["mxfp4 with 8 bits"]);
    for json in [
        "3",
        "[]",
        r#"{"bits": -4}"#,
        r#"{"bits": "4"}"#,
        r#"{"group_size": 1e300}"#,
        r#"{"a.b": 4}"#,
    ] {
        refused(&format!(r#"{{"quantization": {json}}}"#));
    }
}
