//! Pictures as documents, and what is done with pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use documents::picture::{self, Picture};
use documents::pipeline::{Parse, Raster, Render, lay_out};
use documents::worker::Worker;
use documents::{
    Error, FileKind, Limits, Local, OpenFailure, Origin, PageFailure, PageSet, Rect, Source,
};
use testkit::pdf::{Pdf, text};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/documents/pictures").join(name)
}

fn source(name: &str) -> Source {
    Source::read(&path(name), 1 << 20).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn worker() -> Worker {
    let start = || Command::new(env!("CARGO_BIN_EXE_documents-worker"));
    Worker::new(start, Limits { memory_bytes: 2 << 30, ..Limits::default() })
}

/// Where a picture is dark: left, top, right, bottom.
fn dark(picture: &Picture) -> [usize; 4] {
    let mut found = [usize::MAX, usize::MAX, 0, 0];
    for (index, pixel) in picture.pixels.chunks_exact(3).enumerate() {
        let (x, y) = (index % picture.width, index / picture.width);
        if pixel[0] < 128 {
            let [x0, y0, x1, y1] = found;
            found = [x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)];
        }
    }
    found
}

/// Each shows the same box, however it is stored; its size in points follows from its pixels to the inch.
#[test]
fn every_kind_of_picture_is_a_page() {
    let mut here = Local::new(Limits::default());
    let mut there = worker();
    for (name, page, [width, height]) in [
        ("plain.png", 0, [90.0, 60.0]),
        ("plain.jpg", 0, [90.0, 60.0]),
        ("plain.webp", 0, [90.0, 60.0]),
        ("inch.png", 0, [60.0, 40.0]),
        ("inch.bmp", 0, [60.0, 40.0]),
        ("inch.jpg", 0, [60.0, 40.0]),
        ("clear.png", 0, [90.0, 60.0]),
        ("clear.webp", 0, [90.0, 60.0]),
        ("moving.gif", 0, [90.0, 60.0]),
        // Turned as the camera says; 72 pixels to the inch down, 144 across, as it is shown.
        ("camera.jpg", 0, [120.0, 80.0]),
        ("turned.png", 0, [60.0, 80.0]),
        ("pages.tif", 0, [90.0, 60.0]),
        ("pages.tif", 1, [60.0, 40.0]),
        ("pages.tif", 2, [90.0, 60.0]),
    ] {
        let outline = here.open(source(name), &[]).unwrap();
        assert_eq!(outline.pages, if name == "pages.tif" { 3 } else { 1 }, "{name}");
        assert_eq!(there.open(source(name), &[]).unwrap(), outline);
        let layout = here.page(page).unwrap();
        assert_eq!(there.page(page).unwrap(), layout);
        let close = |a: f32, b: f32| (a - b).abs() < 0.05;
        assert!(close(layout.width, width) && close(layout.height, height), "{name}: {layout:?}");
        assert_eq!(layout.images, [Rect::new(0.0, 0.0, layout.width, layout.height)]);
        assert_eq!((layout.image_cover, layout.visible_glyphs), (1.0, 0));

        // As large as it is, larger, and smaller.
        for longest in [120, 480, 60] {
            let raster = Raster { longest };
            let picture = here.render(page, raster).unwrap();
            assert_eq!(there.render(page, raster), Ok(picture.clone()), "{name}");
            let [columns, rows] = raster.size(layout.width, layout.height);
            assert_eq!([picture.width, picture.height], [columns as usize, rows as usize]);
            let [x0, y0, x1, y1] = dark(&picture).map(|edge| edge as f64);
            let (across, down) = (f64::from(columns) / 120.0, f64::from(rows) / 80.0);
            let wanted = [20.0 * across, 10.0 * down, 60.0 * across, 30.0 * down];
            for (found, wanted) in [x0, y0, x1, y1].into_iter().zip(wanted) {
                assert!((found - wanted).abs() <= 1.0, "{name}, {longest}: {found} {wanted}");
            }
            assert!(picture.pixels[..3].iter().all(|&p| p > 250), "{name}: paper is white");
        }
        assert_eq!(there.page(outline.pages), Err(PageFailure::NoSuchPage));
    }
}

#[test]
fn a_picture_is_a_page_without_text() {
    let mut parser = Local::new(Limits::default());
    let document = lay_out(source("pages.tif"), &PageSet::all(), &[], &mut parser).unwrap();
    assert_eq!(document.page_count, 3);
    for page in &document.pages {
        assert_eq!(page.origin, Origin::NoText { images: 1, cover: 1.0 });
    }
}

#[test]
fn pictures_that_cannot_be_decoded_say_why() {
    let mut here = Local::new(Limits::default());
    let mut there = worker();
    let whole = source("pages.tif").bytes;
    let open = |parser: &mut dyn Parse, bytes: &[u8]| {
        parser.open(Source { name: "p".to_owned(), bytes: bytes.to_vec() }, &[])
    };
    // Nothing but a beginning.
    for bytes in [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff\xe0", &whole[..40]] {
        for parser in [&mut here as &mut dyn Parse, &mut there] {
            let error = open(parser, bytes).unwrap_err();
            let Error::Open { failure: OpenFailure::Picture { message }, .. } = &error else {
                panic!("{error:?}")
            };
            assert!(!message.is_empty() && error.hint().is_some());
        }
    }
    // A header that declares no pixels.
    let mut flat = source("inch.bmp").bytes;
    flat[18..22].fill(0);
    let error = open(&mut there, &flat).unwrap_err();
    assert!(matches!(&error, Error::Open { failure: OpenFailure::Picture { .. }, .. }), "{error}");
    let error = open(&mut here, b"\0\0\0\x18ftypheic").unwrap_err();
    assert!(error.to_string().contains("an HEIC or AVIF image"), "{error}");
    assert_eq!(error.hint(), Some("save it as PNG or JPEG first"));

    // A header that is whole before pixels that are not: the page has a size, and no picture.
    let png = source("plain.png").bytes;
    let torn = &png[..png.len() - 60];
    open(&mut there, torn).unwrap();
    assert!((there.page(0).unwrap().width - 90.0).abs() < 0.1);
    let failure = there.render(0, Raster { longest: 100 }).unwrap_err();
    assert!(matches!(&failure, PageFailure::Picture { message } if !message.is_empty()));

    // One picture of several that is damaged leaves the others.
    let mut bytes = whole;
    bytes[655..740].fill(0xff);
    assert_eq!(open(&mut there, &bytes).unwrap().pages, 3);
    let drawn = |page| there.render(page, Raster { longest: 100 }).is_ok();
    assert_eq!([0, 1, 2].map(drawn), [true, true, false]);
}

/// Found by chance: a decoder counts wrong at it. In this process, too, that is a failure and no more.
#[test]
fn a_decoder_that_panics_takes_nothing_with_it() {
    let bytes = fs::read(path("hostile.bin")).unwrap();
    let error = picture::decode(&bytes).unwrap_err();
    assert!(!error.to_string().is_empty() && !error.hint().is_empty(), "{error}");
    let mut album = picture::Album::new();
    let source = Source { name: "hostile".to_owned(), bytes };
    if album.open(source, &[]).is_ok() {
        assert!(album.render(0, Raster { longest: 100 }).is_err());
    }
}

#[test]
fn damage_anywhere_ends_in_a_page_or_a_reason() {
    let mut parser = Local::new(Limits::default());
    for name in ["pages.tif", "camera.jpg", "turned.png", "moving.gif", "clear.webp"] {
        let whole = source(name).bytes;
        for at in (0..whole.len().min(600)).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x5a;
            let Ok(outline) = parser.open(Source { name: name.to_owned(), bytes }, &[]) else {
                continue;
            };
            for page in 0..outline.pages.min(4) {
                if let Ok(picture) = parser.render(page, Raster { longest: 16 }) {
                    assert_eq!(picture.pixels.len(), picture.width * picture.height * 3);
                }
                let failure = parser.page(page).err();
                assert!(!matches!(failure, Some(PageFailure::Panic { .. })), "{name}: {failure:?}");
            }
        }
    }
}

/// A picture of which every pixel is another.
fn numbered(width: usize, height: usize) -> Picture {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7]));
    Picture { width, height, pixels: pixels.collect() }
}

#[test]
fn turns_are_counter_clockwise() {
    let picture = numbered(3, 2);
    let first = |picture: &Picture| [picture.pixels[0], picture.pixels[1]];
    let turned = |degrees| picture.turned(degrees).unwrap();
    assert_eq!(turned(0), picture);
    // The upper right corner comes to the upper left.
    assert_eq!((turned(90).width, turned(90).height, first(&turned(90))), (2, 3, [2, 0]));
    assert_eq!((turned(180).width, first(&turned(180))), (3, [2, 1]));
    assert_eq!((turned(270).width, first(&turned(270))), (2, [0, 1]));
    for degrees in [90, 180, 270] {
        assert_eq!(turned(degrees).turned(360 - degrees), Some(picture.clone()));
    }
    assert_eq!(picture.turned(45), None);
}

#[test]
fn cuts_stay_within_the_picture() {
    let picture = numbered(10, 6);
    let cut = picture.crop(&Rect::new(2.5, 1.0, 4.2, 3.0)).unwrap();
    assert_eq!((cut.width, cut.height), (3, 2));
    assert_eq!(cut.pixels[..3], [2, 1, 7]);
    assert_eq!(cut.pixels[cut.pixels.len() - 3..], [4, 2, 7]);
    assert_eq!(picture.crop(&Rect::new(-9.0, -9.0, 99.0, 99.0)), Some(picture.clone()));
    let nothing = [
        Rect::new(10.0, 0.0, 20.0, 5.0),
        Rect::new(-5.0, 0.0, -1.0, 5.0),
        Rect { x0: 5.0, y0: 0.0, x1: 2.0, y1: 4.0 },
        Rect { x0: f32::NAN, y0: 0.0, x1: f32::NAN, y1: 4.0 },
        Rect { x0: f32::INFINITY, y0: 0.0, x1: f32::INFINITY, y1: 4.0 },
    ];
    for nothing in nothing {
        assert_eq!(picture.crop(&nothing), None, "{nothing:?}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let picture = numbered(40, 30);
    for file in [picture::png(&picture), picture::webp(&picture).unwrap()] {
        assert_eq!(picture::decode(&file).unwrap(), picture);
    }
    let flat = Picture::filled(40, 30, [10, 200, 90]);
    let file = picture::jpeg(&flat, 90).unwrap();
    assert_eq!(FileKind::of(&file), FileKind::Jpeg);
    let back = picture::decode(&file).unwrap();
    let far = back.pixels.iter().zip(&flat.pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(far.unwrap() <= 3, "{far:?}");
    let long = Picture::filled(70_000, 1, [0; 3]);
    assert!(picture::jpeg(&long, 90).is_err() && picture::webp(&long).is_err());
    assert_eq!(picture::decode(&picture::png(&long)).unwrap(), long);
}

#[test]
fn paper_is_blank_however_it_was_scanned_and_a_full_stop_is_not() {
    let blank = Picture::filled(996, 1288, [255; 3]);
    assert!(blank.is_blank());
    // Lit from one side, yellowed, and with the noise of a scanner.
    let mut seed = 1u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((seed >> 33) % 25) as i32 - 12
    };
    let mut scan = blank.clone();
    for (index, pixel) in scan.pixels.chunks_exact_mut(3).enumerate() {
        let shade = (index % 996 / 16) as i32;
        let noise = noise();
        for (value, paper) in pixel.iter_mut().zip([230, 224, 200]) {
            *value = (paper - shade + noise).clamp(0, 255) as u8;
        }
    }
    assert!(scan.is_blank());
    assert!(Picture::filled(1, 1, [9; 3]).is_blank() && Picture::filled(700, 1, [9; 3]).is_blank());
    assert!(Picture::filled(99, 99, [20, 20, 90]).is_blank(), "dark paper is paper");

    let mut parser = Local::new(Limits::default());
    for (words, size, is_blank) in [(" ", 10.0, true), (".", 8.0, false), ("1", 8.0, false)] {
        let mut pdf = Pdf::new();
        pdf.page(612.0, 792.0, &text("F1", size, 72.3, 700.4, words));
        parser.open(Source { name: "p".to_owned(), bytes: pdf.finish() }, &[]).unwrap();
        let page = parser.render(0, Raster { longest: 1288 }).unwrap();
        assert_eq!(page.is_blank(), is_blank, "{words:?}");
    }
}
