//! The detokenizer: a stream is worth the same as the whole.

use proptest::prelude::*;
use serde_json::json;
use text::{Special, Tokenizer};

use crate::golden::{TOKENIZERS, file, ids, json, tokenizer};

/// The pieces, and what was left for the end.
fn stream(tokenizer: &Tokenizer, ids: &[u32], skip: bool) -> (Vec<String>, String) {
    let mut detokenizer = tokenizer.detokenizer();
    if !skip {
        detokenizer = detokenizer.keep_special();
    }
    let pieces = ids.iter().map(|&id| detokenizer.push(id).unwrap()).collect();
    (pieces, detokenizer.finish().unwrap())
}

#[test]
fn the_pieces_make_the_references_text() {
    for name in TOKENIZERS {
        let tokenizer = tokenizer(name);
        for case in json(&format!("text/{name}.json"))["cases"].as_array().unwrap() {
            let (pieces, rest) = stream(&tokenizer, &ids(&case["ids"]), false);
            assert_eq!(
                pieces.concat() + &rest,
                case["decoded"].as_str().unwrap(),
                "{name}: {}",
                case["text"]
            );
        }
    }
}

#[test]
fn characters_come_as_soon_as_they_are_whole() {
    let tokenizer = tokenizer("byte_level");
    let ids = tokenizer.encode("é👍", Special::Omit).unwrap();
    assert_eq!(ids.len(), 6);
    let (pieces, rest) = stream(&tokenizer, &ids, true);
    assert_eq!(pieces, ["", "é", "", "", "", "👍"]);
    assert_eq!(rest, "");
    // Cut short, the rest is one broken character, told only at the end.
    let (pieces, rest) = stream(&tokenizer, &ids[..5], true);
    assert_eq!((pieces.concat().as_str(), rest.as_str()), ("é", "\u{fffd}"));
    // Broken by what follows, it is told at once.
    let mut broken = ids[2..4].to_vec();
    broken.extend(tokenizer.encode("a", Special::Omit).unwrap());
    let (pieces, rest) = stream(&tokenizer, &broken, true);
    assert_eq!(pieces, ["", "", "\u{fffd}a"]);
    assert_eq!(rest, "");
}

#[test]
fn byte_fallback_does_not_wait_for_the_end_of_the_run() {
    let tokenizer = tokenizer("sentencepiece");
    let ids = tokenizer.encode("कख", Special::Omit).unwrap();
    let (pieces, rest) = stream(&tokenizer, &ids, true);
    assert_eq!(pieces[pieces.len() - 6..], ["", "", "क", "", "", "ख"]);
    assert_eq!(rest, "");
}

#[test]
fn only_the_space_that_encoding_added_is_taken_away() {
    for name in ["sentencepiece", "metaspace"] {
        let tokenizer = tokenizer(name);
        let ids = tokenizer.encode("the rent", Special::Omit).unwrap();
        let (pieces, _) = stream(&tokenizer, &ids, true);
        assert!(pieces[0].starts_with('t') && pieces.concat() == "the rent", "{name}: {pieces:?}");
    }
}

#[test]
fn a_decoder_that_must_see_everything_sees_everything() {
    let mut file: serde_json::Value =
        serde_json::from_slice(&file("tokenizers/wordpiece/tokenizer.json").unwrap()).unwrap();
    file["decoder"] = json!({"type": "BPEDecoder", "suffix": "t"});
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), None).unwrap();
    let ids = tokenizer.encode("rent the", Special::Omit).unwrap();
    let (pieces, rest) = stream(&tokenizer, &ids, true);
    assert_eq!(pieces.concat(), "");
    assert_eq!(rest, tokenizer.decode(&ids, true).unwrap());
    assert!(rest.starts_with("ren "), "{rest}");
    file["decoder"] = json!(null);
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), None).unwrap();
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "rent the");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whatever the ids, the pieces are the library's text (where it decodes byte by byte), and nothing is lost.
    #[test]
    fn noise_streams_to_its_decoding(ids in prop::collection::vec(0u32..520, 0..40), skip: bool) {
        for name in TOKENIZERS {
            let tokenizer = TOKENIZER.with(|all| all[TOKENIZERS.iter().position(|&n| n == name).unwrap()].clone());
            let (pieces, rest) = stream(&tokenizer, &ids, skip);
            prop_assert!(rest.chars().count() <= 3);
            let text = pieces.concat() + &rest;
            prop_assert_eq!(&text, &tokenizer.decode(&ids, skip).unwrap());
            // Prefixes agree: what was shown is never taken back.
            let half = ids.len() / 2;
            let (first, _) = stream(&tokenizer, &ids[..half], skip);
            prop_assert!(text.starts_with(&first.concat()));
        }
    }

    /// Text of any kind comes back through ids that spell bytes.
    #[test]
    fn text_survives(text in "\\PC{0,24}|[ \\n\\t\\ra-z中é👍\u{301}]{0,24}") {
        for at in [0, 1] {
            let tokenizer = TOKENIZER.with(|all| all[at].clone());
            let ids = tokenizer.encode(&text, Special::OmitLiteral).unwrap();
            let (pieces, rest) = stream(&tokenizer, &ids, false);
            let back = pieces.concat() + &rest;
            // The first normalizes to NFC, which the second does not.
            if at == 1 {
                prop_assert_eq!(&back, &text);
            }
            prop_assert!(at == 1 || tokenizer.encode(&back, Special::OmitLiteral).unwrap() == ids);
        }
    }
}

thread_local! {
    static TOKENIZER: Vec<Tokenizer> = TOKENIZERS.iter().map(|name| tokenizer(name)).collect();
}
