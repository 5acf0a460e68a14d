//! No calls: all is text.

use super::out::Out;
use super::reader::Form;
use super::{Known, fenced};

pub(super) const KNOWN: Known = Known {
    name: "plain",
    about: "no calls",
    signs: &[],
    frames: false,
    marks: &[],
    spell: fenced::spell,
    force: |_| Ok(None),
    answer: |_| "",
    form: |_| Box::new(Plain),
};

#[derive(Debug)]
struct Plain;

impl Form for Plain {
    fn take(&mut self, c: char, out: &mut Out) {
        out.text(c.encode_utf8(&mut [0; 4]));
    }

    fn finish(&mut self, _: &mut Out) {}
}
