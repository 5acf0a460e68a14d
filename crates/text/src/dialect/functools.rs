//! A list of JSON objects behind `functools` or between `<|tool_call|>` and `<|/tool_call|>`.

use super::forced::{self, Forced};
use super::marked::{Marked, Spec};
use super::{Known, list};

pub(super) const KNOWN: Known = Known {
    name: "functools",
    about: r#"<|tool_call|>[{"name": ..., "arguments": {...}}]<|/tool_call|>, or functools[...]"#,
    signs: &["<|tool_call|>", "<|tool|>", "functools"],
    frames: false,
    marks: &["<|tool_call|>", "<|/tool_call|>"],
    spell: |calls| format!("<|tool_call|>{}<|/tool_call|>", list(calls)),
    force: |tools| Ok(Some(Forced::new("<|tool_call|>", forced::list(tools)))),
    answer: |_| "",
    form: |_| Box::new(Marked::new(&SPEC)),
};

const SPEC: Spec = Spec {
    pairs: &[("<|tool_call|>", Some("<|/tool_call|>")), ("functools", None)],
    separators: &[],
    fenced: false,
    last: None,
};
