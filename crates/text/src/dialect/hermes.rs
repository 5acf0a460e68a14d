//! `<tool_call>` and a JSON object, once for each call: Hermes, and the many that took it over.

use super::forced::{Forced, envelope};
use super::marked::{Marked, Spec};
use super::{Known, object};
use crate::grammar::Grammar;

pub(super) const KNOWN: Known = Known {
    name: "hermes",
    about: r#"<tool_call>{"name": ..., "arguments": {...}}</tool_call>"#,
    signs: &["<tool_call>"],
    frames: false,
    marks: &["<tool_call>", "</tool_call>"],
    spell: |calls| {
        let call = |call| format!("<tool_call>\n{}\n</tool_call>", object(call, "arguments"));
        calls.iter().map(call).collect::<Vec<_>>().join("\n")
    },
    force: |tools| {
        Ok(Some(Forced::new(
            "<tool_call>\n",
            Grammar::JsonSchema(envelope(tools, "arguments", "#")),
        )))
    },
    answer: |_| "",
    form: |_| Box::new(Marked::new(&SPEC)),
};

const SPEC: Spec = Spec {
    pairs: &[("<tool_call>", Some("</tool_call>"))],
    separators: &[],
    fenced: false,
    last: None,
};
