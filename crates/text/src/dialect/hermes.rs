//! `<tool_call>` and a JSON object, once for each call: Hermes, and the many that took it over.

use super::Known;
use super::marked::{Marked, Spec};

pub(super) const KNOWN: Known = Known {
    name: "hermes",
    about: r#"<tool_call>{"name": ..., "arguments": {...}}</tool_call>"#,
    signs: &["<tool_call>"],
    frames: false,
    marks: &["<tool_call>", "</tool_call>"],
    form: |_| Box::new(Marked::new(&SPEC)),
};

const SPEC: Spec = Spec {
    pairs: &[("<tool_call>", Some("</tool_call>"))],
    separators: &[],
    fenced: false,
    last: None,
};
