//! Pages as pictures: where things stand on them, in this process and in a child.

use std::process::Command;

use documents::layout::{Region, Warning};
use documents::picture::Picture;
use documents::pipeline::{Parse, Raster, Render};
use documents::worker::Worker;
use documents::{Limits, PageFailure, Rect, Source, pdf};
use testkit::pdf::{Pdf, text};

const PAGE: Raster = Raster { longest: 1288 };

fn source(bytes: Vec<u8>) -> Source {
    Source { name: "drawn.pdf".to_owned(), bytes }
}

fn reader(bytes: Vec<u8>) -> pdf::Reader {
    let mut reader = pdf::Reader::new(Limits::default());
    reader.open(source(bytes), &[]).expect("the file opens");
    reader
}

fn worker(arguments: &'static [&'static str]) -> Worker {
    let start = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_documents-worker"));
        command.args(arguments);
        command
    };
    Worker::new(start, Limits { memory_bytes: 2 << 30, ..Limits::default() })
}

fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
    let at = (y * picture.width + x) * 3;
    picture.pixels[at..at + 3].try_into().expect("three bytes")
}

/// The smallest box around all pixels that `wanted` holds for, as left, top, right and bottom.
fn around(picture: &Picture, wanted: impl Fn([u8; 3]) -> bool) -> Option<[usize; 4]> {
    let mut found: Option<[usize; 4]> = None;
    for y in 0..picture.height {
        for x in (0..picture.width).filter(|&x| wanted(pixel(picture, x, y))) {
            let [x0, y0, x1, y1] = found.unwrap_or([x, y, x + 1, y + 1]);
            found = Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)]);
        }
    }
    found
}

/// How far two boxes are apart, in pixels.
fn distance(expected: [f64; 4], found: [usize; 4]) -> f64 {
    expected.iter().zip(found).map(|(&a, b)| (a - b as f64).abs()).fold(0.0, f64::max)
}

/// An image of one colour, 100 by 40 points at (50, 600) from the lower left.
fn with_image(entries: &str, colour: [u8; 3]) -> Vec<u8> {
    let mut pdf = Pdf::new();
    let image = pdf.stream(
        "/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 \
         /ColorSpace /DeviceRGB",
        &colour,
    );
    let draw = "q 100 0 0 40 50 600 cm /I Do Q";
    pdf.page_with(612.0, 792.0, draw, entries, &format!("/XObject << /I {image} 0 R >>"));
    pdf.finish()
}

#[test]
fn boxes_and_pixels_agree_however_a_page_is_turned_or_cut() {
    let red = |p: [u8; 3]| p[0] > 128 && p[1] < 128;
    for (entries, size, place) in [
        ("", [996, 1288], [50.0, 152.0, 150.0, 192.0]),
        ("/Rotate 90", [1288, 996], [600.0, 50.0, 640.0, 150.0]),
        ("/Rotate 180", [996, 1288], [462.0, 600.0, 562.0, 640.0]),
        ("/Rotate 270", [1288, 996], [152.0, 462.0, 192.0, 562.0]),
        ("/CropBox [30 500 230 900]", [883, 1288], [20.0, 152.0, 120.0, 192.0]),
        ("/CropBox [30 500 230 700] /Rotate 90", [1288, 1288], [100.0, 20.0, 140.0, 120.0]),
    ] {
        let mut reader = reader(with_image(entries, [255, 0, 0]));
        let layout = reader.page(0).expect("a layout");
        let bbox = layout.images[0];
        let [x0, y0, x1, y1] = place;
        assert_eq!(bbox, Rect::new(x0, y0, x1, y1), "{entries}");
        let picture = reader.render(0, PAGE).expect("a picture");
        assert_eq!([picture.width, picture.height], size, "{entries}");
        assert_eq!(picture.pixels.len(), picture.width * picture.height * 3);
        let found = around(&picture, red).expect("something red");
        let expected = PAGE.place(&bbox, layout.width, layout.height);
        assert!(distance(expected, found) <= 1.0, "{entries}: {expected:?} {found:?}");
        assert_eq!(pixel(&picture, 0, 0), [255; 3], "paper is white");
        let middle = [expected[0] + expected[2], expected[1] + expected[3]].map(|p| p / 2.0);
        assert_eq!(pixel(&picture, middle[0] as usize, middle[1] as usize), [255, 0, 0]);
        assert_eq!(reader.omissions().len(), 0);
    }
}

#[test]
fn words_stand_where_their_ink_is() {
    for rotate in ["", "/Rotate 90", "/Rotate 270"] {
        let mut pdf = Pdf::new();
        pdf.page_with(612.0, 792.0, &text("F1", 30.0, 72.0, 700.0, "HHHH"), rotate, "");
        let mut reader = reader(pdf.finish());
        let layout = reader.page(0).unwrap();
        let Region::Flow(flow) = &layout.regions[0] else { panic!("{:?}", layout.regions) };
        let picture = reader.render(0, PAGE).unwrap();
        let ink = around(&picture, |p| p[0] < 128).expect("ink");
        let bbox = PAGE.place(&flow.lines[0].bbox, layout.width, layout.height);
        // Boxes of words are as high as their font, so there is some air.
        let air = 30.0 * PAGE.scale(layout.width, layout.height) * 0.35;
        for edge in 0..4 {
            let outwards = if edge < 2 { -1.0 } else { 1.0 };
            let room = (bbox[edge] - ink[edge] as f64) * outwards;
            assert!((-2.0..=air).contains(&room), "{rotate}: {bbox:?} {ink:?}");
        }
    }
}

#[test]
fn a_child_draws_what_this_process_draws() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    let lease = Source::read(&path, 1 << 20).unwrap();
    let mut here = reader(lease.bytes.clone());
    let mut there = worker(&[]);
    assert_eq!(there.open(lease, &[]).unwrap().pages, 3);
    for (index, longest) in [(2, 300), (0, 1288), (0, 16)] {
        let raster = Raster { longest };
        let picture = here.render(index, raster).unwrap();
        assert!(around(&picture, |p| p[0] < 200).is_some(), "page {index} is not blank");
        assert_eq!(there.render(index, raster), Ok(picture));
    }
    // Layouts and pictures may be asked for in any order.
    assert_eq!(there.page(1), here.page(1));
    assert_eq!(there.render(3, PAGE), Err(PageFailure::NoSuchPage));
    for longest in [0, 8193] {
        let refused = Err(PageFailure::Raster { longest });
        assert_eq!(there.render(0, Raster { longest }), refused);
        assert_eq!(here.render(0, Raster { longest }), refused);
    }
}

#[test]
fn a_page_that_brings_its_renderer_down_fails_alone() {
    let mut pdf = Pdf::new();
    for each in ["fine 1", "PANIC", "ABORT", "fine 4"] {
        pdf.page(612.0, 792.0, &text("F1", 10.0, 72.0, 700.0, each));
    }
    let mut worker = worker(&["faulty"]);
    worker.open(source(pdf.finish()), &[]).unwrap();
    let small = Raster { longest: 64 };
    let fine = worker.render(0, small).expect("the first page");
    assert!(matches!(worker.render(1, small), Err(PageFailure::Panic { .. })));
    assert!(matches!(worker.render(2, small), Err(PageFailure::Died { .. })));
    assert_eq!(worker.render(0, small), Ok(fine));
    assert!(worker.render(3, small).is_ok());
}

#[test]
fn what_is_left_out_is_counted() {
    let mut pdf = Pdf::new();
    let image = pdf.stream(
        "/Type /XObject /Subtype /Image /Width 9 /Height 9 /BitsPerComponent 8 \
         /ColorSpace /DeviceRGB /Filter /DCTDecode",
        b"no photograph",
    );
    let resources = format!("/XObject << /I {image} 0 R >>");
    pdf.page_with(612.0, 792.0, "q 9 0 0 9 50 600 cm /I Do Q", "", &resources);
    pdf.page(612.0, 792.0, "");
    let bytes = pdf.finish();
    let mut here = reader(bytes.clone());
    here.render(0, PAGE).unwrap();
    assert_eq!(here.omissions().keys().collect::<Vec<_>>(), [&Warning::Image]);
    let mut there = worker(&[]);
    there.open(source(bytes), &[]).unwrap();
    there.render(0, PAGE).unwrap();
    assert_eq!(there.omissions(), here.omissions());
    // They are of the last page alone.
    there.render(1, PAGE).unwrap();
    assert_eq!(there.omissions().len(), 0);
}

/// A file is opened again after so many bytes, which nobody is to notice.
#[test]
fn long_files_are_answered_like_short_ones() {
    let mut pdf = Pdf::new();
    // Six megabytes of content each, nearly all of it spaces.
    let padding = " ".repeat(6 << 20);
    for number in 0..14 {
        let said = text("F1", 30.0, 72.0, 700.0, &format!("Page {number}"));
        pdf.page(612.0, 792.0, &format!("{said}{padding}"));
    }
    let mut reader = reader(pdf.finish());
    let small = Raster { longest: 100 };
    let first = reader.render(0, small).unwrap();
    for number in (0..14).rev() {
        let page = reader.page(number).unwrap();
        let Region::Flow(flow) = &page.regions[0] else { panic!("{:?}", page.regions) };
        assert_eq!(flow.lines[0].words[1].text, number.to_string());
    }
    assert_eq!(reader.render(0, small).unwrap(), first);
}

#[test]
fn text_in_a_font_that_nobody_has_is_not_silently_blank() {
    let mut pdf = Pdf::new();
    let descriptor =
        pdf.object("<< /Type /FontDescriptor /FontName /Ryumin-Light /Flags 4 /ItalicAngle 0 >>");
    let descendant = pdf.object(&format!(
        "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light /FontDescriptor \
         {descriptor} 0 R /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >> \
         /DW 1000 >>"
    ));
    let font = pdf.object(&format!(
        "<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light-UniJIS-UCS2-H \
         /Encoding /UniJIS-UCS2-H /DescendantFonts [{descendant} 0 R] >>"
    ));
    // 日本.
    let draw = "BT /J 40 Tf 72 700 Td <65E5672C> Tj ET";
    let stream = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 612 792] \
         /Resources << /Font << /J 9 0 R >> >>",
        draw.as_bytes(),
    );
    assert_eq!(font, 9);
    pdf.page_with(612.0, 792.0, "/X Do", "", &format!("/XObject << /X {stream} 0 R >>"));
    let mut reader = reader(pdf.finish());
    let picture = reader.render(0, PAGE).unwrap();
    let ink = around(&picture, |p| p[0] < 128).is_some();
    let told = reader.omissions().contains_key(&Warning::Font);
    assert!(ink != told, "ink: {ink}, told: {told}");
}
