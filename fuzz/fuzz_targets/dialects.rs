//! Answers of models: whatever one writes, every split of it says the same, calls are well formed, and no word is lost.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use text::{Dialect, Said, Tokenizer, Tools};

/// The dialects, each for a model that thinks and for one that does not.
fn dialects() -> &'static [Dialect] {
    static DIALECTS: OnceLock<Vec<Dialect>> = OnceLock::new();
    DIALECTS.get_or_init(|| {
        let plain = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
        let vocabularies = [plain.to_owned(), plain.to_owned() + "<think>\n</think>\n"];
        let tokenizers = vocabularies.map(|text| Tokenizer::from_vocab(text.as_bytes(), None).unwrap());
        let of = |tokenizer: &Tokenizer, name| Dialect::of(None, tokenizer).with_calls(name).unwrap();
        let names: Vec<_> = Dialect::names().map(|(name, _)| name).collect();
        tokenizers.iter().flat_map(|tokenizer| names.iter().map(|name| of(tokenizer, name))).collect()
    })
}

fn tools() -> Tools {
    let tools = serde_json::json!([
        {"name": "add"},
        {"name": "weather", "parameters": {"properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}},
    ]);
    Tools::new(Some(&tools))
}

fn read<'a>(dialect: &Dialect, prompt: &str, pieces: impl Iterator<Item = &'a str>) -> Vec<Said> {
    let mut reader = dialect.reader(&tools(), prompt);
    let mut said: Vec<Said> = pieces.flat_map(|piece| reader.push(piece)).collect();
    said.extend(reader.finish());
    let mut out: Vec<Said> = Vec::new();
    for said in said {
        match (out.last_mut(), &said) {
            (Some(Said::Text(text)), Said::Text(more)) | (Some(Said::Reasoning(text)), Said::Reasoning(more)) => {
                text.push_str(more);
            }
            (Some(Said::CallArguments { delta, .. }), Said::CallArguments { delta: more, .. }) => delta.push_str(more),
            _ => out.push(said),
        }
    }
    out
}

fuzz_target!(|input: (u8, bool, &str)| {
    let (which, within, text) = input;
    let dialect = &dialects()[usize::from(which) % dialects().len()];
    let prompt = if within { "<think>\n" } else { "" };
    let whole = read(dialect, prompt, std::iter::once(text));
    let letters = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
    assert_eq!(read(dialect, prompt, letters), whole);
    let (mut begun, mut open) = (0, false);
    for said in &whole {
        match said {
            Said::CallBegin { index, .. } => {
                assert!(!open && *index == begun);
                (begun, open) = (begun + 1, true);
            }
            Said::CallArguments { index, delta } => assert!(open && index + 1 == begun && !delta.is_empty()),
            Said::CallEnd { index, .. } => {
                assert!(open && index + 1 == begun);
                open = false;
            }
            Said::Text(text) | Said::Reasoning(text) | Said::Broken { text, .. } => assert!(!open && !text.is_empty()),
        }
    }
    assert!(!open);
    // Without a call, only marks and whitespace may be missing.
    if begun == 0 && dialect.name() == "plain" {
        let said: String = whole
            .iter()
            .map(|said| if let Said::Text(text) | Said::Reasoning(text) = said { text.as_str() } else { "" })
            .collect();
        let bare = |text: &str| text.replace("<think>", "").replace("</think>", "").split_whitespace().collect::<String>();
        assert_eq!(bare(&said), bare(text));
    }
});
