//! What a file is, by its first bytes.

use std::fmt;

/// How far into a file a PDF header may stand; other readers agree on the first kibibyte.
const HEADER_WINDOW: usize = 1024;

/// A kind of file, as far as its bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileKind {
    /// A PDF.
    Pdf,
    /// A PNG image.
    Png,
    /// A JPEG image.
    Jpeg,
    /// A GIF image.
    Gif,
    /// A TIFF image.
    Tiff,
    /// A WebP image.
    Webp,
    /// A BMP image.
    Bmp,
    /// An HEIC or AVIF image.
    Heif,
    /// A Word document (docx).
    Docx,
    /// An Excel workbook (xlsx).
    Xlsx,
    /// A PowerPoint presentation (pptx).
    Pptx,
    /// An OpenDocument file.
    OpenDocument,
    /// An EPUB book.
    Epub,
    /// Some other ZIP archive.
    Zip,
    /// An older Microsoft Office file (doc, xls, ppt, msg).
    OleCompound,
    /// Rich text.
    Rtf,
    /// A PostScript program.
    PostScript,
    /// An HTML page.
    Html,
    /// XML.
    Xml,
    /// A gzip archive.
    Gzip,
    /// A DjVu document.
    Djvu,
    /// Text.
    Text,
    /// Only zero bytes, as a failed download or a lost disk block leaves them.
    Zeros,
    /// None of these.
    Unknown,
}

impl FileKind {
    /// The kind of a file that begins with `bytes`. A ZIP is told apart by the names it holds, so
    /// more bytes tell more; 64 KiB are plenty.
    pub fn of(bytes: &[u8]) -> Self {
        let head = &bytes[..bytes.len().min(HEADER_WINDOW)];
        if find(head, b"%PDF-").is_some() {
            return Self::Pdf;
        }
        const MAGIC: &[(&[u8], FileKind)] = &[
            (b"\x89PNG\r\n\x1a\n", FileKind::Png),
            (b"\xff\xd8\xff", FileKind::Jpeg),
            (b"GIF8", FileKind::Gif),
            (b"II*\0", FileKind::Tiff),
            (b"MM\0*", FileKind::Tiff),
            (b"II+\0", FileKind::Tiff),
            (b"MM\0+", FileKind::Tiff),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind::OleCompound),
            (b"{\\rtf", FileKind::Rtf),
            (b"%!PS", FileKind::PostScript),
            (b"\x1f\x8b", FileKind::Gzip),
            (b"AT&TFORM", FileKind::Djvu),
        ];
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *kind;
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
            return Self::Webp;
        }
        if head.get(4..8) == Some(b"ftyp")
            && matches!(head.get(8..12), Some(b"heic" | b"heix" | b"mif1" | b"avif"))
        {
            return Self::Heif;
        }
        // Two letters alone begin many a text; what follows them is the size of one of the known headers.
        if head.starts_with(b"BM")
            && matches!(head.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
        {
            return Self::Bmp;
        }
        if head.starts_with(b"PK\x03\x04") {
            return Self::of_zip(bytes);
        }
        if !bytes.is_empty() && bytes.iter().all(|&b| b == 0) {
            return Self::Zeros;
        }
        Self::of_text(head)
    }

    /// Whether it is a kind of picture that is decoded, and so can be read as a document.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Gif | Self::Tiff | Self::Webp | Self::Bmp)
    }

    /// Whether it is opened as a document at all: a PDF, or pictures.
    pub fn is_document(self) -> bool {
        self == Self::Pdf || self.is_picture()
    }

    fn of_zip(bytes: &[u8]) -> Self {
        let window = &bytes[..bytes.len().min(64 * 1024)];
        let holds = |name: &[u8]| find(window, name).is_some();
        if holds(b"mimetypeapplication/epub") {
            Self::Epub
        } else if holds(b"mimetypeapplication/vnd.oasis") {
            Self::OpenDocument
        } else if holds(b"word/") {
            Self::Docx
        } else if holds(b"xl/") {
            Self::Xlsx
        } else if holds(b"ppt/") {
            Self::Pptx
        } else {
            Self::Zip
        }
    }

    fn of_text(head: &[u8]) -> Self {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let start = head.trim_ascii_start();
        let lower: Vec<u8> = start.iter().take(16).map(u8::to_ascii_lowercase).collect();
        if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
            Self::Html
        } else if lower.starts_with(b"<?xml") {
            Self::Xml
        } else if !head.is_empty()
            && head.iter().all(|&b| b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c))
        {
            Self::Text
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pdf => "a PDF",
            Self::Png => "a PNG image",
            Self::Jpeg => "a JPEG image",
            Self::Gif => "a GIF image",
            Self::Tiff => "a TIFF image",
            Self::Webp => "a WebP image",
            Self::Bmp => "a BMP image",
            Self::Heif => "an HEIC or AVIF image",
            Self::Docx => "a Word document (docx)",
            Self::Xlsx => "an Excel workbook (xlsx)",
            Self::Pptx => "a PowerPoint presentation (pptx)",
            Self::OpenDocument => "an OpenDocument file",
            Self::Epub => "an EPUB book",
            Self::Zip => "a ZIP archive",
            Self::OleCompound => "an older Microsoft Office file (doc, xls, ppt or msg)",
            Self::Rtf => "rich text (rtf)",
            Self::PostScript => "a PostScript program",
            Self::Html => "an HTML page",
            Self::Xml => "an XML file",
            Self::Gzip => "a gzip archive",
            Self::Djvu => "a DjVu document",
            Self::Text => "a text file",
            Self::Zeros => "a file of zero bytes only (a failed download?)",
            Self::Unknown => "of an unknown kind",
        })
    }
}

/// Where `needle` first stands in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_first_bytes() {
        let zip = |name: &str| [b"PK\x03\x04\x14\0".as_slice(), name.as_bytes()].concat();
        let cases: [(&[u8], FileKind); 17] = [
            (b"%PDF-1.4\n", FileKind::Pdf),
            (b"junk before\n%PDF-1.7", FileKind::Pdf),
            (b"\x89PNG\r\n\x1a\n....", FileKind::Png),
            (b"\xff\xd8\xff\xe0", FileKind::Jpeg),
            (b"BMW is a maker of cars\n", FileKind::Text),
            (b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", FileKind::Bmp),
            (b"II+\0\x08\0\0\0", FileKind::Tiff),
            (&zip("word/document.xml"), FileKind::Docx),
            (&zip("xl/workbook.xml"), FileKind::Xlsx),
            (&zip("mimetypeapplication/epub+zip"), FileKind::Epub),
            (&zip("a.txt"), FileKind::Zip),
            (b"<!DOCTYPE html><p>", FileKind::Html),
            (b"  <?xml version", FileKind::Xml),
            (b"plain words\n", FileKind::Text),
            (&[0; 64], FileKind::Zeros),
            (b"\x01\x02\x03", FileKind::Unknown),
            (b"", FileKind::Unknown),
        ];
        for (bytes, kind) in cases {
            assert_eq!(FileKind::of(bytes), kind, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_header_past_the_window_is_no_header() {
        let mut bytes = vec![b' '; HEADER_WINDOW];
        bytes.extend(b"%PDF-1.4");
        assert_ne!(FileKind::of(&bytes), FileKind::Pdf);
    }
}
