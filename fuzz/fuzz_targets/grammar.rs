//! Strangers write grammars. The first byte says of which sort; what compiles is followed for a while.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use text::Tokenizer;
use text::grammar::{Grammar, Place};

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let json = include_bytes!("../../fixtures/tokenizers/byte_level/tokenizer.json");
    TOKENIZER.get_or_init(|| Tokenizer::from_json(json, None).expect("a tokenizer"))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((sort, rest)) = bytes.split_first() else { return };
    let Ok(words) = std::str::from_utf8(rest) else { return };
    let grammar = match sort % 4 {
        0 => match serde_json::from_str(words) {
            Ok(schema) => Grammar::JsonSchema(schema),
            Err(_) => return,
        },
        1 => Grammar::Regex(words.to_owned()),
        2 => Grammar::Lark(words.to_owned()),
        _ => Grammar::Choice(words.split('\n').map(str::to_owned).collect()),
    };
    let Ok(compiled) = tokenizer().grammar(&grammar) else { return };
    let mut matcher = compiled.begin();
    for &byte in rest.iter().take(32) {
        if matcher.place() == Place::End {
            return;
        }
        let Ok(mask) = matcher.mask() else { return };
        let allowed: Vec<u32> = (0..mask.len() as u32 * 32)
            .filter(|token| mask[*token as usize / 32] >> (token % 32) & 1 == 1)
            .collect();
        if allowed.is_empty() {
            return;
        }
        // What a mask allows is accepted, unless it costs too much.
        let token = allowed[usize::from(byte) * 7 % allowed.len()];
        if matcher.accept(token).is_err() {
            assert!(matcher.place() == Place::Within);
            return;
        }
    }
});
