//! Measures what it costs to hold an answer to a grammar: `masks TOKENIZER.json [FILE.json]`.
//!
//! Compiles some grammars (and the JSON Schema in the second file) for a tokenizer, walks through each by chance as a model
//! would, and prints the median and the worst time of a mask, with the time to compile.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use text::Tokenizer;
use text::grammar::{Grammar, Place};

fn main() {
    let mut files = std::env::args().skip(1);
    let file = std::fs::read(files.next().expect("a tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_json(&file, None).unwrap();
    let begun = Instant::now();
    tokenizer.grammar(&Grammar::Choice(vec!["a".to_owned()])).unwrap();
    println!("{} tokens, sorted in {:.0?}", tokenizer.vocabulary(), begun.elapsed());
    println!(
        "{:<18} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "", "compile", "median", "99 %", "worst", "masks"
    );
    let schema =
        files.next().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
    for (name, grammar) in grammars(schema) {
        let begun = Instant::now();
        let compiled = match tokenizer.grammar(&grammar) {
            Ok(compiled) => compiled,
            Err(error) => {
                println!("{name:<18} {:>10.1?} {error}", begun.elapsed());
                continue;
            }
        };
        let compile = begun.elapsed();
        let (mut times, mut seed) = (Vec::new(), 0x9e37_79b9_7f4a_7c15_u64);
        let begun = Instant::now();
        while times.len() < 3000 && begun.elapsed() < Duration::from_secs(3) {
            let mut matcher = compiled.begin();
            for _ in 0..200 {
                if matcher.place() == Place::End || begun.elapsed() > Duration::from_secs(3) {
                    break;
                }
                let begun = Instant::now();
                let mask = matcher.mask().ok();
                times.push(begun.elapsed());
                let Some(mask) = mask else { break };
                // A token from a random place on, as words are, and not only the many that continue one.
                let words = mask.len();
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let from = (seed >> 33) as usize % words.max(1);
                let found = (0..words).map(|n| (from + n) % words).find(|&at| mask[at] != 0);
                let Some(at) = found else { break };
                let token = at as u32 * 32 + mask[at].trailing_zeros();
                if matcher.accept(token).is_err() {
                    break;
                }
            }
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        let [median, most, worst]: [Duration; 3] = [at(500), at(990), at(1000)];
        println!(
            "{name:<18} {compile:>10.1?} {median:>10.1?} {most:>10.1?} {worst:>10.1?} {:>8}",
            times.len()
        );
    }
}

fn grammars(schema: Option<Value>) -> Vec<(&'static str, Grammar)> {
    let invoice = json!({
        "type": "object", "additionalProperties": false, "required": ["seller", "date", "lines", "total"],
        "properties": {
            "seller": {"type": "string", "maxLength": 100},
            "date": {"type": "string", "format": "date"},
            "kind": {"enum": ["invoice", "credit note", "reminder"]},
            "lines": {"type": "array", "maxItems": 20, "items": {
                "type": "object", "additionalProperties": false, "required": ["text", "price"],
                "properties": {"text": {"type": "string"}, "count": {"type": "integer", "minimum": 1},
                               "price": {"type": "number", "minimum": 0}}}},
            "total": {"type": "number"}}});
    let properties: serde_json::Map<_, _> = (0..300)
        .map(|n| (format!("field_{n}"), json!({"type": ["string", "null"], "maxLength": 50})))
        .collect();
    let wide = json!({"type": "object", "additionalProperties": false, "properties": properties});
    let arithmetic = "start: sum\nsum: product ((\"+\" | \"-\") product)*\nproduct: atom ((\"*\" | \"/\") atom)*\n\
                      atom: NUMBER | \"(\" sum \")\"\nNUMBER: /[0-9]+(\\.[0-9]+)?/";
    let mut grammars = vec![
        ("invoice", Grammar::JsonSchema(invoice)),
        ("300 properties", Grammar::JsonSchema(wide)),
        ("any object", Grammar::JsonObject),
        ("string", Grammar::JsonSchema(json!({"type": "string"}))),
        ("date", Grammar::Regex("\\d{1,2} [A-Z][a-z]+ \\d{4}".to_owned())),
        ("words", Grammar::Regex("(\\w+ ){5,50}\\w+\\.".to_owned())),
        ("arithmetic", Grammar::Lark(arithmetic.to_owned())),
        ("2000 choices", Grammar::Choice((0..2000).map(|n| format!("c{n}")).collect())),
        // Meant to cost much.
        ("optional x 3000", Grammar::Lark(format!("start: {}", "\"x\"? ".repeat(3_000)))),
        ("x | x | ...", Grammar::Lark(format!("start: {}x\nx: \"x\"", "x | ".repeat(4_000)))),
        ("a a | a a a | x", Grammar::Lark("start: a\na: a a | \"x\" | a a a".to_owned())),
        ("letters x 2000", Grammar::Regex("\\p{L}{2000}".to_owned())),
        ("(.*a){20}", Grammar::Regex("(.*a){20}".to_owned())),
    ];
    grammars.extend(schema.map(|schema| ("file", Grammar::JsonSchema(schema))));
    grammars
}
