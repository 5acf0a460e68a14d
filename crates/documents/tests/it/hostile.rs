//! Files that are broken, locked, endless, or no PDFs.

use std::path::Path;
use std::time::Instant;

use documents::pipeline::{Parse as _, Raster, Render as _};
use documents::{Error, FileKind, Kind, Limits, OpenFailure, Origin, PageFailure, Source};
use testkit::pdf::{Pdf, text};

use super::{document, markdown, try_read};

fn small() -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.page(612.0, 792.0, &text("F1", 10.0, 72.0, 700.0, "One page of text"));
    pdf.finish()
}

#[test]
fn paths_that_are_no_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let read = |name: &str| Source::read(&path(name), 1 << 20).unwrap_err();

    assert!(matches!(read("absent.pdf"), Error::Missing { .. }));
    assert!(matches!(read(""), Error::Folder { .. }));
    std::fs::write(path("empty.pdf"), b"").unwrap();
    assert!(matches!(read("empty.pdf"), Error::Empty { .. }));
    std::fs::write(path("photo.pdf"), b"\0\0\0\x18ftypheic").unwrap();
    let error = read("photo.pdf");
    let said = "photo.pdf: is no PDF and no image, it is an HEIC or AVIF image";
    assert!(error.to_string().contains(said), "{error}");
    assert!(error.hint().unwrap().contains("PNG"));
    assert_eq!(error.kind(), Kind::Unsupported);
    std::fs::write(path("large.pdf"), small()).unwrap();
    let error = Source::read(&path("large.pdf"), 100).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 100, .. }));
    #[cfg(unix)]
    {
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status();
        assert!(made.unwrap().success());
        let error = read("pipe");
        assert!(matches!(error, Error::Special { what: "a named pipe", .. }), "{error}");
    }
}

#[test]
fn truncated_and_garbled_files_open_or_say_why() {
    let whole = small();
    for length in (0..whole.len()).step_by(7) {
        match try_read(whole[..length].to_vec(), &[]) {
            Ok(document) => assert!(!document.pages.is_empty()),
            Err(Error::Open { failure, .. }) => assert!(
                matches!(failure, OpenFailure::Damaged { .. } | OpenFailure::NotPdf { .. }),
                "{length}: {failure}"
            ),
            Err(other) => panic!("{length}: {other}"),
        }
    }
    let mut seed = 1u64;
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 20) as u8;
        }
        // Any answer but a panic will do; a page's panic would show as a failed page.
        if let Ok(document) = try_read(bytes, &[]) {
            for page in &document.pages {
                let fine = matches!(
                    page.origin,
                    Origin::TextLayer | Origin::Blank | Origin::Failed(PageFailure::Undecodable)
                );
                assert!(fine, "{:?}", page.origin);
            }
        }
    }
}

#[test]
fn leading_junk_is_no_obstacle() {
    let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    bytes.extend(small());
    assert_eq!(markdown(&document(bytes)), "One page of text\n");
}

#[test]
fn other_kinds_are_named() {
    let error = try_read(b"PK\x03\x04....word/document.xml".to_vec(), &[]).unwrap_err();
    let Error::Open { failure, .. } = &error else { panic!("{error}") };
    assert_eq!(*failure, OpenFailure::NotPdf { found: FileKind::Docx });
}

/// A file of `fixtures/documents/locked`.
fn locked(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/documents/locked");
    std::fs::read(folder.join(name).with_extension("pdf")).expect("a fixture")
}

#[test]
fn passwords_open_what_they_should() {
    // The owner's password opens those of the newest kind only.
    for (name, user, owner) in [
        ("rc4-40", "user", None),
        ("rc4-128", "user", None),
        ("aes-128", "user", None),
        ("aes-128-metadata", "user", None),
        ("aes-256-r5", "user", Some("owner")),
        ("aes-256", "user", Some("owner")),
        ("utf-8", "пароль-ß-鍵", Some("owner-é")),
    ] {
        let bytes = locked(name);
        let failure = |passwords: &[&str]| match try_read(bytes.clone(), passwords) {
            Err(Error::Open { failure, .. }) => failure,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(failure(&[]), OpenFailure::PasswordRequired, "{name}");
        assert_eq!(failure(&["a", "b"]), OpenFailure::PasswordWrong { tried: 2 }, "{name}");
        for password in [Some(user), owner].into_iter().flatten() {
            let document = try_read(bytes.clone(), &["wrong", password]).unwrap();
            assert!(document.encrypted, "{name}");
            assert_eq!(markdown(&document), "Locked text\n", "{name}");
        }
    }
}

#[test]
fn a_file_that_anybody_may_read_needs_no_password_and_is_drawn() {
    let mut pictures = Vec::new();
    for (name, password) in [("empty-user", ""), ("empty-user-rc4", ""), ("aes-128", "user")] {
        let bytes = locked(name);
        let document = try_read(bytes.clone(), &[password]).unwrap();
        assert!(document.encrypted, "{name}");
        assert_eq!(markdown(&document), "Locked text\n", "{name}");
        let mut reader = documents::pdf::Reader::new(Limits::default());
        let source = Source { name: name.to_owned(), bytes };
        reader.open(source, &[password.to_owned()]).unwrap();
        pictures.push(reader.render(0, Raster { longest: 300 }).unwrap());
    }
    assert!(!pictures[0].is_blank());
    assert!(pictures.iter().all(|picture| *picture == pictures[0]));
}

#[test]
fn bombs_are_cut_off_with_a_warning() {
    let limits = Limits::default();
    // More characters than any page has.
    let mut pdf = Pdf::new();
    let strings = text("F1", 10.0, 72.0, 700.0, "words words words").repeat(30_000);
    pdf.page(612.0, 792.0, &strings);
    let start = Instant::now();
    let flooded = document(pdf.finish());
    let count = |name: &str| {
        let page = &flooded.pages[0];
        page.warnings.iter().find(|(w, _)| w.name() == name).map_or(0, |(_, count)| *count)
    };
    assert_eq!(count("too_many_characters") as usize, 17 * 30_000 - limits.glyphs_per_page);
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());

    // Forms within forms, each drawing the next twice: 2^40 in all.
    let mut pdf = Pdf::new();
    let mut inner = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9]",
        text("F1", 10.0, 72.0, 700.0, "x").as_bytes(),
    );
    for _ in 0..20 {
        inner = pdf.stream(
            &format!(
                "/Type /XObject /Subtype /Form /BBox [0 0 9 9] \
                 /Resources << /XObject << /X {inner} 0 R >> >>"
            ),
            b"/X Do /X Do",
        );
    }
    pdf.page_with(612.0, 792.0, "/X Do", "", &format!("/XObject << /X {inner} 0 R >>"));
    let bytes = pdf.finish();
    let source = Source { name: "forms.pdf".to_owned(), bytes };
    let strict = Limits { operators_per_page: 100_000, ..limits };
    let mut reader = documents::pdf::Reader::new(strict);
    let read = documents::pipeline::lay_out(source, &Default::default(), &[], &mut reader);
    let page = &read.unwrap().pages[0];
    assert!(page.warnings.keys().any(|w| w.name() == "too_many_operators"), "{:?}", page.warnings);
}

#[test]
fn a_page_that_cannot_be_decoded_is_not_blank() {
    let mut pdf = Pdf::new();
    let form = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Filter /RunLengthDecode",
        // A run whose byte is missing.
        &[0x81],
    );
    pdf.page_with(612.0, 792.0, "/X Do", "", &format!("/XObject << /X {form} 0 R >>"));
    let document = document(pdf.finish());
    assert_eq!(document.pages[0].origin, Origin::Failed(PageFailure::Undecodable));
}

#[test]
fn forms_that_draw_themselves_or_nest_too_deeply_end() {
    let mut pdf = Pdf::new();
    let form = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 7 0 R >> >>",
        b"/X Do",
    );
    assert_eq!(form, 7);
    pdf.page_with(612.0, 792.0, "/X Do", "", "/XObject << /X 7 0 R >>");
    let own = document(pdf.finish());
    assert!(own.pages[0].blocks.is_empty());

    let mut pdf = Pdf::new();
    let mut inner = pdf.stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", b"");
    for _ in 0..Limits::default().form_depth {
        inner = pdf.stream(
            &format!(
                "/Type /XObject /Subtype /Form /BBox [0 0 9 9] \
                 /Resources << /XObject << /X {inner} 0 R >> >>"
            ),
            b"/X Do",
        );
    }
    pdf.page_with(612.0, 792.0, "/X Do", "", &format!("/XObject << /X {inner} 0 R >>"));
    let document = document(pdf.finish());
    let warnings: Vec<_> = document.pages[0].warnings.keys().map(|w| w.name()).collect();
    assert_eq!(warnings, ["forms_too_deep"]);
}
