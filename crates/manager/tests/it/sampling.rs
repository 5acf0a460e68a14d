//! What clients send to steer the choice of tokens, and what they are told of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manager::runtime::{
    Error, GenerateOptions, LoadOptions, LoadedModel, MOST_LOGPROBS, Piece, Prompt, Runtime,
    TokenLogprobs,
};
use manager::{CpuOptions, Precision};

fn load(name: &str) -> Arc<LoadedModel> {
    let options =
        CpuOptions { threads: Some(1), precision: Precision::Exact, ..CpuOptions::default() };
    let runtime = Arc::new(Runtime::start(options).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name);
    LoadedModel::load(&runtime, &path, LoadOptions::default()).unwrap()
}

fn options() -> GenerateOptions {
    let (max_tokens, temperature) = (Some(12), Some(0.0));
    GenerateOptions { max_tokens, temperature, ignore_eos: true, ..GenerateOptions::default() }
}

/// The text, its tokens, and what was told of them.
fn answer(
    model: &Arc<LoadedModel>,
    options: &GenerateOptions,
) -> (String, Vec<u32>, Vec<TokenLogprobs>) {
    let mut answer = model.generate(&Prompt::Tokens(vec![5, 6, 7]), options).unwrap();
    let (mut text, mut told) = (String::new(), Vec::new());
    while let Some(piece) = answer.next_piece().unwrap() {
        told.extend(answer.take_logprobs());
        if let Piece::Text(piece) = piece {
            text.push_str(&piece);
        }
    }
    (text, answer.tokens().to_vec(), told)
}

#[test]
fn logprobs_come_with_the_text_of_their_tokens() {
    for name in ["qwen3", "llama2"] {
        let model = load(name);
        let (text, tokens, none) = answer(&model, &options());
        assert!(none.is_empty() && tokens.len() == 12);
        let asked = GenerateOptions { logprobs: Some(3), ..options() };
        let (same, also, told) = answer(&model, &asked);
        assert_eq!((&same, &also), (&text, &tokens), "{name}: to ask changes nothing");
        let ends = |token: &&u32| !model.tokenizer().is_special(**token);
        assert_eq!(
            told.iter().map(|told| told.chosen.token).filter(|t| ends(&t)).collect::<Vec<_>>(),
            tokens.iter().filter(ends).copied().collect::<Vec<_>>()
        );
        let spelled = |told: &TokenLogprobs| match model.tokenizer().is_special(told.chosen.token) {
            true => Vec::new(),
            false => told.chosen.bytes.clone(),
        };
        let bytes: Vec<u8> = told.iter().flat_map(spelled).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), text, "{name}");
        for TokenLogprobs { chosen, likeliest } in &told {
            assert_eq!(
                (likeliest.len(), &likeliest[0]),
                (3, chosen),
                "{name}: the likeliest was taken"
            );
            assert!(likeliest.windows(2).all(|two| two[0].logprob >= two[1].logprob));
            let sum: f32 = likeliest.iter().map(|token| token.logprob.exp()).sum();
            assert!(sum > 0.0 && sum < 1.0 && chosen.logprob < 0.0, "{name}: {sum}");
        }
    }
}

#[test]
fn a_bias_decides_and_penalties_forbid_repetition() {
    let model = load("qwen3");
    let biased = GenerateOptions { logit_bias: BTreeMap::from([(70, 100.0)]), ..options() };
    assert_eq!(answer(&model, &biased).1, [70; 12]);
    let alternating = GenerateOptions {
        logit_bias: BTreeMap::from([(70, 10.0), (71, 10.0)]),
        frequency_penalty: Some(2.0),
        presence_penalty: Some(2.0),
        ..options()
    };
    let tokens = answer(&model, &alternating).1;
    let count = |token| tokens.iter().filter(|&&t| t == token).count();
    assert!(count(70) < 12 && count(70).abs_diff(count(71)) <= 1, "{tokens:?}");
    // What a window has left behind is forgotten.
    let plain =
        GenerateOptions { frequency_penalty: None, presence_penalty: None, ..alternating.clone() };
    let forgetful = GenerateOptions { repetition_context: Some(0), ..alternating };
    assert_eq!(answer(&model, &forgetful).1, answer(&model, &plain).1);
    assert_ne!(answer(&model, &forgetful).1, tokens);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let model = load("qwen3");
    let named = |options: GenerateOptions| {
        let refused = model.generate(&Prompt::Tokens(vec![1]), &options).map(|_| ()).unwrap_err();
        let Error::Parameter { name, .. } = refused else { panic!("{refused:?}") };
        name
    };
    let bias =
        |token, bias| GenerateOptions { logit_bias: BTreeMap::from([(token, bias)]), ..options() };
    for (name, wrong) in [
        ("presence_penalty", GenerateOptions { presence_penalty: Some(2.5), ..options() }),
        ("presence_penalty", GenerateOptions { presence_penalty: Some(f32::NAN), ..options() }),
        ("frequency_penalty", GenerateOptions { frequency_penalty: Some(-3.0), ..options() }),
        ("typical_p", GenerateOptions { typical_p: Some(0.0), ..options() }),
        ("logprobs", GenerateOptions { logprobs: Some(MOST_LOGPROBS + 1), ..options() }),
        ("logit_bias", bias(3, 100.5)),
        ("logit_bias", bias(3, f32::INFINITY)),
        ("logit_bias", bias(100_000, 1.0)),
        (
            "logit_bias",
            GenerateOptions {
                logit_bias: (0..1025).map(|n| (n % 2000, 0.0)).collect(),
                ..options()
            },
        ),
    ] {
        assert_eq!(named(wrong), name);
    }
}
