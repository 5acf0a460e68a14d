//! What becomes of text as it is set on pages.

use documents::Origin;
use testkit::pdf::{Pdf, lines, text};

use super::{blocks, document, markdown};

/// A page of body text, so that sizes have something to be measured against.
fn body(y: f64) -> String {
    lines(
        "F1",
        10.0,
        (72.0, y),
        12.0,
        &[
            "The tenant keeps the premises in good repair for as long as the lease",
            "lasts and returns them in the same state, fair wear and tear excepted, to",
            "the landlord.",
        ],
    )
}

const BODY: &str = "The tenant keeps the premises in good repair for as long as the lease lasts and \
                    returns them in the same state, fair wear and tear excepted, to the landlord.";

fn page(content: &str) -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.page(612.0, 792.0, content);
    pdf.finish()
}

#[test]
fn lines_become_paragraphs_and_larger_type_headings() {
    let content = text("F2", 20.0, 72.0, 720.0, "Lease")
        + &text("F2", 14.0, 72.0, 690.0, "Repairs")
        + &body(670.0)
        + &text("F2", 10.0, 72.0, 620.0, "2. Insurance")
        + &body(600.0);
    let document = document(page(&content));
    let wanted = format!("# Lease\n\n## Repairs\n\n{BODY}\n\n### 2. Insurance\n\n{BODY}\n");
    assert_eq!(markdown(&document), wanted);
}

#[test]
fn columns_are_read_one_after_the_other() {
    let left = ["one two three four five six", "seven eight nine ten eleven", "twelve thirteen x"];
    let right = ["alpha beta gamma delta eps", "zeta eta theta iota kappa la", "lambda mu nu xi"];
    // Painted line by line across both columns, as some producers do.
    let mut content =
        text("F1", 10.0, 72.0, 714.0, &"A sentence across both of the columns ".repeat(3));
    for row in 0..3 {
        let y = 690.0 - f64::from(row) * 12.0;
        content += &text("F1", 10.0, 72.0, y, left[row as usize]);
        content += &text("F1", 10.0, 240.0, y, right[row as usize]);
    }
    let document = document(page(&content));
    let all: Vec<String> = blocks(&document, 0).into_iter().map(|(_, text)| text).collect();
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(all[1], left.join(" "));
    assert_eq!(all[2], right.join(" "));
}

#[test]
fn lists_keep_their_markers_and_depths() {
    let content = body(720.0)
        + &text("F1", 10.0, 72.0, 670.0, "\u{b7}  apples and pears from the orchard")
        + &text("F1", 10.0, 90.0, 658.0, "-  only the ripe ones")
        + &text("F1", 10.0, 72.0, 646.0, "\u{b7}  plums")
        + &text("F1", 10.0, 72.0, 620.0, "1.  first")
        + &text("F1", 10.0, 72.0, 608.0, "2.  second")
        + &text("F1", 10.0, 72.0, 580.0, "(a)  the first limb, which goes")
        + &text("F1", 10.0, 90.0, 568.0, "on here");
    let markdown = markdown(&document(page(&content)));
    let wanted = "- apples and pears from the orchard\n  - only the ripe ones\n- plums\n1. first\n\
                  2. second\n\n(a) the first limb, which goes on here\n";
    assert!(markdown.ends_with(wanted), "{markdown}");
}

#[test]
fn dots_that_lead_to_a_page_number_are_left_out() {
    let content = body(720.0)
        + &text(
            "F1",
            10.0,
            72.0,
            660.0,
            "Repairs and alterations . . . . . . . . . . . . . . . 12",
        )
        + &text("F1", 10.0, 72.0, 640.0, "And so on ...");
    let markdown = markdown(&document(page(&content)));
    assert!(markdown.ends_with("\n\nRepairs and alterations 12\n\nAnd so on ...\n"), "{markdown}");
}

#[test]
fn bold_is_no_heading_where_most_is_bold() {
    let lines = |font: &str| {
        (0..8)
            .map(|n| {
                text(
                    font,
                    10.0,
                    72.0,
                    700.0 - 30.0 * f64::from(n),
                    "One statement of a chart that has many of them in boxes",
                )
            })
            .collect::<String>()
    };
    let kinds = |content: &str| -> Vec<&str> {
        blocks(&document(page(content)), 0).into_iter().map(|(kind, _)| kind).collect()
    };
    assert_eq!(kinds(&lines("F2")), ["paragraph"; 8]);
}

#[test]
fn aligned_columns_are_a_table() {
    let mut content = body(720.0);
    let rows = [["Year", "Rent", "Note"], ["2025", "100", "first"], ["2026", "110", "second"]];
    for (index, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let (x, y) = (72.0 + column as f64 * 100.0, 660.0 - index as f64 * 14.0);
            content += &text(if index == 0 { "F2" } else { "F1" }, 10.0, x, y, cell);
        }
    }
    let markdown = markdown(&document(page(&content)));
    let table = "| Year | Rent | Note |\n| --- | --- | --- |\n| 2025 | 100 | first |\n\
                 | 2026 | 110 | second |\n";
    assert!(markdown.ends_with(table), "{markdown}");
}

#[test]
fn ruled_cells_hold_their_wrapped_lines() {
    let mut content = body(720.0);
    for y in [660.0, 640.0, 600.0] {
        content += &format!("72 {y} m 372 {y} l S\n");
    }
    for x in [72.0, 172.0, 372.0] {
        content += &format!("{x} 660 m {x} 600 l S\n");
    }
    content += &text("F2", 10.0, 76.0, 646.0, "Party");
    content += &text("F2", 10.0, 176.0, 646.0, "Address");
    content += &text("F1", 10.0, 76.0, 626.0, "Landlord");
    content += &text("F1", 10.0, 176.0, 626.0, "2 Customs House Lane,");
    content += &text("F1", 10.0, 176.0, 614.0, "Port Ellery");
    let markdown = markdown(&document(page(&content)));
    let table = "| Party | Address |\n| --- | --- |\n\
                 | Landlord | 2 Customs House Lane, Port Ellery |\n";
    assert!(markdown.ends_with(table), "{markdown}");
}

#[test]
fn furniture_is_found_across_pages() {
    let mut pdf = Pdf::new();
    for number in 1..=4 {
        let content = text("F1", 9.0, 72.0, 760.0, "Deed of lease, draft")
            + &body(640.0)
            + &text("F1", 9.0, 300.0, 30.0, &number.to_string());
        pdf.page(612.0, 792.0, &content);
    }
    let document = document(pdf.finish());
    for page in 0..4 {
        let kinds: Vec<_> = blocks(&document, page).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["header", "paragraph", "page_number"], "page {page}");
    }
    let wanted = [BODY; 4].join("\n\n") + "\n";
    assert_eq!(markdown(&document), wanted);
}

#[test]
fn a_rotated_page_is_read_upright() {
    let mut pdf = Pdf::new();
    // Set sideways, and turned upright by the page's own rotation.
    let turned = "BT /F1 10 Tf 0 1 -1 0 100 72 Tm (Landscape words) Tj ET\n";
    pdf.page_with(612.0, 792.0, turned, "/Rotate 90", "");
    // Set sideways, and left so.
    pdf.page(612.0, 792.0, turned);
    let document = document(pdf.finish());
    let upright = &document.pages[0];
    assert_eq!((upright.rotation, upright.width, upright.height), (90, 792.0, 612.0));
    assert!(upright.blocks[0].bbox.width() > upright.blocks[0].bbox.height());
    let sideways = &document.pages[1];
    assert!(sideways.blocks[0].bbox.width() < sideways.blocks[0].bbox.height());
    for page in 0..2 {
        assert_eq!(blocks(&document, page), [("paragraph", "Landscape words".to_owned())]);
    }
}

#[test]
fn hidden_text_is_kept_and_flagged() {
    let mut pdf = Pdf::new();
    let image = pdf.stream(
        "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray \
         /BitsPerComponent 8",
        b"\xff",
    );
    let scan = "q 612 0 0 792 0 0 cm /Im Do Q\n";
    let resources = format!("/XObject << /Im {image} 0 R >>");
    let hidden = format!("{scan}3 Tr {}", text("F1", 10.0, 72.0, 700.0, "Recognised words"));
    pdf.page_with(612.0, 792.0, &hidden, "", &resources);
    pdf.page_with(612.0, 792.0, scan, "", &resources);
    pdf.page(612.0, 792.0, "");
    let document = document(pdf.finish());
    assert_eq!(document.pages[0].origin, Origin::HiddenText);
    assert!(document.pages[0].blocks[0].is_hidden());
    assert_eq!(document.pages[1].origin, Origin::NoText { images: 1, cover: 1.0 });
    assert_eq!(document.pages[2].origin, Origin::Blank);
    let markdown = markdown(&document);
    assert!(markdown.starts_with("Recognised words\n"), "{markdown}");
    assert!(markdown.contains("page 2 has no text layer: 1 image covers 100 %"), "{markdown}");
}

#[test]
fn links_and_styles_survive_and_markup_does_not() {
    let mut pdf = Pdf::new();
    let link = pdf.object(
        "<< /Type /Annot /Subtype /Link /Rect [70 695 140 712] \
         /A << /S /URI /URI (https://example.org/a\\(b\\)) >> >>",
    );
    let script = pdf.object(
        "<< /Type /Annot /Subtype /Link /Rect [70 595 140 612] \
         /A << /S /URI /URI (javascript:alert\\(1\\)) >> >>",
    );
    let content = text("F1", 10.0, 72.0, 700.0, "our site")
        + &text("F1", 10.0, 72.0, 650.0, "# not a heading *nor* <b>bold</b> [x](y)")
        + &text("F1", 10.0, 72.0, 600.0, "harmless")
        + "BT /F1 10 Tf 1 0 0 1 72 550 Tm (plain ) Tj /F2 10 Tf (bold words) Tj /F1 10 Tf \
           ( and ) Tj /F3 10 Tf (italic) Tj /F1 10 Tf (.) Tj ET\n"
        + &body(500.0);
    pdf.page_with(612.0, 792.0, &content, &format!("/Annots [{link} 0 R {script} 0 R]"), "");
    let markdown = markdown(&document(pdf.finish()));
    let wanted = "[our site](https://example.org/a%28b%29)\n\n\
                  \\# not a heading \\*nor\\* \\<b>bold\\</b> \\[x\\](y)\n\nharmless\n\n\
                  plain **bold words** and *italic*.\n\n";
    assert!(markdown.starts_with(wanted), "{markdown}");
}

#[test]
fn codes_without_unicode_values_are_taken_as_latin_1_and_counted() {
    let mut pdf = Pdf::new();
    let font = pdf.object(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [.001 0 0 .001 0 0] \
         /FirstChar 0 /LastChar 255 /CharProcs << >> /Encoding << /Type /Encoding /Differences [] >> \
         /Widths [ ] >>",
    );
    pdf.page_with(
        612.0,
        792.0,
        "BT /X 10 Tf 5 Tc 1 0 0 1 72 700 Tm (Rent\\001) Tj ET",
        "",
        &format!("/Font << /X {font} 0 R >>"),
    );
    let document = document(pdf.finish());
    let warnings: Vec<_> =
        document.pages[0].warnings.iter().map(|(w, count)| (w.name(), *count)).collect();
    assert_eq!(warnings, [("no_unicode_value", 4), ("unreadable_characters", 1)]);
    let text: String = blocks(&document, 0).into_iter().map(|(_, text)| text).collect();
    assert_eq!(text.replace(' ', ""), "Rent");
}

#[test]
fn layers_that_are_off_are_not_read() {
    let mut pdf = Pdf::new();
    let layer = pdf.object("<< /Type /OCG /Name (Draft) >>");
    pdf.catalog(&format!("/OCProperties << /OCGs [{layer} 0 R] /D << /OFF [{layer} 0 R] >> >>"));
    let content = format!(
        "/OC /L BDC {} EMC {}",
        text("F1", 10.0, 72.0, 700.0, "Secret"),
        text("F1", 10.0, 72.0, 650.0, "Shown")
    );
    pdf.page_with(612.0, 792.0, &content, "", &format!("/Properties << /L {layer} 0 R >>"));
    assert_eq!(markdown(&document(pdf.finish())), "Shown\n");
}

#[test]
fn text_in_forms_and_form_fields_is_read() {
    let mut pdf = Pdf::new();
    let form = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 600 100] /Matrix [1 0 0 1 72 600] \
         /Resources << /Font << /F1 3 0 R >> >>",
        b"BT /F1 10 Tf 0 0 Td (In a form) Tj ET",
    );
    let field = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 100 20] /Resources << /Font << /F1 3 0 R >> >>",
        b"BT /F1 10 Tf 2 4 Td (Filled in) Tj ET",
    );
    let widget = pdf.object(&format!(
        "<< /Type /Annot /Subtype /Widget /Rect [72 500 172 520] /AP << /N {field} 0 R >> >>"
    ));
    pdf.page_with(
        612.0,
        792.0,
        "/X Do",
        &format!("/Annots [{widget} 0 R]"),
        &format!("/XObject << /X {form} 0 R >>"),
    );
    let document = document(pdf.finish());
    assert_eq!(markdown(&document), "In a form\n\nFilled in\n");
    let field = &document.pages[0].blocks[1];
    assert!(
        (field.bbox.x0 - 74.0).abs() < 0.5 && field.bbox.y0 > 792.0 - 520.0,
        "{:?}",
        field.bbox
    );
}
