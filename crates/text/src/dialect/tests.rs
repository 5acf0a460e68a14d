//! Every dialect on transcripts, on damaged ones, and on every split of them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn tools() -> Tools {
    Tools::new(Some(&json!([
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {
            "place": {"type": "string"}, "days": {"type": "integer"}}}}},
        {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}},
    ])))
}

fn dialect(name: &str, thought: Option<Marks>) -> Dialect {
    let known = KNOWN.iter().find(|known| known.name == name).unwrap();
    Dialect { known, thought, special: [].into() }
}

fn read(dialect: &Dialect, prompt: &str, pieces: &[&str]) -> Vec<Said> {
    let mut reader = dialect.reader(&tools(), prompt);
    let mut said: Vec<Said> = pieces.iter().flat_map(|piece| reader.push(piece)).collect();
    said.extend(reader.finish());
    said
}

/// With neighbours of a kind joined, which is all that a split may change.
fn joined(said: Vec<Said>) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::new();
    for said in said {
        match (out.last_mut(), &said) {
            (Some(Said::Text(text)), Said::Text(more))
            | (Some(Said::Reasoning(text)), Said::Reasoning(more)) => text.push_str(more),
            (
                Some(Said::CallArguments { index, delta }),
                Said::CallArguments { index: same, delta: more },
            ) if index == same => delta.push_str(more),
            _ => out.push(said),
        }
    }
    out
}

/// What is said in few words: `text`, `(thought)`, `name{arguments}`, `!fault`, `[broken!fault]`.
fn short(said: Vec<Said>) -> String {
    let mut out = String::new();
    for said in said {
        match said {
            Said::Text(text) => out += &text,
            Said::Reasoning(text) => out += &format!("({text})"),
            Said::CallBegin { name, offered, .. } => {
                out += &format!("|{name}{}", if offered { "" } else { "?" });
            }
            Said::CallArguments { delta, .. } => out += &delta,
            Said::CallEnd { fault: Some(fault), .. } => out += &format!("!{}|", fault.name()),
            Said::CallEnd { .. } => out += "|",
            Said::Broken { text, fault } => out += &format!("[{text}!{}]", fault.name()),
        }
    }
    out
}

#[track_caller]
fn says(dialect: &Dialect, prompt: &str, answer: &str, expected: &str) {
    assert_eq!(short(joined(read(dialect, prompt, &[answer]))), expected, "{answer}");
    let letters: Vec<String> = answer.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(short(joined(read(dialect, prompt, &letters))), expected, "{answer} in letters");
}

const THINK: Option<Marks> = Some(THOUGHTS[0]);

#[test]
fn hermes() {
    let hermes = dialect("hermes", None);
    for (answer, expected) in [
        ("Hello <b>.\n", "Hello <b>.\n"),
        (
            "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"</tool_call>\", \"days\": 2}}\n</tool_call>",
            "I look.|weather{\"place\": \"</tool_call>\", \"days\": 2}|",
        ),
        (
            "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"arguments\": {\"a\": 1}, \"name\": \"sub\"}\n</tool_call>\nDone. ",
            "|add{}||sub?{\"a\": 1}|Done. ",
        ),
        // Arguments in a string, by another name, and none.
        (
            "<tool_call>{\"name\":\"add\",\"parameters\":\"{\\\"a\\\": 1}\"}</tool_call><tool_call>{\"name\":\"add\"}</tool_call>",
            "|add{\"a\": 1}||add{}|",
        ),
        // Two in one pair of marks, and as a list.
        (
            "<tool_call>{\"name\":\"add\"}\n{\"name\":\"add\"}</tool_call>.<tool_call>[{\"name\":\"add\"}, {\"name\":\"add\"}]</tool_call>.",
            "|add{}||add{}|.|add{}||add{}|.",
        ),
        // A bracket too few changes nothing; with one too many, it is text.
        ("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}</tool_call> So", "|add{\"a\":1}|So"),
        ("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}}}</tool_call>", "|add{\"a\":1}|}"),
        // Line ends in strings.
        (
            "<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":\"x\ny\"}}</tool_call>",
            "|add{\"a\":\"x\\ny\"}|",
        ),
        // A word about the mark.
        ("The tag <tool_call> and </tool_call> are", "The tag <tool_call> and </tool_call> are"),
        ("The tag <tool_call>", "The tag <tool_call>"),
        // Cut short: before the name is known, within the arguments, behind them.
        ("a <tool_call>{\"name\": \"ad", "a [<tool_call>{\"name\": \"ad!unfinished]"),
        (
            "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": \"b",
            "|add{\"a\": \"b!unfinished|",
        ),
        ("<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1}", "|add{\"a\": 1}|"),
        ("<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1}}", "|add{\"a\": 1}|"),
        // Not JSON.
        (
            "a <tool_call>{name: add}</tool_call> b",
            "a [<tool_call>{name: add}</tool_call>!not_json] b",
        ),
        (
            "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1 + 1}}</tool_call> b",
            "|add{\"a\": 1 + 1}}!not_json|b",
        ),
        (
            "<tool_call>{\"name\": \"add\", \"arguments\": [1]}</tool_call>",
            "|add[1]!not_an_object|",
        ),
        (
            "<tool_call>{\"arguments\": {}}</tool_call>",
            "[<tool_call>{\"arguments\": {}}</tool_call>!no_name]",
        ),
        ("<tool_call>{\"name\": 3}</tool_call>", "[<tool_call>{\"name\": 3}</tool_call>!no_name]"),
    ] {
        says(&hermes, "", answer, expected);
    }
}

#[test]
fn thinking() {
    let hermes = dialect("hermes", THINK);
    let call = "<tool_call>{\"name\": \"add\"}</tool_call>";
    for (prompt, answer, expected) in [
        ("", "<think>\nhm \n</think>\n\nYes ", "(hm)Yes "),
        ("", "\n<think></think>Yes", "Yes"),
        ("", "\nYes <think>no</think>", "\nYes <think>no</think>"),
        ("", "<thin", "<thin"),
        ("", "<think>a</thin", "(a</thin)"),
        ("<think>\n", "hm <think>\n</think>\nYes", "(hm <think>)Yes"),
        ("<think>\n", "<think>\nhm</think>Yes", "(hm)Yes"),
        ("<think>\n", "</think>Yes", "Yes"),
        ("<think>\nfirst", "then</think>Yes", "(then)Yes"),
        ("<think>\n\n</think>\n\n", "Yes", "Yes"),
        ("<think>", &format!("or {call}</think>\n{call}"), &format!("(or {call})|add{{}}|")),
        ("<think>", "long", "(long)"),
    ] {
        says(&hermes, prompt, answer, expected);
    }
    let brackets = dialect("plain", Some(THOUGHTS[1]));
    says(&brackets, "", "[THINK]a[/THINK]b", "(a)b");
    // Whoever only wrote the mark in a question opened no thought.
    let special = ["<|im_end|>".to_owned()].into();
    let hermes = Dialect { special, ..dialect("hermes", THINK) };
    says(&hermes, "What is <think>?<|im_end|>\nassistant\n", "A tag", "A tag");
}

#[test]
fn without_tools_nothing_is_a_call() {
    let answer = "<tool_call>{\"name\": \"add\"}</tool_call>";
    let mut reader = dialect("hermes", THINK).reader(&Tools::default(), "");
    assert_eq!(reader.marks(), ["<think>", "</think>"]);
    let mut said = reader.push(answer);
    said.extend(reader.finish());
    assert_eq!(joined(said), [Said::Text(answer.into())]);
}

#[test]
fn an_answer_is_put_together() {
    let answer = "<think>a</think>b<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1}}</tool_call><tool_call>{3</tool_call>";
    let answer: Answer = read(&dialect("hermes", THINK), "", &[answer]).into_iter().collect();
    assert_eq!(answer.text, "b<tool_call>{3</tool_call>");
    assert_eq!(answer.reasoning, "a");
    assert_eq!(answer.broken, [Fault::NotJson]);
    assert_eq!(answer.calls.len(), 1);
    assert_eq!(answer.calls[0].object().unwrap()["a"], 1);
}

/// Pieces of which transcripts are made, whole and damaged.
const PIECES: &[&str] = &[
    "<think>",
    "</think>",
    "\n",
    " ",
    "a",
    "é",
    "<",
    ">",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    ";",
    "\\",
    "1",
    "```",
    "=",
    "(",
    ")",
    "<tool_call>",
    "</tool_call>",
    "{\"name\": \"add\", \"arguments\": ",
    "{\"a\": 1}",
    "{\"name\": \"add\"}",
    "\"name\"",
    "weather",
    "add",
    "{}",
];

/// Words of which none may be lost: `w1.`, `w2.`, ... are put between the pieces.
fn transcript() -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(PIECES), any::<bool>()), 0..14).prop_map(|pieces| {
        let mut out = String::new();
        for (number, (piece, word)) in pieces.into_iter().enumerate() {
            out += piece;
            if word {
                out += &format!("w{number}.");
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn every_split_says_the_same_and_nothing_is_lost(
        text in transcript(),
        cuts in prop::collection::vec(0usize..200, 0..8),
        within: bool,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&at| text.is_char_boundary(at.min(text.len()))).map(|at| at.min(text.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for at in cuts.into_iter().chain([text.len()]) {
            pieces.push(&text[from..at]);
            from = at;
        }
        let prompt = if within { "<think>" } else { "" };
        for known in KNOWN {
            for thought in [None, THINK] {
                let dialect = dialect(known.name, thought);
                let said = joined(read(&dialect, prompt, &[&text]));
                prop_assert_eq!(&joined(read(&dialect, prompt, &pieces)), &said);
                let all = short(said.clone());
                for word in text.match_indices('w').filter_map(|(at, _)| text[at..].split_inclusive('.').next()) {
                    if word.len() < 5 && word.ends_with('.') {
                        prop_assert!(all.contains(word), "{} lost {word} of {text:?}: {all:?}", known.name);
                    }
                }
                // Calls are numbered, do not overlap, and those without a fault are objects.
                let (mut next, mut open) = (0, None);
                for said in &said {
                    match said {
                        Said::CallBegin { index, .. } => {
                            prop_assert_eq!((*index, open), (next, None));
                            open = Some(next);
                            next += 1;
                        }
                        Said::CallArguments { index, .. } => prop_assert_eq!(open, Some(*index)),
                        Said::CallEnd { index, .. } => prop_assert_eq!(open.take(), Some(*index)),
                        Said::Text(_) | Said::Reasoning(_) | Said::Broken { .. } => prop_assert_eq!(open, None),
                    }
                }
                prop_assert_eq!(open, None);
                let answer: Answer = said.into_iter().collect();
                for call in answer.calls.iter().filter(|call| call.fault.is_none()) {
                    prop_assert!(call.object().is_some());
                }
            }
        }
    }
}
