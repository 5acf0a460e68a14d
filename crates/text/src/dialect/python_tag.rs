//! JSON with the `parameters` of a call as the whole answer, or behind `<|python_tag|>`; behind that mark also the calls of
//! tools that the model knows by itself, as Python writes them.

use serde_json::json;

use super::bare::Bare;
use super::forced::{Forced, envelope};
use super::out::Out;
use super::pythonic;
use super::reader::Form;
use super::said::Fault;
use super::watch::Watch;
use super::{Known, object};
use crate::grammar::Grammar;

pub(super) const KNOWN: Known = Known {
    name: "python-tag",
    about: r#"{"name": ..., "parameters": {...}}, or <|python_tag|>name.call(key="value")"#,
    signs: &["<|python_tag|>", "Environment: ipython"],
    frames: false,
    marks: &[TAG],
    spell: |calls| {
        calls.iter().map(|call| object(call, "parameters")).collect::<Vec<_>>().join("; ")
    },
    force: |tools| {
        Ok(Some(Forced::new("", Grammar::JsonSchema(envelope(tools, "parameters", "#")))))
    },
    answer: |_| "",
    form: |_| Box::new(PythonTag { bare: Bare::new(), watch: Watch::new(&[TAG]), code: None }),
};

const TAG: &str = "<|python_tag|>";
/// Tools that take code, by the names that they are offered under.
const RUNS_CODE: [&str; 3] = ["code_interpreter", "ipython", "python"];

#[derive(Debug)]
struct PythonTag {
    bare: Bare,
    watch: Watch,
    /// What stands behind the mark and is not JSON; it ends with the answer.
    code: Option<String>,
}

impl PythonTag {
    fn plain(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        out.text(&passed);
        if mark.is_some() {
            self.bare = Bare::marked();
        }
    }
}

impl Form for PythonTag {
    fn take(&mut self, c: char, out: &mut Out) {
        if let Some(code) = &mut self.code {
            code.push(c);
        } else if self.bare.off() {
            self.plain(c, out);
        } else {
            let text = self.bare.take(c, out);
            if self.bare.off() && self.bare.owes() {
                self.code = Some(text);
            } else {
                text.chars().for_each(|c| self.plain(c, out));
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        let owes = self.bare.owes();
        let text = self.bare.finish(out);
        if owes && self.code.is_none() && !self.bare.called() {
            self.code = Some(text);
        } else {
            text.chars().for_each(|c| self.plain(c, out));
        }
        let Some(code) = self.code.take() else {
            out.text(&self.watch.rest());
            return;
        };
        if let Some(calls) = pythonic::read(&code) {
            calls.into_iter().for_each(|(name, arguments)| out.call(&name, &arguments.into()));
        } else if let Some(name) =
            RUNS_CODE.into_iter().find(|name| out.tools().get(name).is_some())
            && !code.trim().is_empty()
        {
            out.call(name, &json!({"code": code}));
        } else {
            let fault = if code.trim().is_empty() { Fault::Unfinished } else { Fault::NotJson };
            out.broken(TAG.to_owned() + &code, fault);
        }
    }
}
