//! PDFs that ask for more than a page should: small files that cost time, memory or stack without end.
//!
//! They are made when they are needed, so that nothing in the repository is dangerous to open.

use std::fmt::Write as _;

use crate::pdf::{Pdf, text};

/// How a page of a hostile file must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Whatever it is, it is told within the limits: what is asked for is much, but not for every machine too much.
    Told,
    /// Nothing can be drawn of it within any limits.
    Failed,
}

/// A hostile file: its name, its bytes, and how drawing its first page must end.
pub struct Hostile {
    /// What it does, in a word or two.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// How drawing must end.
    pub drawing: End,
}

/// A file's name and how it is made.
type Recipe = (&'static str, fn() -> Vec<u8>);

/// All of them.
pub fn files() -> Vec<Hostile> {
    let told: [Recipe; 21] = [
        ("many strokes", many_strokes),
        ("many strings", many_strings),
        ("huge line widths", wide_lines),
        ("huge letters", huge_letters),
        ("nested groups", nested_groups),
        ("saved states without end", saved_states),
        ("nested clips", nested_clips),
        ("a form that draws itself", own_form),
        ("a pattern that paints with itself", own_pattern),
        ("a glyph that shows itself", own_glyph),
        ("a mask that masks itself", own_mask),
        ("a dense pattern", dense_pattern),
        ("a long function", long_function),
        ("a mesh of a million triangles", mesh),
        ("a page as large as a country", vast_page),
        ("a page smaller than dust", tiny_page),
        ("boxes that are no numbers", absurd_boxes),
        ("two hundred thousand pages", many_pages),
        ("a page tree a hundred thousand deep", deep_tree),
        ("a page tree that holds itself", own_tree),
        ("references in a circle", circle),
    ];
    let failed: [Recipe; 4] = [
        ("forms that double forty times", doubling_forms),
        ("dashes of a hundred-thousandth of a point", tiny_dashes),
        ("an image of two gigabytes", image_bomb),
        ("content of two gigabytes", content_bomb),
    ];
    let made = |(name, make): Recipe, drawing| Hostile { name, bytes: make(), drawing };
    let told = told.into_iter().map(|one| made(one, End::Told));
    told.chain(failed.into_iter().map(|one| made(one, End::Failed))).collect()
}

fn one_page(content: &str) -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.page(612.0, 792.0, content);
    pdf.finish()
}

/// A page that does `content` with these resources.
fn with(mut pdf: Pdf, content: &str, resources: &str) -> Vec<u8> {
    pdf.page_with(612.0, 792.0, content, "", resources);
    pdf.finish()
}

fn many_strokes() -> Vec<u8> {
    one_page(&"9 9 m 600 780 l S ".repeat(1_000_000))
}

fn many_strings() -> Vec<u8> {
    one_page(&text("F1", 9.0, 72.0, 700.0, "words words words words").repeat(100_000))
}

fn tiny_dashes() -> Vec<u8> {
    one_page("[0.00001] 0 d 0 0 m 612 792 l S [0.0000001] 0 d 612 0 m 0 792 l S")
}

fn wide_lines() -> Vec<u8> {
    one_page("1e30 w 0 0 m 1e30 1e30 l S 1000000 w 1000000 M 1 j 0 0 m 9 9 l 9 0 l 0 0.0001 l S")
}

fn huge_letters() -> Vec<u8> {
    one_page(
        "BT /F1 1000000000 Tf 1 0 0 1 -5000000 -5000000 Tm (words) Tj /F1 1e30 Tf (words) Tj ET",
    )
}

/// Transparency groups within each other, each of which wants a page of its own.
fn nested_groups() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let entries =
        "/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Group << /S /Transparency /I true >>";
    let mut inner = pdf.stream(entries, b"0 0 612 792 re f");
    for _ in 0..45 {
        let resources = format!(
            "{entries} /Resources << /XObject << /X {inner} 0 R >> /ExtGState << /G << /ca 0.5 >> >> >>"
        );
        inner = pdf.stream(&resources, b"/G gs /X Do /X Do");
    }
    with(pdf, "/X Do", &format!("/XObject << /X {inner} 0 R >>"))
}

fn saved_states() -> Vec<u8> {
    one_page(&"q ".repeat(2_000_000))
}

fn nested_clips() -> Vec<u8> {
    let mut content = String::new();
    for step in 0..100_000 {
        // Writing to a string cannot fail.
        let _ = write!(content, "q 0 0 m {} 700 l 600 {} l h W n ", 300 + step % 300, step % 700);
    }
    content.push_str("0 0 612 792 re f");
    one_page(&content)
}

/// An object that names its own number, which is the next one.
fn own(pdf: &mut Pdf, entries: impl Fn(usize) -> String, data: &[u8]) -> usize {
    let number = pdf.object("null") + 1;
    pdf.stream(&entries(number), data)
}

fn own_form() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let form = own(
        &mut pdf,
        |own| {
            format!(
                "/Type /XObject /Subtype /Form /BBox [0 0 612 792] \
                 /Resources << /XObject << /X {own} 0 R >> >>"
            )
        },
        b"/X Do /X Do 0 0 9 9 re f",
    );
    with(pdf, "/X Do", &format!("/XObject << /X {form} 0 R >>"))
}

fn own_pattern() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let pattern = own(
        &mut pdf,
        |own| {
            format!(
                "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 9 \
                 /YStep 9 /Resources << /Pattern << /P {own} 0 R >> >>"
            )
        },
        b"/Pattern cs /P scn 0 0 9 9 re f",
    );
    let content = "/Pattern cs /P scn 0 0 612 792 re f";
    with(pdf, content, &format!("/Pattern << /P {pattern} 0 R >>"))
}

fn own_glyph() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let glyph = pdf.stream("", b"1000 0 d0 BT /T 1 Tf (aa) Tj ET");
    let number = glyph + 1;
    let font = pdf.object(&format!(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [0.001 0 0 0.001 0 0] \
         /CharProcs << /a {glyph} 0 R >> /Encoding << /Type /Encoding /Differences [97 /a] >> \
         /FirstChar 97 /LastChar 97 /Widths [1000] /Resources << /Font << /T {number} 0 R >> >> >>"
    ));
    let mut body = Pdf::clone(&pdf);
    let form = body.stream(
        &format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << /Font << /T {font} 0 R >> >>"
        ),
        b"BT /T 20 Tf 72 700 Td (aaaa) Tj ET",
    );
    with(body, "/X Do", &format!("/XObject << /X {form} 0 R >>"))
}

fn own_mask() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let form = own(
        &mut pdf,
        |own| {
            format!(
                "/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Group << /S /Transparency \
                 /CS /DeviceGray >> /Resources << /ExtGState << /G << /SMask << /S /Luminosity \
                 /G {own} 0 R >> >> >> >>"
            )
        },
        b"/G gs 0 0 612 792 re f",
    );
    let states = format!("/ExtGState << /G << /SMask << /S /Luminosity /G {form} 0 R >> >> >>");
    with(pdf, "/G gs 0 0 612 792 re f", &states)
}

fn dense_pattern() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let pattern = pdf.stream(
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 600 700] /XStep 0.001 \
         /YStep 0.001 /Resources << >>",
        b"0 0 m 600 700 l S",
    );
    let content = "/Pattern cs /P scn 0 0 612 792 re f";
    with(pdf, content, &format!("/Pattern << /P {pattern} 0 R >>"))
}

/// A shading whose colours a program of 40,000 steps computes.
fn long_function() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let program = format!("{{ pop {} dup dup }}", "0.5 add 0.5 sub ".repeat(20_000));
    let function =
        pdf.stream("/FunctionType 4 /Domain [0 1 0 1] /Range [0 1 0 1 0 1]", program.as_bytes());
    let shading = pdf.object(&format!(
        "<< /ShadingType 1 /ColorSpace /DeviceRGB /Domain [0 1 0 1] /Matrix [612 0 0 792 0 0] \
         /Function {function} 0 R >>"
    ));
    with(pdf, "/S sh", &format!("/Shading << /S {shading} 0 R >>"))
}

/// Triangles that a run of bytes stands for.
fn mesh() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let runs: Vec<u8> =
        (0..120_000u32).flat_map(|at| [0x81, (at * 37) as u8]).chain([0x80]).collect();
    let shading = pdf.stream(
        "/ShadingType 4 /ColorSpace /DeviceRGB /BitsPerCoordinate 8 /BitsPerComponent 8 \
         /BitsPerFlag 8 /Decode [0 612 0 792 0 1 0 1 0 1] /Filter /RunLengthDecode",
        &runs,
    );
    with(pdf, "/S sh", &format!("/Shading << /S {shading} 0 R >>"))
}

fn sized(page_box: &str) -> Vec<u8> {
    let mut pdf = Pdf::new();
    // The later of two entries of one name is the one that counts.
    let entries = format!("/MediaBox {page_box}");
    pdf.page_with(612.0, 792.0, &text("F1", 9.0, 72.0, 700.0, "words"), &entries, "");
    pdf.finish()
}

fn vast_page() -> Vec<u8> {
    sized("[0 0 1000000000 2000000000]")
}

fn tiny_page() -> Vec<u8> {
    sized("[0 0 0.0000001 0.0000002]")
}

fn absurd_boxes() -> Vec<u8> {
    sized("[1e300 -1e300 99999999999999999999999999999999999999999999 (x)]")
}

/// Forms within forms, each drawing the next twice.
fn doubling_forms() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let entries = "/Type /XObject /Subtype /Form /BBox [0 0 612 792]";
    let mut inner = pdf.stream(entries, b"0 0 9 9 re f");
    for _ in 0..40 {
        let resources = format!("{entries} /Resources << /XObject << /X {inner} 0 R >> >>");
        inner = pdf.stream(&resources, b"/X Do /X Do");
    }
    with(pdf, "/X Do", &format!("/XObject << /X {inner} 0 R >>"))
}

/// Runs of runs: 128 bytes for two, and again. About as many bytes as asked for.
fn runs(bytes: usize) -> Vec<u8> {
    let mut packed = vec![0x81; bytes / (64 * 64 * 2) * 2];
    packed.extend([0, 0x80, 0x80]);
    packed
}

fn image_bomb() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let image = pdf.stream(
        "/Type /XObject /Subtype /Image /Width 26000 /Height 26000 /BitsPerComponent 8 \
         /ColorSpace /DeviceRGB /Filter [/RunLengthDecode /RunLengthDecode]",
        &runs(2 << 30),
    );
    with(pdf, "q 612 0 0 792 0 0 cm /I Do Q", &format!("/XObject << /I {image} 0 R >>"))
}

fn content_bomb() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let form = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Filter [/RunLengthDecode /RunLengthDecode]",
        &runs(2 << 30),
    );
    with(pdf, "/X Do", &format!("/XObject << /X {form} 0 R >>"))
}

/// A file of these objects, the first of which is the catalog.
fn file(objects: impl Iterator<Item = String>) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut table = String::from("0000000000 65535 f \n");
    let mut count = 1;
    for body in objects {
        let _ = writeln!(table, "{:010} 00000 n ", out.len());
        out.extend(format!("{count} 0 obj\n{body}\nendobj\n").as_bytes());
        count += 1;
    }
    let start = out.len();
    let trailer = format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    out.extend(format!("xref\n0 {count}\n{table}{trailer}").as_bytes());
    out
}

const CATALOG: &str = "<< /Type /Catalog /Pages 2 0 R >>";

fn many_pages() -> Vec<u8> {
    const PAGES: usize = 200_000;
    let kids: String = (3..PAGES + 3).map(|number| format!("{number} 0 R ")).collect();
    let tree = format!("<< /Type /Pages /Count {PAGES} /Kids [{kids}] >>");
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>".to_owned();
    let pages = std::iter::repeat_n(page, PAGES);
    file([CATALOG.to_owned(), tree].into_iter().chain(pages))
}

fn deep_tree() -> Vec<u8> {
    const DEPTH: usize = 100_000;
    let node = |number: usize| {
        format!("<< /Type /Pages /Count 1 /Parent {} 0 R /Kids [{} 0 R] >>", number - 1, number + 1)
    };
    let page = format!("<< /Type /Page /Parent {} 0 R /MediaBox [0 0 9 9] >>", DEPTH + 1);
    let nodes = (2..DEPTH + 2).map(node);
    file(std::iter::once(CATALOG.to_owned()).chain(nodes).chain([page]))
}

fn own_tree() -> Vec<u8> {
    let tree = "<< /Type /Pages /Count 9 /Kids [2 0 R 3 0 R 2 0 R] >>".to_owned();
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>".to_owned();
    file([CATALOG.to_owned(), tree, page].into_iter())
}

/// Objects that are nothing but references, one to the next and the last to the first.
fn circle() -> Vec<u8> {
    let tree = "<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_owned();
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox 4 0 R /Contents 4 0 R /Resources 4 0 R >>";
    let ring = ["5 0 R", "6 0 R", "4 0 R"].map(str::to_owned);
    file([CATALOG.to_owned(), tree, page.to_owned()].into_iter().chain(ring))
}
