//! Marks in full-width bars around a tool's name and its arguments, which older models write in a fence: DeepSeek.

use super::forced::named;
use super::marked::{Marked, Spec};
use super::{Known, python};
use crate::message::ToolCall;

pub(super) const KNOWN: Known = Known {
    name: "deepseek",
    about: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    signs: &["<｜tool▁call▁begin｜>"],
    frames: false,
    marks: &[
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
    ],
    spell: |calls| {
        let call = |call: &ToolCall| {
            let arguments = python(&call.arguments);
            format!(
                "<｜tool▁call▁begin｜>{}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>",
                call.name
            )
        };
        let calls: String = calls.iter().map(call).collect();
        format!("<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>")
    },
    force: |tools| {
        named("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", tools, "<｜tool▁sep｜>").map(Some)
    },
    answer: |_| "",
    form: |_| Box::new(Marked::new(&SPEC)),
};

const SPEC: Spec = Spec {
    pairs: &[
        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", Some("<｜tool▁call▁end｜>")),
        ("<｜tool▁call▁begin｜>", Some("<｜tool▁call▁end｜>")),
    ],
    separators: &["<｜tool▁sep｜>"],
    fenced: true,
    last: Some("<｜tool▁calls▁end｜>"),
};
