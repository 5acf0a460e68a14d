//! A picture that somebody sent, by its first bytes, as a chat shows it and as a document of pages.
#![no_main]

use documents::picture::{Album, Picture, decode};
use documents::pipeline::{Parse, Raster, Render};
use documents::{PageFailure, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match decode(input) {
        Ok(Picture { width, height, pixels }) => assert_eq!(pixels.len(), width * height * 3),
        Err(error) => assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
    }
    let mut album = Album::new();
    let source = Source { name: String::new(), bytes: input.to_vec() };
    let Ok(outline) = album.open(source, &[]) else { return };
    for index in 0..outline.pages.min(3) {
        if let Ok(page) = album.page(index) {
            assert!(page.width > 0.0 && page.width.is_finite());
            assert!(page.height > 0.0 && page.height.is_finite());
        }
        match album.render(index, Raster { longest: 40 }) {
            Ok(Picture { width, height, pixels }) => {
                assert!(width.max(height) == 40 && pixels.len() == width * height * 3);
            }
            Err(PageFailure::Panic { message }) => panic!("{message}"),
            Err(_) => {}
        }
    }
    assert!(album.page(outline.pages).is_err());
});
