//! The same ids as the library, for every shape, on texts that nobody would write.

use std::path::Path;

use self::dice::Dice;
use serde_json::{Value, json};

use super::classes::Classes;
use super::split::Rule;
use crate::{Special, Tokenizer};

/// Numbers to choose by: the same on every run.
mod dice {
    pub(super) struct Dice(pub(super) u64);

    impl Dice {
        /// Below `sides`.
        pub(super) fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % sides as u64) as usize
        }
    }
}

/// What texts are made of, beside characters by their number.
const SCRAPS: &[&str] = &[
    " ",
    "  ",
    "   ",
    "\n",
    "\r\n",
    "\n\n ",
    " \n",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    "\u{200b}",
    "'s",
    "'S",
    "'ſ",
    "'re",
    "'Re",
    "'LL",
    "'l",
    "'ve",
    "'M",
    "'d ",
    "'",
    "''",
    "don't",
    "a",
    "The rent",
    " rent",
    "tenant",
    "12",
    "1234567",
    "٣٤",
    "½",
    "Ⅷ",
    "x²",
    "é",
    "e\u{301}",
    "e\u{323}\u{301}",
    "\u{301}",
    "가",
    "\u{1100}\u{1161}",
    "中文",
    "の",
    "ไทย",
    "नमस्ते",
    "👩\u{200d}👩\u{200d}👧",
    "🇩🇪",
    "\u{1f3fb}",
    "\u{feff}",
    "\u{fffd}",
    "\u{0}",
    "\u{1}",
    "\u{7f}",
    "\u{10ffff}",
    "!?",
    "...",
    "_",
    "▁",
    "▁▁",
    " ▁",
    "##",
    "<0x41>",
    "<|im_start|>",
    "<|im_end|>",
    "<|im_",
    "<s>",
    "</s>",
    "<think>",
    "[STRIP]",
    "[WORD]",
    "[NORM é]",
    "[ both ]",
    "<unk>",
    "[ café ]",
    "Å",
    "\u{212b}",
    "ﬁ",
    "İ",
    "ß",
    "\u{345}",
    "Ω",
];

/// A text of so many scraps, characters and repetitions.
fn noise(dice: &mut Dice, parts: usize) -> String {
    let mut text = String::new();
    for _ in 0..parts {
        match dice.roll(12) {
            0..=5 => text.push_str(SCRAPS[dice.roll(SCRAPS.len())]),
            6 => text.extend(char::from_u32(dice.roll(0x3000) as u32)),
            7 => text.extend(char::from_u32(dice.roll(0x32000) as u32)),
            8 => text.extend((0..dice.roll(9)).map(|_| char::from(32 + dice.roll(95) as u8))),
            9 => {
                let bytes: Vec<u8> = (0..dice.roll(12)).map(|_| dice.roll(256) as u8).collect();
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            10 => text.push_str(&SCRAPS[dice.roll(SCRAPS.len())].repeat(dice.roll(20))),
            _ => text.extend((0..dice.roll(12)).map(|_| char::from(97 + dice.roll(6) as u8))),
        }
    }
    text
}

const WAYS: [Special; 4] = [Special::Add, Special::Omit, Special::AddLiteral, Special::OmitLiteral];

fn compare(name: &str, own: &Tokenizer, library: &Tokenizer, text: &str) {
    for way in WAYS {
        let (ours, theirs) = (own.encode(text, way).unwrap(), library.encode(text, way).unwrap());
        assert_eq!(ours, theirs, "{name} {way:?}: {text:?}");
        assert_eq!(own.decode(&ours, false).unwrap(), library.decode(&theirs, false).unwrap());
    }
}

/// Compares everything that a tokenizer says of itself, and what it makes of `rounds` texts.
fn agree(name: &str, json: &[u8], config: Option<&[u8]>, rounds: usize) {
    let own = Tokenizer::from_json(json, config).unwrap();
    let library = Tokenizer::by_library(json, config).unwrap();
    assert!(own.is_own() && !library.is_own(), "{name}: nothing was compared");
    assert_eq!(own.vocabulary(), library.vocabulary(), "{name}");
    assert_eq!(
        (own.around(), own.truncation()),
        (library.around(), library.truncation()),
        "{name}"
    );
    assert_eq!((own.bos(), own.eos(), own.pad()), (library.bos(), library.eos(), library.pad()));
    for id in 0..own.vocabulary() as u32 + 3 {
        let token = own.token(id);
        assert_eq!(token, library.token(id), "{name}: {id}");
        assert_eq!(own.is_special(id), library.is_special(id), "{name}: {id}");
        let token = token.unwrap_or_default();
        assert_eq!(own.id(&token), library.id(&token), "{name}: {token:?}");
    }
    let mut dice = Dice(0x5eed);
    for round in 0..rounds {
        compare(name, &own, &library, &noise(&mut dice, round % 40));
    }
    // Long enough for words to be remembered, and for a word that is sorted instead of searched.
    compare(name, &own, &library, &noise(&mut dice, 600));
    let word: String = (0..500).map(|_| char::from(97 + dice.roll(20) as u8)).collect();
    compare(name, &own, &library, &word);
    compare(name, &own, &library, &format!("{}{}", "ab".repeat(99), "中é".repeat(50)));
    for scrap in SCRAPS {
        compare(name, &own, &library, scrap);
    }
    compare(name, &own, &library, "");
    let pairs = (noise(&mut dice, 9), noise(&mut dice, 9));
    for way in WAYS {
        assert_eq!(
            own.encode_pair(&pairs.0, &pairs.1, way).unwrap(),
            library.encode_pair(&pairs.0, &pairs.1, way).unwrap(),
        );
    }
}

fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tokenizers");
    serde_json::from_slice(&std::fs::read(folder.join(name).join("tokenizer.json")).unwrap())
        .unwrap()
}

fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut file = fixture(name);
    change(&mut file);
    file.to_string().into_bytes()
}

/// Tokens with every flag, one of them with a letter that a normalizer composes, one with spaces that others replace.
fn flagged(file: &mut Value) {
    let tokens = file["added_tokens"].as_array_mut().unwrap();
    let first = tokens.iter().map(|token| token["id"].as_u64().unwrap()).max().unwrap() + 1;
    let flags = ["lstrip", "rstrip", "single_word", "normalized", "special"];
    let contents =
        ["[STRIP]", "[WORD]", "[NORM e\u{301}]", "[ both ]", "[ café ]", "rent", "'s", "中", "▁▁▁"];
    for (at, content) in contents.iter().enumerate() {
        let mut token = json!({"id": first + at as u64, "content": content});
        for (bit, flag) in flags.iter().enumerate() {
            token[flag] = ((0b10110_01101_11001 >> at) >> bit & 1 == 1).into();
        }
        tokens.push(token);
    }
}

const OWN: [&str; 4] = ["byte_level", "llama3", "sentencepiece", "metaspace"];

#[test]
fn the_fixtures_are_encoded_as_by_the_library() {
    for name in OWN {
        agree(name, &changed(name, |_| {}), None, 200);
    }
}

#[test]
fn added_tokens_obey_their_flags_as_in_the_library() {
    for name in OWN {
        agree(name, &changed(name, flagged), None, 200);
        for flag in ["lstrip", "rstrip", "single_word", "normalized"] {
            let json = changed(name, |file| {
                flagged(file);
                for token in file["added_tokens"].as_array_mut().unwrap() {
                    token[flag] = true.into();
                }
            });
            agree(&format!("{name} {flag}"), &json, None, 40);
        }
    }
}

#[test]
fn settings_are_followed_as_by_the_library() {
    let level = |rule: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": rule});
    for normalizer in [json!(null), json!({"type": "NFC"})] {
        for pre_tokenizer in [
            level(true),
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, level(true)]}),
        ] {
            for whole in [false, true] {
                let json = changed("byte_level", |file| {
                    file["normalizer"] = normalizer.clone();
                    file["pre_tokenizer"] = pre_tokenizer.clone();
                    file["model"]["ignore_merges"] = whole.into();
                });
                agree(&format!("{normalizer} {pre_tokenizer} {whole}"), &json, None, 40);
            }
        }
    }
    for scheme in ["never", "first", "always"] {
        for split in [false, true] {
            let json = changed("metaspace", |file| {
                flagged(file);
                file["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split});
            });
            agree(&format!("metaspace {scheme} {split}"), &json, None, 40);
        }
    }
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let split = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    let merged = |file: &mut Value, left: &str, right: &str| {
        let both = format!("{left}{right}");
        let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
        let next = vocabulary.values().filter_map(Value::as_u64).max().unwrap() + 1;
        vocabulary.insert(both, next.into());
        let merges = file["model"]["merges"].as_array_mut().unwrap();
        let pair = if merges[0].is_string() {
            json!(format!("{left} {right}"))
        } else {
            json!([left, right])
        };
        merges.insert(0, pair);
    };
    for crossing in [false, true] {
        let json = changed("sentencepiece", |file| {
            file["normalizer"] = spaces.clone();
            file["pre_tokenizer"] = split.clone();
            merged(file, "a", "b");
            if crossing {
                merged(file, "t", "▁");
            }
        });
        agree(&format!("crossing {crossing}"), &json, None, 80);
    }
    let config = json!({"add_bos_token": true, "bos_token": "<s>", "add_eos_token": true, "eos_token": "</s>"});
    agree("eos", &changed("sentencepiece", |_| {}), Some(config.to_string().as_bytes()), 20);
    let config = json!({"added_tokens_decoder": {"510": {"content": "[WORD]", "special": true}}});
    agree("declared", &changed("byte_level", |_| {}), Some(config.to_string().as_bytes()), 40);
}

#[test]
fn writing_a_file_otherwise_changes_nothing() {
    let plain = fixture("byte_level");
    // All strings escaped, and the merges before the vocabulary that they need.
    let escaped = |text: &str| {
        let unit = |unit: u16| format!("\\u{unit:04x}");
        text.encode_utf16().map(unit).collect::<String>()
    };
    fn write(value: &Value, escaped: &impl Fn(&str) -> String) -> String {
        match value {
            Value::String(text) => format!("\"{}\"", escaped(text)),
            Value::Array(all) => {
                let all: Vec<_> = all.iter().map(|value| write(value, escaped)).collect();
                format!(" [ {} ] ", all.join(" ,\t"))
            }
            Value::Object(all) => {
                let entry = |(key, value): (&String, &Value)| {
                    format!("\"{}\" :\n{}", escaped(key), write(value, escaped))
                };
                let all: Vec<_> = all.iter().rev().map(entry).collect();
                format!("\r{{ {} }} ", all.join(" , "))
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.to_string(),
        }
    }
    agree("escaped", write(&plain, &escaped).as_bytes(), None, 50);
    let pretty = serde_json::to_vec_pretty(&plain).unwrap();
    agree("pretty", &pretty, None, 50);
}

/// What is not known exactly must not be tried, and what is wrong must stay an error.
#[test]
fn other_shapes_are_left_to_the_library() {
    let own = |json: &[u8]| super::read(json).is_some();
    assert!(own(&changed("byte_level", |_| {})));
    type Change = fn(&mut Value);
    let changes: [Change; 18] = [
        |file| file["version"] = json!("2.0"),
        |file| file["model"]["dropout"] = json!(0.1),
        |file| file["model"]["type"] = json!("WordPiece"),
        |file| file["model"]["continuing_subword_prefix"] = json!("##"),
        |file| file["model"]["end_of_word_suffix"] = json!("</w>"),
        |file| file["model"]["new_setting"] = json!(1),
        |file| file["model"]["vocab"]["Ā"] = json!(-1),
        |file| file["model"]["vocab"]["Ā"] = json!(3_000_000_000_u32),
        |file| drop(file["model"]["vocab"].as_object_mut().unwrap().shift_remove("Ā")),
        |file| file["model"]["merges"][3] = json!("a b c"),
        |file| file["model"]["merges"][3] = json!(["nothing", "known"]),
        |file| file["normalizer"] = json!({"type": "NFKC"}),
        |file| file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!(r"\p{N}"),
        |file| file["pre_tokenizer"]["pretokenizers"][0]["behavior"] = json!("Removed"),
        |file| file["pre_tokenizer"]["pretokenizers"][0]["invert"] = json!(true),
        |file| file["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = json!(true),
        |file| file["added_tokens"][0]["content"] = json!(""),
        |file| file["post_processor"] = json!({"type": "nothing known"}),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert!(!own(&changed("byte_level", change)), "change {at}");
    }
    let whole = changed("byte_level", |_| {});
    for cut in 0..whole.len() {
        assert!(!own(&whole[..cut]), "cut at {cut}");
    }
    assert!(!own(&[&whole[..], b"}"].concat()));
    for (name, change) in [
        ("wordpiece", (|_| {}) as Change),
        ("sentencepiece", |file| file["model"]["byte_fallback"] = json!(false)),
        ("sentencepiece", |file| {
            drop(file["model"]["vocab"].as_object_mut().unwrap().shift_remove("<0x0A>"));
        }),
        ("sentencepiece", |file| file["normalizer"]["normalizers"][1]["content"] = json!("_")),
        ("metaspace", |file| file["pre_tokenizer"]["replacement"] = json!("_")),
    ] {
        assert!(!own(&changed(name, change)), "{name}");
    }
}

/// Every rule against its own text, run by the regular expressions that the library uses.
#[test]
fn the_rules_split_as_their_expressions() {
    let before = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|";
    let after = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let expressions = [
        format!(r"{before}\p{{N}}{after}"),
        format!(r"{before}\p{{N}}{{1,3}}{after}"),
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+".to_owned(),
    ];
    let classes = Classes::get().unwrap();
    for expression in &expressions {
        let rule = Rule::of(expression).unwrap();
        let regex = fancy_regex::Regex::new(expression).unwrap();
        let check = |text: &str| {
            let mut rest = text;
            let mut ours = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rule.piece(classes, rest));
                ours.push(piece);
                rest = after;
            }
            let theirs: Vec<&str> = regex.find_iter(text).map(|it| it.unwrap().as_str()).collect();
            assert_eq!(ours, theirs, "{expression}");
        };
        let mut dice = Dice(7);
        for round in 0..600 {
            check(&noise(&mut dice, round % 30));
        }
        // Every character that is a letter, a digit or a space, beside a letter, a digit, a mark and a space.
        let all: Vec<char> = (0..0x3_2400).filter_map(char::from_u32).collect();
        for (at, some) in all.chunks(4096).enumerate() {
            let between = ["", "a", "1", "!", " ", "'", "\n"][at % 7];
            check(&some.iter().map(|letter| format!("{letter}{between}")).collect::<String>());
        }
    }
}

/// Longer than any word, and no slower for it: 1,000,000 letters take the time of that many pairs and their order.
#[test]
fn a_word_of_a_megabyte_is_a_word() {
    for (name, letters) in OWN.into_iter().zip([1_000_000, 30_000, 100_000, 30_000]) {
        let tokenizer = Tokenizer::from_json(&changed(name, |_| {}), None).unwrap();
        let mut dice = Dice(3);
        let word: String = (0..letters).map(|_| char::from(97 + dice.roll(26) as u8)).collect();
        let ids = tokenizer.encode(&word, Special::OmitLiteral).unwrap();
        assert!(ids.len() > letters / 10);
        assert_eq!(tokenizer.decode(&ids, false).unwrap().trim_start(), word);
    }
}

/// Tokenizers of real size, made by `xtask/python/tokenizers_of_size.py` in the folder that FOLIO_TOKENIZERS names.
#[test]
#[ignore = "needs FOLIO_TOKENIZERS, a folder with tokenizers of real size"]
fn tokenizers_of_real_size_agree() {
    let folder = std::env::var_os("FOLIO_TOKENIZERS").expect("FOLIO_TOKENIZERS names a folder");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let read = |name: &str| std::fs::read(path.join(name));
        let Ok(json) = read("tokenizer.json") else { continue };
        let config = read("tokenizer_config.json").unwrap();
        agree(&path.display().to_string(), &json, Some(&config), 4000);
        compared += 1;
    }
    assert!(compared > 0);
}

/// Files with a few bytes changed: read by us, they are read by the library too, and mean the same. FOLIO_ROUNDS asks for
/// more of them.
#[test]
fn damaged_files_are_refused_or_mean_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/tokenizer_json");
    let rounds = std::env::var("FOLIO_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut dice = Dice(0xbad);
    let mut read = 0;
    for round in 0..rounds.unwrap_or(2400) {
        let name = OWN[round % OWN.len()];
        let mut json = std::fs::read(folder.join(name)).unwrap();
        for _ in 0..1 + dice.roll(2) {
            let at = dice.roll(json.len());
            match dice.roll(6) {
                0 => json[at] = dice.roll(256) as u8,
                1 => json[at] = b"\",:[]{}0123456789\\ "[dice.roll(19)],
                2 => drop(json.remove(at)),
                3 => json.insert(at, json[dice.roll(json.len())]),
                // Two fields or two strings change places, more or less.
                4 => json.swap(at, dice.roll(at + 1)),
                _ => {
                    let (from, count) = (dice.roll(json.len()), dice.roll(30));
                    let part = json[from..(from + count).min(json.len())].to_vec();
                    json.splice(at..at, part);
                }
            }
        }
        let Ok(own) = Tokenizer::from_json(&json, None) else { continue };
        if !own.is_own() {
            continue;
        }
        let library = Tokenizer::by_library(&json, None).unwrap_or_else(|error| {
            panic!("{error:?} by the library: {}", String::from_utf8_lossy(&json))
        });
        compare(&String::from_utf8_lossy(&json), &own, &library, &noise(&mut dice, 12));
        read += 1;
    }
    assert!(read > 30, "only {read} files were read");
}
