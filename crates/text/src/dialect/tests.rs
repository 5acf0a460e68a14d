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

/// All that is said, without what is said about it.
fn words(said: &[Said]) -> String {
    let word = |said: &Said| match said {
        Said::Text(text) | Said::Reasoning(text) | Said::Broken { text, .. } => text.clone(),
        Said::CallBegin { name, .. } => name.clone(),
        Said::CallArguments { delta, .. } => delta.clone(),
        Said::CallEnd { .. } => String::new(),
    };
    said.iter().map(word).collect()
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
        // More than a call has.
        (
            "<tool_call>{\"name\":\"add\",\"x\": 1, \"id\": 3,\"arguments\":{}, \"y\":[2]}</tool_call>.",
            "|add{}|[\"x\": 1\"y\":[2]!extra].",
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
fn elements() {
    let elements = dialect("elements", None);
    let call = "<tool_call>\n<function=weather>\n<parameter=place>\nKöln \"<b>\"\n\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>";
    let read = "|weather{\"place\": \"Köln \\\"<b>\\\"\\n\", \"days\": 2}|";
    for (answer, expected) in [
        (format!("I look.\n{call}\n{call}\n"), format!("I look.{read}{read}")),
        // Without the outer mark; without the inner ends; a tool that was not offered.
        ("<function=add>\n</function>".into(), "|add{}|".into()),
        (
            "<tool_call><function=sub><parameter=a>1</function></tool_call> So".into(),
            "|sub?{\"a\": \"1\"}|So".into(),
        ),
        (
            "<function=add><parameter=a>1</parameter></tool_call>.".into(),
            "|add{\"a\": \"1\"}|.".into(),
        ),
        // Words about marks.
        (
            "A <function=> or <tool_call> or <function=a\nb".into(),
            "A <function=> or <tool_call> or <function=a\nb".into(),
        ),
        ("<tool_call>\n{}</tool_call>".into(), "<tool_call>\n{}</tool_call>".into()),
        // Other marks within a value.
        (
            "<function=weather><parameter=place><tool_call><function=a></parameter></function>"
                .into(),
            "|weather{\"place\": \"<tool_call><function=a>\"}|".into(),
        ),
        // Cut short, damaged, twice the same.
        ("<function=add><parameter=a>1".into(), "|add{\"a\": 1!unfinished|".into()),
        (
            "<function=weather><parameter=place>Kö\n</para".into(),
            "|weather{\"place\": \"Kö\\n</para!unfinished|".into(),
        ),
        ("<function=add><parameter=a".into(), "|add{<parameter=a!unfinished|".into()),
        ("<tool_call><function=ad".into(), "[<tool_call><function=ad!unfinished]".into()),
        ("<function=add>oh</function>".into(), "|add{}!unfinished|oh</function>".into()),
        (
            "<function=add><parameter=a>1</parameter><parameter=a>2</parameter></function>".into(),
            "|add{\"a\": \"1\", \"a\": \"2\"}!repeated_parameter|".into(),
        ),
    ] {
        says(&elements, "", &answer, &expected);
    }
}

#[test]
fn brackets() {
    let brackets = dialect("brackets", None);
    for (answer, expected) in [
        (
            "[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {\"a\": [1]}, \"id\": \"abcdefghi\"}, {\"name\": \"weather\", \"arguments\": {}}]",
            "|add{\"a\": [1]}||weather{}|",
        ),
        (
            "I add. [TOOL_CALLS]add[ARGS]{\"a\": \"[TOOL_CALLS]\"}[TOOL_CALLS]sub[ARGS]{}",
            "I add.|add{\"a\": \"[TOOL_CALLS]\"}||sub?{}|",
        ),
        ("[TOOL_CALLS]add[CALL_ID]abcdefghi[ARGS]{}", "|add{}|"),
        ("[TOOL_CALLS]add{\"a\": 1}", "|add{\"a\": 1}|"),
        ("[TOOL_CALLS]add[ARGS]{\"a\": x} or", "|add{\"a\": x} or!not_json|"),
        ("[TOOL_CALLS]add[ARGS][1]", "|add[1]!not_an_object|"),
        ("[TOOL_CALLS]add[ARGS]{\"a\"", "|add{\"a\"!unfinished|"),
        ("[TOOL_CALLS]add[ARGS]", "[[TOOL_CALLS]add[ARGS]!unfinished]"),
        ("[TOOL_CALLS] is a mark [A", "[TOOL_CALLS] is a mark [A"),
        ("[TOOL_CALLS][{\"name\": \"add\"}, 3] a", "|add{}|[, 3!not_json]] a"),
        ("[TOOL_CALLS][{\"name\": \"add\"}", "|add{}|"),
        ("[TOOL_CALLS]ad", "[TOOL_CALLS]ad"),
    ] {
        says(&brackets, "", answer, expected);
    }
}

#[test]
fn deepseek() {
    let deepseek = dialect("deepseek", THINK);
    for (answer, expected) in [
        (
            "<think>\nhm</think>I add.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>sub<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "(hm)I add.|add{\"a\": 1}||sub?{}|",
        ),
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": \"```\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>Done",
            "|add{\"a\": \"```\"}||add{}|Done",
        ),
        ("The mark <｜tool▁calls▁begin｜> and", "The mark <｜tool▁calls▁begin｜> and"),
        (
            "<｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": oh}<｜tool▁call▁end｜><｜tool▁calls▁end｜> b",
            "|add{\"a\": oh}!not_json|b",
        ),
        ("<｜tool▁call▁begin｜>add<｜tool▁sep｜><｜tool▁call▁end｜>", "|add!not_an_object|"),
        (
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1",
            "|add{\"a\": 1!unfinished|",
        ),
        (
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n",
            "[<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n!unfinished]",
        ),
    ] {
        says(&deepseek, "", answer, expected);
    }
}

#[test]
fn functools() {
    let functools = dialect("functools", None);
    for (answer, expected) in [
        (
            "<|tool_call|>[{\"name\": \"add\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
            "|add{\"a\": 1}|",
        ),
        ("functools[{\"name\": \"add\"}, {\"name\": \"add\"}]", "|add{}||add{}|"),
        ("import functools\n", "import functools\n"),
        ("functools [1]", "functools [1]"),
    ] {
        says(&functools, "", answer, expected);
    }
}

#[test]
fn python_tag() {
    let tag = dialect("python-tag", None);
    for (answer, expected) in [
        ("{\"name\": \"add\", \"parameters\": {\"a\": 1}}", "|add{\"a\": 1}|"),
        (
            "\n{\"type\": \"function\", \"name\": \"add\", \"parameters\": {}}; {\"name\": \"weather\", \"parameters\": {}}",
            "|add{}||weather{}|",
        ),
        ("{\"type\": \"function\", \"function\": \"add\", \"parameters\": {}}", "|add{}|"),
        ("<|python_tag|>{\"name\": \"sub\", \"parameters\": {}}", "|sub?{}|"),
        ("<|python_tag|>weather.call(place=\"Köln\")", "|weather{\"place\":\"Köln\"}|"),
        (
            "[weather(place='Köln', days=2), add()]",
            "|weather{\"place\":\"Köln\",\"days\":2}||add{}|",
        ),
        // JSON and lists that are answers.
        ("{\"name\": \"Ada\", \"age\": 3}", "{\"name\": \"Ada\", \"age\": 3}"),
        ("{\"city\": 1}", "{\"city\": 1}"),
        ("{\"name\": \"add\", \"age\": 3}", "{\"name\": \"add\", \"age\": 3}"),
        ("[1, 2]", "[1, 2]"),
        ("[weather is", "[weather is"),
        ("Yes {\"name\": \"add\"}", "Yes {\"name\": \"add\"}"),
        // Damaged.
        ("{\"name\": \"add\", \"parameters\": {\"a\": 1}", "|add{\"a\": 1}|"),
        ("{\"name\": \"add\", \"parameters\": {\"a\": oh}} b", "|add{\"a\": oh}} b!not_json|"),
        ("{\"name\": \"add\", \"param", "{\"name\": \"add\", \"param"),
        ("[add(a=1", "[[add(a=1!unfinished]"),
        ("<|python_tag|>import os", "[<|python_tag|>import os!not_json]"),
        ("<|python_tag|>{\"name\"", "[<|python_tag|>{\"name\"!not_json]"),
        ("a <|python_tag|>", "a [<|python_tag|>!unfinished]"),
    ] {
        says(&tag, "", answer, expected);
    }
    let mut reader = tag.reader(&Tools::new(Some(&json!([{"name": "code_interpreter"}]))), "");
    let mut said = reader.push("<|python_tag|>import os\n");
    said.extend(reader.finish());
    assert_eq!(short(joined(said)), "|code_interpreter{\"code\":\"import os\\n\"}|");
}

#[test]
fn fenced() {
    let fenced = dialect("fenced", None);
    for (answer, expected) in [
        (
            "I look.\n```tool_code\nprint(weather(place=\"Köln\"))\n```\nSo.",
            "I look.|weather{\"place\":\"Köln\"}|So.",
        ),
        ("```tool_call\n{\"name\": \"sub\", \"arguments\": {\"a\": 1}}\n```", "|sub?{\"a\":1}|"),
        ("```json\n[{\"name\": \"add\"}]\n```", "|add{}|"),
        ("```json\n{\"name\": \"Ada\"}\n``` is", "```json\n{\"name\": \"Ada\"}\n``` is"),
        ("{\"name\": \"add\", \"parameters\": {}}", "|add{}|"),
        ("[add()]", "|add{}|"),
        ("```tool_code\nx = 1\n``` a", "[```tool_code\nx = 1\n```!not_json] a"),
        ("```tool_code\nadd(a=", "[```tool_code\nadd(a=!unfinished]"),
        ("```tool_code\nadd()", "|add{}|"),
        ("```python\nx\n```", "```python\nx\n```"),
    ] {
        says(&fenced, "", answer, expected);
    }
}

#[test]
fn harmony() {
    let harmony = dialect("harmony", None);
    let start = "<|start|>user<|message|>Hi<|end|><|start|>assistant";
    for (prompt, answer, expected) in [
        (
            start,
            "<|channel|>analysis<|message|>hm <|end|><|start|>assistant<|channel|>final<|message|>Yes <|return|>",
            "(hm)Yes",
        ),
        (
            start,
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\": 1}<|call|>",
            "(hm)|add{\"a\": 1}|",
        ),
        (
            start,
            "<|channel|>commentary<|message|>I add.<|end|><|start|>assistant to=functions.sub<|channel|>commentary json<|message|>{}",
            "I add.|sub?{}|",
        ),
        (start, "<|channel|>analysis to=python<|message|>1 + 1<|call|>", "|python?1 + 1!not_json|"),
        (start, "<|channel|>commentary to=functions.add<|message|><|call|>", "|add{}|"),
        (
            start,
            "<|channel|>commentary to=functions.add<|message|>{\"a\"",
            "|add{\"a\"!unfinished|",
        ),
        (
            start,
            "<|channel|>commentary to=functions.add<|mess",
            "[<|channel|>commentary to=functions.add<|mess!unfinished]",
        ),
        // What the template or the caller began.
        ("<|start|>assistant<|channel|>final<|message|>Once", " upon", " upon"),
        (
            "<|start|>assistant<|channel|>analysis<|message|>",
            "hm<|end|><|start|>assistant<|channel|>final<|message|>a",
            "(hm)a",
        ),
        // Without any marks.
        ("", "Yes.", "Yes."),
    ] {
        says(&harmony, prompt, answer, expected);
    }
    // The channels are read with tools or without.
    let mut reader = harmony.reader(&Tools::default(), start);
    assert_eq!(reader.marks().len(), 7);
    let said = reader.push("<|channel|>analysis<|message|>hm");
    assert_eq!(said, [Said::Reasoning("hm".into())]);
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
    "'",
    "<tool_call>",
    "</tool_call>",
    "{\"name\": \"add\", \"arguments\": ",
    "{\"a\": 1}",
    "{\"name\": \"add\"}",
    "\"name\"",
    "weather",
    "add",
    "{}",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "[{\"name\": \"add\"}",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "```json",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
    "functools",
    "<|tool_call|>",
    "<|/tool_call|>",
    "function",
    "<function=",
    "<function=add>",
    "</function>",
    "<parameter=place>",
    "<parameter=",
    "</parameter>",
    "<|python_tag|>",
    "add(",
    "[add(a=1)]",
    "```tool_code",
    "<|start|>",
    "assistant",
    "<|channel|>",
    "analysis",
    "final",
    "commentary",
    "to=functions.add",
    "<|constrain|>",
    "<|message|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
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

/// What models write when nothing goes wrong, with words of which none may be lost.
const WHOLE: &[&str] = &[
    "<think>\nw1.\n</think>\n\nw2.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"w3. \\\" } \", \"b\": [1, {\"c\": -2.5e3}]}}\n</tool_call>\n<tool_call>{\"arguments\": {\"a\": \"w4.\"}, \"id\": \"\", \"name\": \"w5.\"}</tool_call>w6.",
    "w1.\n<tool_call>\n<function=weather>\n<parameter=place>\nw2.\n\"<é>\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>\n<function=w3.>\n<parameter=w4.>w5.</parameter></function>w6.",
    "<think>w1.</think>w2.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": \"w3.\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>w4.\n```json\n{\"b\": \"w5.\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>w6.",
    "w1. [TOOL_CALLS] [{\"name\": \"w2.\", \"arguments\": {\"a\": [\"w3.\"]}, \"id\": \"\"}, {\"name\": \"add\", \"arguments\": \"{\\\"a\\\": 1}\"}]w4.",
    "[THINK]w1.[/THINK]w2.[TOOL_CALLS]add[ARGS]{\"a\": \"w3.\"}[TOOL_CALLS]w4.[CALL_ID]a[ARGS]{\"b\": {\"c\": \"w5.\"}}",
    "{\"name\": \"add\", \"parameters\": {\"a\": \"w1.\"}}; {\"type\": \"function\", \"function\": \"weather\", \"parameters\": {\"place\": \"w2.\"}} w3.",
    "[add(a='w1.', b=[1, {'c': \"w2.\"}]), weather(place=\"\"\"w3.\"\"\")]",
    "w1. <|python_tag|>weather.call(place=\"w2.\")",
    "w1.\n```tool_code\nprint(add(a=\"w2.\"))\n```\nw3. ```json\n{\"name\": \"add\", \"arguments\": {\"a\": \"w4.\"}}\n```w5.",
    "w1.<|tool_call|>[{\"name\": \"add\", \"arguments\": {\"a\": \"w2.\"}}]<|/tool_call|>functools[{\"name\": \"w3.\"}]w4.",
    "<|channel|>analysis<|message|>w1.<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\": \"w2.\"}<|call|><|start|>assistant<|channel|>final<|message|>w3.<|return|>",
];

/// One of these, damaged in some places: a piece put in, a range taken out.
fn damaged() -> impl Strategy<Value = String> {
    let wound =
        (any::<prop::sample::Index>(), 0usize..12, prop::option::of(prop::sample::select(PIECES)));
    (prop::sample::select(WHOLE), prop::collection::vec(wound, 0..4)).prop_map(|(whole, wounds)| {
        let mut letters: Vec<String> = whole.chars().map(String::from).collect();
        for (at, gone, piece) in wounds {
            let at = at.index(letters.len() + 1);
            let end = (at + gone).min(letters.len());
            letters.splice(at..end, piece.map(str::to_owned));
        }
        letters.concat()
    })
}

/// Whether every split says the same, no word is lost, and calls are well formed.
fn holds(text: &str, mut cuts: Vec<usize>, within: bool) -> Result<(), TestCaseError> {
    cuts.iter_mut().for_each(|at| *at = (*at).min(text.len()));
    cuts.retain(|&at| text.is_char_boundary(at));
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
            let said = joined(read(&dialect, prompt, &[text]));
            prop_assert_eq!(&joined(read(&dialect, prompt, &pieces)), &said);
            let all = words(&said);
            for (at, _) in text.match_indices('w') {
                let word = text[at..].split_inclusive('.').next().unwrap_or("");
                let digits = word[1..].trim_end_matches('.');
                if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
                    continue;
                }
                // A header says for whom a message is, and nothing else.
                let marks = known.marks.iter();
                let last = marks.filter_map(|mark| Some((text[..at].rfind(mark)?, *mark))).max();
                let header = last.is_some_and(|(_, mark)| {
                    ["<|start|>", "<|channel|>", "<|constrain|>"].contains(&mark)
                });
                prop_assert!(
                    all.contains(word) || known.frames && header,
                    "{} lost {word} of {text:?}: {all:?}",
                    known.name
                );
            }
            well_formed(&said)?;
        }
    }
    Ok(())
}

/// Calls are numbered, do not overlap, and those without a fault have objects.
fn well_formed(said: &[Said]) -> Result<(), TestCaseError> {
    let (mut next, mut open) = (0, None);
    for said in said {
        match said {
            Said::CallBegin { index, .. } => {
                prop_assert_eq!((*index, open), (next, None));
                open = Some(next);
                next += 1;
            }
            Said::CallArguments { index, .. } => prop_assert_eq!(open, Some(*index)),
            Said::CallEnd { index, .. } => prop_assert_eq!(open.take(), Some(*index)),
            Said::Text(_) | Said::Reasoning(_) | Said::Broken { .. } => {
                prop_assert_eq!(open, None);
            }
        }
    }
    prop_assert_eq!(open, None);
    let answer: Answer = said.iter().cloned().collect();
    for call in answer.calls.iter().filter(|call| call.fault.is_none()) {
        prop_assert!(call.object().is_some());
    }
    Ok(())
}

const CASES: u32 = 500;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn nothing_is_lost_of_noise(text in transcript(), cuts in prop::collection::vec(0usize..200, 0..8), within: bool) {
        holds(&text, cuts, within)?;
    }

    #[test]
    fn nothing_is_lost_of_damaged_answers(text in damaged(), cuts in prop::collection::vec(0usize..400, 0..12), within: bool) {
        holds(&text, cuts, within)?;
    }
}

/// What is held to a form is read as the answer, whatever the template began.
#[test]
fn what_is_held_to_a_form_is_the_answer() {
    let thinks = Some(("<think>", "</think>"));
    for (name, thought, prompt) in [
        ("hermes", thinks, "<|im_start|>assistant\n<think>\n"),
        ("hermes", thinks, "<|im_start|>assistant\n"),
        ("hermes", thinks, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ("harmony", None, "<|start|>user<|message|>hi<|end|><|start|>assistant"),
        ("harmony", None, "<|start|>assistant<|channel|>final<|message|>"),
        ("plain", None, "a"),
    ] {
        let dialect = dialect(name, thought);
        let held = dialect.held(Grammar::JsonObject, prompt);
        let mut reader = dialect.reader(&Tools::default(), prompt);
        let mut said = reader.push(&held.prefix);
        said.extend(reader.push("{\"name\": \"add\", \"arguments\": {}}"));
        said.extend(reader.finish());
        let blank = |said: &Said| matches!(said, Said::Reasoning(text) if text.trim().is_empty());
        said.retain(|said| !blank(said));
        let text = short(said);
        assert_eq!(text, "{\"name\": \"add\", \"arguments\": {}}", "{name}: {prompt:?}");
    }
}
