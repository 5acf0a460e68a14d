//! Ids to text, one at a time.
//!
//! A checkpoint's decoder is a chain of steps over tokens. [`Plan`] is that chain in a form that can be fed token by
//! token; [`Detokenizer`] is one stream through it. Text comes out as soon as nothing that follows can change it, and
//! what comes out does not depend on when one looks. A chain that cannot be fed so is run once, at the end.

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokenizers::decoders::wordpiece::cleanup;

use crate::error::{Error, Result};
use crate::tokenizer::Inner;

/// One step of a decoder, with its settings.
#[derive(Clone, Debug)]
enum Step {
    /// Replaces a string within each token.
    Replace { from: String, to: String },
    /// `<0x41>` is the byte 65.
    ByteFallback,
    /// Cuts this character from the beginning of the whole text, so many at the most.
    StripStart { content: char, most: usize },
    /// `▁` is a space, but none in the first token if the encoder had put it there.
    Metaspace { replacement: char, prepended: bool },
    /// Tokens are words unless they begin with `##`.
    WordPiece { prefix: String, cleanup: bool },
    /// Letters that stand for bytes.
    ByteLevel,
    /// No decoder at all: words with spaces between.
    Spaces,
}

/// A decoder that can be fed token by token.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    /// The plan for the `decoder` of a `tokenizer.json`; none if it has to see all tokens at once.
    pub(crate) fn new(decoder: &Value) -> Result<Option<Self>> {
        if decoder.is_null() {
            return Ok(Some(Self { steps: vec![Step::Spaces] }));
        }
        let one = [decoder.clone()];
        let parts = match decoder.get("decoders").and_then(Value::as_array) {
            Some(parts) if kind(decoder) == "Sequence" => parts.as_slice(),
            _ => &one,
        };
        let mut steps = Vec::new();
        // From `Fuse` on the chain sees one text instead of tokens; from `ByteFallback` on, pieces of another cut.
        let (mut fused, mut recut) = (false, false);
        for part in parts {
            let text = |name: &str| part.get(name).and_then(Value::as_str);
            let letter = |name: &str| text(name).and_then(|text| text.chars().next());
            let count = |name: &str| part.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
            let tokens = !fused && !recut;
            match kind(part) {
                "Fuse" => fused = true,
                "Replace" => {
                    let pattern = part
                        .get("pattern")
                        .and_then(|pattern| pattern.get("String"))
                        .and_then(Value::as_str);
                    let (Some(from), Some(to)) = (pattern, text("content")) else {
                        return Ok(None);
                    };
                    // A longer pattern could straddle two pieces.
                    if from.is_empty() || (!tokens && from.chars().count() > 1) {
                        return Ok(None);
                    }
                    steps.push(Step::Replace { from: from.to_owned(), to: to.to_owned() });
                }
                "ByteFallback" if tokens => {
                    recut = true;
                    steps.push(Step::ByteFallback);
                }
                "Strip" if fused && count("stop") == 0 => {
                    let Some(content) = letter("content") else { return Ok(None) };
                    steps.push(Step::StripStart { content, most: count("start") });
                }
                // The library's own code for it subtracts below zero on short tokens.
                "Strip" if count("stop") > 0 => {
                    return Err(Error::UnsupportedPart { part: "decoder (Strip.stop)" });
                }
                "Metaspace" if tokens => {
                    let Some(replacement) = letter("replacement") else { return Ok(None) };
                    steps.push(Step::Metaspace {
                        replacement,
                        prepended: text("prepend_scheme") != Some("never"),
                    });
                    recut = true;
                }
                "WordPiece" if tokens => {
                    let cleanup = part.get("cleanup").and_then(Value::as_bool).unwrap_or(true);
                    steps.push(Step::WordPiece {
                        prefix: text("prefix").unwrap_or("##").to_owned(),
                        cleanup,
                    });
                    recut = true;
                }
                "ByteLevel" if tokens => {
                    fused = true;
                    steps.push(Step::ByteLevel);
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(Self { steps }))
    }

    /// Whether each token is the same bytes wherever it stands, but for the first, and
    /// [`bytes`](Self::bytes) tells which.
    pub(crate) fn is_bytewise(&self) -> bool {
        let mut recut = false;
        self.steps.iter().all(|step| match step {
            // In what is put together of single bytes, only such letters are certain to be whole.
            Step::Replace { from, .. } => !recut || from.is_ascii(),
            Step::StripStart { content, most } => content.is_ascii() && *most <= 1,
            Step::ByteFallback | Step::ByteLevel => {
                recut = true;
                true
            }
            Step::Metaspace { .. } | Step::WordPiece { .. } | Step::Spaces => true,
        })
    }

    /// The bytes that a token adds to the text, as the `first` one or as a later one. What all tokens add,
    /// put together, is what a [`Detokenizer`] gives, if it is UTF-8 and the first adds anything.
    pub(crate) fn bytes(&self, token: &str, first: bool) -> Vec<u8> {
        let mut bytes = token.as_bytes().to_vec();
        for step in &self.steps {
            bytes = step.bytes(bytes, first);
        }
        bytes
    }
}

impl Step {
    /// What the step makes of a token's bytes.
    fn bytes(&self, bytes: Vec<u8>, first: bool) -> Vec<u8> {
        // Single bytes are no letter yet.
        let Ok(text) = std::str::from_utf8(&bytes) else { return bytes };
        match self {
            Self::Replace { from, to } => text.replace(from.as_str(), to).into_bytes(),
            Self::ByteFallback => byte_token(text).map_or(bytes, |byte| vec![byte]),
            Self::StripStart { content, most } => {
                let found = text.chars().take(*most).take_while(|letter| letter == content).count();
                let cut = if first { found * content.len_utf8() } else { 0 };
                bytes[cut..].to_vec()
            }
            Self::Metaspace { replacement, prepended } => {
                let space = if first && *prepended { "" } else { " " };
                text.replace(*replacement, space).into_bytes()
            }
            Self::WordPiece { prefix, cleanup: clean } => {
                let piece = match text.strip_prefix(prefix.as_str()) {
                    _ if first => text.to_owned(),
                    Some(end) => end.to_owned(),
                    None => format!(" {text}"),
                };
                if *clean { cleanup(&piece).into_bytes() } else { piece.into_bytes() }
            }
            Self::ByteLevel => {
                let table = byte_letters();
                let byte = |letter: char| {
                    let at = table.binary_search_by_key(&letter, |&(letter, _)| letter);
                    at.ok().map(|at| table[at].1)
                };
                // An added token is spelled in plain text.
                text.chars().map(byte).collect::<Option<Vec<u8>>>().unwrap_or(bytes)
            }
            Self::Spaces if first => bytes,
            Self::Spaces => format!(" {text}").into_bytes(),
        }
    }
}

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or("")
}

/// What a step remembers of the stream.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Bytes that are not yet a character.
    bytes: Vec<u8>,
    /// Tokens or characters that have passed.
    passed: usize,
    /// The step no longer has anything to do.
    done: bool,
}

/// A stream of ids on its way to text.
///
/// The pieces that [`push`](Self::push) returns and the rest that [`finish`](Self::finish) returns, put together, are
/// what [`Tokenizer::decode`](crate::Tokenizer::decode) returns for all ids. A push costs time in proportion to its own
/// token alone. At most three bytes are held back, until they are a character or can no longer become one; broken UTF-8
/// becomes U+FFFD, one for each maximal broken piece.
#[derive(Clone)]
pub struct Detokenizer {
    tokenizer: Arc<Inner>,
    skip_special: bool,
    /// Special tokens that are written out all the same.
    kept: Vec<u32>,
    memory: Vec<Memory>,
    /// All ids, only where the decoder has to see them all.
    ids: Vec<u32>,
}

impl std::fmt::Debug for Detokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detokenizer")
            .field("skip_special", &self.skip_special)
            .finish_non_exhaustive()
    }
}

impl Detokenizer {
    pub(crate) fn new(tokenizer: Arc<Inner>) -> Self {
        let steps = tokenizer.plan().map_or(0, |plan| plan.steps.len());
        Self {
            tokenizer,
            skip_special: true,
            kept: Vec::new(),
            memory: vec![Memory::default(); steps],
            ids: Vec::new(),
        }
    }

    /// Writes special tokens out instead of leaving them out.
    #[must_use]
    pub fn keep_special(mut self) -> Self {
        self.skip_special = false;
        self
    }

    /// Writes these special tokens out, and leaves the others out. A text that is no special token changes nothing.
    #[must_use]
    pub fn keep(mut self, tokens: &[&str]) -> Self {
        let special = |id: &u32| self.tokenizer.is_special(*id);
        self.kept =
            tokens.iter().filter_map(|text| self.tokenizer.id(text)).filter(special).collect();
        self
    }

    /// Takes the next id and returns the text that is certain by now; often empty.
    ///
    /// # Errors
    /// None at present: a decoder that can fail runs in [`finish`](Self::finish).
    pub fn push(&mut self, id: u32) -> Result<String> {
        let tokenizer = self.tokenizer.clone();
        let Some(plan) = tokenizer.plan() else {
            if !self.leaves_out(id) {
                self.ids.push(id);
            }
            return Ok(String::new());
        };
        let mut out = String::new();
        if self.leaves_out(id) {
            return Ok(out);
        }
        if let Some(token) = tokenizer.token(id) {
            run(&plan.steps, &mut self.memory, token, &mut out);
        }
        Ok(out)
    }

    fn leaves_out(&self, id: u32) -> bool {
        self.skip_special && self.tokenizer.is_special(id) && !self.kept.contains(&id)
    }

    /// Ends the stream and returns the rest, broken characters included.
    ///
    /// # Errors
    /// If the tokenizer's decoder fails.
    pub fn finish(mut self) -> Result<String> {
        let tokenizer = self.tokenizer.clone();
        let Some(plan) = tokenizer.plan() else {
            return tokenizer.decode_whole(&self.ids, false);
        };
        let mut out = String::new();
        for at in 0..plan.steps.len() {
            if !self.memory[at].bytes.is_empty() {
                let rest = std::mem::take(&mut self.memory[at].bytes);
                let rest = String::from_utf8_lossy(&rest).into_owned();
                run(&plan.steps[at + 1..], &mut self.memory[at + 1..], rest, &mut out);
            }
        }
        Ok(out)
    }
}

/// Sends a piece through the steps.
fn run(steps: &[Step], memory: &mut [Memory], mut piece: String, out: &mut String) {
    let ([step, later @ ..], [state, rest @ ..]) = (steps, memory) else {
        out.push_str(&piece);
        return;
    };
    match step {
        Step::Replace { from, to } => {
            if piece.contains(from.as_str()) {
                piece = piece.replace(from.as_str(), to);
            }
        }
        Step::ByteFallback => match byte_token(&piece) {
            Some(byte) => {
                state.bytes.push(byte);
                piece = whole_characters(&mut state.bytes);
            }
            None if state.bytes.is_empty() => {}
            None => {
                let broken =
                    String::from_utf8_lossy(&std::mem::take(&mut state.bytes)).into_owned();
                run(later, rest, broken, out);
            }
        },
        Step::StripStart { content, most } => {
            while !state.done && state.passed < *most && piece.starts_with(*content) {
                piece.drain(..content.len_utf8());
                state.passed += 1;
            }
            state.done |= !piece.is_empty();
        }
        Step::Metaspace { replacement, prepended } => {
            let space = if state.passed == 0 && *prepended { "" } else { " " };
            piece = piece.replace(*replacement, space);
            state.passed = 1;
        }
        Step::WordPiece { prefix, cleanup: clean } => {
            if state.passed > 0 {
                piece = match piece.strip_prefix(prefix.as_str()) {
                    Some(end) => end.to_owned(),
                    None => format!(" {piece}"),
                };
            }
            if *clean {
                piece = cleanup(&piece);
            }
            state.passed = 1;
        }
        Step::ByteLevel => {
            let table = byte_letters();
            let before = state.bytes.len();
            for letter in piece.chars() {
                match table.binary_search_by_key(&letter, |&(letter, _)| letter) {
                    Ok(at) => state.bytes.push(table[at].1),
                    Err(_) => {
                        // An added token, spelled in plain text.
                        state.bytes.truncate(before);
                        state.bytes.extend_from_slice(piece.as_bytes());
                        break;
                    }
                }
            }
            piece = whole_characters(&mut state.bytes);
        }
        Step::Spaces => {
            if state.passed > 0 {
                piece.insert(0, ' ');
            }
            state.passed = 1;
        }
    }
    if !piece.is_empty() {
        run(later, rest, piece, out);
    }
}

/// The byte that a token like `<0x41>` stands for.
fn byte_token(token: &str) -> Option<u8> {
    if token.len() != 6 {
        return None;
    }
    u8::from_str_radix(token.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// Takes all characters out of `bytes` that are whole or provably broken, and leaves an unfinished one.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut from = 0;
    let mut text = String::new();
    loop {
        match std::str::from_utf8(&bytes[from..]) {
            Ok(rest) => {
                text.push_str(rest);
                from = bytes.len();
                break;
            }
            Err(error) => {
                let valid = from + error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&bytes[from..valid]));
                from = valid;
                let Some(broken) = error.error_len() else { break };
                text.push('\u{fffd}');
                from += broken;
            }
        }
    }
    bytes.drain(..from);
    text
}

/// The letter that stands for a byte in byte-level vocabularies, as GPT-2 has it: printable letters of Latin-1 stand for
/// themselves, the other 68 bytes are numbered from U+0100.
pub(crate) fn byte_letter(byte: u8) -> char {
    let number = match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => return char::from(byte),
        0..=0x20 => byte,
        0x7f..=0xa0 => byte - 0x7f + 0x21,
        0xad => 0x43,
    };
    // Every number up to U+D7FF is a letter's.
    char::from_u32(0x100 + u32::from(number)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// [`byte_letter`] of all bytes, sorted by letter.
fn byte_letters() -> &'static [(char, u8)] {
    static TABLE: OnceLock<Vec<(char, u8)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: Vec<(char, u8)> = (0..=255).map(|byte| (byte_letter(byte), byte)).collect();
        table.sort_unstable();
        table
    })
}
