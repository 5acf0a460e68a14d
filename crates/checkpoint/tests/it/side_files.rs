//! Generation defaults and the sentence-transformers files.

use checkpoint::{Activation, Dense, Error, Generation, Kind, Module, Pooling, PoolingMode};
use testkit::safetensors::encode;

use crate::{folder, names};

fn generation(config: &str, own: &str) -> Result<Generation, Error> {
    let files = [("config.json", config.into()), ("generation_config.json", own.into())];
    Ok(folder(&files)?.generation().clone())
}

#[test]
fn every_end_of_text_is_known() {
    let both = generation(
        r#"{"eos_token_id": 2, "bos_token_id": 1}"#,
        r#"{"eos_token_id": [128009, 128001]}"#,
    )
    .unwrap();
    assert_eq!(both.eos, [2, 128_001, 128_009]);
    assert_eq!((both.bos, both.pad), (Some(1), None));
    let nested =
        generation(r#"{"text_config": {"eos_token_id": [5]}, "eos_token_id": null}"#, "{}")
            .unwrap();
    assert_eq!(nested.eos, [5]);
    let old =
        generation(r#"{"pad_token_id": -1, "eos_token_id": 0}"#, r#"{"bos_token_id": 7}"#).unwrap();
    assert_eq!((old.eos, old.bos, old.pad), (vec![0], Some(7), None));
    assert_eq!(folder(&[]).unwrap().generation(), &Generation::default());
    for (config, own, field) in [
        (r#"{"eos_token_id": "2"}"#, "{}", "`eos_token_id`"),
        (r#"{"eos_token_id": [1, -7]}"#, "{}", "`eos_token_id`"),
        ("{}", r#"{"bos_token_id": 4294967296}"#, "`bos_token_id`"),
    ] {
        names(&generation(config, own).unwrap_err(), &["config.json", field]);
    }
}

#[test]
fn sampling_defaults_are_read_and_checked() {
    let own = r#"{"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0, "repetition_penalty": 1.05}"#;
    let read = generation("{}", own).unwrap();
    assert_eq!((read.do_sample, read.temperature, read.top_p), (Some(true), Some(0.6), Some(0.9)));
    assert_eq!(
        (read.top_k, read.min_p, read.repetition_penalty),
        (Some(20), Some(0.0), Some(1.05))
    );
    let nothing =
        generation(r#"{"temperature": 9}"#, r#"{"temperature": null, "top_k": -1}"#).unwrap();
    assert_eq!((nothing.temperature, nothing.top_k), (None, None));
    for (own, field) in [
        (r#"{"temperature": -0.1}"#, "`temperature`"),
        (r#"{"temperature": 1e308}"#, "`temperature`"),
        (r#"{"top_p": 1.5}"#, "`top_p`"),
        (r#"{"min_p": "0"}"#, "`min_p`"),
        (r#"{"repetition_penalty": 0}"#, "`repetition_penalty`"),
        (r#"{"top_k": 1.5}"#, "`top_k`"),
        (r#"{"do_sample": 1}"#, "`do_sample`"),
    ] {
        names(&generation("{}", own).unwrap_err(), &["generation_config.json", field]);
    }
    assert!(generation("{}", "[]").is_err());
}

#[test]
fn tokens_are_known_by_their_text() {
    let json = r#"{"eos_token": {"__type": "AddedToken", "content": "</s>"}, "bos_token": "<s>"}"#;
    let folder = folder(&[("tokenizer_config.json", json.into())]).unwrap();
    assert_eq!(folder.generation().eos_token.as_deref(), Some("</s>"));
    assert_eq!(folder.generation().bos_token.as_deref(), Some("<s>"));
}

const MODULES: &str = r#"[
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    {"idx": 3, "name": "3", "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;
const MEAN: &str = r#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": false,
    "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}"#;
const DENSE: &str = r#"{"in_features": 2, "out_features": 1, "bias": false,
    "activation_function": "torch.nn.modules.linear.Identity"}"#;

#[test]
fn the_steps_to_an_embedding_are_known() {
    let folder = folder(&[
        ("modules.json", MODULES.into()),
        ("1_Pooling/config.json", MEAN.into()),
        ("2_Dense/config.json", DENSE.into()),
        ("2_Dense/model.safetensors", encode(&[("linear.weight", "F32", &[1, 2], &[0; 8])], &[])),
        ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#.into()),
        (
            "config_sentence_transformers.json",
            r#"{"__version__": {"pytorch": "2"}, "prompts": {"query": "query: "}, "default_prompt_name": null,
                "similarity_fn_name": "cosine"}"#
                .into(),
        ),
    ])
    .unwrap();
    let read = folder.sentence_transformers().unwrap().unwrap();
    let pooling = Pooling { dimension: 384, modes: vec![PoolingMode::Mean], include_prompt: true };
    let activation = Activation::Identity;
    let dense =
        Dense { path: "2_Dense".to_owned(), inputs: 2, outputs: 1, bias: false, activation };
    let first = Module::Transformer { path: String::new() };
    assert_eq!(
        read.modules,
        [first, Module::Pooling(pooling), Module::Dense(dense), Module::Normalize]
    );
    assert_eq!((read.max_seq_length, read.do_lower_case), (Some(256), false));
    assert_eq!(read.prompts["query"], "query: ");
    assert_eq!((read.default_prompt_name, read.similarity.as_deref()), (None, Some("cosine")));
    let weights = folder.module_weights("2_Dense").unwrap();
    weights.root().at("linear").matrix(1, 2).unwrap();
    weights.finish().unwrap();
    assert!(matches!(folder.module_weights("../2_Dense"), Err(Error::OutsideFolder { .. })));
}

#[test]
fn pooling_is_read_in_both_generations() {
    let modes = |json: &str| {
        let folder = folder(&[("1_Pooling/config.json", json.into())]).unwrap();
        folder.sentence_transformers().map(|read| match &read.unwrap().modules[..] {
            [Module::Transformer { .. }, Module::Pooling(pooling)] => pooling.modes.clone(),
            other => panic!("{other:?}"),
        })
    };
    let cls = r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
    assert_eq!(modes(cls).unwrap(), [PoolingMode::Cls]);
    let several = r#"{"word_embedding_dimension": 8, "pooling_mode_lasttoken": true, "pooling_mode_max_tokens": true}"#;
    assert_eq!(
        modes(several).unwrap(),
        [PoolingMode::Max, PoolingMode::Mean, PoolingMode::LastToken]
    );
    assert_eq!(
        modes(r#"{"embedding_dimension": 8, "pooling_mode": "lasttoken"}"#).unwrap(),
        [PoolingMode::LastToken]
    );
    let list = r#"{"word_embedding_dimension": 8, "pooling_mode": ["cls", "weightedmean"]}"#;
    assert_eq!(modes(list).unwrap(), [PoolingMode::Cls, PoolingMode::WeightedMean]);
    for json in [
        r#"{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": false}"#,
        r#"{"word_embedding_dimension": 8, "pooling_mode": "median"}"#,
        r#"{"word_embedding_dimension": 0}"#,
        r#"{"word_embedding_dimension": -8}"#,
        r#"{"pooling_mode": "cls"}"#,
    ] {
        names(&modes(json).expect_err(json), &["1_Pooling/config.json"]);
    }
}

#[test]
fn an_unknown_step_is_named() {
    let read = |modules: &str| {
        let folder = folder(&[("modules.json", modules.into())]).unwrap();
        folder.sentence_transformers().expect_err(modules)
    };
    let module =
        |name: &str| format!(r#"[{{"idx": 0, "name": "0", "path": "", "type": "{name}"}}]"#);
    for name in ["sentence_transformers.models.LSTM", "custom_st.Transformer"] {
        let error = read(&module(name));
        assert_eq!(error.kind(), Kind::Unsupported);
        names(&error, &["modules.json", name]);
    }
    names(
        &read(&module("sentence_transformers.models.Normalize")),
        &["modules.json", "a Transformer"],
    );
    names(&read(MODULES), &["1_Pooling/config.json", "is missing"]);
    names(&read("[]"), &["modules.json"]);
    names(&read(r#"[{"path": ""}]"#), &["modules.json", "missing field `type`"]);
    names(&read(&MODULES.replace("1_Pooling", "../../x")), &["outside"]);
    assert!(folder(&[]).unwrap().sentence_transformers().unwrap().is_none());
}
