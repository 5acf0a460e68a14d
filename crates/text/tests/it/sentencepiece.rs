//! `tokenizer.model`, against the `sentencepiece` of PyPI; and pairs of texts, against transformers.

use serde_json::{Value, json};
use text::{Error, Kind, Special, Tokenizer};

use crate::golden::{file, ids, json, tokenizer};

const MODELS: [&str; 4] = ["bytes", "user", "unigram", "trimmed"];

fn model(name: &str) -> Vec<u8> {
    file(&format!("sentencepiece/{name}.model")).unwrap()
}

fn open(name: &str, config: Value) -> Tokenizer {
    Tokenizer::from_sentencepiece(&model(name), Some(config.to_string().as_bytes())).unwrap()
}

#[test]
fn models_spell_as_the_reference() {
    for name in MODELS {
        let golden = json(&format!("text/sentencepiece_{name}.json"));
        let tokenizer = open(name, json!({}));
        assert_eq!(tokenizer.vocabulary() as u64, golden["size"].as_u64().unwrap());
        assert_eq!(tokenizer.bos().map(u64::from), golden["bos"].as_u64());
        assert_eq!(tokenizer.eos().map(u64::from), golden["eos"].as_u64());
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() > 180);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let expected = ids(&case["ids"]);
            // The reference knows no special tokens in text.
            let ours = tokenizer.encode(text, Special::OmitLiteral).unwrap();
            assert_eq!(ours, expected, "{name}: {text:?}");
            let around = [tokenizer.bos().unwrap()].into_iter().chain(expected.iter().copied());
            let around: Vec<u32> = around.collect();
            assert_eq!(tokenizer.encode(text, Special::AddLiteral).unwrap(), around);
            // The reference writes ` ⁇ ` for what is unknown, which is no token's text.
            if matches!(name, "bytes" | "user") {
                let decoded = tokenizer.decode(&expected, true).unwrap();
                assert_eq!(decoded, case["decoded"].as_str().unwrap(), "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn special_tokens_are_found_between_pieces_of_text() {
    let spelled = |config: Value, text: &str| {
        let tokenizer = open("bytes", config);
        let ids = tokenizer.encode(text, Special::Omit).unwrap();
        ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect::<Vec<_>>()
    };
    let every = spelled(json!({}), "rent</s>rent");
    let first = spelled(json!({"legacy": false}), "rent</s>rent");
    let at = every.iter().position(|token| token == "</s>").unwrap();
    assert!(every[0].starts_with('▁') && every[at + 1].starts_with('▁'), "{every:?}");
    assert!(first[0].starts_with('▁') && !first[at + 1].starts_with('▁'), "{first:?}");
}

#[test]
fn the_configuration_has_the_last_word() {
    let tokenizer =
        open("bytes", json!({"add_bos_token": false, "add_eos_token": true, "bos_token": "<unk>"}));
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), Some(2)));
    assert_eq!(tokenizer.around(), (&[][..], &[2][..]));
    let config = json!({"tokenizer_class": "XLMRobertaTokenizer"}).to_string();
    let error =
        Tokenizer::from_sentencepiece(&model("unigram"), Some(config.as_bytes())).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
}

/// A field of a message, as it is written.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, value.len() as u8], value].concat()
}

#[test]
fn damaged_models_are_errors() {
    let whole = model("bytes");
    // A message may end after any field: what is left is another model, or none.
    for cut in (0..whole.len()).step_by(5) {
        match Tokenizer::from_sentencepiece(&whole[..cut], None) {
            Ok(tokenizer) => drop(tokenizer.encode("the rent é\0", Special::Add).unwrap()),
            Err(error) => {
                assert!(error.hint().is_some() && error.kind() != Kind::Internal, "{error}");
            }
        }
    }
    for at in (0..whole.len()).step_by(11) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(tokenizer) = Tokenizer::from_sentencepiece(&damaged, None) {
            tokenizer.encode("the rent é\0", Special::Add).unwrap();
        }
    }
    let mut unigram = model("unigram");
    // Within the map of characters, which lies at the end.
    for at in (unigram.len() - 4000..unigram.len()).step_by(61) {
        unigram[at] ^= 0x55;
        if let Ok(tokenizer) = Tokenizer::from_sentencepiece(&unigram, None) {
            tokenizer.encode("ﬁ ½ ａ the rent", Special::Add).unwrap();
        }
    }
    let refusal = |extra: &[u8]| {
        let model = [&whole[..], extra].concat();
        Tokenizer::from_sentencepiece(&model, None).unwrap_err()
    };
    // Words for pieces; spaces after words; spaces as they are; a piece that is not used.
    for extra in [
        field(2, &[3 << 3, 3]),
        field(2, &[0xc0, 1, 1]),
        field(3, &[5 << 3, 0]),
        field(1, &[10, 1, b'q', 24, 5]),
    ] {
        let error = refusal(&extra);
        assert!(matches!(error, Error::SentencePieceKind { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Unsupported);
    }
    for extra in [field(1, &[10, 1, b'a']), field(1, &[10, 1, 0xff]), field(1, &[]), vec![7]] {
        assert!(matches!(refusal(&extra), Error::SentencePiece { .. }), "{extra:?}");
    }
}

#[test]
fn two_texts_become_one_sequence() {
    let golden = json("text/pairs.json");
    for (name, cases) in golden.as_object().unwrap() {
        let tokenizer = tokenizer(name);
        for case in cases.as_array().unwrap() {
            let (first, second) =
                (case["first"].as_str().unwrap(), case["second"].as_str().unwrap());
            let pair = tokenizer.encode_pair(first, second, Special::Add).unwrap();
            assert_eq!(pair.ids, ids(&case["ids"]), "{name}: {first:?} {second:?}");
            assert_eq!(pair.types, ids(&case["types"]), "{name}: {first:?} {second:?}");
            let bare = tokenizer.encode_pair(first, second, Special::Omit).unwrap();
            let encode = |text| tokenizer.encode(text, Special::Omit).unwrap();
            assert_eq!(bare.ids, [encode(first), encode(second)].concat());
            let ones = bare.types.iter().filter(|&&of| of == 1).count();
            assert_eq!(ones, encode(second).len());
        }
    }
    let file = file("tokenizers/sentencepiece/tokenizer.json").unwrap();
    let config = json!({"add_eos_token": true, "eos_token": "</s>"}).to_string();
    let both = Tokenizer::from_json(&file, Some(config.as_bytes())).unwrap();
    let pair = both.encode_pair("", "", Special::Add).unwrap();
    assert_eq!((pair.ids, pair.types), (vec![1, 2, 1, 2], vec![0, 0, 1, 1]));
}
