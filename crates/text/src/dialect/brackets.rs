//! `[TOOL_CALLS]` and a list of JSON objects; in later models a tool's name, `[ARGS]` and its arguments.

use super::forced::{self, Forced};
use super::marked::{Marked, Spec};
use super::{Known, list};

pub(super) const KNOWN: Known = Known {
    name: "brackets",
    about: r#"[TOOL_CALLS][{"name": ..., "arguments": {...}}], or [TOOL_CALLS]name[ARGS]{...}"#,
    signs: &["[TOOL_CALLS]"],
    frames: false,
    marks: &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
    spell: |calls| format!("[TOOL_CALLS]{}", list(calls)),
    force: |tools| Ok(Some(Forced::new("[TOOL_CALLS]", forced::list(tools)))),
    answer: |_| "",
    form: |_| Box::new(Marked::new(&SPEC)),
};

const SPEC: Spec = Spec {
    pairs: &[("[TOOL_CALLS]", None)],
    separators: &["[CALL_ID]", "[ARGS]"],
    fenced: false,
    last: None,
};
