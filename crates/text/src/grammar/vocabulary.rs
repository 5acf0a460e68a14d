//! A tokenizer's tokens as bytes, in a tree: made once for a tokenizer and shared by all grammars.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

use crate::error::{Error, Result};
use crate::tokenizer::Inner;

/// No token of more bytes may come: the tree has no room for it.
const LONGEST: usize = 1000;

/// What the library may spend. The first two bound the time to compile a grammar, the next two that of a
/// mask; the others bound memory, which a sequence holds as long as it lives.
const LIMITS: ParserLimits = ParserLimits {
    initial_lexer_fuel: 1_000_000,
    max_grammar_size: 200_000,
    step_lexer_fuel: 200_000,
    step_max_items: 50_000,
    max_items_in_row: 2000,
    max_lexer_states: 25_000,
    precompute_large_lexemes: true,
    // An error would hold the answer so far, and all of the grammar.
    verbose_errors: false,
};

/// Tokens as bytes.
pub(crate) struct Vocabulary {
    pub(super) factory: ParserFactory,
    /// Tokens that are other bytes at the beginning of a text, and what stands for them there, if they are any; in
    /// order.
    pub(super) firsts: Vec<(u32, Option<u32>)>,
    /// Tokens that may come at all, a bit each.
    pub(super) words: Vec<u32>,
}

impl Vocabulary {
    pub(crate) fn new(tokenizer: &Inner) -> Result<Self> {
        let unsupported = Error::UnsupportedPart { part: "decoder (single tokens)" };
        let plan = tokenizer.plan().filter(|plan| plan.is_bytewise()).ok_or(unsupported)?;
        let count = tokenizer.count();
        let mut tokens = Vec::with_capacity(count + 1);
        let mut firsts = Vec::new();
        let mut words = vec![0; count.div_ceil(32)];
        let fits = |bytes: Vec<u8>| {
            // The library's own mark of what is no text; no text in UTF-8 has such a byte.
            let fits =
                bytes.len() <= LONGEST && bytes.first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER);
            if fits { bytes } else { Vec::new() }
        };
        for id in 0..count as u32 {
            let token = if tokenizer.is_special(id) { None } else { tokenizer.token(id) };
            let Some(token) = token else {
                tokens.push(Vec::new());
                continue;
            };
            let (first, later) = (fits(plan.bytes(&token, true)), fits(plan.bytes(&token, false)));
            if !first.is_empty() || !later.is_empty() {
                words[id as usize / 32] |= 1 << (id % 32);
            }
            if first != later {
                firsts.push((id, first));
            }
            tokens.push(later);
        }
        // Behind the tokens stand those that are other bytes in the beginning, and one for the end.
        let mut behind = Vec::with_capacity(firsts.len());
        for (id, first) in firsts {
            behind.push((id, (!first.is_empty()).then_some(tokens.len() as u32)));
            tokens.extend(Some(first).filter(|first| !first.is_empty()));
        }
        let end = tokens.len() as u32;
        tokens.push(b"\xff<end of text>".to_vec());
        let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &tokens);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices);
        let mut factory = factory.map_err(|_| Error::Library { bytes: tokens.len() })?;
        *factory.quiet().limits_mut() = LIMITS;
        Ok(Self { factory, firsts: behind, words })
    }
}
