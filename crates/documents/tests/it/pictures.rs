//! Pictures as Pillow wrote them, and such as nobody should.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use documents::Kind;
use documents::picture::{Picture, PictureFailure, decode};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/images").join(name))
        .unwrap()
}

fn picture(name: &str) -> Picture {
    decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}: {error:?}"))
}

/// The largest and the mean difference of two pictures' bytes.
fn apart(ours: &[u8], truth: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), truth.len());
    let each = || ours.iter().zip(truth).map(|(&a, &b)| a.abs_diff(b));
    (each().max().unwrap(), each().map(f64::from).sum::<f64>() / ours.len() as f64)
}

#[test]
fn what_loses_nothing_is_read_to_the_bit() {
    for name in ["little.png", "little.tif", "little.deflate.tif", "little.webp"] {
        let Picture { width, height, pixels } = picture(name);
        assert_eq!((width, height), (61, 57), "{name}");
        assert!(pixels == file("little.rgb"), "{name}");
    }
}

#[test]
fn grey_palettes_and_transparency_become_colours_on_white() {
    for name in ["grey.png", "palette.png", "alpha.png", "grey.tif", "bilevel.tif"] {
        let truth = file(&format!("{name}.rgb"));
        let (most, _) = apart(&picture(name).pixels, &truth);
        // Where a colour is half transparent, the reference rounds another way.
        assert!(most <= u8::from(name == "alpha.png"), "{name}: {most}");
    }
}

/// Colours at full size, at half the width, at half of both; sharp, blurred step by step, grey, of printer's inks, turned.
#[test]
fn photographs_are_what_the_reference_decodes() {
    const FILES: [&str; 8] = [
        "full.jpg",
        "half.jpg",
        "half-across.jpg",
        "progressive.jpg",
        "progressive-half.jpg",
        "grey.jpg",
        "inks.jpg",
        "turned.jpg",
    ];
    for name in FILES {
        let Picture { width, height, pixels } = picture(name);
        assert_eq!((width, height), if name == "turned.jpg" { (57, 61) } else { (61, 57) });
        let (most, _) = apart(&pixels, &file(&format!("{name}.rgb")));
        assert_eq!(most, 0, "{name}");
    }
}

#[test]
fn what_is_no_picture_or_a_huge_one_is_refused() {
    let error = decode(b"%PDF-1.7\n").unwrap_err();
    assert!(
        matches!(&error, PictureFailure::NotPicture { .. }) && error.to_string().contains("PDF")
    );
    // A header that declares 65,500 pixels on each side, and nothing after it.
    let mut png = file("little.png");
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xdc, 0, 0, 0xff, 0xdc]);
    let checksum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = decode(&png).unwrap_err();
    assert!(matches!(error, PictureFailure::TooLarge { width: 65_500, .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Overloaded);
    for error in [decode(b"").unwrap_err(), decode(b"\x89PNG\r\n\x1a\n").unwrap_err()] {
        assert!(!error.hint().is_empty(), "{error}");
    }
}

#[test]
fn damage_ends_in_an_error_or_a_picture() {
    for name in [
        "little.png",
        "little.tif",
        "little.webp",
        "full.jpg",
        "half-across.jpg",
        "progressive-half.jpg",
        "inks.jpg",
        "palette.png",
    ] {
        let whole = file(name);
        for cut in (0..whole.len()).step_by(37) {
            drop(decode(&whole[..cut]));
        }
        for at in (0..whole.len()).step_by(11) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            if let Ok(Picture { width, height, pixels }) = decode(&damaged) {
                assert_eq!(pixels.len(), width * height * 3, "{name}, byte {at}");
            }
        }
    }
}

/// The checksum of a chunk of PNG.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}
