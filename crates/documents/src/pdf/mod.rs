//! Text, rules, images and links of a PDF's pages, and the pages as pictures.
//!
//! The file's syntax, its encryption and its fonts are read by the `hayro` family of crates; what
//! this adds is an interpreter of content streams that keeps to limits and knows which face each
//! character is set in. Pixels come from the renderer of the same family, which keeps to no limits:
//! only a [`Worker`](crate::worker::Worker) may draw strangers' pages.

mod document;
mod draw;
mod face;
mod form;
mod interpret;
mod layers;
mod links;
mod reader;
mod strokes;
mod substitutes;

pub use reader::Reader;

/// A text string of a PDF: UTF-16 or UTF-8 when it says so by its mark, else (nearly) Latin-1.
fn text_string(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| -> String {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => bytes.iter().map(|&b| pdf_doc_char(b)).collect(),
    }
}

/// A byte of PDFDocEncoding where it differs from Latin-1.
fn pdf_doc_char(byte: u8) -> char {
    const FROM_80: [char; 32] = [
        '•', '†', '‡', '…', '—', '–', 'ƒ', '⁄', '‹', '›', '−', '‰', '„', '“', '”', '‘', '’', '‚',
        '™', 'ﬁ', 'ﬂ', 'Ł', 'Œ', 'Š', 'Ÿ', 'Ž', 'ı', 'ł', 'œ', 'š', 'ž', '\u{fffd}',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        0xa0 => '€',
        byte => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_strings_say_how_they_are_encoded() {
        assert_eq!(text_string(b"\xfe\xff\0L\0\xe9"), "Lé");
        assert_eq!(text_string(b"\xff\xfeL\0\xe9\0"), "Lé");
        assert_eq!(text_string(b"\xef\xbb\xbfL\xc3\xa9"), "Lé");
        assert_eq!(text_string(b"L\xe9 \x84 \xa0"), "Lé — €");
        assert_eq!(text_string(b"\xfe\xff\xd8\0"), "\u{fffd}");
    }
}
