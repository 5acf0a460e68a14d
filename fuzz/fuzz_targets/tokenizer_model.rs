//! Any bytes as `tokenizer.model`: an error or a tokenizer, and never a panic, whoever reads it. What is encoded must not
//! depend on chance: twice the same text gives twice the same ids.
//!
//! The crate catches panics and reports them; here they end the process.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use text::{Special, Tokenizer};

const TEXT: &str = "the rent, don't  12345 \n\n é e\u{301} 中文 <s></s><|im_start|> [A] ▁\u{0}👩\u{200d}👧";

static HOOK: Once = Once::new();

fuzz_target!(|model: &[u8]| {
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if panic.location().is_some_and(|place| place.file().contains("crates/text")) {
                eprintln!("{panic}");
                std::process::abort();
            }
        }));
    });
    let Ok(tokenizer) = Tokenizer::from_sentencepiece(model, None) else { return };
    for special in [Special::Add, Special::OmitLiteral] {
        let Ok(ids) = tokenizer.encode(TEXT, special) else { continue };
        assert_eq!(tokenizer.encode(TEXT, special).ok(), Some(ids.clone()));
        let _ = tokenizer.decode(&ids, false);
        let _ = tokenizer.encode_pair(TEXT, "b", special);
    }
});
