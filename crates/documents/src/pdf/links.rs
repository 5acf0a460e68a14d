//! Link annotations.

use hayro_syntax::object::{Dict, Name, String as PdfString};

use super::text_string;
use crate::Rect;
use crate::layout::Link;

/// Longest target kept, in bytes.
const LONGEST: usize = 4096;

/// The link of an annotation that stands at `bbox`, when it leads to a URI. Links within the file
/// lead to places that Markdown has no names for.
pub(super) fn link(annotation: &Dict<'_>, bbox: Rect) -> Option<Link> {
    let action = annotation.get::<Dict<'_>>("A")?;
    if action.get::<Name<'_>>("S")?.as_ref() != b"URI" {
        return None;
    }
    let target = text_string(&action.get::<PdfString<'_>>("URI")?);
    let target = target.trim();
    // Only what a reader may safely click: no scripts, no files.
    let lower = target.to_ascii_lowercase();
    let safe = ["http://", "https://", "mailto:", "tel:", "ftp://", "www."]
        .iter()
        .any(|scheme| lower.starts_with(scheme));
    let clean = target.len() <= LONGEST && !target.chars().any(char::is_control);
    (safe && clean).then(|| Link { bbox, target: target.to_owned() })
}
