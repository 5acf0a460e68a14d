//! Forms to be filled in.

use hayro_syntax::object::{Array, Dict, Name};
use hayro_syntax::xref::XRef;

/// The most fields that are looked at.
const MOST_FIELDS: usize = 10_000;
/// The most fields within fields.
const DEEPEST: usize = 32;

/// Whether the document has a field for text that somebody is to fill in.
pub(super) fn has_text_fields(xref: &XRef) -> bool {
    let form = xref.get::<Dict<'_>>(xref.root_id()).and_then(|c| c.get::<Dict<'_>>("AcroForm"));
    let fields = form.and_then(|form| form.get::<Array<'_>>("Fields"));
    let mut left = MOST_FIELDS;
    fields.is_some_and(|fields| any_text(&fields, false, 0, &mut left))
}

/// Whether any of `fields` is one for text; `inherited` says whether the field above them is.
fn any_text(fields: &Array<'_>, inherited: bool, depth: usize, left: &mut usize) -> bool {
    for field in fields.iter::<Dict<'_>>() {
        if *left == 0 || depth > DEEPEST {
            return false;
        }
        *left -= 1;
        let is_text = match field.get::<Name<'_>>("FT") {
            Some(kind) => kind.as_ref() == b"Tx",
            None => inherited,
        };
        let found = match field.get::<Array<'_>>("Kids") {
            Some(kids) => {
                // What has no name of its own is how a field looks, and not another one.
                let named = kids.iter::<Dict<'_>>().take(*left).any(|kid| kid.contains_key("T"));
                if named { any_text(&kids, is_text, depth + 1, left) } else { is_text }
            }
            None => is_text,
        };
        if found {
            return true;
        }
    }
    false
}
